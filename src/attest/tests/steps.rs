//! A router that ends between any two of its operations on the disk leaves a sound ledger, above
//! all between cutting a segment's room off and beginning the next one.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use super::*;
use crate::attest::disk::{Disk, DiskFile, Folder};

/// Keeps what stands in the folder before each operation.
struct Watched(Folder, Kept);

struct WatchedFile(Box<dyn DiskFile>, Kept);

#[derive(Clone)]
struct Kept {
    ledger: PathBuf,
    /// Each different state once.
    states: Arc<Mutex<Vec<State>>>,
}

type State = Vec<(std::ffi::OsString, Vec<u8>)>;

impl Kept {
    fn keep(&self) {
        let mut now: State = fs::read_dir(&self.ledger)
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
            .collect();
        now.sort();
        let mut states = self.states.lock().unwrap();
        if states.last() != Some(&now) {
            states.push(now);
        }
    }
}

impl Disk for Watched {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.1.keep();
        let file = self.0.open(name)?;
        Ok(Box::new(WatchedFile(file, self.1.clone())))
    }
}

impl DiskFile for WatchedFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.keep();
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.1.keep();
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.keep();
        self.0.sync()
    }
}

#[test]
fn a_ledger_is_sound_between_any_two_steps_of_its_router() {
    let rig = Rig::new();
    let kept = Kept {
        ledger: rig.ledger(),
        states: Arc::default(),
    };
    let disk = Box::new(Watched(Folder::new(&rig.ledger()), kept.clone()));
    let options = Options {
        segment_bytes: 700,
        ..Options::default()
    };
    let opened = Journal::open_on(&rig.ledger(), options, rig.directory(), disk);
    let journal = opened.unwrap().0;
    let shared = profile("/p");
    for n in 0..12 {
        let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
    }
    journal.close().unwrap();
    assert!(segment_files(&rig.ledger()).len() > 2);
    let states = kept.states.lock().unwrap();
    let mut sound = 0;
    for (step, state) in states.iter().enumerate() {
        let copy = Rig::new();
        fs::create_dir(copy.ledger()).unwrap();
        for (name, bytes) in state {
            fs::write(copy.ledger().join(name), bytes).unwrap();
        }
        match verify(&copy.ledger()) {
            Ok(report) => sound += u64::from(report.torn_bytes == 0),
            Err(LedgerError::NoLedger { .. }) => {}
            // The head's second slot is not written yet.
            Err(LedgerError::Damaged(damage)) if segment_files(&copy.ledger()).is_empty() => {
                assert_eq!(damage.file.file_name().unwrap(), "head");
            }
            Err(error) => panic!("step {step}: {error}"),
        }
        let (journal, opened) = copy.open();
        assert_eq!((opened.lost, opened.head_flaw), (0, None), "step {step}");
        journal.close().unwrap();
        assert!(verify(&copy.ledger()).is_ok(), "step {step}");
    }
    assert!(sound > 12);
}

/// Notes what is done, in order, and to which file.
struct Noted(Folder, Notes);

struct NotedFile(Box<dyn DiskFile>, Notes, String);

type Notes = Arc<Mutex<Vec<(String, &'static str)>>>;

impl Disk for Noted {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.open(name)?;
        Ok(Box::new(NotedFile(file, self.1.clone(), name.to_owned())))
    }
}

impl NotedFile {
    fn note(&self, what: &'static str) {
        self.1.lock().unwrap().push((self.2.clone(), what));
    }
}

impl DiskFile for NotedFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note("write");
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.note("cut");
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.note("sync");
        self.0.sync()
    }
}

/// A router that was killed between its write and its fsync leaves a whole frame that may not be on
/// disk yet. The head must not acknowledge what a power failure can take away.
#[test]
fn a_start_makes_the_last_frame_durable_before_the_head_tells_of_it() {
    let rig = Rig::new();
    small_ledger(&rig);
    let last = segment_files(&rig.ledger()).pop().unwrap();
    let notes = Notes::default();
    let disk = Box::new(Noted(Folder::new(&rig.ledger()), Arc::clone(&notes)));
    let opened = Journal::open_on(&rig.ledger(), Options::default(), rig.directory(), disk);
    let (_journal, opened) = opened.unwrap();
    assert_eq!((opened.entries, opened.torn_bytes), (30, 0));
    let notes = notes.lock().unwrap().clone();
    let segment = last.file_name().unwrap().to_str().unwrap();
    let place = |file: &str, what| notes.iter().position(|n| *n == (file.to_owned(), what));
    let (synced, told) = (place(segment, "sync"), place("head", "write"));
    assert!(synced.is_some() && synced < told, "{notes:?}");
    // Once is enough.
    assert_eq!(notes.iter().filter(|(file, _)| file == segment).count(), 2);
}
