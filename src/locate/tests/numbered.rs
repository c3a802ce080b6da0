//! Pins by number in the directory's file.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError};

use super::*;
use crate::locate::encoding::encode;

const WHOLE: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("pins");
const KINDS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("kinds");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The home of subject `n`, of which every third has taken a record.
fn home(n: u64) -> Pin {
    let pin = pin(REGIONS[usize::try_from(n % 5).unwrap()]);
    if n.is_multiple_of(3) {
        pin.stored()
    } else {
        pin
    }
}

/// A directory as it was written before pins had numbers.
fn write_whole_pins(folder: &Path) {
    let database = Database::create(folder.join("pins.redb")).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut pins = write.open_table(WHOLE).unwrap();
        let mut bytes = Vec::new();
        for n in 0..500 {
            encode(&home(n), &mut bytes);
            pins.insert(key(n).to_bytes(), bytes.as_slice()).unwrap();
        }
        let mut meta = write.open_table(META).unwrap();
        meta.insert("ledger", &[7; 16][..]).unwrap();
        meta.insert("applied", &500_u64.to_le_bytes()[..]).unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn an_older_file_keeps_its_pins_and_its_place_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    write_whole_pins(folder.path());
    for opening in 0..2 {
        let directory = Directory::open(folder.path()).unwrap();
        assert_eq!(directory.attach([7; 16], 900).unwrap(), 500, "{opening}");
        assert_eq!(directory.status().pins, 500);
        for n in 0..500 {
            let found = directory.lookup(&key(n)).unwrap();
            assert_eq!(found.as_deref(), Some(&home(n)), "{n}");
        }
        assert_eq!(directory.lookup(&key(500)).unwrap(), None);
    }
}

/// An older router that took the file for an empty one would give everybody a second home.
#[test]
fn an_older_router_refuses_the_file() {
    let (folder, directory) = with_a_hundred();
    drop(directory);
    let database = Database::create(folder.path().join("pins.redb")).unwrap();
    let write = database.begin_write().unwrap();
    assert!(matches!(
        write.open_table(WHOLE),
        Err(TableError::TableTypeMismatch { .. })
    ));
}

#[test]
fn there_are_as_many_numbers_as_pins_that_differ() {
    let (folder, directory) = with_a_hundred();
    directory.flush().unwrap();
    for n in 0..10 {
        let home = REGIONS[usize::try_from(n % 5).unwrap()];
        directory.mark_stored(key(n), home).unwrap();
        directory.flush().unwrap();
    }
    for n in 0..100 {
        let mut expected = pin(REGIONS[usize::try_from(n % 5).unwrap()]);
        expected.stored = n < 10;
        let found = directory.lookup(&key(n)).unwrap();
        assert_eq!(found.as_deref(), Some(&expected), "{n}");
    }
    drop(directory);
    let database = Database::open(folder.path().join("pins.redb")).unwrap();
    let read = database.begin_read().unwrap();
    // Five homes, each with a record and without.
    assert_eq!(read.open_table(KINDS).unwrap().len().unwrap(), 10);
}
