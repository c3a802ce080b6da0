//! The legal thresholds in sight: a gauge for each rule that draws an edge, and a warning when a
//! count comes near one.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Shared, Snapshot};
use crate::{
    decide::{self, Threshold},
    state::TallyName,
};

/// Edges that a warning was logged for: tally, rule and number.
#[derive(Default)]
pub struct Warned(HashSet<(Arc<str>, Arc<str>, u64)>);

/// Shows the count nearest to each rule's edges, over all exporters and recipients, and the edge.
pub fn gauges(shared: &Shared, snapshot: &Snapshot, at: Timestamp) {
    let gauge = &shared.metrics.threshold_subjects;
    gauge.reset();
    let limit = &shared.metrics.threshold_limit;
    limit.reset();
    let mut nearest: HashMap<(&str, Arc<str>), Nearest> = HashMap::new();
    let thresholds = decide::thresholds(&snapshot.policy, at);
    for threshold in &thresholds {
        let totals = totals(shared, snapshot, threshold);
        let most = totals.into_iter().map(|(_, people)| people).max();
        let law = snapshot.checked.law_id(threshold.law);
        let entry = nearest
            .entry((law, Arc::clone(&threshold.rule)))
            .or_default();
        entry.look(most.unwrap_or(0), threshold.number);
    }
    for ((law, rule), Nearest { people, number }) in nearest {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let labels = [law, rule.as_ref()];
        limit.with_label_values(&labels).set(whole(number));
        gauge.with_label_values(&labels).set(whole(people));
    }
}

/// Of one rule, the count that is nearest to an edge, and that edge. An edge at nobody is passed by
/// the first person, and would hide every other one: it is shown where the rule's other counts
/// stand at nobody.
#[derive(Debug, Default, PartialEq, Eq)]
struct Nearest {
    people: u64,
    number: u64,
}

impl Nearest {
    fn look(&mut self, people: u64, number: u64) {
        let shares = |p: u64, n: u64| u128::from(p) * u128::from(n);
        let nearer = match (number, self.number) {
            (0, 0) => people > self.people,
            (0, _) => self.people == 0 && people > 0,
            (_, 0) => self.people == 0 || people > 0,
            // Crosswise: `people / number` against `self.people / self.number`.
            _ => match shares(people, self.number).cmp(&shares(self.people, number)) {
                Ordering::Greater => true,
                // Nobody is counted yet: the edge that comes first.
                Ordering::Equal => number < self.number,
                Ordering::Less => false,
            },
        };
        if nearer {
            *self = Self { people, number };
        }
    }
}

impl Warned {
    /// Warns of every count that has come to 80 % of an edge since the last call, once.
    pub fn look(&mut self, shared: &Shared, snapshot: &Snapshot, at: Timestamp) {
        let mut near = HashSet::new();
        let thresholds = decide::thresholds(&snapshot.policy, at);
        let mut told = Vec::new();
        for threshold in &thresholds {
            for (name, people) in totals(shared, snapshot, threshold) {
                if !is_near(people, threshold.number) {
                    continue;
                }
                let key = (name, Arc::clone(&threshold.rule), threshold.number);
                if !self.0.contains(&key) {
                    told.push((threshold, Arc::clone(&key.0), people));
                }
                near.insert(key);
            }
        }
        for (threshold, name, people) in told {
            let (counter, parties) = TallyName::parts(&name);
            tracing::warn!(
                law = snapshot.checked.law_id(threshold.law),
                rule = &*threshold.rule,
                counter,
                parties,
                people,
                edge = threshold.number,
                "the count of people is at 80 % of a legal threshold or above"
            );
        }
        // Those that a new year took back are warned of again.
        self.0 = near;
    }
}

/// Whether a count has come to 80 % of an edge.
fn is_near(people: u64, number: u64) -> bool {
    number > 0 && u128::from(people) * 5 >= u128::from(number) * 4
}

/// The tallies of the threshold's counter.
fn totals(shared: &Shared, snapshot: &Snapshot, threshold: &Threshold) -> Vec<(Arc<str>, u64)> {
    let counters = &snapshot.checked.vocabulary.counters;
    let Some(counter) = counters.get(threshold.counter.index()) else {
        return Vec::new();
    };
    shared.counters.totals(|name| {
        let (of, _) = TallyName::parts(name);
        (*counter.key == *of).then_some(threshold.since)
    })
}

#[cfg(test)]
mod tests {
    use super::{Nearest, is_near};

    #[test]
    fn of_a_rule_the_count_nearest_to_an_edge_is_shown() {
        let shown = |looks: &[(u64, u64)]| {
            let mut nearest = Nearest::default();
            for (people, number) in looks {
                nearest.look(*people, *number);
            }
            (nearest.people, nearest.number)
        };
        assert_eq!(shown(&[(5, 100), (5, 10), (5, 1000)]), (5, 10));
        assert_eq!(shown(&[(0, 1_000_000), (0, 100_000)]), (0, 100_000));
        assert_eq!(shown(&[(7, 0), (1, 10)]), (1, 10));
        assert_eq!(shown(&[(7, 0), (0, 10)]), (7, 0));
        assert_eq!(shown(&[(0, 10), (7, 0)]), (7, 0));
        assert_eq!(shown(&[(1, 10), (7, 0)]), (1, 10));
        assert_eq!(shown(&[(3, 0), (7, 0)]), (7, 0));
        assert_eq!(
            shown(&[(u64::MAX, u64::MAX), (1, 10)]),
            (u64::MAX, u64::MAX)
        );
    }

    #[test]
    fn near_is_four_fifths_and_nobody_is_near_to_none() {
        assert!(!is_near(79_999, 100_000));
        assert!(is_near(80_000, 100_000));
        assert!(is_near(u64::MAX, u64::MAX));
        assert!(!is_near(5, 0));
    }
}
