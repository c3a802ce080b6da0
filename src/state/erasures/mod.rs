//! Open erasures: what was asked to be erased and is not known to be gone yet.
//!
//! A row stands for one record at one holder, from before the holder is first called until it has
//! confirmed, a newer write has overtaken the erasure, or the erasure was refused. Goals:
//!
//! 1. *No erasure is forgotten*: rows are in the log (see [`log`]) before anything is sent. After a
//!    restart those that are left are listed, for the caller to repeat: the ids went with the
//!    process, and rows hold keyed hashes alone.
//! 2. *No newer data is erased*: a write first holds the rows of its subject and region, so that no
//!    new try begins and one under way has ended; when its entry stands, it overtakes them.
//! 3. *Free for the rest*: while nothing is open a write looks at one atomic number, and nobody but who
//!    erases waits for the log's disk (see [`pen`]), for ten seconds at most.
//!
//! A write overtakes the erasures of its region whose path is its own, lies under it or above it:
//! `POST /people` may bring back what `DELETE /people/7` was to erase, `PUT /orders/8` cannot. One whose
//! query differs may be of another record: the erasure then stays, and is tried no more.

mod address;
mod displaced;
mod guards;
mod log;
mod pen;
mod row;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use super::StateError;
use crate::{
    disk::{PATIENCE, Writing, create_private_folder},
    domain::{DecisionId, SubjectKey},
};
pub use address::Address;
use address::Overtaken;
use guards::Noting;
pub use guards::{Ending, Room, Trying, WriteGuard};
use log::Log;
use pen::{Job, Pen, Writer};
use row::{Row, Stage};
use table::{Inner, State};

/// Rows at most, tries under way included; about 30 MB.
const MOST: usize = 100_000;
/// Bytes of requests that are kept to be tried again.
const KEPT: usize = 32 << 20;

/// The open erasures of one router. Cheap to clone.
#[derive(Clone)]
pub struct Erasures {
    inner: Arc<Inner>,
    /// Ends the writing thread when the last handle goes; guards hold `inner` alone.
    _writer: Arc<Writer>,
}

/// An erasure as it is asked for.
#[derive(Debug)]
pub struct NewErasure<'a> {
    pub subject: SubjectKey,
    pub address: &'a Arc<Address>,
    pub decision: DecisionId,
    pub route: Arc<str>,
    pub since: Timestamp,
    /// Whether the pin is to go with the data.
    pub ends_pin: bool,
}

/// Which row is meant, as long as no later request has taken its place.
#[derive(Clone, Debug)]
pub struct RowId {
    pub subject: SubjectKey,
    pub region: Arc<str>,
    pub record: SubjectKey,
    pub decision: DecisionId,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The holder does not have it (any more).
    Confirmed,
    /// To be tried again in the background.
    Open,
    /// Not to be tried again; `refused`: the rule that forbade it.
    Repeat { refused: Option<Arc<str>> },
    /// Nothing was sent, or the caller has the holder's own answer: what was open before is open again.
    Forgotten,
}

/// An open erasure, as the admin API lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenErasure {
    #[serde(serialize_with = "reveal")]
    pub subject: SubjectKey,
    pub route: Arc<str>,
    pub region: Arc<str>,
    pub since: Timestamp,
    pub decision: DecisionId,
    /// `retrying` or `repeat`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Arc<str>>,
}

fn reveal<S: Serializer>(key: &SubjectKey, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&key.reveal())
}

/// Whether another try may begin.
#[derive(Debug)]
pub enum Begun {
    Go(Trying),
    /// A write of the same subject is about to stand, its pin to end, or the caller to have repeated
    /// the request.
    Later,
    /// Closed, or taken over by another request.
    Gone,
}

impl Erasures {
    /// Opens or creates the log in the folder `path`; what it holds is to be repeated. Blocks.
    ///
    /// `is_pinned`: whether a subject still has a pin. An account whose pin is gone was erased
    /// whole, even if the log was not told so any more.
    ///
    /// # Errors
    /// [`StateError::Io`], or [`StateError::DamagedLog`] for a line before the last that cannot be
    /// read.
    pub fn open(
        path: &Path,
        mut is_pinned: impl FnMut(&SubjectKey) -> bool,
    ) -> Result<Self, StateError> {
        create_private_folder(path).map_err(StateError::Io)?;
        let (mut log, found) = Log::open(path)?;
        let is_open = |(subject, row): &(_, Row)| !row.ends_pin || is_pinned(subject);
        let open: Vec<_> = found.into_iter().filter(is_open).collect();
        log.rewrite(&open).map_err(StateError::Io)?;
        Self::with(log, open).map_err(StateError::Io)
    }

