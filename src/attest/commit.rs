//! The thread that writes: takes what all doors handed over, makes one frame of it, waits for the
//! disk once, lets pins stand, and answers.

use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Books, Bundle, JournalStatus, Pinning, Profile, Unwritable,
    groups::Groups,
    lazy::Lazy,
    open::FolderLock,
    porter::Post,
    queue::{Batch, Queue, Shared},
    writer::{Item, WriteError, Writer},
};
use crate::{clock, domain::SubjectKey};

/// How long flows home may gather before they are written; leaves most of the 100 ms that they
/// may be late to the disk.
const GATHER: Duration = Duration::from_millis(25);
/// While the ledger or its head cannot be written, so often it is tried without being asked.
const RETRY: Duration = Duration::from_millis(100);
/// About so many entries make one frame; a batch is never divided.
const FRAME: usize = 100_000;

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
    books: Books,
    lock: FolderLock,
    mark_every: Duration,
) -> io::Result<Thread> {
    let marked = writer.next() - 1;
    let thread_shared = Arc::clone(&shared);
    let handle = std::thread::Builder::new()
        .name("ledger".into())
        .spawn(move || {
            let _lock = lock;
            let _ending = Ending(&thread_shared);
            Committer {
                shared: &thread_shared,
                writer,
                books,
                held: Vec::new(),
                held_entries: 0,
                spare: Vec::new(),
                refused_before: 0,
                groups: Groups::new(),
                marked,
                marked_at: Instant::now(),
                mark_every,
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
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Release);
            let mut status = self.0.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.error = Some("its thread has ended: restart the router".to_owned());
        }
        self.0.note_writing(false);
        let mut queue = self.0.queue_locked();
        queue.closing = true;
        queue.batches.clear();
        for buffer in queue.buffers.drain(..) {
            buffer.seal();
        }
    }
}

struct Committer<'a> {
    shared: &'a Shared,
    writer: Writer,
    books: Books,
    /// Lazy entries in hand; after a failure they stay until a write succeeds.
    held: Vec<Lazy>,
    /// Entries of these.
    held_entries: usize,
    /// An empty buffer to give a worker for its full one.
    spare: Vec<Lazy>,
    /// How many requests had been turned away by the last `resumed` entry.
    refused_before: u64,
    groups: Groups,
    /// Up to which entry the books were marked last, and when.
    marked: u64,
    marked_at: Instant,
    mark_every: Duration,
}

