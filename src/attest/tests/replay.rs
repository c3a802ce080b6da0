//! What the directory has is the ledger's, replayed.

use smallvec::smallvec;

use super::*;
use crate::locate::{Claim, Pin};

#[test]
fn the_directory_is_rebuilt_from_the_ledger() {
    let rig = Rig::new();
    let shared = profile("/people/{subject}");
    let eu: Arc<str> = "eu".into();
    {
        let directory = rig.directory();
        let (journal, _) =
            Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
        block_on(async {
            for n in 0..50 {
                let pin = Pin::new(eu.clone(), smallvec![]);
                let Claim::Won(claimed) = directory.claim(key(n), pin).unwrap() else {
                    panic!("nobody else claims");
                };
                let mut draft = draft(n, &shared);
                draft.pin = Some(Pinning::Claim(claimed));
                let _ = journal.clear(homeward(), draft).await.unwrap();
            }
            let mut moved = draft(7, &shared);
            moved.pin = Some(Pinning::Move {
                region: "sg".into(),
            });
            let _ = journal.clear(abroad(), moved).await.unwrap();
            let mut copied = draft(8, &shared);
            copied.pin = Some(Pinning::Copy {
                region: "sg".into(),
            });
            let _ = journal.clear(abroad(), copied).await.unwrap();
        });
    }
    std::fs::remove_dir_all(rig.folder.path().join("directory")).unwrap();
    let directory = rig.directory();
    let (journal, opened) =
        Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    assert_eq!(opened.replayed, 52);
    let region = |n| directory.lookup(&key(n)).unwrap().unwrap().region.clone();
    assert_eq!((&*region(0), &*region(7), &*region(49)), ("eu", "sg", "eu"));
    assert_eq!(
        directory.lookup(&key(8)).unwrap().unwrap().held_in[..],
        ["sg".into()]
    );
    journal.close().unwrap();
    drop((journal, directory));
    // Nothing to replay a second time.
    assert_eq!(rig.open().1.replayed, 0);
}

#[test]
fn a_home_that_the_directory_has_elsewhere_is_told_at_the_replay() {
    let rig = Rig::new();
    let shared = profile("/people/{subject}");
    let pin = |region: &str| Pin::new(region.into(), smallvec![]);
    {
        let directory = rig.directory();
        let (journal, _) =
            Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
        let write = |n, pinning| {
            let mut draft = draft(n, &shared);
            draft.pin = Some(pinning);
            let _ = block_on(journal.clear(abroad(), draft)).unwrap();
        };
        let claim = |n, region| {
            let Claim::Won(claimed) = directory.claim(key(n), pin(region)).unwrap() else {
                panic!("nobody else claims");
            };
            write(n, Pinning::Claim(claimed));
        };
        (0..4).for_each(|n| claim(n, "eu"));
        // The second person moved since, the third was erased and came back elsewhere.
        let region: Arc<str> = "in".into();
        write(1, Pinning::Move { region });
        let region: Arc<str> = "eu".into();
        write(2, Pinning::Drop { region });
        claim(2, "in");
    }
    std::fs::remove_dir_all(rig.folder.path().join("directory")).unwrap();
    let directory = rig.directory();
    let imported = (0..3).map(|n| (key(n), pin("in")));
    directory.import(imported).unwrap();
    let (_journal, opened) =
        Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    assert_eq!((opened.replayed, opened.apart), (7, 1));
    let region = |n| directory.lookup(&key(n)).unwrap().unwrap().region.clone();
    let regions = [0, 1, 2, 3].map(|n| region(n).to_string());
    assert_eq!(regions, ["in", "in", "in", "eu"]);
}

/// The mark has no entry of its own: claim and outcome say it.
#[test]
fn what_a_home_has_taken_is_replayed_from_outcomes() {
    let rig = Rig::new();
    let mut at_home = profile("/people/{subject}").as_ref().clone();
    let elsewhere = Arc::new(Profile {
        region: Some("sg".into()),
        ..at_home.clone()
    });
    at_home.operation = Operation::Store;
    let at_home = Arc::new(at_home);
    {
        let directory = rig.directory();
        let (journal, _) =
            Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
        block_on(async {
            for (n, profile, status) in [
                (1, &at_home, 201),
                (2, &at_home, 503),
                (3, &elsewhere, 201),
                (4, &at_home, 0),
            ] {
                let pin = Pin::new("eu".into(), smallvec![]);
                let Claim::Won(claimed) = directory.claim(key(n), pin).unwrap() else {
                    panic!("nobody else claims");
                };
                let mut draft = draft(n, profile);
                draft.pin = Some(Pinning::Claim(claimed));
                let _ = journal.clear(homeward(), draft).await.unwrap();
                journal.outcome(OutcomeDraft {
                    at: at(n),
                    decision: decision(n),
                    status,
                });
            }
        });
        journal.close().unwrap();
    }
    std::fs::remove_dir_all(rig.folder.path().join("directory")).unwrap();
    let directory = rig.directory();
    let _open = Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    let stored = [1, 2, 3, 4].map(|n| directory.lookup(&key(n)).unwrap().unwrap().stored);
    assert_eq!(stored, [true, false, false, false]);
}
