use std::{
    collections::HashMap,
    sync::{Arc, Barrier, Mutex},
};

use proptest::prelude::*;
use smallvec::smallvec;
use tempfile::TempDir;

mod first;
mod hung;
mod imports;
mod numbered;

use super::{store::Store, *};
use crate::{
    disk::faulty::{Disk, State},
    domain::SubjectKey,
    settings::Secret,
};

const REGIONS: [&str; 5] = ["cn", "eu", "in", "ru", "sg"];

fn opened() -> (TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    (folder, directory)
}

fn key(number: u64) -> SubjectKey {
    SubjectKey::from_bytes(
        u128::from(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_le_bytes(),
    )
}

fn pin(region: &str) -> Pin {
    Pin::new(region.into(), smallvec!["DE".parse().unwrap()])
}

fn claim_change(region: &str) -> PinChange {
    PinChange::Claim {
        region: region.into(),
        countries: smallvec!["DE".parse().unwrap()],
    }
}

/// A hundred subjects, whose homes take turns.
fn with_a_hundred() -> (TempDir, Directory) {
    let (folder, directory) = opened();
    for n in 0..100 {
        let region = REGIONS[usize::try_from(n % 5).unwrap()];
        directory
            .apply(n + 1, key(n), &claim_change(region))
            .unwrap();
    }
    directory.flush().unwrap();
    (folder, directory)
}

fn hasher() -> SubjectHasher {
    SubjectHasher::new(&Secret::new([3; 32])).unwrap()
}

#[test]
fn of_many_that_claim_at_once_one_region_wins() {
    let (_folder, directory) = opened();
    let barrier = Barrier::new(8);
    let won: Mutex<HashMap<u64, Vec<String>>> = Mutex::default();
    let next = std::sync::atomic::AtomicU64::new(1);
    std::thread::scope(|s| {
        for thread in 0..8usize {
            let (directory, barrier, won, next) = (&directory, &barrier, &won, &next);
            s.spawn(move || {
                barrier.wait();
                for n in 0..500 {
                    let mine = pin(REGIONS[(thread + n) % 5]);
                    let n = n as u64;
                    let home = match directory.claim(key(n), mine).unwrap() {
                        Claim::Held(pin) => pin.region.to_string(),
                        Claim::Won(claimed) | Claim::Contested(_, claimed) => {
                            // As the journal does: the entry is durable, then the pin stands.
                            let region = claimed.pin().region.to_string();
                            let seq = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            directory
                                .apply(seq, key(n), &claim_change(&region))
                                .unwrap();
                            region
                        }
                    };
                    won.lock().unwrap().entry(n).or_default().push(home);
                }
            });
        }
    });
    for (n, homes) in won.into_inner().unwrap() {
        assert_eq!(homes.len(), 8);
        let standing = directory.lookup(&key(n)).unwrap().unwrap();
        assert!(
            homes.iter().all(|h| **h == *standing.region),
            "{n}: {homes:?}"
        );
    }
    directory.flush().unwrap();
    assert_eq!(directory.status().pins, 500);
    assert_eq!(directory.status().waiting, 0);
}

#[test]
fn a_claim_is_joined_contested_and_released() {
    let (_folder, directory) = opened();
    let Claim::Won(first) = directory.claim(key(1), pin("eu")).unwrap() else {
        panic!("the first wins");
    };
    let Claim::Won(second) = directory.claim(key(1), pin("eu")).unwrap() else {
        panic!("the same region joins");
    };
    let Claim::Contested(theirs, third) = directory.claim(key(1), pin("sg")).unwrap() else {
        panic!("another region is contested");
    };
    assert_eq!(*theirs, pin("eu"));
    assert_eq!(directory.lookup(&key(1)).unwrap(), None);
    // As long as anybody holds it, it stands.
    drop((first, third));
    assert!(matches!(
        directory.claim(key(1), pin("sg")).unwrap(),
        Claim::Contested(..)
    ));
    drop(second);
    let Claim::Won(_) = directory.claim(key(1), pin("sg")).unwrap() else {
        panic!("an abandoned claim is released");
    };
}

#[test]
fn who_joins_a_claim_brings_its_own_countries() {
    let (_folder, directory) = opened();
    let Claim::Won(first) = directory.claim(key(1), pin("eu")).unwrap() else {
        panic!("the first wins");
    };
    let french = Pin::new("eu".into(), smallvec!["FR".parse().unwrap()]);
    let Claim::Won(second) = directory.claim(key(1), french.clone()).unwrap() else {
        panic!("the same region joins");
    };
    assert_eq!(**first.pin(), pin("eu"));
    // As of an atomic batch that is refused.
    drop(first);
    assert_eq!(**second.pin(), french);
}

#[test]
fn pins_outlive_the_process_and_the_file_is_one_processes() {
    let (folder, directory) = opened();
    assert!(matches!(
        Directory::open(folder.path()),
        Err(DirectoryError::InUse(_))
    ));
    directory.apply(1, key(1), &claim_change("eu")).unwrap();
    let copy = PinChange::Copy {
        region: "sg".into(),
    };
    directory.apply(2, key(1), &copy).unwrap();
    drop(directory);
    let directory = Directory::open(folder.path()).unwrap();
    let held = directory.lookup(&key(1)).unwrap().unwrap();
    assert_eq!(
        (&*held.region, &held.held_in[..]),
        ("eu", &["sg".into()][..])
    );
    assert_eq!(held.countries, pin("eu").countries);
    assert_eq!(
        directory.attach([1; 16], 9).unwrap(),
        0,
        "another ledger starts anew"
    );
}

#[test]
fn a_file_of_another_user_is_named_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pins.redb");
    let open = |kind: std::io::ErrorKind| {
        let error = redb::DatabaseError::Storage(redb::StorageError::Io(kind.into()));
        crate::disk::CannotOpen::new(&file, error).to_string()
    };
    let denied = open(std::io::ErrorKind::PermissionDenied);
    assert!(
        denied.contains("pins.redb` cannot be opened") && denied.contains("own user"),
        "{denied}"
    );
    assert!(!open(std::io::ErrorKind::OutOfMemory).contains("own user"));
    // A folder is no database, whoever opens it.
    std::fs::create_dir(&file).unwrap();
    let error = Directory::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("pins.redb` cannot be opened"), "{error}");
}

