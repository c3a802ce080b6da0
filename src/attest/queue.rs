//! Between the doors and the thread: what waits to be written.
//!
//! Write-ahead entries come by a queue with an answer each. Flows home and outcomes lie in a
//! buffer for each worker, whose lock only that worker and the thread take; the first entry in
//! an empty buffer nudges the thread.

use std::{
    fmt, mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    Bundle, Draft, JournalStatus, Unwritable,
    lazy::Lazy,
    porter::Reply,
    writer::{Item, Writer},
};
use crate::clock;

/// What waits for one answer.
pub(super) enum Work {
    /// One draft without an allocation, or some.
    Drafts(SmallVec<[Draft; 1]>),
    Bundle(Box<Bundle>),
}

/// A flow home does not run ahead of a buffer whose first entry lies in it for so long, nor of a frame
/// that is written for so long: the disk is stuck.
const LATEST: Duration = Duration::from_millis(75);
/// Entries in one worker's buffer, but for a batch, which is taken whole when there are fewer.
const BUFFER: usize = 65_536;
/// Drafts that may wait for one commit.
const WAITING: usize = 1_000_000;
/// How long anybody waits for the disk. Longer than any sound one takes for a write, shorter than
/// callers are patient.
pub(super) use crate::disk::PATIENCE;
/// Later than every entry.
const NOTHING: i64 = i64::MAX;
/// Before every entry.
const NEVER: i64 = i64::MIN;
/// A clock that is no further behind than this harms nothing: windows and days have other measures.
const BEHIND: i64 = 60_000_000;
/// No write is under way.
const IDLE: u64 = u64::MAX;

/// A worker's entries that wait for the thread to fetch them.
#[derive(Default)]
pub(super) struct Buffer {
    state: Mutex<Buffered>,
}

#[derive(Default)]
struct Buffered {
    items: Vec<Lazy>,
    /// Those of `items`; a batch's stand in one.
    entries: usize,
    /// When the first of `items` came. Not its own time: a request is decided as of its head, and its
    /// body may come much later.
    since: Option<Instant>,
    /// Nobody will fetch any more.
    sealed: bool,
}

pub(super) struct Batch {
    pub work: Work,
    pub reply: Reply,
}

#[derive(Default)]
pub(super) struct Queue {
    pub batches: Vec<Batch>,
    pub drafts: usize,
    /// A submitter wakes the thread when so many batches wait.
    pub wake_at: usize,
    pub buffers: Vec<Arc<Buffer>>,
    pub closing: bool,
}

pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub wake: Condvar,
    /// Some buffer is not empty, and the thread was told.
    pub nudged: AtomicBool,
    pub failed: AtomicBool,
    pub refused: AtomicU64,
    outcomes_lost: AtomicU64,
    /// Lazy entries that a failed write left in the thread's hands.
    pub held: AtomicUsize,
    /// When the oldest entry in the thread's hands was handed over, in µs; [`NOTHING`] without one.
    in_hand: AtomicI64,
    began: Instant,
    /// Since when the thread writes what it has in hand, in µs since `began`; [`IDLE`] when it does
    /// not. Not by the entries' own times: a batch may be older than a minute when it is handed over,
    /// and the time of day may jump.
    writing_since: AtomicU64,
    /// The log tells that the disk hangs.
    told_hanging: AtomicBool,
    /// The latest time that the ledger had shown at the start, in µs since 1970, while the clock is
    /// behind it; else [`NEVER`].
    shown: AtomicI64,
    pub status: Mutex<JournalStatus>,
}

impl Shared {
    pub fn new(writer: &Writer) -> Self {
        Self {
            queue: Mutex::new(Queue {
                wake_at: 1,
                ..Queue::default()
            }),
            wake: Condvar::new(),
            nudged: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            outcomes_lost: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            in_hand: AtomicI64::new(NOTHING),
            began: Instant::now(),
            writing_since: AtomicU64::new(IDLE),
            told_hanging: AtomicBool::new(false),
            shown: AtomicI64::new(NEVER),
            status: Mutex::new(JournalStatus {
                entries: writer.next() - 1,
                bytes: writer.bytes,
                segments: writer.segments,
                ..JournalStatus::default()
            }),
        }
    }

