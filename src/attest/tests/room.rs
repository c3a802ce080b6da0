//! Room that is made ahead is no part of the ledger: whoever reads, at whatever moment, finds its
//! end before it.

use std::{
    fs, io,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::attest::{
    disk::{Disk, DiskFile, Folder},
    segment::{self, Walk},
    verify::unfinished_after,
};

fn last_segment(rig: &Rig) -> PathBuf {
    segment_files(&rig.ledger()).pop().unwrap()
}

/// A ledger of so many entries, each a frame, as a power failure or a copy finds it; and how long
/// its last segment is without room.
fn left_open(entries: u64, options: Options) -> (Rig, usize) {
    let rig = Rig::new();
    let (journal, _) = rig.open_with(options);
    let shared = profile("/p");
    for n in 0..entries {
        let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
    }
    let copy = Rig::new();
    fs::create_dir(copy.ledger()).unwrap();
    for file in fs::read_dir(rig.ledger()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.ledger().join(file.file_name())).unwrap();
    }
    journal.close().unwrap();
    let open = fs::read(last_segment(&copy)).unwrap();
    let closed = fs::read(last_segment(&rig)).unwrap();
    assert!(open.len() > closed.len(), "no room was made");
    assert_eq!(open[..closed.len()], closed);
    assert!(open[closed.len()..].iter().all(|b| *b == 0));
    (copy, closed.len())
}

#[test]
fn a_ledger_that_was_left_open_is_whole() {
    for segment_bytes in [600, 1000, 64 << 20] {
        let options = Options {
            segment_bytes,
            ..Options::default()
        };
        let (rig, length) = left_open(3, options);
        let report = verify(&rig.ledger()).unwrap();
        assert_eq!((report.entries, report.torn_bytes), (3, 0));
        assert_eq!(read(&rig.ledger(), 0, 9, None).unwrap().0.len(), 3);
        assert_eq!(tail(&rig.ledger(), 2).unwrap().len(), 2);
        let (journal, opened) = rig.open();
        let found = (opened.entries, opened.lost, opened.torn_bytes);
        assert_eq!(found, (3, 0, 0));
        assert_eq!(fs::read(last_segment(&rig)).unwrap().len(), length);
        let _ = block_on(journal.clear(abroad(), draft(3, &profile("/p")))).unwrap();
        journal.close().unwrap();
        assert_eq!(verify(&rig.ledger()).unwrap().entries, 4);
    }
}

#[test]
fn what_stands_in_the_room_is_torn_and_told() {
    let (rig, length) = left_open(2, Options::default());
    let file = last_segment(&rig);
    let sound = fs::read(&file).unwrap();
    // What was written of a frame that nobody was told of: its beginning, or its end alone.
    let frame = sound[96..length].to_vec();
    for (from, to) in [(0, 1), (0, 30), (21, 60), (200, 240)] {
        let mut bytes = sound.clone();
        bytes[length + from..length + to].copy_from_slice(&frame[from..to]);
        let torn = bytes.iter().rposition(|b| *b != 0).unwrap() + 1 - length;
        fs::write(&file, &bytes).unwrap();
        let report = verify(&rig.ledger()).unwrap();
        assert_eq!((report.entries, report.torn_bytes), (2, torn as u64));
        let (journal, opened) = rig.open();
        let found = (opened.entries, opened.lost, opened.torn_bytes);
        assert_eq!(found, (2, 0, torn as u64));
        assert_eq!(fs::read(&file).unwrap(), sound[..length]);
        drop(journal);
    }
}

/// 256 KiB are made ahead, as the document of the format says.
#[test]
fn more_zeros_than_are_made_ahead_are_told() {
    const MOST: usize = 256 << 10;
    let (rig, length) = left_open(2, Options::default());
    let file = last_segment(&rig);
    let mut bytes = fs::read(&file).unwrap();
    assert!(bytes.len() <= length + MOST);
    bytes.resize(length + MOST, 0);
    fs::write(&file, &bytes).unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().entries, 2);
    bytes.push(0);
    fs::write(&file, &bytes).unwrap();
    let Err(LedgerError::Damaged(damage)) = verify(&rig.ledger()) else {
        panic!("a zero that nobody made");
    };
    let found = (damage.offset, damage.entry, &damage.file);
    assert_eq!(found, ((length + MOST) as u64, 3, &file));
    let words = "262145 zeros stand after the last frame, and no router makes more than 262144 ahead, so 1 are not its own";
    assert!(damage.what.starts_with(words), "{damage}");
    // What is unfinished before them is no room.
    bytes[length + 9] = 1;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().torn_bytes, 10);
    // An entry that is missing is worse.
    let mut cut = bytes.clone();
    cut[length - 1..].fill(0);
    fs::write(&file, &cut).unwrap();
    let told = verify(&rig.ledger()).unwrap_err().to_string();
    assert!(!told.contains("zeros"), "{told}");
    // A start cuts all of them off.
    bytes[length..].fill(0);
    bytes.resize(length + 3 * MOST, 0);
    fs::write(&file, &bytes).unwrap();
    let (journal, opened) = rig.open();
    let found = (opened.entries, opened.lost, opened.torn_bytes);
    assert_eq!(found, (2, 0, 0));
    assert_eq!(fs::read(&file).unwrap(), bytes[..length]);
    journal.close().unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().entries, 2);
}

