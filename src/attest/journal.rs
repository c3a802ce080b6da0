//! The doors to the ledger. Everything behind them is done by one thread, `commit`.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use smallvec::{SmallVec, smallvec};
use tokio::{sync::oneshot, time::timeout};

use super::{
    Books, Bundle, ClearedBundle, Draft, LedgerError, OutcomeDraft, Outcomes, Pinning, Profile,
    Unwritable, Verdict, commit,
    disk::{Disk, Folder},
    head::HeadFlaw,
    lazy::Lazy,
    open,
    porter::{Inbox, Porter, Reply},
    queue::{Buffer, PATIENCE, Shared, Work},
};
use crate::{decide::Permit, domain::Operation, locate::Room};

/// Handle to the one thread that writes the ledger. Cheap to clone; the ledger is closed when the
/// last handle and every [`WorkerJournal`] are gone, or by [`Journal::close`].
///
/// Cancel safety of all its futures: nothing is handed over before the first poll; from then on
/// the entries are written whether or not the future is kept.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    /// Of the directory.
    room: Room,
    buffer: Arc<Buffer>,
    inbox: Option<Arc<Inbox>>,
    _thread: Arc<commit::Thread>,
}

/// One worker's door to the journal: flows home gather in a buffer of the worker's own, which the
/// journal's thread empties about every 25 ms, so no lock is shared between workers.
#[derive(Debug)]
pub struct WorkerJournal {
    journal: Journal,
}

/// Proof that the entry of this permit stands (or, for a flow home without a change of pin, is
/// queued to stand within 100 ms). Built only by the journal.
#[must_use]
#[derive(Debug)]
pub struct Cleared {
    permit: Permit,
}

/// A permit whose entry is on its way.
#[derive(Debug)]
pub enum Clearing {
    Done(Cleared),
    Waits(Waits),
}

/// A permit whose entry does not stand yet. Dropped, it comes to stand all the same.
#[derive(Debug)]
pub struct Waits {
    permit: Permit,
    answer: Durable,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// A segment that has reached this size is closed and the next begun.
    pub segment_bytes: u64,
    /// How much of the ledger's end is checked in full at the start; older segments are only
    /// checked to join.
    pub check_bytes: u64,
    /// While entries come, so often the books note how far the ledger goes: what a start after a
    /// crash reads again is not much older.
    pub mark_every: Duration,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub entries: u64,
    /// Bytes of an unfinished last frame that were cut off; nobody had been told it stood.
    pub torn_bytes: u64,
    /// Acknowledged entries that are gone; a `recovered` entry says so.
    pub lost: u64,
    /// A slot of the head was damaged, and the other believed.
    pub head_flaw: Option<HeadFlaw>,
    /// The latest time that stands in the part of its end that was checked.
    pub latest: Option<Timestamp>,
    /// Changes of pins that were handed to the directory again.
    pub replayed: u64,
    /// People whose first home by these the directory has in another region, which stays.
    pub apart: usize,
}

/// Plain counters for metrics and readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStatus {
    pub entries: u64,
    pub bytes: u64,
    pub segments: u64,
    pub commits: u64,
    /// Requests turned away because the ledger could not be written.
    pub refused: u64,
    /// Outcomes that found no room while the ledger could not be written.
    pub outcomes_lost: u64,
    /// Entries handed over and not yet durable.
    pub waiting: usize,
    /// When the oldest of these was handed over, by the time it states itself.
    pub waiting_since: Option<Timestamp>,
    /// How long the last commit took, fsync included.
    pub last_commit: Duration,
    /// How long all commits since the start took.
    pub all_commits: Duration,
    /// Why the ledger cannot be written, while it or its head cannot or its disk hangs.
    pub error: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            check_bytes: 1 << 30,
            mark_every: Duration::from_secs(30),
        }
    }
}

impl Cleared {
    pub(super) fn of(permit: Permit) -> Self {
        Self { permit }
    }

    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// A proof out of nothing, for tests of the later stations.
    #[cfg(test)]
    pub(crate) fn danger_for_tests(permit: Permit) -> Self {
        Self { permit }
    }
}

impl Journal {
    /// Opens or creates the ledger in `folder`, cuts off a torn tail, hands directory and counters
    /// the changes that they have not stored, and starts the writing thread. Blocks.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] while another process writes this ledger; [`LedgerError::Damaged`]
    /// when anything before the tail is not what was written.
    pub fn open(
        folder: &Path,
        options: Options,
        books: impl Into<Books>,
    ) -> Result<(Self, Opened), LedgerError> {
        Self::open_on(folder, options, books, Box::new(Folder::new(folder)))
    }

