//! The thread that writes: takes what all doors handed over, makes one frame of it, waits for the
//! disk once, lets pins stand, and answers.
//!
//! Write-ahead entries come by a queue with an answer each. Flows home and outcomes lie in a
//! buffer for each worker, whose lock only that worker and this thread take; the first entry in
//! an empty buffer nudges the thread, which then lets entries gather for [`GATHER`].

use std::{
    fmt, io, mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{
    Draft, JournalStatus, OutcomeDraft, Unwritable,
    open::FolderLock,
    writer::{Item, WriteError, Writer},
};
use crate::{locate::Directory, telemetry::clock};

/// One draft without an allocation, or a batch.
pub(super) type Work = SmallVec<[Draft; 1]>;

/// How long flows home may gather before they are written; leaves most of the 100 ms that they
/// may be late to the disk.
const GATHER: Duration = Duration::from_millis(25);
/// A flow home does not run ahead of a buffer whose first entry is this old: the disk is stuck.
const LATEST: jiff::SignedDuration = jiff::SignedDuration::from_millis(75);
/// Entries in one worker's buffer.
const BUFFER: usize = 65_536;
/// While the ledger cannot be written, so often it is tried without being asked.
const RETRY: Duration = Duration::from_millis(100);
/// Drafts that may wait for one commit.
const WAITING: usize = 1_000_000;
/// About so many entries make one frame; a batch is never divided.
const FRAME: usize = 100_000;

pub(super) enum Lazy {
    Draft(Draft),
    Outcome(OutcomeDraft),
}

/// A worker's entries that wait for the thread to fetch them.
#[derive(Default)]
pub(super) struct Buffer {
    state: Mutex<Buffered>,
}

#[derive(Default)]
struct Buffered {
    items: Vec<Lazy>,
    /// Nobody will fetch any more.
    sealed: bool,
}

struct Batch {
    drafts: Work,
    reply: oneshot::Sender<Result<(), Unwritable>>,
}

#[derive(Default)]
struct Queue {
    batches: Vec<Batch>,
    drafts: usize,
    /// A submitter wakes the thread when so many batches wait.
    wake_at: usize,
    buffers: Vec<Arc<Buffer>>,
    closing: bool,
}

pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Some buffer is not empty, and the thread was told.
    nudged: AtomicBool,
    failed: AtomicBool,
    refused: AtomicU64,
    outcomes_lost: AtomicU64,
    /// Lazy entries that a failed write left in the thread's hands.
    held: AtomicUsize,
    status: Mutex<JournalStatus>,
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
            buffer.lock().sealed = true;
        } else {
            queue.buffers.push(Arc::clone(&buffer));
        }
        buffer
    }

    /// Hands over drafts that must be durable before the answer.
    pub fn submit(
        &self,
        drafts: Work,
        reply: oneshot::Sender<Result<(), Unwritable>>,
    ) -> Result<(), Unwritable> {
        let mut queue = self.queue_locked();
        if queue.closing {
            return Err(Unwritable::Closed);
        }
        let waiting = queue.drafts + drafts.len();
        if waiting > WAITING {
            return Err(Unwritable::Behind { waiting });
        }
        queue.drafts = waiting;
        queue.batches.push(Batch { drafts, reply });
        if queue.batches.len() >= queue.wake_at {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Queues an entry that may follow its flow. Gives it back when it may not: the ledger cannot
    /// be written or is closed, or the buffer is full or stale; then it must be submitted.
    #[must_use]
    pub fn queue(&self, buffer: &Buffer, draft: Draft) -> Option<Draft> {
        let mut buffered = buffer.lock();
        if !self.may_follow(&buffered, &draft) {
            return Some(draft);
        }
        buffered.items.push(Lazy::Draft(draft));
        drop(buffered);
        self.nudge();
        None
    }

    /// Queues a batch; all of it or none, which is then given back.
    #[must_use]
    pub fn queue_all(&self, buffer: &Buffer, drafts: Work) -> Option<Work> {
        let mut buffered = buffer.lock();
        if !drafts.iter().all(|draft| self.may_follow(&buffered, draft)) {
            return Some(drafts);
        }
        let items = drafts.into_iter().map(Lazy::Draft);
        buffered.items.extend(items);
        drop(buffered);
        self.nudge();
        None
    }

    pub fn queue_outcome(&self, buffer: &Buffer, outcome: OutcomeDraft) {
        let mut buffered = buffer.lock();
        // Outcomes have room beyond the decisions', so that those under way can still be told.
        let waiting = buffered.items.len().max(self.held.load(Ordering::Relaxed));
        if waiting >= 2 * BUFFER || buffered.sealed {
            drop(buffered);
            self.outcomes_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        buffered.items.push(Lazy::Outcome(outcome));
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
        let waiting = {
            let queue = self.queue_locked();
            let buffered: usize = queue.buffers.iter().map(|b| b.lock().items.len()).sum();
            queue.drafts + buffered
        };
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        JournalStatus {
            waiting: waiting + self.held.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            outcomes_lost: self.outcomes_lost.load(Ordering::Relaxed),
            ..status.clone()
        }
    }

    fn may_follow(&self, buffered: &Buffered, draft: &Draft) -> bool {
        let fresh = match buffered.items.first() {
            None => true,
            // The drafts' own times serve as the clock: reading one costs more than the push.
            Some(first) => draft.at.duration_since(first.at()) < LATEST,
        };
        fresh
            && buffered.items.len() < BUFFER
            && !buffered.sealed
            && !self.failed.load(Ordering::Acquire)
    }

    fn nudge(&self) {
        // Read first: the line stays shared between workers as long as nothing changes.
        if !self.nudged.load(Ordering::Relaxed) && !self.nudged.swap(true, Ordering::AcqRel) {
            // Through the lock, so that the thread cannot fall asleep in between.
            drop(self.queue_locked());
            self.wake.notify_one();
        }
    }

    fn queue_locked(&self) -> MutexGuard<'_, Queue> {
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
    fn lock(&self) -> MutexGuard<'_, Buffered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lazy {
    fn at(&self) -> jiff::Timestamp {
        match self {
            Self::Draft(draft) => draft.at,
            Self::Outcome(outcome) => outcome.at,
        }
    }

    fn item(&self) -> Item<'_> {
        match self {
            Self::Draft(draft) => Item::Draft(draft),
            Self::Outcome(outcome) => Item::Outcome(outcome),
        }
    }
}

/// Ends the thread when the last handle goes.
#[derive(Debug)]
pub(super) struct Thread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Thread {
    /// Waits until the thread has ended.
    pub fn join(&self) {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handle.take() {
            // A panic there has answered everybody already, see `Ending`.
            let _ = handle.join();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.close();
        self.join();
    }
}

pub(super) fn start(
    shared: Arc<Shared>,
    writer: Writer,
    directory: Directory,
    lock: FolderLock,
) -> io::Result<Thread> {
    let thread_shared = Arc::clone(&shared);
    let handle = std::thread::Builder::new()
        .name("ledger".into())
        .spawn(move || {
            let _lock = lock;
            let _ending = Ending(&thread_shared);
            Committer {
                shared: &thread_shared,
                writer,
                directory,
                held: Vec::new(),
                spare: Vec::new(),
                refused_before: 0,
                expected: 1,
                usual: Duration::ZERO,
            }
            .run();
        })?;
    Ok(Thread {
        shared,
        handle: Mutex::new(Some(handle)),
    })
}

/// However the thread ends, nobody waits for it any longer.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue_locked();
        queue.closing = true;
        queue.batches.clear();
        for buffer in queue.buffers.drain(..) {
            buffer.lock().sealed = true;
        }
    }
}

