use super::*;
use crate::{
    disk::faulty::{Disk, State},
    domain::{ConsentKind, Giver},
};

fn key(number: u8) -> SubjectKey {
    SubjectKey::from_bytes([number; 16])
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn consent(kind: ConsentKind, to: &[&str]) -> NewConsent {
    NewConsent {
        kind,
        purpose: Some("service".into()),
        to: to.iter().map(|t| (*t).into()).collect(),
        by: Giver::Person,
        given: None,
        occasional: false,
        informed: true,
    }
}

const MORNING: &str = "2026-11-21T08:00:00Z";

fn now() -> Withdrawal {
    Withdrawal {
        at: at("2026-11-21T09:00:00Z"),
        from: None,
    }
}

#[test]
fn what_is_recorded_stands_until_it_is_withdrawn_and_stays_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let register = Consents::open(folder.path()).unwrap();
    assert!(!register.may_have(&key(1)));
    let one = consent(ConsentKind::Transfer, &["SG"]);
    let two = consent(ConsentKind::Separate, &[]);
    register.record(key(1), one.clone(), at(MORNING)).unwrap();
    register.record(key(1), two, at(MORNING)).unwrap();
    register.record(key(2), one, at(MORNING)).unwrap();
    assert!(register.may_have(&key(1)));
    let all = register.of(&key(1)).unwrap();
    assert!(all.iter().all(|c| c.standing().is_some()));
    assert_ne!(all[0].id(), all[1].id());

    let transfers = Filter {
        kind: Some(ConsentKind::Transfer),
        ..Filter::default()
    };
    let ended = |done: Withdrawn| (done.withdrawn.len(), done.fits);
    let first = register.withdraw(key(1), &transfers, now()).unwrap();
    assert_eq!(ended(first), (1, true));
    let again = register.withdraw(key(1), &transfers, now()).unwrap();
    assert_eq!(ended(again), (0, true), "it ends once");
    let other = Filter {
        to: Some("US".into()),
        ..Filter::default()
    };
    let none = register.withdraw(key(1), &other, now()).unwrap();
    assert_eq!(ended(none), (0, false));

    drop(register);
    let register = Consents::open(folder.path()).unwrap();
    let all = register.of(&key(1)).unwrap();
    assert_eq!(all.len(), 2, "nothing is deleted");
    assert_eq!(all[0].withdrawn, Some(now()));
    assert_eq!(all[0].standing(), None);
    assert!(all[1].standing().is_some());
    assert!(
        register.of(&key(2)).unwrap()[0].standing().is_some(),
        "of that person alone"
    );
    assert!(register.of(&key(3)).unwrap().is_empty());
}

#[test]
fn a_withdrawal_tells_which_other_consents_cover_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let register = Consents::open(folder.path()).unwrap();
    let record = |kind, to: &[&str], purpose: Option<&str>| {
        let purpose = purpose.map(Into::into);
        let one = NewConsent {
            purpose,
            ..consent(kind, to)
        };
        register.record(key(1), one, at(MORNING)).unwrap();
    };
    let transfer = ConsentKind::Transfer;
    record(transfer, &["US"], Some("service")); // c1
    record(transfer, &[], None); // c2
    record(transfer, &["SG"], None); // c3
    record(transfer, &["US", "SG"], None); // c4
    record(ConsentKind::Separate, &[], Some("research")); // c5
    let withdraw = |which: Filter| {
        let done = register.withdraw(key(1), &which, now()).unwrap();
        let ids = |all: Vec<ConsentRecord>| -> Vec<String> {
            all.iter().map(|c| c.id().to_owned()).collect()
        };
        (ids(done.withdrawn), ids(done.still_standing))
    };
    let of_kind = Filter {
        kind: Some(transfer),
        ..Filter::default()
    };
    let (ended, standing) = withdraw(Filter {
        purpose: Some("service".into()),
        to: Some("US".into()),
        ..of_kind.clone()
    });
    assert_eq!(
        (ended, standing),
        (vec!["c1".into()], vec!["c2".into(), "c4".into()])
    );
    let (ended, standing) = withdraw(Filter {
        to: Some("US".into()),
        ..Filter::default()
    });
    assert_eq!(
        (ended, standing),
        (vec!["c4".into()], vec!["c2".into(), "c5".into()])
    );
    // Where no destination and no purpose is named, all that is meant has ended.
    let (ended, standing) = withdraw(of_kind);
    assert_eq!((ended, standing), (vec!["c2".into(), "c3".into()], vec![]));
}

