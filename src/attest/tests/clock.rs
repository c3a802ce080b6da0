//! A clock that is behind what the ledger has shown.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::clock;

/// A ledger whose last entry but one is of `latest`, opened anew.
fn shown(rig: &Rig, latest: Timestamp) -> Journal {
    let shared = profile("/p");
    let (journal, opened) = rig.open();
    assert_eq!(opened.latest, None);
    for at in [latest, latest - SignedDuration::from_hours(5)] {
        let draft = Draft {
            at,
            ..draft(1, &shared)
        };
        let _ = block_on(journal.clear(abroad(), draft)).unwrap();
    }
    journal.close().unwrap();
    drop(journal);
    let (journal, opened) = rig.open();
    let found = opened.latest.unwrap();
    assert_eq!(found.as_microsecond(), latest.as_microsecond());
    journal.mind_clock(found);
    journal
}

#[test]
fn nothing_leaves_home_by_a_clock_that_is_behind_the_ledger() {
    let rig = Rig::new();
    let journal = shown(&rig, clock::now() + SignedDuration::from_hours(1));
    let shared = profile("/p");
    let worker = journal.worker();
    let one = block_on(worker.clear(abroad(), draft(2, &shared)));
    assert!(
        matches!(
            one,
            Err(Unwritable::Clock {
                seconds: 3500..=3600
            })
        ),
        "{one:?}"
    );
    let all = vec![
        (homeward(), draft(3, &shared)),
        (abroad(), draft(4, &shared)),
    ];
    let all = block_on(journal.clear_all(all, Vec::new()));
    assert!(matches!(all, Err(Unwritable::Clock { .. })), "{all:?}");
    let mut bundle = Bundle::new(at(5), 1);
    bundle.push(Some(abroad()), draft(5, &shared));
    let bundle = block_on(journal.clear_bundle(bundle));
    assert!(matches!(bundle, Err(Unwritable::Clock { .. })));
    // Not ready, and told why.
    let error = journal.status().error.unwrap();
    assert!(error.contains("behind the ledger"), "{error}");

    // What stays at home, refusals, and where it is only observed.
    let _ = block_on(journal.clear(homeward(), draft(6, &shared))).unwrap();
    block_on(journal.refuse(draft(7, &shared))).unwrap();
    let mut observed = Profile::clone(&shared);
    observed.outcome = Verdict::Observe;
    let observed = draft(8, &Arc::new(observed));
    let _ = block_on(journal.clear(abroad(), observed)).unwrap();

    // Nor does anything leave home by an erasure, wherever the copy lies.
    let mut erasing = Profile::clone(&shared);
    erasing.operation = Operation::Erase;
    let erasing = draft(10, &Arc::new(erasing));
    let _ = block_on(journal.clear(abroad(), erasing)).unwrap();

    journal.trust_clock();
    let _ = block_on(journal.clear(abroad(), draft(9, &shared))).unwrap();
    assert_eq!(journal.status().error, None);
}

#[test]
fn a_clock_that_is_a_little_behind_harms_nothing() {
    for ahead in [-3600, 30] {
        let rig = Rig::new();
        let latest = clock::now() + SignedDuration::from_secs(ahead);
        let journal = shown(&rig, latest);
        let cleared = block_on(journal.clear(abroad(), draft(2, &profile("/p"))));
        assert!(cleared.is_ok(), "{cleared:?}");
        assert_eq!(journal.status().error, None);
    }
}
