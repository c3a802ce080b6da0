use std::{
    hash::BuildHasherDefault,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use super::{
    Claim, Claimed, ImportReport, Pin, PinChange, SubjectHasher,
    cache::KeyHasher,
    store::{At, Change, Store},
};
use crate::{
    disk::{
        CannotOpen, Writing,
        backlog::{self, Backlog, Stores, Storing},
        is_io,
    },
    domain::SubjectKey,
};

type Map<V> = std::collections::HashMap<SubjectKey, V, BuildHasherDefault<KeyHasher>>;

/// The embedded directory: subject to home region.
///
/// A pin goes three ways: *claimed* (in memory; nobody acts on it), *standing* (its ledger entry is
/// durable; [`Directory::lookup`] sees it), *stored* (in the directory's file, written in batches
/// by a thread of its own). After a crash the journal replays what stood but was not stored.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
    /// Ends the storing thread when the last handle goes; claims hold `inner` alone.
    _storing: Arc<Storing<Inner>>,
}

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(
        "the directory `{0}` is in use by another process: stop that router or choose another path"
    )]
    InUse(std::path::PathBuf),
    #[error(transparent)]
    CannotOpen(CannotOpen),
    #[error("the directory's file cannot be used: {0}")]
    Store(#[source] Box<redb::Error>),
    #[error("the directory's folder cannot be used: {0}")]
    Io(#[source] std::io::Error),
    #[error("the directory's file holds a pin that cannot be read: restore it from a backup")]
    Damaged,
    #[error(
        "a pin that stands in the ledger could not be applied: restart, so that it is replayed"
    )]
    Broken,
    #[error("the directory cannot keep up: {waiting} pins wait to be stored")]
    Behind { waiting: usize },
}

