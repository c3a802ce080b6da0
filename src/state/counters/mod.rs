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
mod storing;
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
use crate::{attest::create_private_folder, disk::Healing, domain::SubjectKey};

pub use name::TallyName;
pub use tally::{Hold, Tally};

use store::Store;
use storing::{Backlog, Change, Storing};

/// The counters of one router. Cheap to clone.
#[derive(Clone)]
pub struct Counters {
    inner: Arc<Inner>,
    /// Ends the storing thread when the last handle goes.
    _storing: Arc<Storing>,
}

struct Inner {
    store: Arc<Store>,
    backlog: Backlog,
    tallies: RwLock<HashMap<Arc<str>, Arc<Tally>>>,
    applied: AtomicU64,
    /// A durable entry could not be counted: memory no longer knows every person. Fail closed.
    broken: AtomicBool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountersStatus {
    /// Changes that stand in the ledger and wait to be stored.
    pub waiting: usize,
    /// All entries up to this number are stored.
    pub applied: u64,
    /// The last failure to store, until storing succeeds again.
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
        let writer = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("counters".into())
            .spawn(move || writer.store_until_closed())
            .map_err(StateError::Io)?;
        Ok(Self {
            _storing: Arc::new(Storing::new(Arc::clone(&inner), thread)),
            inner,
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
    pub fn hold(&self, tally: &Arc<Tally>, key: SubjectKey) -> Result<Hold, StateError> {
        self.inner.refuse_if_broken()?;
        let waiting = self.inner.backlog.len();
        if waiting > Backlog::LIMIT {
            return Err(StateError::Behind { waiting });
        }
        Hold::new(Arc::clone(tally), key)
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
                Ok(()) => self.inner.backlog.error(),
                Err(broken) => Some(broken.to_string()),
            },
        }
    }

    /// Blocks until everybody who stands is stored.
    ///
    /// # Errors
    /// What the storing failed with; the ledger keeps what is missing.
    pub fn flush(&self) -> Result<(), StateError> {
        while let Some(batch) = self.inner.backlog.take_now() {
            self.inner.store_batch(batch)?;
        }
        Ok(())
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
        self.inner.backlog.push_all(changes);
        Ok(())
    }

    /// Notes that the ledger counts nobody up to `seq` who was not applied.
    pub(crate) fn mark(&self, seq: u64) {
        self.inner.backlog.push_all(vec![Change { seq, of: None }]);
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

    fn store_until_closed(&self) {
        let mut told = None;
        while let Some(batch) = self.backlog.take() {
            let Err(error) = self.store_batch(batch) else {
                told = None;
                continue;
            };
            if !error.is_told() && told.replace(error.to_string()).is_none() {
                tracing::error!(%error, "counts cannot be stored; they stay in memory and in the ledger");
            }
            self.backlog.pause();
        }
    }

    fn store_batch(&self, batch: Vec<Change>) -> Result<(), StateError> {
        let written = self
            .refuse_if_broken()
            .and_then(|()| self.store.write(&batch));
        if let Err(error) = written {
            self.backlog.give_back(batch, error.to_string());
            return Err(error);
        }
        for (seq, (tally, key, _)) in batch
            .iter()
            .filter_map(|c| c.of.as_ref().map(|of| (c.seq, of)))
        {
            tally.stored(seq, key);
        }
        if let Some(last) = batch.last() {
            self.applied.fetch_max(last.seq, Ordering::Relaxed);
        }
        self.backlog.stored();
        Ok(())
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}
