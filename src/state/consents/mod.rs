//! The register of consents: what each person (or a parent) has agreed to, and when that ended.
//!
//! A person is known here as a keyed hash only. Nothing is deleted: a withdrawal is noted on the
//! consent, a consent given again is a new one, so the register is its own history.
//!
//! A decision looks into the file as it stands, so a withdrawal counts from its answer on, on every
//! worker. Most people have no consent on record: a bit set that is only ever added to tells
//! that without a lock or a look into the file.

mod record;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use super::{StateError, open_file};
use crate::{
    disk::{Healing, Words, Writing, create_private_folder},
    domain::SubjectKey,
};

pub use record::{ConsentRecord, Filter, NewConsent, Withdrawal};

/// Person and number → the consent in JSON.
const CONSENTS: TableDefinition<'_, ([u8; 16], u64), &[u8]> = TableDefinition::new("consents");
/// `next`: the number of the next consent.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const FILE: &str = "consents.redb";
const TELLS: Words = Words {
    begun: "the register of consents cannot be used; no consent is recorded or withdrawn until it can",
    over: "the register of consents can be written again",
};
/// Consents of one person, withdrawn ones included.
const MOST: usize = 1000;
/// 64-bit words of the bit set: 1 MiB, of which few bits are set before millions have consented.
const WORDS: usize = 1 << 17;

/// The register of one router. Cheap to clone.
#[derive(Clone)]
pub struct Consents {
    inner: Arc<Inner>,
}

struct Inner {
    file: Healing,
    /// As of the last write, and of which opening of the file.
    table: RwLock<Option<(u64, Arc<Table>)>>,
    /// A bit for everybody who may have a consent.
    known: Box<[AtomicU64]>,
    /// Whether any of them is set: where nobody consents, no word of the set need be fetched.
    any: AtomicBool,
    /// One change at a time.
    writing: Mutex<()>,
}

type Table = ReadOnlyTable<([u8; 16], u64), &'static [u8]>;

/// What a withdrawal did.
#[derive(Debug)]
pub struct Withdrawn {
    /// Those that it ended.
    pub withdrawn: Vec<ConsentRecord>,
    /// Whether any consent fits at all, one that had ended included.
    pub fits: bool,
    /// Those that it did not end, and that cover the destination or purpose it named, as consents to
    /// any do: what it was meant to end may go on by them.
    pub still_standing: Vec<ConsentRecord>,
}

