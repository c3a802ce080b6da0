//! What was open before, when a request that repeats it comes to nothing.

use super::*;

fn begun(erasures: &Erasures, row: &RowId) -> &'static str {
    match erasures.begin(row) {
        Begun::Go(_) => "go",
        Begun::Later => "later",
        Begun::Gone => "gone",
    }
}

#[test]
fn a_repeated_request_that_is_refused_leaves_the_first_one_open() {
    let (folder, erasures) = opened();
    let first = note(&erasures, 1, "/people/1", 1, &["sg"]);
    erasures.settle(&first[0], Settled::Open);
    for number in 2..4 {
        let again = note(&erasures, 1, "/people/1", number, &["sg"]);
        assert_eq!(begun(&erasures, &first[0]), "later");
        erasures.settle(&again[0], Settled::Forgotten);
        assert_eq!(states(&erasures), [(1, "sg".into(), "retrying")]);
        assert_eq!(begun(&erasures, &first[0]), "go");
    }
    drop(erasures);
    let erasures = reopened(&folder);
    assert_eq!(erasures.list()[0].decision, first[0].decision);
    // Of one that was found at the start, too.
    let again = note(&erasures, 1, "/people/1", 4, &["sg"]);
    erasures.settle(&again[0], Settled::Forgotten);
    assert_eq!(states(&erasures), [(1, "sg".into(), "repeat")]);
}

#[test]
fn a_repeated_request_that_counts_takes_the_place_of_the_first_one() {
    for settled in [
        Settled::Confirmed,
        Settled::Open,
        Settled::Repeat { refused: None },
    ] {
        let (folder, erasures) = opened();
        let first = note(&erasures, 1, "/people/1", 1, &["sg"]);
        erasures.settle(&first[0], Settled::Open);
        let again = note(&erasures, 1, "/people/1", 2, &["sg"]);
        erasures.settle(&again[0], settled.clone());
        assert_eq!(begun(&erasures, &first[0]), "gone");
        let count = usize::from(settled != Settled::Confirmed);
        assert_eq!(erasures.count(), count, "{settled:?}");
        drop(erasures);
        assert_eq!(reopened(&folder).count(), count, "{settled:?}");
    }
}

/// The same request twice at once.
#[test]
fn requests_that_are_under_way_together_are_settled_each_by_itself() {
    for (first, second, left) in [
        (Settled::Open, Settled::Forgotten, Some(1)),
        (Settled::Confirmed, Settled::Forgotten, None),
        (Settled::Forgotten, Settled::Forgotten, Some(0)),
        (Settled::Forgotten, Settled::Open, Some(2)),
        (Settled::Open, Settled::Confirmed, None),
        (Settled::Confirmed, Settled::Open, Some(2)),
    ] {
        for in_order in [true, false] {
            let (_folder, erasures) = opened();
            let before = note(&erasures, 1, "/people/1", 0, &["sg"]);
            erasures.settle(&before[0], Settled::Open);
            let one = note(&erasures, 1, "/people/1", 1, &["sg"]);
            let two = note(&erasures, 1, "/people/1", 2, &["sg"]);
            let ends = [(&one, &first), (&two, &second)];
            let settle = |(rows, settled): (&Vec<RowId>, &Settled)| {
                erasures.settle(&rows[0], settled.clone());
            };
            match in_order {
                true => ends.into_iter().for_each(settle),
                false => ends.into_iter().rev().for_each(settle),
            }
            let listed = erasures.list().into_iter().map(|open| open.decision);
            let expected = left.map(|number| DecisionId::new(1, number));
            let listed: Vec<_> = listed.collect();
            assert_eq!(listed, Vec::from_iter(expected), "{first:?} {second:?}");
        }
    }
}

#[test]
fn an_account_that_its_home_refuses_to_erase_again_keeps_its_pin() {
    let (_folder, erasures) = opened();
    let first = note_as(&erasures, 1, "/people/1", 1, &["eu", "sg"], true);
    erasures.settle(&first[0], Settled::Confirmed);
    erasures.settle(&first[1], Settled::Open);
    let again = note_as(&erasures, 1, "/people/1", 2, &["eu", "sg"], true);
    erasures.keep_pin(key(1));
    let forgotten = again.iter().map(|row| (row, Settled::Forgotten));
    erasures.settle_all(forgotten);
    assert_eq!(states(&erasures), [(1, "sg".into(), "retrying")]);
    erasures.settle(&first[1], Settled::Confirmed);
    assert!(erasures.is_empty() && erasures.end_pin(key(1)).is_none());
}

#[test]
fn a_write_overtakes_what_was_displaced_too() {
    for (written, left) in [("/b/k", vec![]), ("/b/k?tagging", vec!["repeat"])] {
        let (_folder, erasures) = opened();
        let first = note(&erasures, 1, "/b/k", 1, &["sg"]);
        erasures.settle(&first[0], Settled::Open);
        let again = note(&erasures, 1, "/b/k", 2, &["sg"]);
        held(&erasures, 1, "sg")
            .unwrap()
            .overtake(&address(written));
        erasures.settle(&again[0], Settled::Forgotten);
        let found: Vec<_> = states(&erasures).into_iter().map(|s| s.2).collect();
        assert_eq!(found, left, "{written}");
    }
}
