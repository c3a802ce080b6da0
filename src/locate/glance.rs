//! The directory as it stands, for whoever looks into it while no router runs. Nothing is changed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::{HashMap, HashMapExt};
use redb::{DatabaseError, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, StorageError};

use super::{
    DirectoryError, Pin,
    encoding::decode,
    store::{FILE, KINDS, PINS},
};
use crate::domain::SubjectKey;

/// Looks subjects up in a copy of the directory's file: a router that starts meanwhile finds it free,
/// and what it pins is not seen.
pub struct Glance {
    pins: ReadOnlyTable<[u8; 16], u32>,
    kinds: ReadOnlyTable<u32, &'static [u8]>,
    known: HashMap<u32, Arc<Pin>>,
    // The tables are of no use without it.
    _database: ReadOnlyDatabase,
}

/// Why the directory cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    #[error("a router has it open")]
    InUse,
    #[error("it was not closed; a start of the router mends that")]
    NotClosed,
    #[error("it cannot be read: {0}")]
    Other(#[source] Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for Unseen {
    fn from(error: E) -> Self {
        Self::Other(Box::new(error.into()))
    }
}

impl Glance {
    /// `None` where there is no directory yet.
    ///
    /// # Errors
    /// Anything else than a whole file that nobody else has open.
    pub fn open(folder: &Path) -> Result<Option<Self>, Unseen> {
        let file = folder.join(FILE);
        // One that may not be seen is not absent: opening it tells why.
        if matches!(file.try_exists(), Ok(false)) {
            return Ok(None);
        }
        // Locked, nobody writes while it is copied.
        let locked = ReadOnlyDatabase::open(&file).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Unseen::InUse,
            DatabaseError::RepairAborted => Unseen::NotClosed,
            other => other.into(),
        })?;
        let copy = Copied::of(&file).map_err(redb::Error::Io)?;
        drop(locked);
        let database = ReadOnlyDatabase::open(&copy.0)?;
        // Open, it needs no name.
        drop(copy);
        let read = database.begin_read()?;
        Ok(Some(Self {
            pins: read.open_table(PINS)?,
            kinds: read.open_table(KINDS)?,
            known: HashMap::new(),
            _database: database,
        }))
    }

    /// The pin of a subject.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub fn lookup(&mut self, key: &SubjectKey) -> Result<Option<Arc<Pin>>, DirectoryError> {
        let Some(number) = self.pins.get(key.to_bytes())?.map(|row| row.value()) else {
            return Ok(None);
        };
        if let Some(pin) = self.known.get(&number) {
            return Ok(Some(Arc::clone(pin)));
        }
        let row: Result<_, StorageError> = self.kinds.get(number);
        let pin = row?.and_then(|row| decode(row.value()));
        let pin = Arc::new(pin.ok_or(DirectoryError::Damaged)?);
        self.known.insert(number, Arc::clone(&pin));
        Ok(Some(pin))
    }
}

/// A private copy of a file, with a name until it is dropped.
struct Copied(PathBuf);

impl Copied {
    fn of(file: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("domicile-pins-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut to = options.open(&path)?;
        let copied = Self(path);
        io::copy(&mut File::open(file)?, &mut to)?;
        Ok(copied)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::locate::Directory;

    #[test]
    fn pins_are_seen_once_no_router_has_them_open() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Glance::open(folder.path()).unwrap().is_none());
        assert!(!folder.path().join(FILE).exists(), "nothing is made");
        let key = |byte| SubjectKey::from_bytes([byte; 16]);
        let pin = |region: &str| Pin::new(region.into(), smallvec!["DE".parse().unwrap()]);
        let directory = Directory::open(folder.path()).unwrap();
        let pins = [(key(1), pin("eu").stored()), (key(2), pin("sg"))];
        directory.import(pins).unwrap();
        let in_use = Glance::open(folder.path());
        assert!(matches!(in_use, Err(Unseen::InUse)));
        drop(directory);
        let mut glance = Glance::open(folder.path()).unwrap().unwrap();
        for _ in 0..2 {
            let found = glance.lookup(&key(1)).unwrap().unwrap();
            assert_eq!(*found, pin("eu").stored());
            assert_eq!(*glance.lookup(&key(2)).unwrap().unwrap(), pin("sg"));
            assert!(glance.lookup(&key(3)).unwrap().is_none());
        }
        // A router may start while it is looked into.
        let directory = Directory::open(folder.path()).unwrap();
        directory.import([(key(3), pin("sg"))]).unwrap();
        assert!(glance.lookup(&key(1)).unwrap().is_some());
        assert!(glance.lookup(&key(3)).unwrap().is_none());
    }

    #[test]
    fn what_is_no_directory_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "not a database").unwrap();
        assert!(matches!(Glance::open(folder.path()), Err(Unseen::Other(_))));
    }
}
