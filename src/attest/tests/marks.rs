//! How far the books go by the ledger, also where it pins and counts nobody.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::*;
use crate::{attest::Books, state::Counters};

fn books(rig: &Rig) -> Books {
    Books {
        directory: rig.directory(),
        counters: Some(Counters::open(&rig.ledger().with_file_name("state")).unwrap()),
    }
}

/// Up to which entry directory and counters have everything.
fn applied(books: &Books) -> (u64, u64) {
    books.directory.flush().unwrap();
    let counters = books.counters.as_ref().unwrap();
    counters.flush().unwrap();
    (books.directory.status().applied, counters.status().applied)
}

fn three_entries(mark_every: Duration) -> (Rig, Books, Journal) {
    let rig = Rig::new();
    let books = books(&rig);
    let options = Options {
        mark_every,
        ..Options::default()
    };
    let (journal, _) = Journal::open(&rig.ledger(), options, books.clone()).unwrap();
    for n in 0..3 {
        let cleared = journal.clear(abroad(), draft(n, &profile("/p")));
        let _ = block_on(cleared).unwrap();
    }
    (rig, books, journal)
}

/// After a crash only what came since is read again.
#[test]
fn a_router_at_work_notes_how_far_the_ledger_goes() {
    let (_rig, books, _journal) = three_entries(Duration::ZERO);
    let waited = Instant::now();
    while applied(&books) != (3, 3) {
        let found = applied(&books);
        assert!(waited.elapsed() < Duration::from_secs(20), "{found:?}");
        std::thread::yield_now();
    }
}

#[test]
fn it_is_not_noted_with_each_frame() {
    let (_rig, books, journal) = three_entries(Options::default().mark_every);
    assert_eq!(Options::default().mark_every, Duration::from_secs(30));
    assert_eq!(applied(&books), (0, 0));
    journal.close().unwrap();
    assert_eq!(applied(&books), (3, 3));
}

#[test]
fn a_replay_that_is_interrupted_goes_on_where_it_was() {
    let rig = Rig::new();
    small_ledger(&rig);
    let files = segment_files(&rig.ledger());
    let broken = &files[3];
    let name = broken.file_stem().unwrap().to_str().unwrap();
    let first: u64 = name.parse().unwrap();
    let sound = fs::read(broken).unwrap();
    let mut bytes = sound.clone();
    bytes[120] ^= 1;
    fs::write(broken, &bytes).unwrap();
    // The books are lost, so all is read again; and older segments are checked by their joints.
    fs::remove_dir_all(rig.ledger().with_file_name("directory")).unwrap();
    let books = books(&rig);
    let options = Options {
        check_bytes: 1,
        ..Options::default()
    };
    let interrupted = Journal::open(&rig.ledger(), options.clone(), books.clone());
    assert!(interrupted.is_err());
    assert_eq!(applied(&books), (first - 1, first - 1));
    fs::write(broken, &sound).unwrap();
    let (_journal, opened) = Journal::open(&rig.ledger(), options, books.clone()).unwrap();
    assert_eq!(opened.entries, 30);
    assert_eq!(applied(&books), (30, 30));
}
