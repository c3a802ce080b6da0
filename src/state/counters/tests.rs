use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::disk::faulty::{Disk, State};

fn key(number: u8) -> SubjectKey {
    SubjectKey::from_bytes([number; 16])
}

/// `hours` after the start of 2026 in UTC.
fn at(hours: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + jiff::SignedDuration::from_hours(hours)
}

fn name(text: &str) -> TallyName {
    TallyName::new(text, Some("acme-cn"), None)
}

fn texts(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|n| Arc::clone(name(n).text())).collect()
}

const LEDGER: [u8; 16] = [7; 16];

#[test]
fn a_person_counts_once_and_others_leave_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Counters::open(folder.path()).unwrap();
    counters.attach(LEDGER, 0).unwrap();
    let tally = counters.tally(&name("cn.ordinary"));
    counters
        .apply(1, key(1), at(1), &texts(&["cn.ordinary"]))
        .unwrap();
    counters
        .apply(2, key(1), at(2), &texts(&["cn.ordinary"]))
        .unwrap();
    counters
        .apply(3, key(2), at(3), &texts(&["cn.ordinary"]))
        .unwrap();
    assert_eq!(tally.standing(at(0)), 2);
    let known = counters.hold(&tally, key(1)).unwrap();
    let new = counters.hold(&tally, key(3)).unwrap();
    assert_eq!(known.others(at(0)), 2, "person 2, and 3 who is held");
    assert_eq!(new.others(at(0)), 2);
    assert_eq!(tally.people(at(0), None), 3);
    drop(new);
    assert_eq!(tally.people(at(0), None), 2, "let go, nobody was counted");
    // Whoever was counted before the window's start is outside.
    assert_eq!(tally.standing(at(3)), 1);
    assert_eq!(known.others(at(3)), 1);
}

#[test]
fn of_two_at_the_edge_one_sees_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Counters::open(folder.path()).unwrap();
    let tally = counters.tally(&name("cn.ordinary"));
    let edge = 1; // the second person is one too many
    let permitted: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|n| {
                let (counters, tally) = (counters.clone(), &tally);
                scope.spawn(move || {
                    let hold = counters.hold(tally, key(n)).unwrap();
                    let permits = hold.others(at(0)) < edge;
                    if permits {
                        let seq = u64::from(n) + 1;
                        counters
                            .apply(seq, key(n), at(1), &texts(&["cn.ordinary"]))
                            .unwrap();
                    }
                    permits
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|w| usize::from(w.join().unwrap()))
            .sum()
    });
    assert!(permitted <= 1, "{permitted} passed an edge for one");
    assert_eq!(tally.standing(at(0)), permitted as u64);
    assert_eq!(tally.people(at(0), None), permitted as u64, "all let go");
}

#[test]
fn a_restart_keeps_the_counts_and_a_crash_asks_for_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    {
        let counters = Counters::open(folder.path()).unwrap();
        assert_eq!(counters.attach(LEDGER, 0).unwrap(), 0);
        let both = texts(&["cn.ordinary", "cn.sensitive"]);
        counters.apply(4, key(1), at(1), &both).unwrap();
        counters.apply(9, key(2), at(2), &both[..1]).unwrap();
        counters.flush().unwrap();
        assert_eq!(counters.status().applied, 9);
    }
    let counters = Counters::open(folder.path()).unwrap();
    assert_eq!(
        counters.attach(LEDGER, 20).unwrap(),
        9,
        "goes on from there"
    );
    let total = |counters: &Counters, n: &str| counters.tally(&name(n)).standing(at(0));
    assert_eq!(total(&counters, "cn.ordinary"), 2);
    assert_eq!(total(&counters, "cn.sensitive"), 1);
    // What is replayed twice changes nothing.
    counters
        .apply(9, key(2), at(2), &texts(&["cn.ordinary"]))
        .unwrap();
    assert_eq!(total(&counters, "cn.ordinary"), 2);
    drop(counters);
    let counters = Counters::open(folder.path()).unwrap();
    assert_eq!(
        counters.attach([8; 16], 20).unwrap(),
        0,
        "another ledger: from its start"
    );
}

#[test]
fn nobody_opens_the_counters_twice() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Counters::open(folder.path()).unwrap();
    let second = Counters::open(folder.path()).unwrap_err();
    assert!(matches!(second, StateError::InUse(_)), "{second}");
}