#[test]
fn counting_starts_again_with_another_ledger_or_a_shorter_one() {
    let (_folder, directory) = opened();
    assert_eq!(directory.attach([1; 16], 0).unwrap(), 0);
    directory.apply(5, key(1), &claim_change("eu")).unwrap();
    directory.mark(8);
    directory.flush().unwrap();
    assert_eq!(directory.attach([1; 16], 9).unwrap(), 8);
    assert_eq!(directory.attach([1; 16], 6).unwrap(), 6);
    assert_eq!(directory.attach([2; 16], 9).unwrap(), 0);
}

#[test]
fn a_cache_follows_moves_and_never_remembers_absence() {
    let (_folder, directory) = opened();
    let mut cache = PinCache::new(directory.clone(), 4);
    assert_eq!(cache.lookup(&key(1)).unwrap(), None);
    directory.apply(1, key(1), &claim_change("eu")).unwrap();
    assert_eq!(&*cache.lookup(&key(1)).unwrap().unwrap().region, "eu");
    let moved = PinChange::Move {
        region: "sg".into(),
    };
    directory.apply(2, key(1), &moved).unwrap();
    assert_eq!(&*cache.lookup(&key(1)).unwrap().unwrap().region, "sg");
    let gone = PinChange::Drop {
        region: "sg".into(),
    };
    directory.apply(3, key(1), &gone).unwrap();
    assert_eq!(cache.lookup(&key(1)).unwrap(), None);
    // The end of the pin stands although the file still has it, and a new claim may win.
    assert!(matches!(
        directory.claim(key(1), pin("in")).unwrap(),
        Claim::Won(_)
    ));
    directory.flush().unwrap();
    assert_eq!(directory.lookup(&key(1)).unwrap(), None);
}