    pub(super) fn open_on(
        folder: &Path,
        options: Options,
        books: impl Into<Books>,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, Opened), LedgerError> {
        let books = books.into();
        let lock = open::lock(folder)?;
        let (writer, opened) = open::open(folder, &options, &books, disk)?;
        let shared = Arc::new(Shared::new(&writer));
        let room = books.directory.room();
        let thread = commit::start(Arc::clone(&shared), writer, books, lock, options.mark_every)
            .map_err(LedgerError::io(folder))?;
        let journal = Self {
            buffer: shared.register(),
            shared,
            room,
            inbox: None,
            _thread: Arc::new(thread),
        };
        Ok((journal, opened))
    }

    /// A door for one worker, with its own buffer.
    pub fn worker(&self) -> WorkerJournal {
        WorkerJournal {
            journal: Self {
                buffer: self.shared.register(),
                ..self.clone()
            },
        }
    }

    /// As [`Journal::worker`], for a worker that runs the porter beside its requests: then all
    /// answers of one commit wake it once.
    pub fn worker_with_porter(&self) -> (WorkerJournal, Porter) {
        let inbox = Arc::new(Inbox::default());
        let mut worker = self.worker();
        worker.journal.inbox = Some(Arc::clone(&inbox));
        (worker, Porter::new(inbox))
    }

    /// Writes the entry of a permit. A flow home that changes no pin returns once it is queued;
    /// everything else waits until the entry is durable, sharing the fsync with concurrent calls.
    ///
    /// Cancel safe: an entry that was handed over may come to stand after it was dropped, as that of a
    /// permit that was not used.
    ///
    /// # Errors
    /// [`Unwritable`]: the entry does not stand, nothing may leave, and a claim in the draft is
    /// released.
    pub async fn clear(&self, permit: Permit, draft: Draft) -> Result<Cleared, Unwritable> {
        self.stands(self.begin(permit, draft)?).await
    }

    /// [`Journal::clear`] up to where it may have to wait. The draft is no part of what waits: most
    /// requests' futures would hold it for nothing.
    ///
    /// # Errors
    /// As [`Journal::clear`].
    pub fn begin(&self, permit: Permit, draft: Draft) -> Result<Clearing, Unwritable> {
        Ok(match self.hand_over(&permit, draft)? {
            None => Clearing::Done(Cleared { permit }),
            Some(answer) => Clearing::Waits(Waits { permit, answer }),
        })
    }

    /// The rest of [`Journal::clear`] after [`Journal::begin`] at the same door. Cancel safe as that.
    ///
    /// # Errors
    /// As [`Journal::clear`].
    pub async fn stands(&self, clearing: Clearing) -> Result<Cleared, Unwritable> {
        match clearing {
            Clearing::Done(cleared) => Ok(cleared),
            Clearing::Waits(Waits { permit, answer }) => {
                self.durable(answer).await?;
                Ok(Cleared { permit })
            }
        }
    }

    /// Queues a draft that may follow its flow, else submits it and gives what to wait for.
    fn hand_over(&self, permit: &Permit, draft: Draft) -> Result<Option<Durable>, Unwritable> {
        check(&draft)?;
        self.check_clock(permit, &draft.profile)?;
        self.check_room(is_copy(draft.pin.as_ref()))?;
        let draft = if may_follow(permit, draft.pin.is_some(), &draft.profile) {
            match self.shared.queue(&self.buffer, draft) {
                None => return Ok(None),
                Some(draft) => draft,
            }
        } else {
            draft
        };
        self.submit(Work::Drafts(smallvec![draft])).map(Some)
    }

    /// The proof for a disclosure that concerns nobody: no transfer, so no entry (an aggregate
    /// may be shared). `None` for every other permit.
    pub fn clear_impersonal(&self, permit: Permit) -> Option<Cleared> {
        permit.is_impersonal().then_some(Cleared { permit })
    }

    /// Writes the entries of one batch: all of them stand, or none. In the order of `permits`. `also`:
    /// refusals, and what is written beside a permit's entry. Cancel safe as [`Journal::clear`].
    ///
    /// # Errors
    /// As [`Journal::clear`], of all of them.
    pub async fn clear_all(
        &self,
        permits: Vec<(Permit, Draft)>,
        also: Vec<Draft>,
    ) -> Result<Vec<Cleared>, Unwritable> {
        let follows = |(p, d): &(Permit, Draft)| may_follow(p, d.pin.is_some(), &d.profile);
        let all_follow = also.is_empty() && permits.iter().all(follows);
        permits
            .iter()
            .try_for_each(|(p, d)| self.check_clock(p, &d.profile))?;
        let (permits, mut drafts): (Vec<Permit>, Vec<Draft>) = permits.into_iter().unzip();
        drafts.extend(also);
        drafts.iter().try_for_each(check)?;
        // Without a permit it is told what has happened.
        self.check_room(!permits.is_empty() && drafts.iter().any(|d| is_copy(d.pin.as_ref())))?;
        let cleared = permits.into_iter().map(Cleared::of).collect();
        let mut drafts = SmallVec::from_vec(drafts);
        if all_follow {
            match self.shared.queue_all(&self.buffer, drafts) {
                None => return Ok(cleared),
                Some(back) => drafts = back,
            }
        }
        if !drafts.is_empty() {
            self.write(drafts).await?;
        }
        Ok(cleared)
    }

