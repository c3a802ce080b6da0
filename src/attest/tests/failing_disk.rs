//! A ledger that cannot be written permits nothing, and recovers.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use smallvec::smallvec;

use super::*;
use crate::{
    attest::disk::{Disk, DiskFile, Folder},
    locate::{Claim, Pin},
};

/// How the disk misbehaves; shared with the test.
#[derive(Default)]
struct Faults {
    /// Writes fail after this many bytes of each went through.
    full: AtomicBool,
    part: AtomicU64,
    sync_fails: AtomicBool,
    truncate_fails: AtomicBool,
    head_fails: AtomicBool,
    entries_fail: AtomicBool,
}

struct Flaky(Folder, Arc<Faults>);
struct FlakyFile(Box<dyn DiskFile>, Arc<Faults>, bool);

impl Disk for Flaky {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.open(name)?;
        let is_head = name == "head";
        Ok(Box::new(FlakyFile(file, Arc::clone(&self.1), is_head)))
    }
}

impl DiskFile for FlakyFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.1.full.load(Ordering::SeqCst) {
            let part = usize::try_from(self.1.part.load(Ordering::SeqCst)).unwrap();
            self.0.write_at(&bytes[..part.min(bytes.len())], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.2 && self.1.head_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("no head today"));
        }
        if !self.2 && self.1.entries_fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("no entries today"));
        }
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.1.truncate_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("no truncation today"));
        }
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.1.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("no sync today"));
        }
        self.0.sync()
    }
}

fn open(rig: &Rig, segment_bytes: u64) -> (Journal, Directory, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let directory = rig.directory();
    let disk = Flaky(Folder::new(&rig.ledger()), Arc::clone(&faults));
    let options = Options {
        segment_bytes,
        ..Options::default()
    };
    let opened = Journal::open_on(&rig.ledger(), options, directory.clone(), Box::new(disk));
    (opened.unwrap().0, directory, faults)
}

fn break_and_mend(segment_bytes: u64, fail: impl Fn(&Faults, bool)) {
    let rig = Rig::new();
    let (journal, directory, faults) = open(&rig, segment_bytes);
    let worker = journal.worker();
    let shared = profile("/r");
    let eu = || Pin::new("eu".into(), smallvec![]);
    block_on(async {
        let _ = worker.clear(abroad(), draft(0, &shared)).await.unwrap();
        fail(&faults, true);
        let Claim::Won(claimed) = directory.claim(key(1), eu()).unwrap() else {
            panic!("nobody else claims");
        };
        let mut claiming = draft(1, &profile("/another"));
        claiming.pin = Some(Pinning::Claim(claimed));
        let refused = worker.clear(homeward(), claiming).await;
        assert!(matches!(refused, Err(Unwritable::Disk(_))), "{refused:?}");
        assert_eq!(directory.lookup(&key(1)).unwrap(), None);
        // The claim was let go, and flows home are refused too.
        let Claim::Won(_) = directory
            .claim(key(1), Pin::new("sg".into(), smallvec![]))
            .unwrap()
        else {
            panic!("the failed claim still stands");
        };
        for _ in 0..3 {
            let refused = worker.clear(homeward(), draft(2, &shared)).await;
            assert!(matches!(refused, Err(Unwritable::Disk(_))), "{refused:?}");
        }
        assert!(journal.status().error.is_some());
        fail(&faults, false);
        let _ = worker
            .clear(abroad(), draft(3, &profile("/another")))
            .await
            .unwrap();
        let _ = worker.clear(homeward(), draft(4, &shared)).await.unwrap();
        journal.flush().await.unwrap();
        assert_eq!(journal.status().error, None);
    });
    assert_eq!(directory.lookup(&key(1)).unwrap(), None);
    let report = verify(&rig.ledger()).unwrap();
    assert_eq!(report.torn_bytes, 0);
    let entries = read(&rig.ledger(), 0, 99, None).unwrap().0;
    let decisions: Vec<_> = entries.iter().filter_map(Entry::decision).collect();
    assert_eq!(decisions, [0, 3, 4].map(decision));
    let resumed = entries
        .iter()
        .any(|e| matches!(e.kind, Kind::Resumed { .. }));
    assert!(resumed, "{entries:?}");
    journal.close().unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().after_head, 0);
}

#[test]
fn a_full_disk_refuses_everything_until_there_is_room() {
    for part in [0, 1, 50, 10_000] {
        break_and_mend(1 << 20, |faults, on| {
            faults.part.store(part, Ordering::SeqCst);
            faults.full.store(on, Ordering::SeqCst);
        });
    }
}

#[test]
fn a_rotation_on_a_full_disk_is_tried_again() {
    for part in [0, 40] {
        break_and_mend(100, |faults, on| {
            faults.part.store(part, Ordering::SeqCst);
            faults.full.store(on, Ordering::SeqCst);
        });
    }
}

#[test]
fn a_failed_sync_leaves_nothing() {
    break_and_mend(1 << 20, |faults, on| {
        faults.sync_fails.store(on, Ordering::SeqCst)
    });
}

#[test]
fn what_cannot_be_cut_off_at_once_is_cut_off_before_the_next_write() {
    break_and_mend(1 << 20, |faults, on| {
        faults.part.store(60, Ordering::SeqCst);
        faults.full.store(on, Ordering::SeqCst);
        faults.truncate_fails.store(on, Ordering::SeqCst);
    });
}

