//! Distinct people by tally: one legal counter, of one exporter, towards one recipient where the
//! law counts by recipient.
//!
//! A person is counted three ways: *held* (in memory; a decision is being taken on it), *standing*
//! (the ledger entry that permitted is durable), *stored* (in the file, written in batches by a
//! thread of its own). After a crash the journal replays what stood but was not stored: an entry's
//! profile names the tallies that it feeds, so that the replay needs no policy.
//!
//! For each person and tally the file keeps the last time alone, to the quarter of an hour, which
//! every legal midnight falls on. Whoever was last counted at or after the window's start is in
//! the window: that serves calendar years and rolling windows alike, and a replay changes nothing.
//!
//! At an edge: whoever asks holds its person first and reads the counts then. Of two people who
//! compete for the last place at least one sees the other; a refusal lets go.

mod name;
mod store;
mod tally;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;

use super::{StateError, open_file};
use crate::{
    disk::{
        Healing, Writing,
        backlog::{self, Backlog, Stores, Storing},
        create_private_folder,
    },
    domain::SubjectKey,
};

pub use name::TallyName;
pub use tally::{CountGuard, Tally};

use store::Store;
use tally::Quarter;

/// The counters of one router. Cheap to clone.
#[derive(Clone)]
pub struct Counters {
    inner: Arc<Inner>,
    /// Ends the storing thread when the last handle goes.
    _storing: Arc<Storing<Inner>>,
}

struct Inner {
    store: Arc<Store>,
    backlog: Backlog<Change>,
    tallies: RwLock<HashMap<Arc<str>, Arc<Tally>>>,
    applied: AtomicU64,
    /// A durable entry could not be counted: memory no longer knows every person. Fail closed.
    broken: AtomicBool,
}

/// One person counted by one entry; `None`: only the entry's number is to be remembered.
struct Change {
    seq: u64,
    of: Option<(Arc<Tally>, SubjectKey, Quarter)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountersStatus {
    /// Changes that stand in the ledger and wait to be stored.
    pub waiting: usize,
    /// All entries up to this number are stored.
    pub applied: u64,
    /// The last failure to store, until storing succeeds again; or that the disk hangs.
    pub error: Option<String>,
}

impl Counters {
    const FILE: &'static str = "counters.redb";

    /// Opens or creates the counters in the folder `path`. Blocks.
    ///
    /// # Errors
    /// [`StateError::InUse`] while another process has them open.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        create_private_folder(path).map_err(StateError::Io)?;
        Self::with(open_file(&path.join(Self::FILE), store::TELLS)?)
    }

    fn with(file: Healing) -> Result<Self, StateError> {
        let (store, found) = Store::with(file)?;
        let store = Arc::new(store);
        let mut tallies = HashMap::new();
        for (name, id, times) in found {
            let name: Arc<str> = name.into();
            let tally = Tally::new(Arc::clone(&name), id, Arc::clone(&store), times);
            tallies.insert(name, Arc::new(tally));
        }
        let inner = Arc::new(Inner {
            store,
            backlog: Backlog::default(),
            tallies: RwLock::new(tallies),
            applied: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        });
        let storing = Storing::start("counters", Arc::clone(&inner)).map_err(StateError::Io)?;
        Ok(Self {
            inner,
            _storing: Arc::new(storing),
        })
    }

    /// The tally of this name, made when it is new. Takes a lock: keep what it gives.
    pub fn tally(&self, name: &TallyName) -> Arc<Tally> {
        self.inner.tally(name.as_str())
    }

    /// Holds a person for a decision under way.
    ///
    /// # Errors
    /// [`StateError::Behind`] while too many people wait to be stored, [`StateError::Broken`]
    /// when memory has missed somebody.
    pub fn hold(&self, tally: &Arc<Tally>, key: SubjectKey) -> Result<CountGuard, StateError> {
        self.inner.refuse_if_broken()?;
        let waiting = self.inner.backlog.len();
        if waiting > Backlog::<Change>::LIMIT {
            return Err(StateError::Behind { waiting });
        }
        CountGuard::new(Arc::clone(tally), key)
    }

    /// Every tally with the people in its window from `since` on; people of decisions under way
    /// are not among them.
    pub fn totals(&self, since: impl Fn(&str) -> Option<Timestamp>) -> Vec<(Arc<str>, u64)> {
        let tallies = self
            .inner
            .tallies
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let total = |(name, tally): (&Arc<str>, &Arc<Tally>)| {
            Some((Arc::clone(name), tally.standing(since(name)?)))
        };
        tallies.iter().filter_map(total).collect()
    }

