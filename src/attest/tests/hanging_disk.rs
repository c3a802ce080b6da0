//! A ledger whose disk does not answer permits nothing, tells so, and goes on when it does.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::attest::disk::{Disk, DiskFile, Folder};

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
