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

/// A disk whose next fsync ends when the test says so.
struct Hanging(Folder, Arc<Gate>);
struct HangingFile(Box<dyn DiskFile>, Arc<Gate>);

#[derive(Default)]
pub(crate) struct Gate {
    shut: std::sync::Mutex<bool>,
    /// One may pass although it is shut.
    lets_one: AtomicBool,
    reached: std::sync::Mutex<bool>,
    changed: std::sync::Condvar,
    arrived: std::sync::Condvar,
}

pub(crate) struct Opens<'a>(pub &'a Gate);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Gate {
    pub(crate) fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.changed.notify_all();
    }

    fn wait_until_reached(&self) {
        let reached = self.reached.lock().unwrap();
        drop(
            self.arrived
                .wait_while(reached, |reached| !*reached)
                .unwrap(),
        );
    }

    /// Lets the one pass that waits; the next is waited for anew.
    fn let_one_pass(&self) {
        *self.reached.lock().unwrap() = false;
        let _shut = self.shut.lock().unwrap();
        self.lets_one.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    fn pass(&self) {
        *self.reached.lock().unwrap() = *self.shut.lock().unwrap();
        self.arrived.notify_all();
        let shut = self.shut.lock().unwrap();
        let waits = |shut: &mut bool| *shut && !self.lets_one.swap(false, Ordering::SeqCst);
        drop(self.changed.wait_while(shut, waits).unwrap());
    }
}

impl Disk for Hanging {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.open(name)?;
        Ok(Box::new(HangingFile(file, Arc::clone(&self.1))))
    }
}

impl DiskFile for HangingFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
}

/// A ledger on a disk that hangs while the gate is shut, and a clock that runs ahead while nothing
/// else is to be done.
pub(crate) fn on_a_gate(rig: &Rig) -> (Journal, Arc<Gate>, tokio::runtime::Runtime) {
    let gate = Arc::new(Gate::default());
    let disk = Box::new(Hanging(Folder::new(&rig.ledger()), Arc::clone(&gate)));
    let opened = Journal::open_on(&rig.ledger(), Options::default(), rig.directory(), disk);
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    (opened.unwrap().0, gate, clock)
}

fn seconds(seconds: u64) -> impl Future<Output = ()> {
    tokio::time::advance(std::time::Duration::from_secs(seconds))
}

#[test]
fn nobody_waits_for_ever_for_a_disk_that_hangs() {
    let rig = Rig::new();
    let (journal, gate, clock) = on_a_gate(&rig);
    let shared = profile("/p");
    // The journal's thread must end whatever the test finds.
    let opens = Opens(&gate);
    gate.set(true);
    let stuck = clock.block_on(journal.clear(abroad(), draft(1, &shared)));
    assert_eq!(stuck.unwrap_err(), Unwritable::Stuck { seconds: 10 });
    gate.wait_until_reached();
    // Whoever comes much later is not even queued.
    clock.block_on(seconds(50));
    let stuck = clock.block_on(journal.clear(abroad(), draft(2, &shared)));
    assert!(
        matches!(stuck, Err(Unwritable::Stuck { seconds: 59.. })),
        "{stuck:?}"
    );
    let stuck = clock.block_on(journal.refuse(draft(2, &shared)));
    assert!(matches!(stuck, Err(Unwritable::Stuck { .. })), "{stuck:?}");
    assert_eq!(journal.status().waiting, 1);
    drop(opens);
    block_on(journal.flush()).unwrap();
    let _ = block_on(journal.clear(abroad(), draft(2, &shared))).unwrap();
    // What nobody was told of stands too, and nothing was sent for it.
    let entries = read(&rig.ledger(), 0, 9, None).unwrap().0;
    let decisions: Vec<_> = entries.iter().filter_map(Entry::decision).collect();
    assert_eq!(decisions, [1, 2].map(decision));
}

#[test]
fn a_disk_that_hangs_is_told_as_one_that_fails_is() {
    let rig = Rig::new();
    let (journal, gate, clock) = on_a_gate(&rig);
    let shared = profile("/p");
    let opens = Opens(&gate);
    gate.set(true);
    let status = || clock.block_on(async { journal.status() });
    let told = || {
        let status = status();
        (status.error.is_some(), status.refused)
    };
    assert_eq!(told(), (false, 0));
    let clear = |number| clock.block_on(journal.clear(abroad(), draft(number, &shared)));
    // One that waits in vain counts once, though the disk then answers it.
    let reached = async { gate.wait_until_reached() };
    let first = journal.clear(abroad(), draft(1, &shared));
    let (first, ()) = clock.block_on(async { tokio::join!(first, reached) });
    assert!(first.is_err());
    clock.block_on(seconds(1));
    assert_eq!(told(), (true, 1));
    let error = status().error.unwrap();
    assert!(error.contains("look at the disk"), "{error}");
    // Those who come later are turned away at once.
    for number in 2..5 {
        assert!(clear(number).is_err());
    }
    assert_eq!(told(), (true, 4));
    drop(opens);
    while told().0 {
        std::thread::yield_now();
    }
    let _ = block_on(journal.clear(abroad(), draft(5, &shared))).unwrap();
    let _ = block_on(journal.clear(abroad(), draft(6, &shared))).unwrap();
    let now = journal.status();
    assert_eq!((now.error, now.refused), (None, 4));
    let entries = read(&rig.ledger(), 0, 9, None).unwrap().0;
    let kinds: Vec<_> = entries.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["decision", "resumed", "decision", "decision"]);
    assert!(matches!(entries[1].kind, Kind::Resumed { refused: 4 }));
}

