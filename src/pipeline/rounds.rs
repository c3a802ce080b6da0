//! Which parts of a batch or a bulk request go out together.
//!
//! `Domicile-Retain-Until` must be true of every record of a part, so parts are cut by last day as
//! well as by region. What a request does to one document (of a batch: to one person's records) must
//! keep its order: where these have different days, the later ones wait for the earlier in a further
//! round. So does the erasure of a copy, which the home may have refused. With one day for all and no
//! copies, which is the rule, there is one round and nothing is compared.

use std::{collections::HashMap, hash::Hash};

use jiff::civil::Date;

/// What goes out in one round with one last day: positions in the list of sends, ascending.
pub struct Group {
    pub until: Option<Date>,
    pub sends: Vec<usize>,
}

/// Rounds one after the other; the groups of a round go at the same time.
///
/// `days`: the last day of each send; `is_copy`: whether it erases a copy; `document`: what it
/// concerns, where that has a name.
pub fn rounds<K: Hash + Eq>(
    days: &[Option<Date>],
    is_copy: impl Fn(usize) -> bool,
    document: impl Fn(usize) -> Option<K>,
) -> Vec<Vec<Group>> {
    let first = days.first().copied().flatten();
    if days.iter().all(|day| *day == first) && !(0..days.len()).any(&is_copy) {
        let all = Group {
            until: first,
            sends: (0..days.len()).collect(),
        };
        return vec![vec![all]];
    }
    // Of each document: the round of the last action on it, its day, and whether it erases a copy.
    let mut last: HashMap<K, (usize, Option<Date>, bool)> = HashMap::new();
    let mut rounds: Vec<Vec<Group>> = Vec::new();
    for (at, day) in days.iter().copied().enumerate() {
        let document = document(at);
        let before = document.as_ref().and_then(|d| last.get(d).copied());
        let round = match before {
            None => 0,
            Some((round, same, beside)) if same == day && (beside || !is_copy(at)) => round,
            Some((round, ..)) => round + 1,
        };
        if let Some(document) = document {
            last.insert(document, (round, day, is_copy(at)));
        }
        if rounds.len() <= round {
            rounds.resize_with(round + 1, Vec::new);
        }
        let Some(groups) = rounds.get_mut(round) else {
            continue;
        };
        match groups.iter_mut().find(|g| g.until == day) {
            Some(group) => group.sends.push(at),
            None => groups.push(Group {
                until: day,
                sends: vec![at],
            }),
        }
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sends: &[(i8, &'static str)]) -> Vec<Vec<(i8, Vec<usize>)>> {
        let day = |day: i8| (day > 0).then(|| Date::constant(2030, 1, day));
        let days: Vec<_> = sends.iter().map(|(d, _)| day(*d)).collect();
        let document =
            |at: usize| Some(sends[at].1.trim_end_matches('\'')).filter(|d| !d.is_empty());
        rounds(&days, |at| sends[at].1.ends_with('\''), document)
            .into_iter()
            .map(|groups| {
                let told = groups.into_iter();
                told.map(|g| (g.until.map_or(0, |d| d.day()), g.sends))
                    .collect()
            })
            .collect()
    }

    /// `a'` erases a copy of `a`.
    #[test]
    fn copies_are_erased_after_their_home_and_before_what_comes_later() {
        let expected = vec![vec![(0, vec![0, 3, 6])], vec![(0, vec![1, 2, 4, 5])]];
        let sends = [
            (0, "a"),
            (0, "a'"),
            (0, "a'"),
            (0, "b"),
            (0, "b'"),
            (0, "a"),
            (0, "c"),
        ];
        assert_eq!(told(&sends), expected);
        // Erased again: the home in the round of the first's copies, its copies after it.
        let expected = vec![
            vec![(0, vec![0]), (3, vec![4])],
            vec![(0, vec![1, 2])],
            vec![(0, vec![3])],
        ];
        let sends = [(0, "a"), (0, "a'"), (0, "a"), (0, "a'"), (3, "b")];
        assert_eq!(told(&sends), expected);
    }

    #[test]
    fn one_day_is_one_round_whatever_repeats() {
        let expected = vec![vec![(3, vec![0, 1, 2])]];
        assert_eq!(told(&[(3, "a"), (3, "a"), (3, "")]), expected);
    }

    #[test]
    fn days_go_at_the_same_time_unless_a_document_has_two() {
        let expected = vec![vec![(3, vec![0, 2]), (0, vec![1])]];
        assert_eq!(told(&[(3, "a"), (0, "b"), (3, "")]), expected);
        // Written, erased, written anew: three rounds, and the other document in the first.
        let expected = vec![
            vec![(3, vec![0]), (0, vec![2])],
            vec![(0, vec![1])],
            vec![(3, vec![3, 4])],
        ];
        let sends = [(3, "a"), (0, "a"), (0, "b"), (3, "a"), (3, "a")];
        assert_eq!(told(&sends), expected);
    }
}
