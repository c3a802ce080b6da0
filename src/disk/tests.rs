use std::sync::Arc;

use redb::{ReadableDatabase as _, TableDefinition};
use tempfile::TempDir;

use super::{
    faulty::{Disk, State},
    *,
};

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
const WORDS: Words = Words {
    begun: "begun",
    over: "over",
};

fn opened() -> (TempDir, Disk, Healing) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let file = Healing::open_by(disk.opens(folder.path().join("rows.redb")), WORDS).unwrap();
    put(&file, 0).unwrap();
    (folder, disk, file)
}

fn put(file: &Healing, row: u64) -> Result<(), redb::Error> {
    file.write(|write| {
        let mut rows = write.open_table(ROWS)?;
        rows.insert(row, [7; 9000].as_slice())?;
        Ok(())
    })
}

fn has(file: &Healing, row: u64) -> Result<bool, redb::Error> {
    file.read(|read| Ok(read.open_table(ROWS)?.get(row)?.is_some()))
}

/// What redb does by itself, which all of this is for.
#[test]
fn redb_alone_does_not_recover() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let database = disk.opens(folder.path().join("rows.redb"))(true).unwrap();
    let put = |row| -> Result<(), redb::Error> {
        let write = database.begin_write()?;
        let mut rows = write.open_table(ROWS)?;
        rows.insert(row, [7; 9000].as_slice())?;
        drop(rows);
        Ok(write.commit()?)
    };
    put(0).unwrap();
    disk.turn(State::Full);
    put(1).unwrap_err();
    disk.turn(State::Sound);
    assert!(matches!(put(2), Err(redb::Error::PreviousIo)));
    let read = database.begin_read().map(|r| r.open_table(ROWS));
    assert!(!matches!(read, Ok(Ok(_))));
}

#[test]
fn a_full_disk_fails_what_is_written_alone_and_only_while_it_is_full() {
    let (_folder, disk, file) = opened();
    assert_eq!(file.trouble(), None);
    disk.turn(State::Full);
    for row in 1..5 {
        let error = put(&file, row).unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        assert!(has(&file, 0).unwrap() && !has(&file, row).unwrap());
        let trouble = file.trouble().unwrap();
        assert!(trouble.contains("No space left on device"), "{trouble}");
    }
    disk.turn(State::Sound);
    assert!(file.trouble().is_some(), "nobody knows yet");
    put(&file, 9).unwrap();
    assert_eq!(file.trouble(), None);
    let standing = [0, 1, 4, 9].map(|row| has(&file, row).unwrap());
    assert_eq!(standing, [true, false, false, true]);
    assert_eq!(
        disk.repairs(),
        0,
        "a large file is opened as fast as a small one"
    );
}

#[test]
fn a_dead_disk_keeps_its_cause_and_is_not_asked_by_everybody() {
    let (_folder, disk, file) = opened();
    disk.turn(State::Dead);
    let before = disk.openings();
    for _ in 0..1000 {
        for error in [has(&file, 0).unwrap_err(), put(&file, 1).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("Input/output error"), "{error}");
        }
    }
    assert!(disk.openings() - before < 500, "{}", disk.openings());
    disk.turn(State::Sound);
    std::thread::sleep(Healing::PAUSE);
    assert!(has(&file, 0).unwrap() && !has(&file, 1).unwrap());
    put(&file, 1).unwrap();
    assert_eq!(file.trouble(), None);
}

#[test]
fn what_is_kept_open_is_known_by_its_opening_and_does_not_hold_the_file() {
    let (_folder, disk, file) = opened();
    let (first, _kept) = file
        .read_of(|d, generation| Ok((generation, d.begin_read()?.open_table(ROWS)?)))
        .unwrap();
    disk.turn(State::Full);
    put(&file, 1).unwrap_err();
    disk.turn(State::Sound);
    assert_ne!(file.read_of(|_, generation| Ok(generation)).unwrap(), first);
    put(&file, 1).unwrap();
}

#[test]
fn many_read_and_write_while_the_disk_comes_and_goes() {
    let (_folder, disk, file) = opened();
    let file = Arc::new(file);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert!(has(&file, 0).unwrap(), "reads go on");
                    }
                })
            })
            .collect();
        let mut acknowledged = Vec::new();
        for row in 1..60 {
            disk.turn(if row % 3 == 0 {
                State::Full
            } else {
                State::Sound
            });
            let done = put(&file, row);
            if let Err(error) = &done {
                let error = error.to_string();
                assert!(error.contains("No space left on device"), "{error}");
                let trouble = file.trouble().unwrap();
                assert!(trouble.contains("No space left on device"), "{trouble}");
            }
            assert_eq!(done.is_ok(), row % 3 != 0, "{row}: {done:?}");
            acknowledged.extend(done.is_ok().then_some(row));
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
        for row in 1..60 {
            assert_eq!(has(&file, row).unwrap(), acknowledged.contains(&row));
        }
    });
}

#[test]
fn a_file_that_is_gone_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.redb");
    let file = Healing::open(&path, 1 << 20, WORDS).unwrap();
    put(&file, 0).unwrap();
    std::fs::remove_file(&path).unwrap();
    let used = file.opened().unwrap();
    let cause = file.heal(used, redb::Error::Io(io::Error::other("broken")));
    assert!(cause.to_string().contains("broken"), "{cause}");
    assert!(has(&file, 0).is_err() && !path.exists());
    std::fs::write(&path, []).unwrap();
    std::thread::sleep(Healing::PAUSE);
    assert!(has(&file, 0).is_err());
}

#[test]
fn a_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.redb");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let open = || put(&Healing::open(&path, 1 << 20, WORDS).unwrap(), 0).unwrap();
    open();
    assert_eq!(mode(), 0o600);
    // As versions before made it; and as a backup or a volume may need it.
    for (stood, becomes) in [
        (0o644, 0o600),
        (0o666, 0o600),
        (0o660, 0o660),
        (0o640, 0o640),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(stood)).unwrap();
        open();
        assert_eq!(mode(), becomes, "{stood:o}");
    }
}