/// A batch may hold a claim for as long as it waits for another's erasure.
#[test]
fn a_change_under_a_held_claim_finds_the_pin_that_was_stored() {
    let (_folder, directory) = opened();
    let mut cache = PinCache::new(directory.clone(), 4);
    let held = directory.claim(key(1), pin("eu")).unwrap();
    directory.apply(1, key(1), &claim_change("eu")).unwrap();
    directory.flush().unwrap();
    let copy = PinChange::Copy {
        region: "sg".into(),
    };
    directory.apply(2, key(1), &copy).unwrap();
    let pin = cache.lookup(&key(1)).unwrap().unwrap();
    assert_eq!((&*pin.region, pin.holds("sg")), ("eu", true));
    directory.flush().unwrap();
    let gone = PinChange::Drop {
        region: "eu".into(),
    };
    directory.apply(3, key(1), &gone).unwrap();
    assert_eq!(cache.lookup(&key(1)).unwrap(), None, "a cache was not told");
    drop(held);
    directory.flush().unwrap();
    assert_eq!(directory.lookup(&key(1)).unwrap(), None);
}

/// Of two moves at once, and of one that is overtaken by the end of the pin and a new claim.
#[test]
fn whoever_moves_is_still_known_where_they_were() {
    let change = |kind: fn(Arc<str>) -> PinChange, region: &str| kind(region.into());
    let copy = |region| change(|region| PinChange::Copy { region }, region);
    let moved = |region| change(|region| PinChange::Move { region }, region);
    let mut standing = Pin::after(None, &claim_change("eu"));
    for change in [copy("sg"), copy("in"), moved("sg"), moved("in")] {
        standing = Pin::after(standing, &change);
    }
    let pin = standing.unwrap();
    assert_eq!(&*pin.region, "in");
    assert!(pin.holds("eu") && pin.holds("sg"), "{pin:?}");
    let anew = Pin::after(Pin::after(None, &claim_change("in")), &moved("sg")).unwrap();
    assert_eq!((&*anew.region, anew.holds("in")), ("sg", true));
}

#[test]
fn a_cache_stays_within_its_bound_and_stays_right() {
    let (_folder, directory) = with_a_hundred();
    let mut cache = PinCache::new(directory, 10);
    for round in 0..3 {
        for n in 0..100 {
            let n = (n * 7 + round) % 100;
            let region = REGIONS[usize::try_from(n % 5).unwrap()];
            assert_eq!(&*cache.lookup(&key(n)).unwrap().unwrap().region, region);
            assert!(cache.remembered() <= 10);
        }
    }
}

#[test]
fn the_same_number_is_the_same_pin_for_ever() {
    let (_folder, directory) = with_a_hundred();
    // Room for fewer pins than there are, and for all.
    for capacity in [4, 400] {
        let mut cache = PinCache::new(directory.clone(), capacity);
        let mut met: HashMap<u64, Pin> = HashMap::new();
        for n in 0..100 {
            let (number, pin) = cache.lookup_numbered(&key(n)).unwrap().unwrap();
            let known = met.entry(number.get()).or_insert_with(|| pin.clone());
            assert_eq!(known, pin);
        }
        assert_eq!(met.len() == REGIONS.len(), capacity == 400);
    }
}

#[test]
fn importing_pins_only_those_without_a_home() {
    let (_folder, directory) = opened();
    let hasher = hasher();
    let known = hasher.key("person", b"u-1");
    directory.apply(1, known, &claim_change("in")).unwrap();
    let ids = "u-1\r\nu-2\n\nu-3\nu-2\n";
    let eu: Arc<str> = "eu".into();
    let mut elsewhere = Vec::new();
    let tell = |line, home: &str| elsewhere.push((line, home.to_owned()));
    let report = import_ids(&directory, &hasher, "person", &eu, ids.as_bytes(), tell).unwrap();
    assert_eq!(elsewhere, [(1, "in".to_owned())]);
    let expected = ImportReport {
        read: 4,
        added: 2,
        standing: 1,
        elsewhere: 1,
    };
    assert_eq!(report, expected);
    assert_eq!(&*directory.lookup(&known).unwrap().unwrap().region, "in");
    let new = directory.lookup(&hasher.key("person", b"u-3")).unwrap();
    assert_eq!(&*new.unwrap().region, "eu");
    let again = import_ids(
        &directory,
        &hasher,
        "person",
        &eu,
        ids.as_bytes(),
        |_, _| {},
    )
    .unwrap();
    assert_eq!((again.added, again.standing), (0, 3));
}

