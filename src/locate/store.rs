//! The directory's file.
//!
//! There are as many subjects as people, and few pins that differ: a subject's row holds the
//! number of its pin. Rows of one width need no table of where each begins, and more fill a page.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::{HashMap, HashMapExt};
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};

use super::{
    DirectoryError, Pin,
    encoding::{decode, encode},
};
use crate::{
    disk::{
        CannotOpen, Healing, Words, Writing,
        applied::{self, META},
        create_private_folder,
    },
    domain::SubjectKey,
};

/// Subject key → number of its pin.
pub(super) const PINS: TableDefinition<'_, [u8; 16], u32> = TableDefinition::new("pins");
/// Number → pin. What stands here never changes and never goes.
pub(super) const KINDS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("kinds");
/// Pin → number.
const NUMBERS: TableDefinition<'_, &[u8], u32> = TableDefinition::new("numbers");
/// [`PINS`] as they were before pins had numbers: an older router refuses a file with the new ones.
const WHOLE: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("pins");
/// [`WHOLE`], while it is read for the last time.
const OLD: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("whole_pins");
pub(super) const FILE: &str = "pins.redb";

const TELLS: Words = Words {
    begun: "the directory's file cannot be used; what is to be stored stays in memory and in the ledger",
    over: "the directory's file can be written again",
};

pub(super) struct Store {
    /// As of the last write, and of which opening of the file: to open it takes longer than to
    /// look a subject up.
    tables: RwLock<Option<(u64, Arc<Tables>)>>,
    /// Pins by number, of those that were asked for. They outlive an opening of the file, since a
    /// number that was read stands for its pin for good.
    kinds: RwLock<HashMap<u32, Arc<Pin>>>,
    file: Healing,
    /// Pins in the file, when it last could be read.
    count: AtomicU64,
}

struct Tables {
    pins: ReadOnlyTable<[u8; 16], u32>,
    kinds: ReadOnlyTable<u32, &'static [u8]>,
}

/// An entry's number, and whether it is the mark that followed it.
pub(super) type At = (u64, bool);

/// What stands after one ledger entry, or after the mark that followed it.
pub(super) struct Change {
    pub at: At,
    /// The subject and its pin, if any is left; `None`: only the number is to be remembered.
    pub of: Option<(SubjectKey, Option<Arc<Pin>>)>,
}

impl crate::disk::backlog::Change for Change {
    /// An entry changes one pin.
    fn is_one_with(&self, _: &Self) -> bool {
        false
    }
}