impl<E: Into<redb::Error>> From<E> for DirectoryError {
    fn from(error: E) -> Self {
        Self::Store(Box::new(error.into()))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryStatus {
    /// Pins in the file, when it last could be read.
    pub pins: u64,
    /// Pins that stand in the ledger and wait to be stored.
    pub waiting: usize,
    /// All changes of ledger entries up to this number are stored.
    pub applied: u64,
    /// The last failure to store, until storing succeeds again; or that the disk hangs.
    pub error: Option<String>,
}

impl Directory {
    /// Opens or creates the directory in the folder `path`.
    ///
    /// # Errors
    /// [`DirectoryError::InUse`] while another process has it open.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        Self::with(Store::open(path)?)
    }

    pub(super) fn with(store: Store) -> Result<Self, DirectoryError> {
        let inner = Arc::new(Inner::new(store));
        let storing =
            Storing::start("directory", Arc::clone(&inner)).map_err(DirectoryError::Io)?;
        Ok(Self {
            inner,
            _storing: Arc::new(storing),
        })
    }

    /// The durable pin of a subject. Takes a lock and reads the file: workers ask their
    /// [`PinCache`](super::PinCache) instead.
    pub fn lookup(&self, key: &SubjectKey) -> Result<Option<Arc<Pin>>, DirectoryError> {
        self.inner.standing(key)
    }

    /// Asks for a first home. Waits for nobody; see [`Claim`] for what to do with the answer.
    ///
    /// # Errors
    /// [`DirectoryError::Behind`] while too many pins wait to be stored.
    pub fn claim(&self, key: SubjectKey, pin: Pin) -> Result<Claim, DirectoryError> {
        self.claim_since(key, pin, None)
    }

    /// As [`Directory::claim`]. `absent`: the [`Directory::births`] before a look that found no pin.
    pub(super) fn claim_since(
        &self,
        key: SubjectKey,
        pin: Pin,
        absent: Option<u32>,
    ) -> Result<Claim, DirectoryError> {
        self.inner.has_room()?;
        Inner::claim(&self.inner, key, Arc::new(pin), absent)
    }

    /// For whoever asks whether further pins may change.
    pub(crate) fn room(&self) -> Room {
        Room(Arc::downgrade(&self.inner))
    }

    /// Stores the pins of subjects that have none, durably, chunk by chunk. A standing pin is
    /// never changed: the first writer has won.
    pub fn import(
        &self,
        pins: impl IntoIterator<Item = (SubjectKey, Pin)>,
    ) -> Result<ImportReport, DirectoryError> {
        let mut report = ImportReport::default();
        let mut pins = pins.into_iter().peekable();
        while pins.peek().is_some() {
            let mut won = Vec::new();
            let mut seen = 0;
            for (key, pin) in pins.by_ref().take(CHUNK) {
                seen += 1;
                let pin = Arc::new(pin);
                match Inner::claim(&self.inner, key, Arc::clone(&pin), None)? {
                    Claim::Won(claimed) => won.push(claimed),
                    Claim::Held(held) if held.region == pin.region => report.standing += 1,
                    Claim::Held(_) | Claim::Contested(..) => report.elsewhere += 1,
                }
            }
            // An id that comes twice in one chunk wins twice, and counts once.
            won.sort_by_key(Claimed::key);
            let before = won.len();
            won.dedup_by_key(|claimed| claimed.key());
            report.standing += before - won.len();
            self.inner
                .store
                .import(won.iter().map(|c| (c.key(), c.pin())))?;
            // Before the claims are let go.
            won.iter()
                .for_each(|claimed| self.inner.born(&claimed.key()));
            report.added += won.len();
            report.read += seen;
        }
        Ok(report)
    }

    pub fn status(&self) -> DirectoryStatus {
        DirectoryStatus {
            pins: self.inner.store.count(),
            waiting: self.inner.backlog.len(),
            applied: self.inner.applied.load(Ordering::Relaxed),
            error: match self.inner.refuse_if_broken() {
                Err(broken) => Some(broken.to_string()),
                Ok(()) => (self.inner.backlog.error()).or_else(|| self.writing().hang()),
            },
        }
    }

    /// Of what is being stored.
    pub(crate) fn writing(&self) -> &Writing {
        self.inner.store.writing()
    }

    /// Blocks until every standing pin is stored.
    ///
    /// # Errors
    /// What the storing failed with; the pins stay safe in the ledger.
    pub fn flush(&self) -> Result<(), DirectoryError> {
        backlog::flush(&*self.inner)
    }

    /// Binds the directory to the secret under which its keys are made, at the first call; later
    /// says whether this is the same one. Under another, no subject would find its pin.
    pub fn binds(&self, hasher: &SubjectHasher) -> Result<bool, DirectoryError> {
        self.inner.store.binds(hasher.fingerprint())
    }

    /// Binds the directory to a ledger and says up to which entry its changes are stored here.
    ///
    /// With another ledger than last time, or with one that lost entries, counting starts again at
    /// what is common: replaying is harmless, since every change may be applied twice.
    pub(crate) fn attach(&self, ledger: [u8; 16], last: u64) -> Result<u64, DirectoryError> {
        let applied = self.inner.store.attach(ledger, last)?;
        self.inner.applied.store(applied, Ordering::Relaxed);
        Ok(applied)
    }

    /// Up to which entry of `ledger` this directory knows that entries were durable; 0 of another.
    pub(crate) fn seen(&self, ledger: [u8; 16]) -> Result<u64, DirectoryError> {
        self.inner.store.seen(ledger)
    }

    /// Lets a durable ledger entry's change stand. Called in the order of the entries.
    pub(crate) fn apply(
        &self,
        seq: u64,
        key: SubjectKey,
        change: &PinChange,
    ) -> Result<(), DirectoryError> {
        self.inner.apply(seq, key, change)
    }

    /// Notes that `region`, if it is the subject's home, has taken a record: in memory at once, in
    /// the file with the next batch. It has no ledger entry of its own, since the outcome of the record's says it: a
    /// start replays that with the claim. What is lost all the same is noted again at the next
    /// record; until then the home does not count as holding one.
    pub fn mark_stored(&self, key: SubjectKey, region: &str) -> Result<(), DirectoryError> {
        self.inner.mark_stored(key, region)
    }

    /// Notes that the ledger has no change of a pin up to `seq` that was not applied, so that the
    /// next start need not look for one.
    pub(crate) fn mark(&self, seq: u64) {
        let at = (seq, false);
        self.inner.backlog.push([Change { at, of: None }]);
    }

    /// Changes that wait to be stored.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.backlog.len()
    }

    #[cfg(test)]
    pub(crate) fn break_storing_for_tests(&self) {
        self._storing.dies_for_tests();
    }

    /// Changes whenever a standing pin among the subjects that share `key`'s slot changed.
    pub fn epoch(&self, key: &SubjectKey) -> u32 {
        self.inner.epoch(key).load(Ordering::Acquire)
    }

    /// Changes whenever a pin ends, whoever's.
    pub fn ended(&self) -> u64 {
        self.inner.ended.load(Ordering::SeqCst)
    }