struct Committer<'a> {
    shared: &'a Shared,
    writer: Writer,
    directory: Directory,
    /// Lazy entries in hand; after a failure they stay until a write succeeds.
    held: Vec<Lazy>,
    /// An empty buffer to give a worker for its full one.
    spare: Vec<Lazy>,
    /// How many requests had been turned away when the ledger last could be written.
    refused_before: u64,
    /// How many requests are probably about to ask: those of the last commit and those that
    /// queued meanwhile.
    expected: usize,
    /// How long a commit takes, smoothed.
    usual: Duration,
}

impl Committer<'_> {
    fn run(mut self) {
        loop {
            let (batches, closing) = self.next();
            self.commit_all(batches);
            if closing {
                break;
            }
        }
        if let Err(error) = self.writer.sync_head() {
            tracing::error!(%error, "the ledger's head could not be made durable");
        }
        self.directory.mark(self.writer.next() - 1);
    }

    /// Waits for work, lets it gather, and takes it.
    fn next(&mut self) -> (Vec<Batch>, bool) {
        let failed = self.shared.failed.load(Ordering::Acquire);
        let idle = |q: &mut Queue| q.batches.is_empty() && !q.closing;
        let mut queue = self.shared.queue_locked();
        queue.wake_at = 1;
        while idle(&mut queue) {
            let limit = if failed {
                RETRY
            } else if self.shared.nudged.load(Ordering::Acquire) {
                GATHER
            } else {
                queue = self
                    .shared
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue = self.wait(queue, limit, idle);
            break;
        }
        // Requests that the last commit let go come back together: without a little patience two
        // groups would take turns, each waiting for the other's fsync.
        let target = self.expected - self.expected / 8;
        if queue.batches.len() < target && !queue.batches.is_empty() && !queue.closing {
            let patience = (self.usual / 4).min(Duration::from_millis(5));
            queue.wake_at = target;
            queue = self.wait(queue, patience, |q| q.batches.len() < target && !q.closing);
        }
        // Nobody need wake us while we are at work.
        queue.wake_at = usize::MAX;
        let batches = mem::take(&mut queue.batches);
        let closing = queue.closing;
        self.shared.nudged.store(false, Ordering::Release);
        let mut fetch = |buffer: &Buffer| {
            {
                let mut buffered = buffer.lock();
                buffered.sealed |= closing;
                mem::swap(&mut buffered.items, &mut self.spare);
            }
            self.held.append(&mut self.spare);
        };
        queue.buffers.retain(|buffer| {
            // Whose worker has gone is fetched one last time.
            let kept = Arc::strong_count(buffer) > 1;
            fetch(buffer);
            kept
        });
        (batches, closing)
    }

    fn wait<'q>(
        &self,
        queue: MutexGuard<'q, Queue>,
        limit: Duration,
        still: impl FnMut(&mut Queue) -> bool,
    ) -> MutexGuard<'q, Queue> {
        self.shared
            .wake
            .wait_timeout_while(queue, limit, still)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Writes what is in hand and every batch, in as few frames as may be.
    fn commit_all(&mut self, batches: Vec<Batch>) {
        let mut batches = batches.into_iter().peekable();
        let requests = batches.len();
        loop {
            let lazy = self.held.len().min(FRAME);
            let mut count = lazy;
            let mut group = Vec::new();
            while let Some(batch) = batches.next_if(|b| {
                lazy == self.held.len() && (count == 0 || count + b.drafts.len() <= FRAME)
            }) {
                count += batch.drafts.len();
                group.push(batch);
            }
            let written = self.commit(lazy, group);
            if written.is_err() {
                let rest: Vec<_> = batches.collect();
                self.answer(rest, &written);
                break;
            }
            if self.held.is_empty() && batches.peek().is_none() {
                break;
            }
        }
        let queue = self.shared.queue_locked();
        let now = requests + queue.batches.len();
        self.expected = now.max(self.expected - self.expected.div_ceil(8)).max(1);
    }

    /// One frame: `lazy` entries in hand and a group of batches.
    fn commit(&mut self, lazy: usize, group: Vec<Batch>) -> Result<(), Unwritable> {
        let started = Instant::now();
        let first = self.writer.next();
        let failed = self.shared.failed.load(Ordering::Acquire);
        let refused = self.shared.refused.load(Ordering::Relaxed) - self.refused_before;
        let resumed = failed.then(|| Item::Resumed {
            at: clock::now().as_microsecond(),
            refused,
        });
        let drafts = group.iter().flat_map(|batch| &batch.drafts);
        let items: Vec<_> = resumed
            .into_iter()
            .chain(self.held.iter().take(lazy).map(Lazy::item))
            .chain(drafts.map(Item::Draft))
            .collect();
        let written = self.writer.commit(&items);
        if written.is_ok() {
            for (seq, item) in (first..).zip(&items) {
                if let Item::Draft(draft) = item {
                    self.let_pin_stand(seq, draft);
                }
            }
        }
        let wrote = !items.is_empty();
        drop(items);
        let answer = match written {
            Ok(()) => {
                self.held.drain(..lazy);
                if wrote {
                    self.note_success(failed, started.elapsed());
                }
                Ok(())
            }
            Err(WriteError::TooLarge(size)) => Err(Unwritable::TooLarge {
                size,
                most: super::format::BODY_MAX,
            }),
            Err(WriteError::Disk(error)) => {
                self.note_failure(failed, &error);
                Err(Unwritable::Disk(error.to_string()))
            }
        };
        self.shared.held.store(self.held.len(), Ordering::Relaxed);
        self.answer(group, &answer);
        // A batch that is too large is its own affair.
        match answer {
            Err(Unwritable::TooLarge { .. }) => Ok(()),
            other => other,
        }
    }

    /// A pin stands once its entry is durable. The directory reports its own failures, and turns
    /// subjects away until a restart replays what it missed.
    fn let_pin_stand(&self, seq: u64, draft: &Draft) {
        if let (Some(pinning), Some(key)) = (&draft.pin, draft.key()) {
            let _ = self.directory.apply(seq, key, &pinning.change());
        }
    }

    fn answer(&self, group: Vec<Batch>, answer: &Result<(), Unwritable>) {
        let mut drafts = 0;
        for batch in group {
            drafts += batch.drafts.len();
            if answer.is_err() {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
            }
            // Claims are let go before the answer, so that whoever retries can claim again.
            drop(batch.drafts);
            // Who no longer listens has gone; the entry stands all the same.
            let _ = batch.reply.send(answer.clone());
        }
        self.shared.queue_locked().drafts -= drafts;
    }

    fn note_success(&mut self, failed: bool, took: Duration) {
        self.usual = if self.usual.is_zero() {
            took
        } else {
            (self.usual * 7 + took) / 8
        };
        if failed {
            tracing::warn!("the ledger can be written again");
            self.refused_before = self.shared.refused.load(Ordering::Relaxed);
            self.shared.failed.store(false, Ordering::Release);
        }
        let mut status = self.status();
        status.entries = self.writer.next() - 1;
        status.bytes = self.writer.bytes;
        status.segments = self.writer.segments;
        status.commits += 1;
        status.last_commit = took;
        status.error = None;
    }

    fn note_failure(&self, failed: bool, error: &io::Error) {
        if !failed {
            tracing::error!(%error, "the ledger cannot be written: requests are turned away until it can");
        }
        self.shared.failed.store(true, Ordering::Release);
        self.status().error = Some(error.to_string());
    }

    fn status(&self) -> MutexGuard<'_, JournalStatus> {
        self.shared
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