    fn with(log: Log, open: Vec<(SubjectKey, Row)>) -> io::Result<Self> {
        let pen = Arc::new(Pen::default());
        let writer = Writer::start(Arc::clone(&pen), log)?;
        let count = open.len();
        let mut rows: HashMap<SubjectKey, Vec<Row>> = HashMap::new();
        for (subject, row) in open {
            rows.entry(subject).or_default().push(row);
        }
        let inner = Inner {
            open: AtomicUsize::new(count),
            kept: AtomicUsize::new(0),
            state: Mutex::new(State {
                rows,
                trying: HashMap::new(),
                held: HashMap::new(),
                ending: HashSet::new(),
            }),
            pen,
            ended: Notify::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            _writer: Arc::new(writer),
        })
    }

    /// Writes an erasure into the log, before the first of its holders is called. Earlier rows of
    /// the same record there give way, unless it is [`Settled::Forgotten`]: the new request repeats them. Survives the process; see
    /// [`Erasures::sync`] for the machine.
    ///
    /// Cancel safe: dropped before it stands, it is as if it had not been asked for.
    ///
    /// # Errors
    /// [`StateError::ErasuresFull`], what the disk says, or [`StateError::Hangs`] after ten seconds;
    /// then nothing may be sent.
    pub async fn note(&self, new: &NewErasure<'_>, regions: &[Arc<str>]) -> Result<(), StateError> {
        let rows = regions.iter().map(|region| (new.subject, new.row(region)));
        self.note_rows(rows.collect()).await
    }

    /// As [`Erasures::note`] for many, each at one holder: all of them, or none. Cancel safe as that.
    ///
    /// # Errors
    /// As [`Erasures::note`].
    pub async fn note_all<'n>(
        &self,
        new: impl IntoIterator<Item = (NewErasure<'n>, Arc<str>)>,
    ) -> Result<(), StateError> {
        let rows = new.into_iter();
        let rows = rows.map(|(new, at)| (new.subject, new.row(&at)));
        self.note_rows(rows.collect()).await
    }

    /// Whether so many more can be noted at this moment, as far as is known without writing.
    ///
    /// # Errors
    /// As [`Erasures::note`].
    pub fn can_note(&self, rows: usize) -> Result<(), StateError> {
        self.check_disk()?;
        if let Some(trouble) = self.trouble() {
            return Err(StateError::Io(io::Error::other(trouble)));
        }
        self.has_room_for(rows)
    }

    /// Whether so many more can be noted at this moment.
    ///
    /// # Errors
    /// [`StateError::ErasuresFull`].
    fn has_room_for(&self, rows: usize) -> Result<(), StateError> {
        match self.inner.open.load(Ordering::SeqCst) + rows {
            sum if sum > MOST => Err(StateError::ErasuresFull(MOST)),
            _ => Ok(()),
        }
    }

    /// The rows are in the table from the moment that their lines are handed over, so that whatever
    /// becomes of them meanwhile is written after them.
    async fn note_rows(&self, fresh: Vec<(SubjectKey, Row)>) -> Result<(), StateError> {
        self.check_disk()?;
        let mut text = log::opened(&fresh).map_err(StateError::Io)?;
        let (told, answer) = oneshot::channel();
        let noting = {
            let mut state = self.inner.lock();
            self.has_room_for(fresh.len())?;
            let count = fresh.len();
            let mut noting = Noting::new(&self.inner, count);
            let (mut replaced, mut former) = (0, Vec::new());
            for (subject, mut row) in fresh {
                noting.add(subject, &row);
                let rows = state.rows.entry(subject).or_default();
                let before = rows.len();
                former.extend(row.displace(rows).map(|old| (subject, old)));
                replaced += before - rows.len();
                rows.push(row);
            }
            self.inner.open.fetch_add(count, Ordering::SeqCst);
            self.inner.open.fetch_sub(replaced, Ordering::SeqCst);
            // With the same write: a log in which these were closed and those not open would have lost them.
            text.extend(log::closed(&former).unwrap_or_default());
            self.inner.pen.push(Job::Lines(text, Some(told)));
            noting
        };
        self.in_time(answer).await?;
        noting.stands();
        Ok(())
    }

    /// # Errors
    /// [`StateError::Hangs`] at once: behind a write that hangs others only pile up.
    fn check_disk(&self) -> Result<(), StateError> {
        let lasts = self.writing().lasts();
        match lasts > PATIENCE {
            true => Err(StateError::Hangs(lasts)),
            false => Ok(()),
        }
    }

    /// What the writing thread says, within ten seconds.
    async fn in_time(&self, answer: oneshot::Receiver<io::Result<()>>) -> Result<(), StateError> {
        match timeout(PATIENCE, answer).await {
            Ok(Ok(written)) => written.map_err(StateError::Io),
            Ok(Err(_)) => Err(StateError::Gone),
            Err(_) => Err(StateError::Hangs(PATIENCE)),
        }
    }

    /// What became of a try at one holder. Whatever is overtaken or replaced by now stays so.
    pub fn settle(&self, id: &RowId, settled: Settled) {
        self.settle_all([(id, settled)]);
    }

    /// As [`Erasures::settle`] for many, with one line after the other in the log.
    pub fn settle_all<'r>(&self, all: impl IntoIterator<Item = (&'r RowId, Settled)>) {
        let mut state = self.inner.lock();
        let mut gone = Vec::new();
        for (id, settled) in all {
            let Some(row) = state.row(id) else {
                state.settle_displaced(id, settled);
                continue;
            };
            if settled == Settled::Forgotten
                && let Some(before) = row.restore()
            {
                self.inner.say(log::opened(&[(id.subject, before)]));
                continue;
            }
            row.displaced.clear();
            match settled {
                Settled::Confirmed if row.ends_pin => row.stage = Stage::Confirmed,
                Settled::Confirmed | Settled::Forgotten => {
                    gone.extend(state.take(id.subject, |row| row.is(id)));
                }
                // A write came meanwhile that may have brought it back.
                Settled::Open if row.stage == Stage::Repeat => {}
                Settled::Open => row.stage = Stage::Retrying,
                Settled::Repeat { refused } => {
                    row.stage = Stage::Repeat;
                    row.refused = refused;
                    let row = row.clone();
                    self.inner.say(log::opened(&[(id.subject, row)]));
                }
            }
        }
        self.inner.close(&gone);
        drop(state);
    }

    /// The pin stays, whatever is confirmed from here on: a holder has refused in its own name, or
    /// nothing was sent.
    pub fn keep_pin(&self, subject: SubjectKey) {
        let mut state = self.inner.lock();
        self.inner.spare_pin(&mut state, subject);
    }

    /// Makes durable what was noted: called where an answer says that something stays open. Cancel
    /// safe.
    ///
    /// # Errors
    /// What the disk says, or [`StateError::Hangs`] after ten seconds.
    pub async fn sync(&self) -> Result<(), StateError> {
        self.check_disk()?;
        let (told, answer) = oneshot::channel();
        self.inner.pen.push(Job::Sync(told));
        self.in_time(answer).await
    }

    /// Whether nobody has to repeat the request: it is to be tried again, or nothing of it is open.
    pub fn is_tried(&self, id: &RowId) -> bool {
        let mut state = self.inner.lock();
        state.row(id).is_none_or(|row| row.stage != Stage::Repeat)
    }

    /// Begins another try, unless it is too late for one.
    pub fn begin(&self, id: &RowId) -> Begun {
        let mut state = self.inner.lock();
        if state.is_displaced(id) {
            // The caller repeats it at this moment.
            return Begun::Later;
        }
        if state.row(id).is_none_or(|r| r.stage != Stage::Retrying) {
            return Begun::Gone;
        }
        if state.held.contains_key(&id.subject) || state.ending.contains(&id.subject) {
            return Begun::Later;
        }
        let at = (id.subject, Arc::clone(&id.region));
        *state.trying.entry(at.clone()).or_default() += 1;
        Begun::Go(Trying::new(&self.inner, at))
    }

    /// Begins to remove a subject's pin: when all its rows are confirmed, and all were to end it.
    pub fn end_pin(&self, subject: SubjectKey) -> Option<Ending> {
        let mut state = self.inner.lock();
        let over = |r: &Row| r.ends_pin && r.stage == Stage::Confirmed;
        let ready = state
            .rows
            .get(&subject)
            .is_some_and(|rows| !rows.is_empty() && rows.iter().all(over));
        if !ready || state.held.contains_key(&subject) || !state.ending.insert(subject) {
            return None;
        }
        let rows = state.rows.get(&subject).into_iter().flatten();
        let confirmed = rows.map(|row| Arc::clone(&row.region)).collect();
        Some(Ending::new(&self.inner, subject, confirmed))
    }

    /// Holds the erasures of subjects that are about to be written, each in its region: when this
    /// returns no try is under way there and none begins while the guard lives. `None`: nothing
    /// is open, or nothing of theirs.
    ///
    /// Waits as long as a try may take (`limits.response`). Cancel safe.
    pub async fn hold(&self, writes: Vec<(SubjectKey, Arc<str>)>) -> Option<WriteGuard> {
        if self.is_empty() {
            return None;
        }
        let mut held = {
            let mut state = self.inner.lock();
            let writes: Vec<_> = writes
                .into_iter()
                .filter(|(subject, _)| state.rows.contains_key(subject))
                .collect();
            if writes.is_empty() {
                return None;
            }
            for (subject, _) in &writes {
                *state.held.entry(*subject).or_default() += 1;
            }
            WriteGuard {
                inner: Arc::clone(&self.inner),
                writes,
                waited: false,
                pin_ended: false,
            }
        };
        loop {
            let ended = self.inner.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            {
                let state = self.inner.lock();
                let ending = |(subject, _): &(SubjectKey, _)| state.ending.contains(subject);
                let is_ending = held.writes.iter().any(ending);
                let trying = held.writes.iter().any(|w| state.trying.contains_key(w));
                held.pin_ended |= is_ending;
                if !is_ending && !trying {
                    break;
                }
            }
            held.waited = true;
            ended.await;
        }
        Some(held)
    }

    /// Whether there are rows of this subject.
    pub fn concerns(&self, subject: &SubjectKey) -> bool {
        !self.is_empty() && self.inner.lock().rows.contains_key(subject)
    }

    /// Whether there is no row: one atomic load.
    pub fn is_empty(&self) -> bool {
        self.inner.open.load(Ordering::SeqCst) == 0
    }

    /// Room for a request of so many bytes that is to be tried again.
    pub fn keep(&self, bytes: usize) -> Option<Room> {
        let room = |kept: usize| Some(kept + bytes).filter(|sum| *sum <= KEPT);
        let (most, less) = (Ordering::SeqCst, Ordering::Relaxed);
        let kept = self.inner.kept.fetch_update(most, less, room);
        kept.is_ok().then(|| Room {
            inner: Arc::clone(&self.inner),
            bytes,
        })
    }

    /// What is open, the oldest first. A request that is being answered is not.
    pub fn list(&self) -> Vec<OpenErasure> {
        let state = self.inner.lock();
        let mut open: Vec<OpenErasure> = state
            .rows
            .iter()
            .flat_map(|(subject, rows)| rows.iter().map(|row| (*subject, row)))
            .filter_map(|(subject, row)| row.listed(subject))
            .collect();
        open.sort_by(|a, b| {
            (a.since, a.decision, &a.region).cmp(&(b.since, b.decision, &b.region))
        });
        open
    }

    /// How many [`Erasures::list`] would give.
    pub fn count(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let state = self.inner.lock();
        let rows = state.rows.values().flatten();
        rows.filter(|row| row.state().is_some()).count()
    }
}