#[test]
fn flows_home_that_were_under_way_are_written_when_the_disk_is_back() {
    let rig = Rig::new();
    let (journal, _directory, faults) = open(&rig, 1 << 20);
    let worker = journal.worker();
    let shared = profile("/r");
    block_on(async {
        let _ = worker.clear(abroad(), draft(0, &shared)).await.unwrap();
        faults.full.store(true, Ordering::SeqCst);
        // Cleared before the failure was known: its evidence must not be lost.
        let _ = worker.clear(homeward(), draft(1, &shared)).await.unwrap();
        assert!(journal.flush().await.is_err());
        assert!(journal.status().waiting > 0);
        assert_eq!(journal.status().waiting_since, Some(draft(1, &shared).at));
        faults.full.store(false, Ordering::SeqCst);
        journal.flush().await.unwrap();
        // Whoever waits is answered before the thread has put everything away.
        while journal.status().waiting_since.is_some() {
            std::thread::yield_now();
        }
        assert!(journal.status().all_commits >= journal.status().last_commit);
    });
    let entries = read(&rig.ledger(), 0, 99, None).unwrap().0;
    let kinds: Vec<_> = entries.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["decision", "resumed", "decision"]);
    assert_eq!(entries[2].decision(), Some(decision(1)));
}

#[test]
fn a_head_that_cannot_be_written_is_told_and_written_once_it_can_be() {
    let rig = Rig::new();
    let (journal, _directory, faults) = open(&rig, 1 << 20);
    let shared = profile("/p");
    faults.head_fails.store(true, Ordering::SeqCst);
    for n in 0..3 {
        // The entries stand whatever comes of the head.
        let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
    }
    block_on(journal.flush()).unwrap();
    let error = journal.status().error.unwrap();
    assert!(
        error.contains("head") && error.contains("no head today"),
        "{error}"
    );
    assert_eq!(acknowledged(&rig.ledger()).unwrap(), 0);
    faults.head_fails.store(false, Ordering::SeqCst);
    // Without being asked: a router that is not ready gets no requests.
    while journal.status().error.is_some() {
        std::thread::yield_now();
    }
    assert_eq!(acknowledged(&rig.ledger()).unwrap(), 3);
    assert_eq!(verify(&rig.ledger()).unwrap().after_head, 0);
}

#[test]
fn a_loss_that_a_start_could_not_write_down_is_damage_until_one_can() {
    let rig = Rig::new();
    small_ledger(&rig);
    let last = segment_files(&rig.ledger()).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    let faults = Arc::new(Faults::default());
    // The head tells what is left by then, and how much is lost.
    faults.entries_fail.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let disk = Flaky(Folder::new(&rig.ledger()), Arc::clone(&faults));
        let options = Options::default();
        Journal::open_on(&rig.ledger(), options, rig.directory(), Box::new(disk)).unwrap_err();
        let Err(LedgerError::Damaged(damage)) = verify(&rig.ledger()) else {
            panic!("an acknowledged entry is missing");
        };
        let told = damage.to_string();
        assert!(
            told.contains("1 acknowledged entries are missing"),
            "{told}"
        );
    }
    let (journal, opened) = rig.open();
    assert_eq!(opened.lost, 1);
    drop(journal);
    assert_eq!(verify(&rig.ledger()).unwrap().recoveries[0].lost, 1);
}

/// A disk whose files panic when they are written, once told to.
struct Broken(Folder, Arc<AtomicBool>);
struct BrokenFile(Box<dyn DiskFile>, Arc<AtomicBool>);

impl Disk for Broken {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(BrokenFile(
            self.0.open(name)?,
            Arc::clone(&self.1),
        )))
    }
}

impl DiskFile for BrokenFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(!self.1.load(Ordering::SeqCst), "the writing thread dies");
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_writing_thread_that_dies_permits_nothing_and_is_told() {
    let rig = Rig::new();
    let broken = Arc::new(AtomicBool::new(false));
    let disk = Broken(Folder::new(&rig.ledger()), Arc::clone(&broken));
    let (journal, _) = Journal::open_on(
        &rig.ledger(),
        Options::default(),
        rig.directory(),
        Box::new(disk),
    )
    .unwrap();
    let shared = profile("/p");
    assert!(block_on(journal.clear(abroad(), draft(1, &shared))).is_ok());
    assert_eq!(journal.status().error, None);
    broken.store(true, Ordering::SeqCst);
    for n in 2..4 {
        let refused = block_on(journal.clear(abroad(), draft(n, &shared)));
        assert_eq!(refused.unwrap_err(), Unwritable::Closed);
        while journal.status().error.is_none() {
            std::thread::yield_now();
        }
        let refused = block_on(journal.clear(homeward(), draft(n, &shared)));
        assert_eq!(refused.unwrap_err(), Unwritable::Closed);
    }
    let _ = journal.close();
    assert_eq!(verify(&rig.ledger()).unwrap().entries, 1);
}

#[test]
fn a_first_start_that_a_full_disk_ended_can_be_repeated() {
    let rig = Rig::new();
    std::fs::create_dir_all(rig.ledger()).unwrap();
    for length in [0, 512, 700, 1023] {
        std::fs::write(rig.ledger().join("head"), vec![0; length]).unwrap();
        let (journal, opened) = rig.open();
        assert_eq!(opened, Opened::default());
        journal.close().unwrap();
        assert_eq!(verify(&rig.ledger()).unwrap().entries, 0);
    }
}
