//! The ledger is the write-ahead log of the counters.

use std::sync::Arc;

use super::*;
use crate::{
    attest::Books,
    state::{Counters, TallyName},
};

fn counting() -> Arc<Profile> {
    let name = TallyName::new("cn.ordinary", Some("acme-cn"), None);
    Arc::new(Profile {
        counted: vec![Arc::clone(name.text())],
        ..(*profile("/r")).clone()
    })
}

fn people(counters: &Counters) -> u64 {
    let name = TallyName::new("cn.ordinary", Some("acme-cn"), None);
    counters.tally(&name).standing(Timestamp::UNIX_EPOCH)
}

fn open(rig: &Rig) -> (Journal, Counters) {
    let counters = Counters::open(&rig.ledger().with_file_name("state")).unwrap();
    let books = Books {
        directory: rig.directory(),
        counters: Some(counters.clone()),
    };
    let (journal, _) = Journal::open(&rig.ledger(), Options::default(), books).unwrap();
    (journal, counters)
}

#[test]
fn a_person_counts_when_the_entry_stands_and_is_let_go_after() {
    let rig = Rig::new();
    let (journal, counters) = open(&rig);
    let name = TallyName::new("cn.ordinary", Some("acme-cn"), None);
    let tally = counters.tally(&name);
    let mut one = draft(1, &counting());
    one.holds.push(counters.hold(&tally, key(1)).unwrap());
    assert_eq!(tally.people(Timestamp::UNIX_EPOCH, None), 1);
    assert_eq!(people(&counters), 0, "held, and not counted yet");
    block_on(async {
        let _ = journal.clear(abroad(), one).await.unwrap();
        assert_eq!(people(&counters), 1);
        // Even a flow home waits for its entry when it counts somebody.
        let _ = journal
            .clear(homeward(), draft(2, &counting()))
            .await
            .unwrap();
        assert_eq!(people(&counters), 2);
        let _ = journal
            .clear(abroad(), draft(3, &profile("/r")))
            .await
            .unwrap();
    });
    assert_eq!(
        people(&counters),
        2,
        "a profile without tallies counts nobody"
    );
    assert_eq!(
        tally.people(Timestamp::UNIX_EPOCH, None),
        2,
        "nobody is held any more"
    );
}

#[test]
fn counts_that_a_crash_took_are_replayed_from_the_ledger() {
    let rig = Rig::new();
    let (journal, counters) = open(&rig);
    block_on(async {
        for n in [1, 2, 3, 2, 1] {
            let _ = journal
                .clear(abroad(), draft(n, &counting()))
                .await
                .unwrap();
        }
    });
    journal.close().unwrap();
    drop((journal, counters));
    // All that the counters' file knew is lost; directory and ledger are whole.
    let file = rig.ledger().with_file_name("state").join("counters.redb");
    std::fs::remove_file(file).unwrap();
    let (journal, counters) = open(&rig);
    assert_eq!(people(&counters), 3);
    journal.close().unwrap();
    drop((journal, counters));
    let (_journal, counters) = open(&rig);
    assert_eq!(
        people(&counters),
        3,
        "nor does a clean start count anybody twice"
    );
}