/// Each of the frames of a long queue has its own time.
#[test]
fn many_sound_frames_are_no_disk_that_hangs() {
    let rig = Rig::new();
    let (journal, gate, _) = on_a_gate(&rig);
    let shared = profile("/p");
    // A first entry waits for more than its frame.
    block_on(journal.refuse(draft(0, &shared))).unwrap();
    let opens = Opens(&gate);
    gate.set(true);
    std::thread::scope(|scope| {
        let journal = &journal;
        let ends = scope.spawn(|| block_on(journal.refuse(draft(0, &shared))));
        gate.wait_until_reached();
        // Two frames, since each is more than half of one.
        let waits: Vec<_> = (1..3)
            .map(|n| {
                let mut bundle = Bundle::new(at(n), 60_000);
                let like = bundle.push(None, draft(n, &shared));
                (0..60_000).for_each(|of| bundle.push_like(like, decision(of), key(of)));
                scope.spawn(|| block_on(journal.clear_bundle(bundle)).map(drop))
            })
            .collect();
        while journal.status().waiting < 120_000 {
            std::thread::yield_now();
        }
        let next = || {
            gate.let_one_pass();
            gate.wait_until_reached();
            journal.writing_since()
        };
        let (first, second) = (next(), next());
        drop(opens);
        ends.join().unwrap().unwrap();
        waits.into_iter().for_each(|w| w.join().unwrap().unwrap());
        assert!(second > first, "{second} {first}");
    });
}

/// A request is decided as of its head; its body may come seconds later.
#[test]
fn no_flow_home_runs_ahead_of_a_disk_that_hangs_however_old_its_request_is() {
    let rig = Rig::new();
    let (journal, gate, clock) = on_a_gate(&rig);
    let (worker, shared) = (journal.worker(), profile("/p"));
    let opens = Opens(&gate);
    gate.set(true);
    let ahead = |number| {
        let begun = clock.block_on(async { worker.begin(homeward(), draft(number, &shared)) });
        matches!(begun.unwrap(), Clearing::Done(_))
    };
    let ms = |ms| clock.block_on(tokio::time::advance(std::time::Duration::from_millis(ms)));
    assert!(ahead(0));
    gate.wait_until_reached();
    // An upload that took a minute comes first into the empty buffer.
    assert!(ahead(1));
    ms(74);
    assert!(
        ahead(60_000_000),
        "though the first was decided long before"
    );
    ms(1);
    assert!(!ahead(2), "though it was decided when the first was");
    drop(opens);
    block_on(journal.flush()).unwrap();
    assert!(ahead(3));
}

/// Its worker had nothing in hand when the disk began to hang.
#[test]
fn a_disk_that_hangs_is_known_by_its_write_where_a_buffer_is_empty() {
    let rig = Rig::new();
    let (journal, gate, clock) = on_a_gate(&rig);
    let (worker, idle, shared) = (journal.worker(), journal.worker(), profile("/p"));
    let opens = Opens(&gate);
    gate.set(true);
    let ahead = |worker: &WorkerJournal, number| {
        let begun = clock.block_on(async { worker.begin(homeward(), draft(number, &shared)) });
        matches!(begun.unwrap(), Clearing::Done(_))
    };
    assert!(ahead(&worker, 0));
    gate.wait_until_reached();
    clock.block_on(seconds(5));
    assert!(!ahead(&idle, 1));
    drop(opens);
    block_on(journal.flush()).unwrap();
    // The end of a write is noted a moment after its answer.
    let mut numbers = 2..100_000;
    assert!(numbers.any(|number| {
        std::thread::yield_now();
        ahead(&idle, number)
    }));
}

#[test]
fn a_batch_that_took_long_to_come_is_no_disk_that_hangs() {
    let rig = Rig::new();
    let (journal, gate, _) = on_a_gate(&rig);
    let shared = profile("/p");
    let opens = Opens(&gate);
    gate.set(true);
    let slow = std::thread::spawn({
        let (journal, shared) = (journal.clone(), Arc::clone(&shared));
        move || block_on(journal.refuse(draft(1, &shared)))
    });
    gate.wait_until_reached();
    // Decided a minute later, a moment after the other was handed over.
    let quick = journal.clear(abroad(), draft(60_000_000, &shared));
    let open = async { drop(opens) };
    let (quick, ()) = block_on(async { tokio::join!(quick, open) });
    assert!(quick.is_ok(), "{quick:?}");
    slow.join().unwrap().unwrap();
    assert_eq!(journal.status().refused, 0);
}