    /// As [`Journal::clear_all`] of what permits nothing, for whom has to know what becomes of it
    /// however long that takes: no limit of time. Cancel safe as [`Journal::clear`].
    ///
    /// # Errors
    /// The entries do not stand, and never will.
    pub async fn write_out(&self, drafts: Vec<Draft>) -> Result<(), Unwritable> {
        drafts.iter().try_for_each(check)?;
        let written = self.submit(Work::Drafts(SmallVec::from_vec(drafts)))?;
        written.await.unwrap_or(Err(Unwritable::Closed))
    }

    /// Waits for work that waits for the ledger, as long as anybody does. Cancel safe if the work is.
    ///
    /// # Errors
    /// [`Unwritable::Stuck`]; the work goes on if it is kept elsewhere.
    pub async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Unwritable> {
        let done = timeout(PATIENCE, work).await;
        done.map_err(|_| self.shared.give_up())
    }

    /// Lets nothing leave home while the clock is more than a minute behind `latest`, which the ledger
    /// has shown: instruments that have ended would permit, and people would be counted in a window
    /// that is over. The log is told.
    pub fn mind_clock(&self, latest: Timestamp) {
        self.shared.mind_clock(latest);
    }

    /// An operator says that the clock is right, and the ledger's times were not.
    pub fn trust_clock(&self) {
        self.shared.trust_clock();
    }

    /// # Errors
    /// [`Unwritable::Stuck`] while the disk hangs.
    pub fn check_disk(&self) -> Result<(), Unwritable> {
        self.shared.look_at_disk().map_or(Ok(()), Err)
    }

    /// Writes the entries of a large batch: all of them stand, or none. Cancel safe as
    /// [`Journal::clear`].
    ///
    /// # Errors
    /// As [`Journal::clear`].
    pub async fn clear_bundle(&self, bundle: Bundle) -> Result<ClearedBundle, Unwritable> {
        bundle.check()?;
        if bundle.is_empty() {
            return Ok(ClearedBundle::default());
        }
        for (permit, profile) in bundle.kinds_permitted() {
            self.check_clock(permit, profile)?;
        }
        self.check_room(bundle.copies())?;
        let mut bundle = Box::new(bundle);
        let follows = bundle.may_follow();
        let cleared = bundle.clear();
        if follows {
            match self.shared.queue_bundle(&self.buffer, bundle) {
                None => return Ok(cleared),
                Some(back) => bundle = back,
            }
        }
        self.durable(self.submit(Work::Bundle(bundle))?).await?;
        Ok(cleared)
    }

    /// Writes the entry of a refusal, durable when it returns. Dropped before, it may stand or not.
    ///
    /// # Errors
    /// [`Unwritable`]: whether the entry comes to stand is unknown.
    pub async fn refuse(&self, draft: Draft) -> Result<(), Unwritable> {
        check(&draft)?;
        self.write(smallvec![draft]).await
    }

    /// Queues what the backend answered. Never waits; from the same door that cleared the
    /// decision, it is written after the decision's entry.
    pub fn outcome(&self, outcome: OutcomeDraft) {
        self.shared.queue_outcomes(&self.buffer, outcome.into());
    }

    /// [`Journal::outcome`] for the items of a batch.
    pub fn outcomes(&self, outcomes: Outcomes) {
        if !outcomes.rows.is_empty() {
            let outcomes = Lazy::Outcomes(Box::new(outcomes));
            self.shared.queue_outcomes(&self.buffer, outcomes);
        }
    }

    /// Waits until everything queued so far, by all doors, is durable. Cancel safe.
    ///
    /// # Errors
    /// [`Unwritable`]: some of it is not, or not yet.
    pub async fn flush(&self) -> Result<(), Unwritable> {
        self.write(SmallVec::new()).await
    }

    /// Writes what is queued, makes the head durable and ends the thread. Blocks. Later calls are
    /// [`Unwritable::Closed`].
    ///
    /// # Errors
    /// Entries that were queued could not be written.
    pub fn close(&self) -> Result<(), Unwritable> {
        self.shared.close();
        self._thread.join();
        self.shared.closing_error().map_or(Ok(()), Err)
    }

    /// Since when a write is under way, in µs of the journal's own clock.
    #[cfg(test)]
    pub(super) fn writing_since(&self) -> u64 {
        self.shared.writing_since()
    }