impl Erasures {
    /// Why the log could not be written last, until it is written again; or that its disk hangs. Waits
    /// for no disk.
    pub fn trouble(&self) -> Option<String> {
        self.inner.pen.trouble()
    }

    /// Of what is being written.
    pub(crate) fn writing(&self) -> &Writing {
        self.inner.pen.writing()
    }

    /// Lets find out whether a log in trouble can be written again, and one that has grown be cut back.
    /// Waits for no disk. To be called every few seconds.
    pub fn look(&self) {
        let (trouble, grown) = self.inner.pen.needs();
        if trouble {
            self.inner.pen.push(Job::Look);
        }
        if grown {
            let state = self.inner.lock();
            let rows = state.rows.iter();
            let rows = rows.flat_map(|(subject, rows)| rows.iter().map(|r| (*subject, r.clone())));
            self.inner.pen.push(Job::CutBack(rows.collect()));
        }
    }
}

impl std::fmt::Debug for Erasures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Erasures").finish_non_exhaustive()
    }
}

impl NewErasure<'_> {
    fn row(&self, region: &Arc<str>) -> Row {
        Row {
            region: Arc::clone(region),
            record: self.address.record,
            decision: self.decision,
            route: Arc::clone(&self.route),
            since: self.since,
            ends_pin: self.ends_pin,
            stage: Stage::First,
            refused: None,
            address: Some(Arc::clone(self.address)),
            displaced: Vec::new(),
        }
    }
}
