//! Between those who stand and the file: the queue of what is to be stored, and the thread.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use super::{Inner, Tally, tally::Quarter};
use crate::domain::SubjectKey;

/// One person counted by one entry; `None`: only the entry's number is to be remembered.
pub(super) struct Change {
    pub seq: u64,
    pub of: Option<(Arc<Tally>, SubjectKey, Quarter)>,
}

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
    /// Beyond so many, flows that count are turned away.
    pub const LIMIT: usize = 500_000;
    /// Changes of one transaction.
    const BATCH: usize = 20_000;
    /// How long changes may gather.
    const GATHER: Duration = Duration::from_secs(1);
    /// How long a failed disk is left alone: each try closes the file and opens it again.
    const PAUSE: Duration = Duration::from_secs(1);

    /// All changes of one entry at once: the number that the file remembers speaks of whole ones.
    pub fn push_all(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.lock();
        let before = state.changes.len();
        state.changes.extend(changes);
        // The first is waited for, and what makes a batch whole.
        if before == 0 || (before < Self::BATCH && state.changes.len() >= Self::BATCH) {
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
            let few = |s: &mut State| !s.closed && s.changes.len() < Self::BATCH;
            (state, _) = self
                .wake
                .wait_timeout_while(state, Self::GATHER, few)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // While changes gathered somebody may have flushed.
        let mut state = self.idle(state);
        Some(Self::cut(&mut state))
    }

    /// The next batch at once; `None` when there is none. Waits while another is being stored.
    pub fn take_now(&self) -> Option<Vec<Change>> {
        let mut state = self.idle(self.lock());
        (!state.changes.is_empty()).then(|| Self::cut(&mut state))
    }

    fn idle<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.wake
            .wait_while(state, |s| s.in_hand > 0)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(state: &mut State) -> Vec<Change> {
        let mut count = state.changes.len().min(Self::BATCH);
        // An entry whose changes do not all fit comes later.
        let seq = |s: &State, i: usize| s.changes.get(i).map(|c| c.seq);
        while count > 1 && count < state.changes.len() && seq(state, count) == seq(state, count - 1)
        {
            count -= 1;
        }
        state.in_hand = count;
        state.changes.drain(..count).collect()
    }

    pub fn stored(&self) {
        let mut state = self.lock();
        state.in_hand = 0;
        state.error = None;
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

pub(super) struct Storing {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Storing {
    pub fn new(inner: Arc<Inner>, thread: JoinHandle<()>) -> Self {
        Self {
            inner,
            thread: Mutex::new(Some(thread)),
        }
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        self.inner.backlog.close();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic there was reported by the thread; the ledger replays what it left.
            let _ = thread.join();
        }
    }
}