    /// A new buffer that the thread will look into.
    pub fn register(&self) -> Arc<Buffer> {
        let buffer = Arc::new(Buffer::default());
        let mut queue = self.queue_locked();
        if queue.closing {
            buffer.seal();
        } else {
            queue.buffers.push(Arc::clone(&buffer));
        }
        buffer
    }

    /// Hands over drafts that must be durable before the answer.
    pub fn submit(&self, work: Work, reply: Reply) -> Result<(), Unwritable> {
        self.check_disk()?;
        let mut queue = self.queue_locked();
        if queue.closing {
            return Err(Unwritable::Closed);
        }
        let waiting = queue.drafts + work.entries();
        if waiting > WAITING {
            return Err(Unwritable::Behind { waiting });
        }
        queue.drafts = waiting;
        queue.batches.push(Batch { work, reply });
        let is_awaited = queue.batches.len() >= queue.wake_at;
        if is_awaited {
            // Told once; whoever comes before it is up need not call again.
            queue.wake_at = usize::MAX;
        }
        // Not under the lock, for which the thread would at once have to wait.
        drop(queue);
        if is_awaited {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Queues an entry that may follow its flow. Gives it back when it may not: the ledger cannot
    /// be written or is closed, or the buffer is full or stale; then it must be submitted.
    #[must_use]
    pub fn queue(&self, buffer: &Buffer, draft: Draft) -> Option<Draft> {
        let mut buffered = buffer.lock();
        if !self.may_follow(&mut buffered) {
            return Some(draft);
        }
        buffered.items.push(draft.into());
        buffered.entries += 1;
        drop(buffered);
        self.nudge();
        None
    }

    /// Queues some drafts; all of them or none, which are then given back.
    #[must_use]
    pub fn queue_all(
        &self,
        buffer: &Buffer,
        drafts: SmallVec<[Draft; 1]>,
    ) -> Option<SmallVec<[Draft; 1]>> {
        let mut buffered = buffer.lock();
        if !self.may_follow(&mut buffered) {
            return Some(drafts);
        }
        buffered.entries += drafts.len();
        buffered.items.extend(drafts.into_iter().map(Lazy::from));
        drop(buffered);
        self.nudge();
        None
    }

    /// Queues a batch; all of it or none, which is then given back.
    #[must_use]
    pub fn queue_bundle(&self, buffer: &Buffer, bundle: Box<Bundle>) -> Option<Box<Bundle>> {
        let mut buffered = buffer.lock();
        if !self.may_follow(&mut buffered) {
            return Some(bundle);
        }
        buffered.entries += bundle.len();
        buffered.items.push(Lazy::Bundle(bundle));
        drop(buffered);
        self.nudge();
        None
    }

    /// Queues what one decision or one batch came to. It is counted as lost where there is no room.
    pub fn queue_outcomes(&self, buffer: &Buffer, outcomes: Lazy) {
        let entries = outcomes.entries();
        let mut buffered = buffer.lock();
        // Outcomes have room beyond the decisions', so that those under way can still be told.
        let waiting = buffered.entries.max(self.held.load(Ordering::Relaxed));
        if buffered.sealed || waiting >= 2 * BUFFER {
            drop(buffered);
            self.outcomes_lost
                .fetch_add(entries as u64, Ordering::Relaxed);
            return;
        }
        buffered.since.get_or_insert_with(clock::moment);
        buffered.entries += entries;
        buffered.items.push(outcomes);
        drop(buffered);
        self.nudge();
    }

    pub fn close(&self) {
        self.queue_locked().closing = true;
        self.wake.notify_one();
    }

    pub fn closing_error(&self) -> Option<Unwritable> {
        let held = self.held.load(Ordering::Relaxed);
        let error = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (held > 0).then(|| Unwritable::Disk(error.error.clone().unwrap_or_default()))
    }

    pub fn status(&self) -> JournalStatus {
        let (waiting, queued_since) = {
            let queue = self.queue_locked();
            let mut waiting = queue.drafts;
            let first = queue.batches.first();
            let first = first.and_then(|batch| batch.work.at());
            let mut since = first.unwrap_or(NOTHING);
            for buffer in &queue.buffers {
                let buffered = buffer.lock();
                waiting += buffered.entries;
                since = since.min(buffered.items.first().map_or(NOTHING, Lazy::at));
            }
            (waiting, since)
        };
        let since = queued_since.min(self.in_hand.load(Ordering::Relaxed));
        let since = (since != NOTHING).then(|| Timestamp::from_microsecond(since).ok());
        // The thread cannot tell it: it hangs with the disk.
        let hanging = self.look_at_disk().map(|stuck| stuck.to_string());
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        JournalStatus {
            error: hanging
                .or_else(|| status.error.clone())
                .or_else(|| Some(self.check_clock().err()?.to_string())),
            waiting: waiting + self.held.load(Ordering::Relaxed),
            waiting_since: since.flatten(),
            refused: self.refused.load(Ordering::Relaxed),
            outcomes_lost: self.outcomes_lost.load(Ordering::Relaxed),
            ..status.clone()
        }
    }

    pub fn mind_clock(&self, latest: Timestamp) {
        self.shown.store(latest.as_microsecond(), Ordering::Relaxed);
        if let Err(error) = self.check_clock() {
            tracing::error!(%latest, %error, "nothing leaves home before the clock has caught up");
        }
    }

    pub fn trust_clock(&self) {
        if self.shown.swap(NEVER, Ordering::Relaxed) != NEVER {
            tracing::warn!("the clock is trusted, though the ledger has shown a later time");
        }
    }

    /// [`Unwritable::Clock`] until the clock has caught up with what the ledger had shown.
    pub fn check_clock(&self) -> Result<(), Unwritable> {
        let shown = self.shown.load(Ordering::Relaxed);
        if shown == NEVER {
            return Ok(());
        }
        let behind = shown.saturating_sub(clock::now().as_microsecond());
        if behind > BEHIND {
            let seconds = behind / 1_000_000;
            return Err(Unwritable::Clock { seconds });
        }
        // Once: from here on nobody reads the clock for this.
        self.shown.store(NEVER, Ordering::Relaxed);
        Ok(())
    }

    /// Of what the thread has in hand, when the oldest was handed over.
    pub fn note_in_hand(&self, since: Option<i64>) {
        let since = since.unwrap_or(NOTHING);
        self.in_hand.store(since, Ordering::Relaxed);
    }

    /// The thread begins to write, or has ended; in that case a write that hung has.
    pub fn note_writing(&self, begins: bool) {
        let since = if begins { self.now() } else { IDLE };
        self.writing_since.store(since, Ordering::Relaxed);
        if !begins {
            self.tell_hanging(false);
        }
    }

    #[cfg(test)]
    pub fn writing_since(&self) -> u64 {
        self.writing_since.load(Ordering::Relaxed)
    }

    /// Nobody waits any longer: the disk has not confirmed in time.
    pub fn give_up(&self) -> Unwritable {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.look_at_disk();
        Unwritable::Stuck {
            seconds: PATIENCE.as_secs(),
        }
    }

    /// [`Unwritable::Stuck`] while a write has not ended for longer than anybody waits. Whoever
    /// finds that this has begun or is over tells the log.
    pub fn look_at_disk(&self) -> Option<Unwritable> {
        let waited = self.writing_for(Instant::now);
        let hangs = waited > PATIENCE;
        self.tell_hanging(hangs);
        hangs.then_some(Unwritable::Stuck {
            seconds: waited.as_secs(),
        })
    }

    /// Whether there is hope: behind a write that hangs, others only pile up.
    fn check_disk(&self) -> Result<(), Unwritable> {
        let Some(stuck) = self.look_at_disk() else {
            return Ok(());
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(stuck)
    }

    fn tell_hanging(&self, hangs: bool) {
        let told = &self.told_hanging;
        if told.load(Ordering::Relaxed) == hangs || told.swap(hangs, Ordering::Relaxed) == hangs {
            return;
        }
        if hangs {
            tracing::error!(
                seconds = PATIENCE.as_secs(),
                "the ledger's disk hangs, it has not confirmed a write in time: requests are turned away until it goes on"
            );
        } else {
            tracing::warn!("the ledger's disk hangs no longer");
        }
    }

    /// How long the thread has been at its frame; nothing where it writes none, which is most of the
    /// time, and then the clock need not be read.
    pub fn writing_for(&self, now: impl FnOnce() -> Instant) -> Duration {
        match self.writing_since.load(Ordering::Relaxed) {
            IDLE => Duration::ZERO,
            since => now()
                .saturating_duration_since(self.began)
                .saturating_sub(Duration::from_micros(since)),
        }
    }

    /// In µs since `began`.
    fn now(&self) -> u64 {
        let passed = self.began.elapsed().as_micros();
        passed.try_into().unwrap_or(IDLE - 1)
    }

    /// Notes when the first entry comes.
    fn may_follow(&self, buffered: &mut Buffered) -> bool {
        if buffered.entries >= BUFFER || buffered.sealed || self.failed.load(Ordering::Acquire) {
            return false;
        }
        // As of this turn, which has nearly always been read already.
        let now = clock::moment();
        // The thread has emptied the buffer before it began to hang with the disk.
        if self.writing_for(|| now) >= LATEST {
            return false;
        }
        let since = *buffered.since.get_or_insert(now);
        now.duration_since(since) < LATEST
    }

    fn nudge(&self) {
        // Read first: the line stays shared between workers as long as nothing changes.
        if !self.nudged.load(Ordering::Relaxed) && !self.nudged.swap(true, Ordering::AcqRel) {
            // Through the lock, so that the thread cannot fall asleep in between.
            drop(self.queue_locked());
            self.wake.notify_one();
        }
    }

    pub fn queue_locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").finish_non_exhaustive()
    }
}

impl Buffer {
    /// Swaps what is in the buffer for `empty`, and gives how many entries that is; with `last`,
    /// nothing is taken any more.
    pub fn fetch(&self, empty: &mut Vec<Lazy>, last: bool) -> usize {
        let mut buffered = self.lock();
        buffered.sealed |= last;
        mem::swap(&mut buffered.items, empty);
        buffered.since = None;
        mem::take(&mut buffered.entries)
    }

    pub fn seal(&self) {
        self.lock().sealed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Buffered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    pub fn entries(&self) -> usize {
        match self {
            Self::Drafts(drafts) => drafts.len(),
            Self::Bundle(bundle) => bundle.len(),
        }
    }

    /// Whether it is somebody's first record, or moves one.
    pub fn pins(&self) -> bool {
        match self {
            Self::Drafts(drafts) => drafts.iter().any(|draft| draft.pin.is_some()),
            Self::Bundle(bundle) => bundle.pins(),
        }
    }

    /// When the first of it was decided, in µs since 1970.
    pub fn at(&self) -> Option<i64> {
        match self {
            Self::Drafts(drafts) => drafts.first().map(|draft| draft.at.as_microsecond()),
            Self::Bundle(bundle) => Some(bundle.at().as_microsecond()),
        }
    }

    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let (drafts, bundle) = match self {
            Self::Drafts(drafts) => (drafts.as_slice(), None),
            Self::Bundle(bundle) => (&[][..], Some(Item::Bundle(bundle))),
        };
        drafts.iter().map(Item::Draft).chain(bundle)
    }
}