impl Store {
    pub fn open(folder: &Path) -> Result<Self, DirectoryError> {
        create_private_folder(folder).map_err(DirectoryError::Io)?;
        let file = folder.join(FILE);
        let opened = Healing::open(&file, 64 << 20, TELLS).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => DirectoryError::InUse(file.clone()),
            other => DirectoryError::CannotOpen(CannotOpen::new(&file, other)),
        })?;
        // The file's name must outlive a power failure too: imported pins stand nowhere else.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(DirectoryError::Io)?;
        Self::with(opened)
    }

    #[cfg(test)]
    pub fn open_on(disk: &crate::disk::faulty::Disk, folder: &Path) -> Self {
        Self::with(Healing::open_by(disk.opens(folder.join(FILE)), TELLS).unwrap()).unwrap()
    }

    fn with(file: Healing) -> Result<Self, DirectoryError> {
        file.write(|write| {
            number_whole_pins(write)?;
            write.open_table(PINS)?;
            write.open_table(KINDS)?;
            write.open_table(NUMBERS)?;
            write.open_table(META)?;
            Ok(())
        })?;
        let store = Self {
            tables: RwLock::default(),
            kinds: RwLock::default(),
            file,
            count: AtomicU64::new(0),
        };
        store.renew();
        Ok(store)
    }

    pub fn get(&self, key: &SubjectKey) -> Result<Option<Arc<Pin>>, DirectoryError> {
        let found = self.file.read_of(|database, generation| {
            let tables = self.opened(database, generation)?;
            let Some(number) = tables.pins.get(key.to_bytes())?.map(|row| row.value()) else {
                return Ok(None);
            };
            Ok(Some(self.kind(&tables, number)?))
        })?;
        match found {
            None => Ok(None),
            Some(pin) => pin.map(Some).ok_or(DirectoryError::Damaged),
        }
    }

    /// The pin of this number; `None` if there is none that can be read.
    fn kind(&self, tables: &Tables, number: u32) -> Result<Option<Arc<Pin>>, redb::Error> {
        let known = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(pin) = known.get(&number) {
            return Ok(Some(Arc::clone(pin)));
        }
        drop(known);
        let row = tables.kinds.get(number)?;
        let Some(pin) = row.and_then(|row| decode(row.value())).map(Arc::new) else {
            return Ok(None);
        };
        let mut known = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        // Regions and countries bound them, but no setting does.
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(number, Arc::clone(&pin));
        Ok(Some(pin))
    }

    fn opened(&self, database: &Database, generation: u64) -> Result<Arc<Tables>, redb::Error> {
        let of_this = |known: &Option<(u64, Arc<Tables>)>| {
            let (of, tables) = known.as_ref()?;
            (*of == generation).then(|| Arc::clone(tables))
        };
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = of_this(&known) {
            return Ok(tables);
        }
        drop(known);
        // Opened and kept in one: else what `renew` has put away could come back.
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = of_this(&known) {
            return Ok(tables);
        }
        *known = None;
        let read = database.begin_read()?;
        let tables = Arc::new(Tables {
            pins: read.open_table(PINS)?,
            kinds: read.open_table(KINDS)?,
        });
        *known = Some((generation, Arc::clone(&tables)));
        Ok(tables)
    }

    /// Follows each commit: what was written is seen from here on. The tables are opened at once, for
    /// whoever looks a subject up while the next commit waits for the disk: redb may open none then.
    fn renew(&self) {
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = None;
        // Else whoever needs them opens them.
        let _ = (self.file).read_of(|database, of| self.opened(database, of).map(drop));
    }

    pub fn writing(&self) -> &Writing {
        self.file.writing()
    }

    /// Pins in the file, or as many as there were when it last could be read.
    pub fn count(&self) -> u64 {
        let count = |database: &_, of| Ok(self.opened(database, of)?.pins.len()?);
        match self.file.read_of(count) {
            Ok(count) => {
                self.count.store(count, Ordering::Relaxed);
                count
            }
            Err(_) => self.count.load(Ordering::Relaxed),
        }
    }

    /// Writes the last of each subject's changes in one durable transaction; with it, everything up
    /// to entry `newest` is stored.
    pub fn write(&self, changes: &[Change], newest: u64) -> Result<(), DirectoryError> {
        if changes.is_empty() {
            return Ok(());
        }
        // A new subject is claimed and then marked, as a rule in one batch. By their order, those
        // that lie on one page of the file follow each other.
        let mut last: Vec<_> = changes.iter().filter_map(|c| c.of.as_ref()).collect();
        last.reverse();
        last.sort_by_key(|(key, _)| *key);
        last.dedup_by_key(|(key, _)| *key);
        let written = self.file.write(|write| {
            let mut numbers = Numbers::new(write);
            let mut pins = write.open_table(PINS)?;
            for (key, pin) in &last {
                match pin {
                    None => drop(pins.remove(key.to_bytes())?),
                    Some(pin) => drop(pins.insert(key.to_bytes(), numbers.of(pin)?)?),
                }
            }
            applied::note(write, newest)
        });
        self.renew();
        Ok(written?)
    }

    pub fn import<'a>(
        &self,
        new: impl Iterator<Item = (SubjectKey, &'a Arc<Pin>)>,
    ) -> Result<(), DirectoryError> {
        let written = self.file.write(|write| {
            let mut numbers = Numbers::new(write);
            let mut pins = write.open_table(PINS)?;
            for (key, pin) in new {
                pins.insert(key.to_bytes(), numbers.of(pin)?)?;
            }
            Ok(())
        });
        self.renew();
        Ok(written?)
    }

    /// See [`super::Directory::binds`].
    pub fn binds(&self, fingerprint: [u8; 16]) -> Result<bool, DirectoryError> {
        Ok(self.file.write(|write| {
            let mut meta = write.open_table(META)?;
            let held = meta.get("secret")?.map(|f| f.value() == fingerprint);
            if held.is_none() {
                meta.insert("secret", fingerprint.as_slice())?;
            }
            Ok(held.unwrap_or(true))
        })?)
    }

    /// See [`super::Directory::seen`].
    pub fn seen(&self, ledger: [u8; 16]) -> Result<u64, DirectoryError> {
        Ok(self.file.read(|read| applied::seen(read, ledger))?)
    }

    /// See [`super::Directory::attach`].
    pub fn attach(&self, ledger: [u8; 16], last: u64) -> Result<u64, DirectoryError> {
        let attached = self
            .file
            .write(|write| applied::attach(write, ledger, last))?;
        if attached.of_another > 0 {
            tracing::warn!(
                entries = attached.of_another,
                "the directory was used with another ledger until now; if that was not put aside on purpose, stop and restore it"
            );
        }
        Ok(attached.applied)
    }
}

