//! The legal thresholds in sight: a gauge for each rule that draws an edge, and a warning when a
//! count comes near one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    decide::{self, Threshold},
    shared::{Shared, Snapshot},
    state::TallyName,
};

/// Edges that a warning was logged for: tally, rule and number.
#[derive(Default)]
pub struct Warned(HashSet<(Arc<str>, Arc<str>, u64)>);

/// Shows the count nearest to each rule's edges, over all exporters and recipients; and for each edge
/// how much of it is reached, since a rule's edge that was passed long ago says nothing of its next.
pub fn gauges(shared: &Shared, snapshot: &Snapshot, at: Timestamp) {
    let gauge = &shared.metrics.threshold_subjects;
    gauge.reset();
    let reached = &shared.metrics.threshold_share;
    reached.reset();
    let mut nearest: HashMap<(&str, Arc<str>), (f64, u64)> = HashMap::new();
    let thresholds = decide::thresholds(&snapshot.policy, at);
    for threshold in &thresholds {
        let totals = totals(shared, snapshot, threshold);
        let most = totals.into_iter().map(|(_, people)| people).max();
        let law = snapshot.checked.law_id(threshold.law);
        let entry = nearest
            .entry((law, Arc::clone(&threshold.rule)))
            .or_default();
        // An edge at nobody is passed by the first person, and would hide every other one: it is
        // shown where the rule's other counts stand at nobody.
        let people = most.unwrap_or(0);
        let share = share(people, threshold.number);
        let counters = &snapshot.checked.vocabulary.counters;
        if let Some(counter) = counters.get(threshold.counter.index())
            && threshold.number > 0
        {
            let limit = threshold.number.to_string();
            let labels = [law, &threshold.rule, &counter.key, &limit];
            let child = reached.with_label_values(&labels);
            // A rule may ask for the same edge twice.
            child.set(child.get().max(share));
        }
        if share > entry.0 || (share == entry.0 && people > entry.1) {
            *entry = (share, people);
        }
    }
    for ((law, rule), (_, people)) in nearest {
        gauge
            .with_label_values(&[law, rule.as_ref()])
            .set(i64::try_from(people).unwrap_or(i64::MAX));
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

#[expect(clippy::cast_precision_loss, reason = "a share for comparison")]
fn share(people: u64, number: u64) -> f64 {
    if number == 0 {
        return 0.0;
    }
    people as f64 / number as f64
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
    use super::is_near;

    #[test]
    fn near_is_four_fifths_and_nobody_is_near_to_none() {
        assert!(!is_near(79_999, 100_000));
        assert!(is_near(80_000, 100_000));
        assert!(is_near(u64::MAX, u64::MAX));
        assert!(!is_near(5, 0));
    }
}