impl Committer<'_> {
    fn run(mut self) {
        loop {
            let (batches, closing) = self.next();
            self.shared.note_in_hand(self.oldest(&batches));
            self.commit_all(batches);
            self.shared.note_writing(false);
            self.shared.note_in_hand(self.oldest(&[]));
            self.mark_if_due();
            if closing {
                break;
            }
        }
        // A ledger that is closed ends with its last frame.
        if let Err(error) = self.writer.repair() {
            tracing::warn!(%error, "the room at the ledger's end could not be given back");
        }
        if let Err(error) = self.writer.sync_head() {
            tracing::error!(%error, "the ledger's head could not be made durable");
        }
        self.books.mark(self.writer.next() - 1);
    }

    /// Most routers seldom pin or count anybody, and by that alone the books would not know how far
    /// the ledger goes: after a crash all since the last start would be read again.
    fn mark_if_due(&mut self) {
        let last = self.writer.next() - 1;
        if last > self.marked && self.marked_at.elapsed() >= self.mark_every {
            self.books.mark(last);
            self.marked = last;
            self.marked_at = Instant::now();
        }
    }

    /// When the oldest entry in hand was handed over, in µs since 1970. Each door's entries are in order, so the
    /// first of each will do; of the workers' buffers the first one's, which is not 100 ms younger
    /// than the others'.
    fn oldest(&self, batches: &[Batch]) -> Option<i64> {
        let lazy = self.held.first().map(Lazy::at);
        let ahead = batches.iter().filter_map(|b| b.work.at());
        ahead.chain(lazy).min()
    }

    /// Waits for work, lets it gather, and takes it.
    fn next(&mut self) -> (Vec<Batch>, bool) {
        let failed = self.shared.failed.load(Ordering::Acquire);
        let is_retried = failed || self.writer.head_trouble().is_some();
        let idle = |q: &mut Queue| q.batches.is_empty() && !q.closing;
        let began = Instant::now();
        let mut queue = self.shared.queue_locked();
        queue.wake_at = 1;
        while idle(&mut queue) {
            let limit = if is_retried {
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
        // Requests that the last commit let go come back together.
        let target = self.groups.target();
        if queue.batches.len() < target && !queue.batches.is_empty() && !queue.closing {
            queue.wake_at = target;
            let patience = self.groups.patience();
            queue = self.wait(queue, patience, |q| q.batches.len() < target && !q.closing);
        }
        self.groups.gathered(began.elapsed());
        // Nobody need wake us while we are at work.
        queue.wake_at = usize::MAX;
        let batches = mem::take(&mut queue.batches);
        let closing = queue.closing;
        self.shared.nudged.store(false, Ordering::Release);
        queue.buffers.retain(|buffer| {
            // Whose worker has gone is fetched one last time.
            let kept = Arc::strong_count(buffer) > 1;
            self.held_entries += buffer.fetch(&mut self.spare, closing);
            if self.held.is_empty() {
                mem::swap(&mut self.held, &mut self.spare);
            } else {
                self.held.append(&mut self.spare);
            }
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
        let requests = batches.len();
        let pinning = batches.iter().filter(|b| b.work.pins()).count();
        let mut batches = batches.into_iter().peekable();
        loop {
            // Of each frame: many that are sound may take longer than one that hangs.
            self.shared.note_writing(true);
            let (lazy, mut count) = self.lazy_frame();
            let mut group = Vec::new();
            while let Some(batch) = batches.next_if(|b| {
                lazy == self.held.len() && (count == 0 || count + b.work.entries() <= FRAME)
            }) {
                count += batch.work.entries();
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
        let waiting = self.shared.queue_locked().batches.len();
        self.groups.served(requests, pinning, waiting);
    }

    /// How much of what is in hand makes a frame, and how many entries that is.
    fn lazy_frame(&self) -> (usize, usize) {
        if self.held_entries <= FRAME {
            return (self.held.len(), self.held_entries);
        }
        let mut entries = 0;
        let fits = |lazy: &&Lazy| {
            let is_first = entries == 0;
            entries += lazy.entries();
            is_first || entries <= FRAME
        };
        let lazy = self.held.iter().take_while(fits).count();
        (lazy, self.held.iter().take(lazy).map(Lazy::entries).sum())
    }

    /// One frame: `lazy` of what is in hand and a group of batches.
    fn commit(&mut self, lazy: usize, group: Vec<Batch>) -> Result<(), Unwritable> {
        let started = Instant::now();
        let first = self.writer.next();
        let failed = self.shared.failed.load(Ordering::Acquire);
        let refused = self.shared.refused.load(Ordering::Relaxed) - self.refused_before;
        // Without a failure they were turned away while a write hung.
        let resumed = (failed || refused > 0).then(|| Item::Resumed {
            at: clock::now().as_microsecond(),
            refused,
        });
        let items: Vec<_> = resumed
            .into_iter()
            .chain(self.held.iter().take(lazy).map(Lazy::item))
            .chain(group.iter().flat_map(|batch| batch.work.items()))
            .collect();
        let written = self.writer.commit(&items);
        if written.is_ok() {
            let mut seq = first;
            for item in &items {
                match item {
                    Item::Draft(draft) => {
                        self.let_pin_stand(seq, draft.pin.as_ref(), draft.key());
                        self.let_person_count(seq, &draft.profile, draft.key(), draft.at);
                    }
                    Item::Bundle(bundle) => self.let_bundle_stand(seq, bundle),
                    _ => {}
                }
                seq += item.entries() as u64;
            }
        }
        let wrote = !items.is_empty();
        drop(items);
        let answer = match written {
            Ok(()) => {
                let written = self.held.drain(..lazy).map(|lazy| lazy.entries());
                self.held_entries -= written.sum::<usize>();
                if wrote {
                    self.refused_before += refused;
                    self.note_success(failed, started.elapsed());
                }
                self.status().error = self.writer.head_trouble().map(str::to_owned);
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
        self.shared.held.store(self.held_entries, Ordering::Relaxed);
        self.answer(group, &answer);
        // A batch that is too large is its own affair.
        match answer {
            Err(Unwritable::TooLarge { .. }) => Ok(()),
            other => other,
        }
    }

    /// A pin stands once its entry is durable. The directory reports its own failures, and turns
    /// subjects away until a restart replays what it missed.
    fn let_pin_stand(&self, seq: u64, pin: Option<&Pinning>, key: Option<SubjectKey>) {
        if let (Some(pinning), Some(key)) = (pin, key) {
            let _ = self.books.directory.apply(seq, key, &pinning.change());
        }
    }

    /// A person counts once the entry is durable, and before the hold in the draft is let go. The
    /// counters report their own failures, as the directory does.
    fn let_person_count(
        &self,
        seq: u64,
        profile: &Profile,
        key: Option<SubjectKey>,
        at: Timestamp,
    ) {
        if let (Some(counters), Some(key)) = (&self.books.counters, key)
            && !profile.counted.is_empty()
        {
            let _ = counters.apply(seq, key, at, &profile.counted);
        }
    }

    fn let_bundle_stand(&self, first: u64, bundle: &Bundle) {
        if !bundle.has_effects() {
            return;
        }
        for (seq, (kind, row, extra)) in (first..).zip(bundle.rows()) {
            let Some(kind) = bundle.kinds().get(kind) else {
                continue;
            };
            let key = row.key(kind);
            self.let_pin_stand(seq, extra.and_then(|e| e.pin.as_ref()), key);
            self.let_person_count(seq, &kind.profile, key, bundle.at());
        }
    }

    fn answer(&self, group: Vec<Batch>, answer: &Result<(), Unwritable>) {
        let mut drafts = 0;
        let mut post = Post::default();
        for batch in group {
            drafts += batch.work.entries();
            // Who has given up is counted already; what was too large could be written in parts.
            if matches!(answer, Err(Unwritable::Disk(_))) && !batch.reply.to.is_closed() {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
            }
            // Claims are let go before the answer, so that whoever retries can claim again.
            drop(batch.work);
            post.add(batch.reply, answer.clone());
        }
        self.shared.queue_locked().drafts -= drafts;
        post.deliver();
    }

    fn note_success(&mut self, failed: bool, took: Duration) {
        self.groups.committed(took);
        if failed {
            tracing::warn!("the ledger can be written again");
            self.shared.failed.store(false, Ordering::Release);
        }
        let mut status = self.status();
        status.entries = self.writer.next() - 1;
        status.bytes = self.writer.bytes;
        status.segments = self.writer.segments;
        status.commits += 1;
        status.last_commit = took;
        status.all_commits += took;
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