/// Pins by number that are kept in memory.
const KNOWN: usize = 65_536;

/// The numbers of pins within one transaction: a new pin gets the next one.
struct Numbers<'t> {
    write: &'t WriteTransaction,
    known: HashMap<Arc<Pin>, u32>,
    bytes: Vec<u8>,
}

impl<'t> Numbers<'t> {
    fn new(write: &'t WriteTransaction) -> Self {
        Self {
            write,
            known: HashMap::new(),
            bytes: Vec::with_capacity(64),
        }
    }

    fn of(&mut self, pin: &Arc<Pin>) -> Result<u32, redb::Error> {
        if let Some(number) = self.known.get(pin) {
            return Ok(*number);
        }
        encode(pin, &mut self.bytes);
        let number = number_of(self.write, &self.bytes)?;
        self.known.insert(Arc::clone(pin), number);
        Ok(number)
    }
}

/// The number of a pin, by how it stands in the file.
fn number_of(write: &WriteTransaction, pin: &[u8]) -> Result<u32, redb::Error> {
    let mut numbers = write.open_table(NUMBERS)?;
    if let Some(number) = numbers.get(pin)? {
        return Ok(number.value());
    }
    let mut kinds = write.open_table(KINDS)?;
    let next = kinds.last()?.map_or(0, |(last, _)| last.value() + 1);
    kinds.insert(next, pin)?;
    numbers.insert(pin, next)?;
    Ok(next)
}

/// Gives the pins of an older file their numbers.
fn number_whole_pins(write: &WriteTransaction) -> Result<(), redb::Error> {
    match write.open_table(PINS) {
        Ok(_) => return Ok(()),
        Err(TableError::TableTypeMismatch { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    write.rename_table(WHOLE, OLD)?;
    {
        let old = write.open_table(OLD)?;
        let mut pins = write.open_table(PINS)?;
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        tracing::info!(pins = old.len()?, "the directory's pins are being numbered");
        for row in old.iter()? {
            let (key, pin) = row?;
            let pin = pin.value();
            let number = match known.get(pin) {
                Some(number) => *number,
                None => {
                    let number = number_of(write, pin)?;
                    known.insert(pin.to_vec(), number);
                    number
                }
            };
            pins.insert(key.value(), number)?;
        }
    }
    write.delete_table(OLD)?;
    Ok(())
}