#[test]
fn an_endless_line_is_an_error_with_its_number() {
    let (_folder, directory) = opened();
    let ids = format!("u-1\n{}\n", "x".repeat(5_000));
    let eu: Arc<str> = "eu".into();
    let error = import_ids(
        &directory,
        &hasher(),
        "person",
        &eu,
        ids.as_bytes(),
        |_, _| {},
    )
    .unwrap_err();
    assert!(matches!(error, ImportError::TooLong { line: 2 }), "{error}");
    assert_eq!(directory.status().pins, 0);
}

#[test]
fn keys_are_printed_in_order() {
    let mut out = Vec::new();
    print_keys(&hasher(), "person", &b"u-1\nu-2"[..], &mut out).unwrap();
    let expected: String = [&b"u-1"[..], b"u-2"]
        .iter()
        .map(|id| format!("{}\n", hasher().key("person", id).reveal()))
        .collect();
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn no_id_is_found_in_the_directorys_file() {
    let (folder, directory) = opened();
    let id = "invented.person@example.com";
    let eu: Arc<str> = "eu".into();
    import_ids(
        &directory,
        &hasher(),
        "person",
        &eu,
        id.as_bytes(),
        |_, _| {},
    )
    .unwrap();
    drop(directory);
    let bytes = std::fs::read(folder.path().join("pins.redb")).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    assert!(holds(&hasher().key("person", id.as_bytes()).to_bytes()));
    assert!(!holds(b"invented.person") && !holds(b"example.com"));
}

fn changes() -> impl Strategy<Value = Vec<PinChange>> {
    let change = (0..4, 0..3usize).prop_map(|(kind, region)| {
        let region: Arc<str> = REGIONS[region].into();
        match kind {
            0 => PinChange::Claim {
                region,
                countries: smallvec![],
            },
            1 => PinChange::Move { region },
            2 => PinChange::Copy { region },
            _ => PinChange::Drop { region },
        }
    });
    prop::collection::vec(change, 0..12)
}

proptest! {
    #[test]
    fn a_change_applied_twice_is_applied_once(changes in changes()) {
        let mut standing = None;
        for change in &changes {
            standing = Pin::after(standing, change);
            prop_assert_eq!(&Pin::after(standing.clone(), change), &standing);
            if let Some(pin) = &standing {
                prop_assert!(!pin.held_in.contains(&pin.region));
            }
        }
    }

    /// What a start relies on whose directory has seen another ledger since. Histories hold only
    /// what changed something: a claim is written only where no pin stood, and so on.
    #[test]
    fn replaying_everything_gives_the_same_home(wishes in changes()) {
        let mut once = None;
        let mut changes = Vec::new();
        for change in wishes {
            let after = Pin::after(once.clone(), &change);
            if after != once {
                once = after;
                changes.push(change);
            }
        }
        let all = |from| changes.iter().fold(from, Pin::after);
        prop_assert_eq!(&all(None), &once);
        let twice = all(once.clone());
        prop_assert_eq!(twice.map(|p| p.region.clone()), once.map(|p| p.region.clone()));
    }
}

#[test]
fn a_directory_stays_with_the_secret_that_filled_it() {
    let (folder, directory) = opened();
    assert!(directory.binds(&hasher()).unwrap());
    assert!(directory.binds(&hasher()).unwrap());
    drop(directory);
    let directory = Directory::open(folder.path()).unwrap();
    let other = SubjectHasher::new(&Secret::new([4; 32])).unwrap();
    assert!(!directory.binds(&other).unwrap());
    assert!(directory.binds(&hasher()).unwrap());
}

#[test]
fn a_storing_thread_that_dies_is_told() {
    let (_folder, directory) = opened();
    assert_eq!(directory.status().error, None);
    directory.break_storing_for_tests();
    let error = directory.status().error.unwrap();
    assert!(error.contains("restart"), "{error}");
}

#[test]
fn a_home_is_marked_at_once_and_for_good() {
    let (folder, directory) = opened();
    let stored = |directory: &Directory, n| directory.lookup(&key(n)).unwrap().unwrap().stored;
    // Nothing to mark.
    directory.mark_stored(key(9), "eu").unwrap();
    assert_eq!(directory.lookup(&key(9)).unwrap(), None);
    // A record that came to another region than the home is none at home.
    directory.apply(1, key(8), &claim_change("in")).unwrap();
    directory.mark_stored(key(8), "eu").unwrap();
    assert!(!stored(&directory, 8));
    for n in 1..4 {
        directory.apply(n, key(n), &claim_change("eu")).unwrap();
        assert!(!stored(&directory, n));
    }
    let mut cache = PinCache::new(directory.clone(), 8);
    assert!(!cache.lookup(&key(1)).unwrap().unwrap().stored);
    // One whose claim waits to be stored, one that is stored.
    directory.mark_stored(key(1), "eu").unwrap();
    assert!(stored(&directory, 1) && cache.lookup(&key(1)).unwrap().unwrap().stored);
    directory.flush().unwrap();
    assert!(stored(&directory, 1) && !stored(&directory, 2));
    directory.mark_stored(key(2), "eu").unwrap();
    assert!(stored(&directory, 2));
    directory.flush().unwrap();
    assert_eq!(directory.status().applied, 3, "a mark is no entry");
    drop((cache, directory));
    let directory = Directory::open(folder.path()).unwrap();
    let marks = [1, 2, 3].map(|n| stored(&directory, n));
    assert_eq!(marks, [true, true, false]);
    // Who moves has arrived.
    let moved = PinChange::Move {
        region: "sg".into(),
    };
    directory.apply(4, key(3), &moved).unwrap();
    assert!(stored(&directory, 3));
}

/// A batch that stores the claim must not take the newer mark from memory.
#[test]
fn a_mark_is_never_unseen() {
    let (_folder, directory) = opened();
    for n in 1..200 {
        directory.apply(n, key(n), &claim_change("eu")).unwrap();
        directory.mark_stored(key(n), "eu").unwrap();
        if n % 7 == 0 {
            directory.flush().unwrap();
        }
        let pin = directory.lookup(&key(n)).unwrap().unwrap();
        assert!(pin.stored, "{n}");
    }
}

#[test]
fn pins_of_a_full_disk_are_stored_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let directory = Directory::with(Store::open_on(&disk, folder.path())).unwrap();
    directory.attach([1; 16], 0).unwrap();
    directory.apply(1, key(1), &claim_change("eu")).unwrap();
    directory.flush().unwrap();

    disk.turn(State::Full);
    for n in 2..50 {
        directory.apply(n, key(n), &claim_change("sg")).unwrap();
    }
    let error = directory.flush().unwrap_err().to_string();
    assert!(error.contains("No space left on device"), "{error}");
    // Those in the file and those in memory are known; both may change.
    let copy = PinChange::Copy {
        region: "in".into(),
    };
    directory.apply(50, key(1), &copy).unwrap();
    directory.mark_stored(key(2), "sg").unwrap();
    for _ in 0..3 {
        let _ = directory.flush();
        let first = directory.lookup(&key(1)).unwrap().unwrap();
        assert_eq!((&*first.region, first.held_in.len()), ("eu", 1));
        assert_eq!(&*directory.lookup(&key(9)).unwrap().unwrap().region, "sg");
        assert!(matches!(
            directory.claim(key(9), pin("eu")),
            Ok(Claim::Held(_))
        ));
        assert!(matches!(
            directory.claim(key(99), pin("eu")),
            Ok(Claim::Won(_))
        ));
        let status = directory.status();
        assert_eq!((status.pins, status.applied), (1, 1));
        let error = status.error.unwrap();
        assert!(error.contains("No space left on device"), "{error}");
    }

    disk.turn(State::Sound);
    let begun = std::time::Instant::now();
    while directory.status().error.is_some() {
        assert!(begun.elapsed().as_secs() < 20, "{:?}", directory.status());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    directory.flush().unwrap();
    let status = directory.status();
    assert_eq!((status.pins, status.waiting, status.applied), (49, 0, 50));
    drop(directory);
    let directory = Directory::open(folder.path()).unwrap();
    assert_eq!(directory.attach([1; 16], 60).unwrap(), 50);
    assert_eq!(directory.lookup(&key(1)).unwrap().unwrap().held_in.len(), 1);
    assert!(directory.lookup(&key(2)).unwrap().unwrap().stored);
    assert_eq!(&*directory.lookup(&key(49)).unwrap().unwrap().region, "sg");
}