    /// Changes whenever a subject that shares `key`'s slot may have got a pin that had none.
    pub(super) fn births(&self, key: &SubjectKey) -> u32 {
        self.inner.births(key).load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

/// Whether further pins may change. Does not keep the directory open.
#[derive(Clone, Debug)]
pub(crate) struct Room(Weak<Inner>);

impl Room {
    /// # Errors
    /// [`DirectoryError::Behind`] while too many pins wait to be stored.
    pub fn check(&self) -> Result<(), DirectoryError> {
        self.0.upgrade().map_or(Ok(()), |inner| inner.has_room())
    }
}

/// Pins imported in one transaction.
const CHUNK: usize = 20_000;
const SHARDS: usize = 64;
const EPOCHS: usize = 1024;

pub(super) struct Inner {
    store: Store,
    backlog: Backlog<Change>,
    shards: [Mutex<Map<Slot>>; SHARDS],
    epochs: [AtomicU32; EPOCHS],
    births: [AtomicU32; EPOCHS],
    applied: AtomicU64,
    /// How many pins ended.
    ended: AtomicU64,
    /// A durable change could not be applied: memory no longer knows every pin. Fail closed.
    broken: AtomicBool,
}

/// What memory knows about a subject that the file does not yet.
#[derive(Default)]
struct Slot {
    /// After the entry of this number (and the mark that followed it) the pin stands so; `None`:
    /// it ended.
    standing: Option<(At, Option<Arc<Pin>>)>,
    /// The pin that is being claimed, and by how many.
    claimed: Option<(Arc<Pin>, u32)>,
    /// The file has no pin: a claim looked, and nothing was applied since.
    is_new: bool,
}

impl Inner {
    fn new(store: Store) -> Self {
        Self {
            store,
            backlog: Backlog::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            epochs: std::array::from_fn(|_| AtomicU32::new(0)),
            births: std::array::from_fn(|_| AtomicU32::new(0)),
            applied: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        }
    }

    fn refuse_if_broken(&self) -> Result<(), DirectoryError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(DirectoryError::Broken);
        }
        Ok(())
    }

    fn has_room(&self) -> Result<(), DirectoryError> {
        match self.backlog.len() {
            waiting if waiting > Backlog::<Change>::LIMIT => {
                Err(DirectoryError::Behind { waiting })
            }
            _ => Ok(()),
        }
    }

    fn standing(&self, key: &SubjectKey) -> Result<Option<Arc<Pin>>, DirectoryError> {
        self.refuse_if_broken()?;
        // The lock is let go before the file is read: a pin that is stored in between is found in
        // the file, because it leaves memory only afterwards.
        if let Some(slot) = self.shard(key).get(key)
            && let Some((_, pin)) = &slot.standing
        {
            return Ok(pin.clone());
        }
        self.store.get(key)
    }

    fn claim(
        inner: &Arc<Self>,
        key: SubjectKey,
        pin: Arc<Pin>,
        absent: Option<u32>,
    ) -> Result<Claim, DirectoryError> {
        inner.refuse_if_broken()?;
        // The lock is held over the look into the file, so that of two first claims one sees the
        // other.
        let mut shard = inner.shard(&key);
        let slot = shard.get(&key);
        let standing = match slot.and_then(|s| s.standing.as_ref()) {
            Some((_, pin)) => pin.clone(),
            // Nobody got a pin since there was none.
            None if absent == Some(inner.births(&key).load(Ordering::Acquire)) => None,
            None => inner.store.get(&key)?,
        };
        if let Some(held) = standing {
            return Ok(Claim::Held(held));
        }
        let slot = shard.entry(key).or_insert_with(|| Slot {
            is_new: true,
            ..Slot::default()
        });
        let (first, joined) = slot.claimed.get_or_insert_with(|| (Arc::clone(&pin), 0));
        *joined += 1;
        let first = first.clone();
        drop(shard);
        if first.region == pin.region {
            // What the first one evidenced may never stand, as when its batch is refused.
            return Ok(Claim::Won(Claimed::new(Arc::clone(inner), key, pin)));
        }
        let claimed = Claimed::new(Arc::clone(inner), key, first.clone());
        Ok(Claim::Contested(first, claimed))
    }

    pub(super) fn release(&self, key: SubjectKey) {
        let mut shard = self.shard(&key);
        if let Some(slot) = shard.get_mut(&key) {
            if let Some((_, joined)) = &mut slot.claimed {
                *joined -= 1;
                if *joined == 0 {
                    slot.claimed = None;
                }
            }
            if slot.claimed.is_none() && slot.standing.is_none() {
                shard.remove(&key);
            }
        }
    }