    /// For how long the disk has confirmed nothing of what it was given; nothing where there is none.
    pub(crate) fn writes_for(&self) -> Duration {
        self.shared.writing_for(tokio::time::Instant::now)
    }

    pub fn status(&self) -> JournalStatus {
        self.shared.status()
    }

    /// Tells the log when the disk has begun to hang or does so no longer, though nobody asks for
    /// anything. To be called about every second.
    pub fn look_at_disk(&self) {
        self.shared.look_at_disk();
    }

    /// A flow that makes a copy is turned away where a first record is: while the directory's file
    /// cannot be written, each would leave more in memory.
    fn check_room(&self, copies: bool) -> Result<(), Unwritable> {
        if !copies {
            return Ok(());
        }
        let room = self.room.check();
        room.map_err(|error| Unwritable::Directory(error.to_string()))
    }

    /// What leaves home has to rest on the time of day. Where a router only observes, nothing rests on
    /// what it says.
    fn check_clock(&self, permit: &Permit, profile: &Profile) -> Result<(), Unwritable> {
        // Nothing leaves home by an erasure.
        let leaves = !permit.is_flow_home() && profile.operation != Operation::Erase;
        if !leaves || profile.outcome == Verdict::Observe {
            return Ok(());
        }
        self.shared.check_clock()
    }

    async fn write(&self, drafts: SmallVec<[Draft; 1]>) -> Result<(), Unwritable> {
        self.durable(self.submit(Work::Drafts(drafts))?).await
    }

    fn submit(&self, work: Work) -> Result<Durable, Unwritable> {
        let (to, answer) = oneshot::channel();
        let inbox = self.inbox.clone();
        self.shared.submit(work, Reply { to, inbox })?;
        Ok(answer)
    }

    /// # Errors
    /// [`Unwritable::Stuck`] while the disk hangs: then nothing may leave, and the entry may come to
    /// stand later, as that of a permit that was not used.
    async fn durable(&self, answer: Durable) -> Result<(), Unwritable> {
        let answer = self.in_time(answer).await?;
        answer.unwrap_or(Err(Unwritable::Closed))
    }
}

impl WorkerJournal {
    /// See [`Journal::clear`].
    pub async fn clear(&self, permit: Permit, draft: Draft) -> Result<Cleared, Unwritable> {
        self.journal.clear(permit, draft).await
    }

    /// See [`Journal::begin`].
    pub fn begin(&self, permit: Permit, draft: Draft) -> Result<Clearing, Unwritable> {
        self.journal.begin(permit, draft)
    }

    /// See [`Journal::stands`].
    pub async fn stands(&self, clearing: Clearing) -> Result<Cleared, Unwritable> {
        self.journal.stands(clearing).await
    }

    /// See [`Journal::clear_impersonal`].
    pub fn clear_impersonal(&self, permit: Permit) -> Option<Cleared> {
        self.journal.clear_impersonal(permit)
    }

    /// See [`Journal::clear_all`].
    pub async fn clear_all(
        &self,
        permits: Vec<(Permit, Draft)>,
        also: Vec<Draft>,
    ) -> Result<Vec<Cleared>, Unwritable> {
        self.journal.clear_all(permits, also).await
    }

    /// See [`Journal::clear_bundle`].
    pub async fn clear_bundle(&self, bundle: Bundle) -> Result<ClearedBundle, Unwritable> {
        self.journal.clear_bundle(bundle).await
    }

    /// See [`Journal::refuse`].
    pub async fn refuse(&self, draft: Draft) -> Result<(), Unwritable> {
        self.journal.refuse(draft).await
    }

    /// See [`Journal::outcome`].
    pub fn outcome(&self, outcome: OutcomeDraft) {
        self.journal.outcome(outcome);
    }

    /// See [`Journal::outcomes`].
    pub fn outcomes(&self, outcomes: Outcomes) {
        self.journal.outcomes(outcomes);
    }
}

/// Comes when what was submitted stands, or cannot be written.
type Durable = oneshot::Receiver<Result<(), Unwritable>>;

/// Only flows home may run ahead of their entry, and neither a new pin nor a counted person ever
/// (ARCHITECTURE, invariant 2).
pub(super) fn may_follow(permit: &Permit, changes_pin: bool, profile: &Profile) -> bool {
    permit.is_flow_home() && !changes_pin && profile.counted.is_empty()
}

pub(super) fn is_copy(pin: Option<&Pinning>) -> bool {
    matches!(pin, Some(Pinning::Copy { .. }))
}

fn check(draft: &Draft) -> Result<(), Unwritable> {
    match draft.pin {
        None | Some(Pinning::Claim(_)) => Ok(()),
        Some(_) if draft.subject.is_some() => Ok(()),
        Some(_) => Err(Unwritable::NoSubject),
    }
}