#[test]
fn a_segment_that_another_follows_has_no_room() {
    let options = Options {
        segment_bytes: 600,
        ..Options::default()
    };
    let (rig, _) = left_open(5, options.clone());
    let segments = segment_files(&rig.ledger());
    let first = &segments[0];
    assert!(segments.len() > 1);
    let sound = fs::read(first).unwrap();
    for more in [1, 20, 4096] {
        fs::write(first, [&sound[..], &vec![0; more]].concat()).unwrap();
        let Err(LedgerError::Damaged(damage)) = verify(&rig.ledger()) else {
            panic!("{more} bytes that are under no chain");
        };
        let found = (damage.offset, &damage.file);
        assert_eq!(found, (sound.len() as u64, first));
        let opened = Journal::open(&rig.ledger(), options.clone(), rig.directory());
        assert!(matches!(opened, Err(LedgerError::Damaged(_))), "{more}");
    }
    fs::write(first, &sound).unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().entries, 5);
}

#[test]
fn a_frame_that_the_disk_forgot_is_missed() {
    let (rig, length) = left_open(2, Options::default());
    let file = last_segment(&rig);
    let mut bytes = fs::read(&file).unwrap();
    // The last place from which zeros hide the second frame is where it begins.
    let second = (97..length).rev().find(|at| {
        let mut cut = bytes[..*at].to_vec();
        cut.resize(bytes.len(), 0);
        fs::write(&file, &cut).unwrap();
        let (seen, damage) = tail_until_damage(&rig.ledger(), 9).unwrap();
        seen.len() == 1 && damage.is_some_and(|d| d.what.contains("missing from the end"))
    });
    let second = second.unwrap();
    bytes[second..].fill(0);
    fs::write(&file, &bytes).unwrap();
    let Err(LedgerError::Damaged(damage)) = verify(&rig.ledger()) else {
        panic!("an acknowledged entry is gone");
    };
    assert!(damage.what.contains("1 acknowledged"), "{damage}");
    let (journal, opened) = rig.open();
    assert_eq!((opened.lost, opened.torn_bytes), (1, 0));
    drop(journal);
    assert_eq!(verify(&rig.ledger()).unwrap().recoveries.len(), 1);
}

#[test]
fn a_reader_of_a_growing_ledger_sees_what_came_into_the_room() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let shared = profile("/p");
    let mut follow = Follow::new(&rig.ledger(), 0);
    for n in 0..20 {
        let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
        let news: Vec<_> = follow.news().unwrap().iter().map(|e| e.seq).collect();
        assert_eq!(news, [n + 1]);
        assert_eq!(follow.news().unwrap().len(), 0);
        let report = verify(&rig.ledger()).unwrap();
        assert_eq!((report.entries, report.torn_bytes), (n + 1, 0));
    }
}

#[test]
fn what_comes_while_the_end_is_looked_at_is_not_unfinished() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let shared = profile("/p");
    let write = |n| drop(block_on(journal.clear(abroad(), draft(n, &shared))).unwrap());
    write(0);
    let mut walk = Walk::open(&segment::list(&rig.ledger()).unwrap()[0]).unwrap();
    let mut frames = 0;
    let mut read = |walk: &mut Walk| {
        while let Ok(Some(_)) = walk.next_frame() {
            frames += 1;
        }
        Ok(())
    };
    read(&mut walk).unwrap();
    // After the walk has come to its end.
    write(1);
    write(2);
    assert_eq!(unfinished_after(&mut walk, read).unwrap(), 0);
    assert_eq!((frames, walk.next), (3, 4));
}

/// A disk that takes no zeros: it has room for entries, and no more.
struct Narrow(Folder, Arc<AtomicBool>);
struct NarrowFile(Box<dyn DiskFile>, Arc<AtomicBool>);

impl Disk for Narrow {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.open(name)?;
        Ok(Box::new(NarrowFile(file, Arc::clone(&self.1))))
    }
}

impl DiskFile for NarrowFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.iter().all(|b| *b == 0) {
            self.0.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            return Err(io::Error::other("no truncation today"));
        }
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_disk_without_room_takes_entries() {
    for keeps_zeros in [false, true] {
        let rig = Rig::new();
        let keeps = Arc::new(AtomicBool::new(false));
        let disk = Narrow(Folder::new(&rig.ledger()), Arc::clone(&keeps));
        let options = Options {
            segment_bytes: 2000,
            ..Options::default()
        };
        let disk = Box::new(disk);
        let opened = Journal::open_on(&rig.ledger(), options, rig.directory(), disk);
        let journal = opened.unwrap().0;
        let shared = profile("/p");
        for n in 0..5 {
            let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
            keeps.store(keeps_zeros, Ordering::SeqCst);
        }
        assert_eq!(journal.status().error, None);
        let report = verify(&rig.ledger()).unwrap();
        assert_eq!((report.entries, report.torn_bytes), (5, 0));
        let length = fs::metadata(last_segment(&rig)).unwrap().len();
        assert_eq!(length > report.bytes, keeps_zeros);
        // The next segment begins only after one that ends with its last frame.
        keeps.store(false, Ordering::SeqCst);
        for n in 5..60 {
            let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
        }
        assert!(segment_files(&rig.ledger()).len() > 1);
        journal.close().unwrap();
        assert_eq!(verify(&rig.ledger()).unwrap().entries, 60);
        let (journal, opened) = rig.open();
        assert_eq!((opened.entries, opened.torn_bytes), (60, 0));
        drop(journal);
    }
}
