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