    fn apply(&self, seq: u64, key: SubjectKey, change: &PinChange) -> Result<(), DirectoryError> {
        // What workers remember of this subject may be wrong from here on.
        self.refuse_if_broken().inspect_err(|_| self.forget(&key))?;
        let mut shard = self.shard(&key);
        let slot = shard.get(&key);
        let before = match slot.and_then(|s| s.standing.as_ref()) {
            Some((_, pin)) => pin.clone(),
            None if slot.is_some_and(|s| s.is_new) => None,
            None => self.store.get(&key).inspect_err(|error| {
                tracing::error!(%error, "a pin that stands in the ledger cannot be applied: no new subject is served before a restart");
                self.broken.store(true, Ordering::Release);
                self.forget(&key);
            })?,
        };
        let after = Pin::after(before.clone(), change);
        if before.is_none() {
            self.born(&key);
        }
        if before == after {
            return Ok(());
        }
        let at = (seq, false);
        let slot = shard.entry(key).or_default();
        slot.is_new = false;
        slot.standing = Some((at, after.clone()));
        if before.is_some() {
            self.forget(&key);
        }
        if after.is_none() {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
        // Within the lock, so that changes of one subject queue in their order.
        self.backlog.push([Change {
            at,
            of: Some((key, after)),
        }]);
        Ok(())
    }

    fn mark_stored(&self, key: SubjectKey, region: &str) -> Result<(), DirectoryError> {
        self.refuse_if_broken()?;
        let mut shard = self.shard(&key);
        let slot = shard.get(&key);
        let (seq, pin) = match slot.and_then(|s| s.standing.as_ref()) {
            Some(((seq, _), pin)) => (*seq, pin.clone()),
            None => (0, self.store.get(&key)?),
        };
        let Some(pin) = pin.filter(|p| !p.stored && *p.region == *region) else {
            return Ok(());
        };
        let at = (seq, true);
        let marked = Some(Arc::new(Arc::unwrap_or_clone(pin).stored()));
        shard.entry(key).or_default().standing = Some((at, marked.clone()));
        self.forget(&key);
        let of = Some((key, marked));
        self.backlog.push([Change { at, of }]);
        Ok(())
    }

    fn shard(&self, key: &SubjectKey) -> MutexGuard<'_, Map<Slot>> {
        let [.., byte] = key.to_bytes();
        let index = usize::from(byte) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "a remainder of SHARDS is below it")]
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes workers ask anew.
    fn forget(&self, key: &SubjectKey) {
        self.epoch(key).fetch_add(1, Ordering::Release);
    }

    fn born(&self, key: &SubjectKey) {
        self.births(key).fetch_add(1, Ordering::Release);
    }

    fn epoch(&self, key: &SubjectKey) -> &AtomicU32 {
        Self::slot_of(&self.epochs, key)
    }

    fn births(&self, key: &SubjectKey) -> &AtomicU32 {
        Self::slot_of(&self.births, key)
    }

    fn slot_of<'a>(counts: &'a [AtomicU32; EPOCHS], key: &SubjectKey) -> &'a AtomicU32 {
        let [a, b, ..] = key.to_bytes();
        let index = usize::from(u16::from_le_bytes([a, b])) % EPOCHS;
        #[expect(clippy::indexing_slicing, reason = "a remainder of EPOCHS is below it")]
        &counts[index]
    }
}

impl Stores for Inner {
    type Change = Change;
    type Error = DirectoryError;

    fn backlog(&self) -> &Backlog<Change> {
        &self.backlog
    }

    fn store(&self, batch: &[Change]) -> Result<(), DirectoryError> {
        self.refuse_if_broken()?;
        // A mark alone has the number of an entry that may be stored already.
        let newest = batch.iter().map(|c| c.at.0).max().unwrap_or(0);
        let applied = newest.max(self.applied.load(Ordering::Relaxed));
        self.store.write(batch, applied)?;
        for (stored, key) in batch.iter().filter_map(|c| Some((c.at, c.of.as_ref()?.0))) {
            let mut shard = self.shard(&key);
            if let Some(slot) = shard.get_mut(&key) {
                slot.standing.take_if(|(at, _)| *at <= stored);
                if slot.claimed.is_none() && slot.standing.is_none() {
                    shard.remove(&key);
                }
            }
        }
        self.applied.fetch_max(applied, Ordering::Relaxed);
        Ok(())
    }

    fn gone() -> DirectoryError {
        DirectoryError::Broken
    }

    /// Of the disk the file itself tells the log.
    fn is_told(error: &DirectoryError) -> bool {
        matches!(error, DirectoryError::Store(error) if is_io(error))
    }

    fn tell(error: &DirectoryError) {
        tracing::error!(%error, "pins cannot be stored; they stay in memory and in the ledger");
    }
}