impl Consents {
    /// Opens or creates the register in the folder `path`. Blocks.
    ///
    /// # Errors
    /// [`StateError::InUse`] while another process has it open.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        create_private_folder(path).map_err(StateError::Io)?;
        Self::with(open_file(&path.join(FILE), TELLS)?)
    }

    fn with(file: Healing) -> Result<Self, StateError> {
        let inner = Inner {
            file,
            table: RwLock::default(),
            known: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
            any: AtomicBool::new(false),
            writing: Mutex::new(()),
        };
        inner.write(|write| {
            write.open_table(META)?;
            for row in write.open_table(CONSENTS)?.iter()? {
                let (key, _) = row?;
                inner.note(&SubjectKey::from_bytes(key.value().0));
            }
            Ok(())
        })?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether the person may have a consent on record; no lock, no file. `false` is certain.
    pub fn may_have(&self, key: &SubjectKey) -> bool {
        if !self.inner.any.load(Ordering::Acquire) {
            return false;
        }
        let (word, bit) = place(key);
        self.inner
            .known
            .get(word)
            .is_some_and(|w| w.load(Ordering::Acquire) & bit != 0)
    }

    /// Every consent of the person, withdrawn ones included, oldest first. Reads the file.
    pub fn of(&self, key: &SubjectKey) -> Result<Vec<ConsentRecord>, StateError> {
        if !self.may_have(key) {
            return Ok(Vec::new());
        }
        let bytes = key.to_bytes();
        let found = self.inner.file.read_of(|database, generation| {
            let table = self.inner.opened(database, generation)?;
            let mut found = Vec::new();
            for row in table.range((bytes, 0)..=(bytes, u64::MAX))? {
                let (_, value) = row?;
                found.push(ConsentRecord::read(value.value()));
            }
            Ok(found)
        })?;
        let found = found.into_iter();
        found.map(|c| c.ok_or(StateError::Damaged)).collect()
    }

    /// Puts a consent on record, durable when it returns. Blocks.
    ///
    /// # Errors
    /// [`StateError::TooMany`] when the person has as many as one can have.
    pub fn record(
        &self,
        key: SubjectKey,
        consent: NewConsent,
        at: Timestamp,
    ) -> Result<ConsentRecord, StateError> {
        let _one = self.inner.lock();
        if self.of(&key)?.len() >= MOST {
            return Err(StateError::TooMany(MOST));
        }
        // Before the consent can be seen, so that nobody misses it.
        self.inner.note(&key);
        Ok(self.inner.write(|write| {
            let mut meta = write.open_table(META)?;
            let number = meta.get("next")?.map_or(1, |n| n.value());
            meta.insert("next", number + 1)?;
            let record = ConsentRecord::new(number, consent, at);
            let mut table = write.open_table(CONSENTS)?;
            table.insert((key.to_bytes(), number), record.bytes().as_slice())?;
            Ok(record)
        })?)
    }

    /// Withdraws every standing consent of the person that `which` fits, durable and in force when
    /// it returns. Blocks.
    pub fn withdraw(
        &self,
        key: SubjectKey,
        which: &Filter,
        withdrawal: Withdrawal,
    ) -> Result<Withdrawn, StateError> {
        let _one = self.inner.lock();
        let (fitting, others): (Vec<_>, Vec<_>) =
            self.of(&key)?.into_iter().partition(|c| which.fits(c));
        let fits = !fitting.is_empty();
        let withdrawn: Vec<ConsentRecord> = fitting
            .into_iter()
            .filter_map(|c| c.withdrawn_by(withdrawal))
            .collect();
        let still_standing = others.into_iter().filter(|c| which.leaves_standing(c));
        let still_standing = still_standing.collect();
        if withdrawn.is_empty() {
            return Ok(Withdrawn {
                withdrawn,
                fits,
                still_standing,
            });
        }
        self.inner.write(|write| {
            let mut table = write.open_table(CONSENTS)?;
            for consent in &withdrawn {
                let slot = (key.to_bytes(), consent.number());
                table.insert(slot, consent.bytes().as_slice())?;
            }
            Ok(())
        })?;
        Ok(Withdrawn {
            withdrawn,
            fits,
            still_standing,
        })
    }

    /// Why the register could not be written (or read) last, until it is written again; or that its
    /// disk hangs.
    pub fn trouble(&self) -> Option<String> {
        (self.inner.file.trouble()).or_else(|| self.writing().hang())
    }

    /// Of what is being written.
    pub(crate) fn writing(&self) -> &Writing {
        self.inner.file.writing()
    }

    /// Finds out whether a register in trouble can be written again: callers may be rare, and
    /// whoever watches should not have to wait for one. Blocks on the disk while there is trouble,
    /// and else does nothing.
    pub fn look(&self) {
        if self.inner.file.trouble().is_none() {
            return;
        }
        let _one = self.inner.lock();
        // What stands there already; a failure is kept by the file.
        let _ = self.inner.file.write(|write| {
            let mut meta = write.open_table(META)?;
            let next = meta.get("next")?.map_or(1, |n| n.value());
            meta.insert("next", next)?;
            Ok(())
        });
    }
}

impl Inner {
    /// One durable change, which whoever decides sees from here on. The table is opened at once, for
    /// who decides while the next change waits for the disk: redb may open none then.
    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let written = self.file.write(work);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = None;
        // Else whoever needs it opens it.
        let _ = (self.file).read_of(|database, of| self.opened(database, of).map(drop));
        written
    }

    fn opened(&self, database: &Database, generation: u64) -> Result<Arc<Table>, redb::Error> {
        let of_this = |known: &Option<(u64, Arc<Table>)>| {
            let (of, table) = known.as_ref()?;
            (*of == generation).then(|| Arc::clone(table))
        };
        let known = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = of_this(&known) {
            return Ok(table);
        }
        drop(known);
        // Opened and kept in one: else what a change has put away could come back.
        let mut known = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = of_this(&known) {
            return Ok(table);
        }
        *known = None;
        let table = Arc::new(database.begin_read()?.open_table(CONSENTS)?);
        *known = Some((generation, Arc::clone(&table)));
        Ok(table)
    }

    fn note(&self, key: &SubjectKey) {
        let (word, bit) = place(key);
        if let Some(word) = self.known.get(word) {
            word.fetch_or(bit, Ordering::Release);
        }
        self.any.store(true, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys are hashes already: any of their bits will do.
fn place(key: &SubjectKey) -> (usize, u64) {
    let [a, b, c, d, ..] = key.to_bytes();
    let hash = u32::from_le_bytes([a, b, c, d]);
    let word = usize::try_from(hash >> 6).unwrap_or(0) % WORDS;
    (word, 1 << (hash & 63))
}

impl std::fmt::Debug for Consents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consents").finish_non_exhaustive()
    }
}