#[derive(Clone, Debug)]
enum Step {
    Count {
        person: u8,
        tally: usize,
        hours: i64,
    },
    Look {
        tally: usize,
        hours: i64,
    },
    /// A clean end; the file is what a crash goes back to.
    Save,
    /// Everything since then is lost, and replayed.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12u8, 0..2usize, 0..48i64)
            .prop_map(|(person, tally, hours)| Step::Count { person, tally, hours }),
        4 => (0..2usize, 0..48i64).prop_map(|(tally, hours)| Step::Look { tally, hours }),
        1 => Just(Step::Save),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn counters_equal_a_naive_model(steps in steps()) {
        const TALLIES: [&str; 2] = ["cn.ordinary", "cn.sensitive"];
        let folder = tempfile::tempdir().unwrap();
        let mut counters = Counters::open(folder.path()).unwrap();
        counters.attach(LEDGER, 0).unwrap();
        let file = folder.path().join(Counters::FILE);
        let mut saved: Option<Vec<u8>> = None;
        // The ledger: every entry so far; the model: all times of each person in each tally.
        let mut ledger: Vec<(u64, u8, usize, i64)> = Vec::new();
        let mut model: HashMap<usize, Vec<(u8, i64)>> = HashMap::new();
        for step in steps {
            match step {
                Step::Count { person, tally, hours } => {
                    let seq = ledger.len() as u64 + 1;
                    ledger.push((seq, person, tally, hours));
                    model.entry(tally).or_default().push((person, hours));
                    let of = counters.tally(&name(TALLIES[tally]));
                    let hold = counters.hold(&of, key(person)).unwrap();
                    counters.apply(seq, key(person), at(hours), &texts(&[TALLIES[tally]])).unwrap();
                    drop(hold);
                }
                Step::Look { tally, hours } => {
                    let people: HashSet<u8> = model
                        .get(&tally)
                        .into_iter()
                        .flatten()
                        .filter(|(_, h)| *h >= hours)
                        .map(|(p, _)| *p)
                        .collect();
                    let of = counters.tally(&name(TALLIES[tally]));
                    prop_assert_eq!(of.standing(at(hours)), people.len() as u64);
                    for person in [0, 5] {
                        let hold = counters.hold(&of, key(person)).unwrap();
                        let others = people.iter().filter(|p| **p != person).count();
                        prop_assert_eq!(hold.others(at(hours)), others as u64);
                        drop(hold);
                        prop_assert_eq!(of.people(at(hours), None), people.len() as u64);
                    }
                }
                Step::Save => {
                    drop(counters);
                    saved = Some(std::fs::read(&file).unwrap());
                    counters = Counters::open(folder.path()).unwrap();
                    counters.attach(LEDGER, ledger.len() as u64).unwrap();
                }
                Step::Crash => {
                    drop(counters);
                    match &saved {
                        Some(bytes) => std::fs::write(&file, bytes).unwrap(),
                        None => std::fs::remove_file(&file).unwrap(),
                    }
                    counters = Counters::open(folder.path()).unwrap();
                    let applied = counters.attach(LEDGER, ledger.len() as u64).unwrap();
                    for (seq, person, tally, hours) in &ledger {
                        if *seq <= applied {
                            continue;
                        }
                        counters
                            .apply(*seq, key(*person), at(*hours), &texts(&[TALLIES[*tally]]))
                            .unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn people_of_a_full_disk_are_stored_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let opens = disk.opens(folder.path().join(Counters::FILE));
    let counters = Counters::with(Healing::open_by(opens, store::TELLS).unwrap()).unwrap();
    counters.attach(LEDGER, 0).unwrap();
    let tally = counters.tally(&name("cn.ordinary"));
    let names = texts(&["cn.ordinary"]);
    counters.apply(1, key(1), at(1), &names).unwrap();
    counters.flush().unwrap();

    disk.turn(State::Full);
    counters.apply(2, key(2), at(2), &names).unwrap();
    for seq in 3..6 {
        let error = counters.flush().unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        // Who is in the file is looked up there: nobody is counted twice, nobody is lost.
        counters.apply(seq, key(1), at(3), &names).unwrap();
        let hold = counters.hold(&tally, key(3)).unwrap();
        assert_eq!(hold.others(at(0)), 2);
        let error = counters.status().error.unwrap();
        assert!(error.contains("No space left on device"), "{error}");
    }

    disk.turn(State::Sound);
    let begun = std::time::Instant::now();
    while counters.status().error.is_some() {
        assert!(begun.elapsed().as_secs() < 20, "{:?}", counters.status());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    counters.flush().unwrap();
    drop((tally, counters));
    let counters = Counters::open(folder.path()).unwrap();
    assert_eq!(counters.attach(LEDGER, 9).unwrap(), 3);
    assert_eq!(counters.tally(&name("cn.ordinary")).standing(at(0)), 2);
    assert_eq!(counters.tally(&name("cn.ordinary")).standing(at(3)), 1);
}