    pub fn status(&self) -> CountersStatus {
        CountersStatus {
            waiting: self.inner.backlog.len(),
            applied: self.inner.applied.load(Ordering::Relaxed),
            error: match self.inner.refuse_if_broken() {
                Ok(()) => (self.inner.backlog.error()).or_else(|| self.writing().hang()),
                Err(broken) => Some(broken.to_string()),
            },
        }
    }

    /// Of what is being stored.
    pub(crate) fn writing(&self) -> &Writing {
        self.inner.store.writing()
    }

    /// Blocks until everybody who stands is stored.
    ///
    /// # Errors
    /// What the storing failed with; the ledger keeps what is missing.
    pub fn flush(&self) -> Result<(), StateError> {
        backlog::flush(&*self.inner)
    }

    /// Binds the counters to a ledger and says up to which entry they are stored here.
    pub(crate) fn attach(&self, ledger: [u8; 16], last: u64) -> Result<u64, StateError> {
        let applied = self.inner.store.attach(ledger, last)?;
        self.inner.applied.store(applied, Ordering::Relaxed);
        Ok(applied)
    }

    /// Counts the person of a durable ledger entry in the tallies that its profile names. Called
    /// in the order of the entries; harmless when repeated.
    pub(crate) fn apply(
        &self,
        seq: u64,
        key: SubjectKey,
        at: Timestamp,
        tallies: &[Arc<str>],
    ) -> Result<(), StateError> {
        self.inner.refuse_if_broken()?;
        let mut changes = Vec::with_capacity(tallies.len());
        for name in tallies {
            let tally = self.inner.tally(name);
            let counted = tally.count(seq, key, at).inspect_err(|error| {
                tracing::error!(%error, "a person who stands in the ledger cannot be counted: no flow that counts is served before a restart");
                self.inner.broken.store(true, Ordering::Release);
            })?;
            changes.extend(counted.map(|time| Change {
                seq,
                of: Some((tally, key, time)),
            }));
        }
        self.inner.backlog.push(changes);
        Ok(())
    }

    /// Notes that the ledger counts nobody up to `seq` who was not applied.
    pub(crate) fn mark(&self, seq: u64) {
        self.inner.backlog.push([Change { seq, of: None }]);
    }

    /// Changes that wait to be stored.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.backlog.len()
    }
}

impl Inner {
    fn refuse_if_broken(&self) -> Result<(), StateError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(StateError::Broken);
        }
        Ok(())
    }

    fn tally(&self, name: &str) -> Arc<Tally> {
        let known = self.tallies.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = known.get(name) {
            return Arc::clone(tally);
        }
        drop(known);
        let mut tallies = self.tallies.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.get(name) {
            return Arc::clone(tally);
        }
        // Ids of tallies that were never stored are given again after a restart.
        let id = tallies.values().map(|t| t.id + 1).max().unwrap_or(0);
        let name: Arc<str> = name.into();
        let store = Arc::clone(&self.store);
        let tally = Arc::new(Tally::new(Arc::clone(&name), id, store, Vec::new()));
        tallies.insert(name, Arc::clone(&tally));
        tally
    }
}

impl Stores for Inner {
    type Change = Change;
    type Error = StateError;

    fn backlog(&self) -> &Backlog<Change> {
        &self.backlog
    }

    fn store(&self, batch: &[Change]) -> Result<(), StateError> {
        self.refuse_if_broken()?;
        self.store.write(batch)?;
        for change in batch {
            if let Some((tally, key, _)) = &change.of {
                tally.stored(change.seq, key);
            }
        }
        if let Some(last) = batch.last() {
            self.applied.fetch_max(last.seq, Ordering::Relaxed);
        }
        Ok(())
    }

    fn gone() -> StateError {
        StateError::Broken
    }

    fn is_told(error: &StateError) -> bool {
        error.is_told()
    }

    fn tell(error: &StateError) {
        tracing::error!(%error, "counts cannot be stored; they stay in memory and in the ledger");
    }
}

impl backlog::Change for Change {
    fn is_one_with(&self, next: &Self) -> bool {
        self.seq == next.seq
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}