#[test]
fn a_day_to_come_is_left_to_the_law_that_asks_and_can_be_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    let register = Consents::open(folder.path()).unwrap();
    register
        .record(key(1), consent(ConsentKind::Transfer, &[]), at(MORNING))
        .unwrap();
    let later = Withdrawal {
        at: at(MORNING),
        from: Some("2026-12-01".parse().unwrap()),
    };
    register
        .withdraw(key(1), &Filter::default(), later)
        .unwrap();
    let standing = register.of(&key(1)).unwrap()[0].standing().unwrap();
    assert_eq!(standing.withdrawn, later.from);
    let brought = register
        .withdraw(key(1), &Filter::default(), now())
        .unwrap();
    assert_eq!(brought.withdrawn.len(), 1);
    assert_eq!(register.of(&key(1)).unwrap()[0].standing(), None);
    let none = register
        .withdraw(key(1), &Filter::default(), later)
        .unwrap();
    assert_eq!(none.withdrawn, [], "what has ended does not come back");
}

#[test]
fn a_register_has_one_owner_and_a_bit_alone_is_no_consent() {
    let folder = tempfile::tempdir().unwrap();
    let first = Consents::open(folder.path()).unwrap();
    assert!(matches!(
        Consents::open(folder.path()),
        Err(StateError::InUse(_))
    ));
    first.inner.note(&key(9));
    assert!(first.of(&key(9)).unwrap().is_empty());
}

#[test]
fn a_full_disk_changes_nothing_and_is_over_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let opens = disk.opens(folder.path().join(FILE));
    let register = Consents::with(Healing::open_by(opens, TELLS).unwrap()).unwrap();
    let one = || consent(ConsentKind::Transfer, &["SG"]);
    register.record(key(1), one(), at(MORNING)).unwrap();
    assert_eq!(register.trouble(), None);

    disk.turn(State::Full);
    for _ in 0..3 {
        let all = Filter::default();
        for error in [
            register.record(key(2), one(), at(MORNING)).unwrap_err(),
            register.withdraw(key(1), &all, now()).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("No space left on device"), "{error}");
        }
        register.look();
        let trouble = register.trouble().unwrap();
        assert!(trouble.contains("No space left on device"), "{trouble}");
        // Whoever decides goes on seeing what stands, and that alone.
        assert!(register.of(&key(1)).unwrap()[0].standing().is_some());
        assert!(register.of(&key(2)).unwrap().is_empty());
    }

    disk.turn(State::Sound);
    register.look();
    assert_eq!(register.trouble(), None, "without a caller");
    let done = register
        .withdraw(key(1), &Filter::default(), now())
        .unwrap();
    assert_eq!(done.withdrawn.len(), 1);
    let next = register.record(key(2), one(), at(MORNING)).unwrap();
    assert_eq!(next.id(), "c2", "no number was used up");
    drop(register);
    let register = Consents::open(folder.path()).unwrap();
    assert_eq!(register.of(&key(1)).unwrap()[0].standing(), None);
    assert_eq!(register.of(&key(2)).unwrap(), [next]);
}

#[test]
fn who_decides_waits_for_no_disk_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let opens = disk.opens(folder.path().join(FILE));
    let register = Consents::with(Healing::open_by(opens, TELLS).unwrap()).unwrap();
    let one = || consent(ConsentKind::Transfer, &["SG"]);
    register.record(key(1), one(), at(MORNING)).unwrap();
    disk.turn(State::Hangs);
    let records = register.clone();
    let recording = std::thread::spawn(move || records.record(key(2), one(), at(MORNING)));
    while register.writing().lasts().as_millis() < 50 {
        std::thread::yield_now();
    }
    let (tell, told) = std::sync::mpsc::channel();
    let decides = register.clone();
    let deciding = std::thread::spawn(move || tell.send(decides.of(&key(1)).unwrap().len()));
    let found = told.recv_timeout(std::time::Duration::from_secs(10));
    // Before anything is judged: the threads must end.
    disk.turn(State::Sound);
    let recorded = recording.join().unwrap();
    let _ = deciding.join();
    assert_eq!(found, Ok(1));
    recorded.unwrap();
    assert_eq!(register.of(&key(2)).unwrap().len(), 1);
}
