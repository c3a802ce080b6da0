//! The directory's file, and the queue of what is to be written into it.

use std::{
    collections::VecDeque,
    fs::File,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};
use smallvec::SmallVec;

use super::{DirectoryError, Pin};
use crate::{
    attest::create_private_folder,
    disk::{Healing, Words},
    domain::SubjectKey,
};

/// Subject key → pin.
const PINS: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("pins");
/// `ledger`: the id of the ledger that was replayed; `applied`: up to which entry, little-endian;
/// `secret`: the fingerprint of the secret that made the keys.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FILE: &str = "pins.redb";

const TELLS: Words = Words {
    begun: "the directory's file cannot be used; what is to be stored stays in memory and in the ledger",
    over: "the directory's file can be written again",
};

pub(super) struct Store {
    /// As of the last write, and of which opening of the file: to open it takes longer than to
    /// look a subject up.
    pins: RwLock<Option<(u64, Arc<Pins>)>>,
    file: Healing,
    /// Pins in the file, when it last could be read.
    count: AtomicU64,
}

type Pins = ReadOnlyTable<[u8; 16], &'static [u8]>;

/// What stands after one ledger entry, or after the mark that followed it.
pub(super) struct Change {
    /// The entry's number, and whether it is a mark.
    pub at: (u64, bool),
    /// The subject and its pin, if any is left; `None`: only the number is to be remembered.
    pub of: Option<(SubjectKey, Option<Pin>)>,
}

impl Store {
    pub fn open(folder: &Path) -> Result<Self, DirectoryError> {
        create_private_folder(folder).map_err(DirectoryError::Io)?;
        let file = folder.join(FILE);
        let opened = Healing::open(&file, 64 << 20, TELLS).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => DirectoryError::InUse(file),
            other => other.into(),
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
            write.open_table(PINS)?;
            write.open_table(META)?;
            Ok(())
        })?;
        Ok(Self {
            pins: RwLock::default(),
            file,
            count: AtomicU64::new(0),
        })
    }

    pub fn get(&self, key: &SubjectKey) -> Result<Option<Pin>, DirectoryError> {
        let found = self.file.read_of(|database, generation| {
            let pins = self.opened(database, generation)?;
            Ok(pins.get(key.to_bytes())?.map(|value| decode(value.value())))
        })?;
        match found {
            None => Ok(None),
            Some(pin) => pin.map(Some).ok_or(DirectoryError::Damaged),
        }
    }

    fn opened(&self, database: &Database, generation: u64) -> Result<Arc<Pins>, redb::Error> {
        let of_this = |known: &Option<(u64, Arc<Pins>)>| {
            let (of, pins) = known.as_ref()?;
            (*of == generation).then(|| Arc::clone(pins))
        };
        let known = self.pins.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(pins) = of_this(&known) {
            return Ok(pins);
        }
        drop(known);
        // Opened and kept in one: else what `forget` has put away could come back.
        let mut known = self.pins.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pins) = of_this(&known) {
            return Ok(pins);
        }
        *known = None;
        let pins = Arc::new(database.begin_read()?.open_table(PINS)?);
        *known = Some((generation, Arc::clone(&pins)));
        Ok(pins)
    }

    /// Follows each commit: what was written is seen from here on.
    fn forget(&self) {
        *self.pins.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Pins in the file, or as many as there were when it last could be read.
    pub fn count(&self) -> u64 {
        match self.file.read(|read| Ok(read.open_table(PINS)?.len()?)) {
            Ok(count) => {
                self.count.store(count, Ordering::Relaxed);
                count
            }
            Err(_) => self.count.load(Ordering::Relaxed),
        }
    }

    /// Writes the last of each subject's changes in one durable transaction; with it, everything up
    /// to entry `applied` is stored.
    pub fn write(&self, changes: &[Change], applied: u64) -> Result<(), DirectoryError> {
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
            let mut pins = write.open_table(PINS)?;
            let mut bytes = Vec::with_capacity(64);
            for (key, pin) in &last {
                match pin {
                    None => {
                        pins.remove(key.to_bytes())?;
                    }
                    Some(pin) => {
                        encode(pin, &mut bytes);
                        pins.insert(key.to_bytes(), bytes.as_slice())?;
                    }
                }
            }
            write
                .open_table(META)?
                .insert("applied", applied.to_le_bytes().as_slice())?;
            Ok(())
        });
        self.forget();
        Ok(written?)
    }

    pub fn import<'a>(
        &self,
        new: impl Iterator<Item = (SubjectKey, &'a Pin)>,
    ) -> Result<(), DirectoryError> {
        let written = self.file.write(|write| {
            let mut pins = write.open_table(PINS)?;
            let mut bytes = Vec::with_capacity(64);
            for (key, pin) in new {
                encode(pin, &mut bytes);
                pins.insert(key.to_bytes(), bytes.as_slice())?;
            }
            Ok(())
        });
        self.forget();
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
        Ok(self.file.read(|read| {
            let meta = read.open_table(META)?;
            let same = meta.get("ledger")?.is_some_and(|id| id.value() == ledger);
            let applied = meta.get("applied")?.and_then(|n| n.value().try_into().ok());
            Ok(applied.filter(|_| same).map_or(0, u64::from_le_bytes))
        })?)
    }

    /// See [`super::Directory::attach`].
    pub fn attach(&self, ledger: [u8; 16], last: u64) -> Result<u64, DirectoryError> {
        Ok(self.file.write(|write| {
            let mut meta = write.open_table(META)?;
            let same = meta.get("ledger")?.is_some_and(|id| id.value() == ledger);
            let stored = meta
                .get("applied")?
                .and_then(|n| n.value().try_into().ok())
                .map_or(0, u64::from_le_bytes);
            let applied = if same { stored.min(last) } else { 0 };
            if !same && stored > 0 {
                tracing::warn!(
                    entries = stored,
                    "the directory was used with another ledger until now; if that was not put aside on purpose, stop and restore it"
                );
            }
            meta.insert("ledger", ledger.as_slice())?;
            meta.insert("applied", applied.to_le_bytes().as_slice())?;
            Ok(applied)
        })?)
    }
}

