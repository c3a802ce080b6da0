//! First homes, asked for after a look that found none: the file is not read twice, and whoever was
//! first in between is seen.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::*;

/// A cache that has just found the subject without a pin.
fn looked(directory: &Directory, key: SubjectKey) -> PinCache {
    let mut cache = PinCache::new(directory.clone(), 8);
    assert_eq!(cache.lookup(&key).unwrap(), None);
    cache
}

fn home(claim: Claim) -> String {
    match claim {
        Claim::Held(pin) => pin.region.to_string(),
        other => panic!("not held: {other:?}"),
    }
}

#[test]
fn the_file_is_not_asked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let directory = Directory::with(Store::open_on(&disk, folder.path())).unwrap();
    let (mut one, mut other) = (looked(&directory, key(1)), looked(&directory, key(2)));
    disk.turn(State::Dead);
    directory.apply(1, key(9), &claim_change("eu")).unwrap();
    directory.flush().unwrap_err();
    assert!(matches!(one.claim(key(1), pin("eu")), Ok(Claim::Won(_))));
    // Of another than was looked for, nothing is known.
    assert!(other.claim(key(1), pin("eu")).is_err());
    assert!(other.claim(key(2), pin("eu")).is_err(), "it was said once");
}

#[test]
fn a_pin_of_the_meantime_is_held() {
    let (_folder, directory) = opened();
    let mut cache = looked(&directory, key(1));
    directory.apply(1, key(1), &claim_change("eu")).unwrap();
    assert_eq!(home(cache.claim(key(1), pin("sg")).unwrap()), "eu");

    // Also when it is in the file already, and in memory no more.
    let mut cache = looked(&directory, key(2));
    directory.apply(2, key(2), &claim_change("eu")).unwrap();
    directory.flush().unwrap();
    assert_eq!(home(cache.claim(key(2), pin("sg")).unwrap()), "eu");

    let mut cache = looked(&directory, key(3));
    directory.import([(key(3), pin("eu"))]).unwrap();
    assert_eq!(home(cache.claim(key(3), pin("sg")).unwrap()), "eu");

    // One that is being claimed.
    let mut cache = looked(&directory, key(4));
    let _held = directory.claim(key(4), pin("eu")).unwrap();
    assert!(matches!(
        cache.claim(key(4), pin("sg")),
        Ok(Claim::Contested(..))
    ));
}

#[test]
fn the_last_change_of_a_batch_is_stored() {
    let (_folder, directory) = opened();
    for n in [1, 2, 3] {
        directory.apply(n, key(n), &claim_change("eu")).unwrap();
    }
    directory.mark_stored(key(1), "eu").unwrap();
    let ends = PinChange::Drop {
        region: "eu".into(),
    };
    directory.apply(4, key(2), &ends).unwrap();
    directory.apply(5, key(3), &ends).unwrap();
    directory.apply(6, key(3), &claim_change("in")).unwrap();
    directory.flush().unwrap();
    let pin = |n| directory.lookup(&key(n)).unwrap();
    let first = pin(1).unwrap();
    assert_eq!((&*first.region, first.stored), ("eu", true));
    assert_eq!(pin(2), None);
    assert_eq!(&*pin(3).unwrap().region, "in");
    let status = directory.status();
    assert_eq!((status.pins, status.waiting, status.applied), (2, 0, 6));
}

#[test]
fn one_region_wins_while_pins_are_stored() {
    const SUBJECTS: u64 = 400;
    let (_folder, directory) = opened();
    let barrier = Barrier::new(5);
    let won: Mutex<HashMap<u64, Vec<String>>> = Mutex::default();
    let (next, left) = (AtomicU64::new(1), AtomicU64::new(4));
    std::thread::scope(|s| {
        for thread in 0..4usize {
            let (directory, barrier, won) = (&directory, &barrier, &won);
            let (next, left) = (&next, &left);
            s.spawn(move || {
                let mut cache = PinCache::new(directory.clone(), 64);
                barrier.wait();
                for n in 0..SUBJECTS {
                    let mine = pin(REGIONS[(thread + n as usize) % 5]);
                    let known = cache.lookup(&key(n)).unwrap().cloned();
                    std::thread::yield_now();
                    let home = match known {
                        Some(pin) => pin.region.to_string(),
                        None => match cache.claim(key(n), mine).unwrap() {
                            Claim::Held(pin) => pin.region.to_string(),
                            Claim::Won(claimed) | Claim::Contested(_, claimed) => {
                                let region = claimed.pin().region.to_string();
                                let seq = next.fetch_add(1, SeqCst);
                                let change = claim_change(&region);
                                directory.apply(seq, key(n), &change).unwrap();
                                region
                            }
                        },
                    };
                    won.lock().unwrap().entry(n).or_default().push(home);
                }
                left.fetch_sub(1, SeqCst);
            });
        }
        barrier.wait();
        while left.load(SeqCst) > 0 {
            directory.flush().unwrap();
        }
    });
    for (n, homes) in won.into_inner().unwrap() {
        assert_eq!(homes.len(), 4);
        let standing = directory.lookup(&key(n)).unwrap().unwrap();
        let same = homes.iter().all(|h| **h == *standing.region);
        assert!(same, "{n}: {homes:?}");
    }
    directory.flush().unwrap();
    assert_eq!(directory.status().pins, SUBJECTS);
}