/// A pin whose home has taken a record; before there was a mark, every pin counted as one.
const STORED: u8 = 1;
/// A pin whose home was only claimed.
const CLAIMED: u8 = 2;

/// [`STORED`] or [`CLAIMED`], then home, countries, copies: counts and lengths in one byte each.
fn encode(pin: &Pin, out: &mut Vec<u8>) {
    let text = |out: &mut Vec<u8>, text: &str| {
        // Region names are bounded by the settings far below 255 bytes.
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        out.push(length);
        out.extend(text.bytes().take(usize::from(length)));
    };
    out.clear();
    out.push(if pin.stored { STORED } else { CLAIMED });
    text(out, &pin.region);
    out.push(u8::try_from(pin.countries.len()).unwrap_or(u8::MAX));
    for country in pin.countries.iter().take(usize::from(u8::MAX)) {
        text(out, &country.to_string());
    }
    out.push(u8::try_from(pin.held_in.len()).unwrap_or(u8::MAX));
    for region in pin.held_in.iter().take(usize::from(u8::MAX)) {
        text(out, region);
    }
}

fn decode(bytes: &[u8]) -> Option<Pin> {
    fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
        let (length, after) = rest.split_first()?;
        let (text, after) = after.split_at_checked(usize::from(*length))?;
        *rest = after;
        std::str::from_utf8(text).ok()
    }
    let (kind, mut rest) = bytes.split_first().map(|(kind, rest)| (*kind, rest))?;
    let stored = match kind {
        STORED => true,
        CLAIMED => false,
        _ => return None,
    };
    let region = text(&mut rest)?.into();
    let (count, after) = rest.split_first()?;
    rest = after;
    let countries = (0..*count)
        .map(|_| text(&mut rest)?.parse().ok())
        .collect::<Option<SmallVec<_>>>()?;
    let (count, after) = rest.split_first()?;
    rest = after;
    let held_in = (0..*count)
        .map(|_| text(&mut rest).map(Into::into))
        .collect::<Option<SmallVec<_>>>()?;
    rest.is_empty().then_some(Pin {
        region,
        countries,
        held_in,
        stored,
    })
}

/// Changes that stand and wait to be stored.
#[derive(Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    changes: VecDeque<Change>,
    /// Taken and not yet stored.
    in_hand: usize,
    closed: bool,
    error: Option<String>,
}

impl Backlog {
    /// Beyond so many, new subjects are turned away (about 100 MB of memory).
    pub const LIMIT: usize = 500_000;
    /// One transaction's changes: enough to pay its fsync, little enough to stay short.
    const BATCH: usize = 20_000;
    /// How long changes may gather. What is not stored when the process dies is replayed from the ledger.
    const GATHER: Duration = Duration::from_secs(1);
    /// How long a failed disk is left alone: each try closes the file and opens it again.
    const PAUSE: Duration = Duration::from_secs(1);

    pub fn push(&self, change: Change) {
        let mut state = self.lock();
        state.changes.push_back(change);
        if matches!(state.changes.len(), 1 | Self::BATCH) {
            self.wake.notify_all();
        }
    }

    pub fn len(&self) -> usize {
        let state = self.lock();
        state.changes.len() + state.in_hand
    }

    pub fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    /// The next batch, after letting changes gather; `None` when closed and empty, or when closed
    /// and the disk fails.
    pub fn take(&self) -> Option<Vec<Change>> {
        let mut state = self.lock();
        loop {
            if state.closed && (state.changes.is_empty() || state.error.is_some()) {
                return None;
            }
            if !state.changes.is_empty() && state.in_hand == 0 {
                break;
            }
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !state.closed && state.changes.len() < Self::BATCH {
            let full = |s: &mut State| !s.closed && s.changes.len() < Self::BATCH;
            (state, _) = self
                .wake
                .wait_timeout_while(state, Self::GATHER, full)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // While changes gathered somebody may have flushed: two batches at once could be stored in
        // the wrong order.
        let mut state = self.idle(state);
        Some(Self::cut(&mut state))
    }

    /// The next batch at once; `None` when there is none. Waits while another is being stored.
    pub fn take_now(&self) -> Option<Vec<Change>> {
        let mut state = self.idle(self.lock());
        (!state.changes.is_empty()).then(|| Self::cut(&mut state))
    }

    /// Waits until nothing is being stored.
    fn idle<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.wake
            .wait_while(state, |s| s.in_hand > 0)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(state: &mut State) -> Vec<Change> {
        let count = state.changes.len().min(Self::BATCH);
        state.in_hand = count;
        state.changes.drain(..count).collect()
    }

    pub fn stored(&self) {
        let mut state = self.lock();
        state.in_hand = 0;
        state.error = None;
        self.wake.notify_all();
    }

    /// The storing thread is gone: what waits stays, and nobody waits for what it had in hand.
    pub fn fail(&self, error: &str) {
        let mut state = self.lock();
        state.in_hand = 0;
        state.error = Some(error.to_owned());
        self.wake.notify_all();
    }

    pub fn give_back(&self, batch: Vec<Change>, error: String) {
        let mut state = self.lock();
        state.in_hand = 0;
        for change in batch.into_iter().rev() {
            state.changes.push_front(change);
        }
        state.error = Some(error);
        self.wake.notify_all();
    }

    /// Leaves a failed disk alone for a while.
    pub fn pause(&self) {
        let state = self.lock();
        let _ = self
            .wake
            .wait_timeout_while(state, Self::PAUSE, |s| !s.closed);
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Two batches that are stored at once may be stored in the wrong order.
    #[test]
    fn while_one_batch_is_stored_no_other_is_taken() {
        let backlog = Arc::new(Backlog::default());
        let change = |seq| Change {
            at: (seq, false),
            of: None,
        };
        backlog.push(change(1));
        let (tell, told) = mpsc::channel();
        let gathers = Arc::clone(&backlog);
        let thread = std::thread::spawn(move || tell.send(gathers.take().unwrap().len()));
        // Somebody flushes while it gathers, or before.
        let first = backlog.take_now();
        backlog.push(change(2));
        if first.is_some_and(|batch| batch.len() == 1) {
            let twice = Backlog::GATHER * 2;
            assert!(told.recv_timeout(twice).is_err(), "taken beside the first");
            backlog.stored();
        }
        assert_eq!(told.recv(), Ok(1));
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_whole_batch_is_not_waited_for() {
        let backlog = Backlog::default();
        for seq in 0..=Backlog::BATCH as u64 {
            backlog.push(Change {
                at: (seq, false),
                of: None,
            });
        }
        assert_eq!(backlog.take().unwrap().len(), Backlog::BATCH);
    }
}
