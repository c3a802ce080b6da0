//! What stands and waits to be stored in a file, and the thread that stores it.
//!
//! The ledger has all of it already: what is lost here is replayed at the next start, from the last
//! entry on that the file says it has. So changes are stored in their order, a batch at a time.

use std::{
    collections::VecDeque,
    fmt::Display,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A change that waits to be stored.
pub(crate) trait Change {
    /// Whether `next`, which follows, must be in the same batch: the file remembers up to which
    /// entry it has everything.
    fn is_one_with(&self, next: &Self) -> bool;
}

/// Changes that wait to be stored.
pub(crate) struct Backlog<C> {
    state: Mutex<State<C>>,
    wake: Condvar,
}

struct State<C> {
    changes: VecDeque<C>,
    /// Taken and not yet stored.
    in_hand: usize,
    closed: bool,
    error: Option<String>,
    /// The storing thread is gone, with what it had in hand: what follows it must not be stored.
    failed: bool,
}

/// Nothing is stored any more.
#[derive(Debug)]
struct Failed;

impl<C> Default for Backlog<C> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                changes: VecDeque::new(),
                in_hand: 0,
                closed: false,
                error: None,
                failed: false,
            }),
            wake: Condvar::new(),
        }
    }
}

impl<C: Change> Backlog<C> {
    /// Beyond so many, whoever makes new ones is turned away.
    pub const LIMIT: usize = 500_000;
    /// One transaction's changes: enough to pay its fsync, little enough to stay short.
    const BATCH: usize = 20_000;
    /// How long changes may gather.
    const GATHER: Duration = Duration::from_secs(1);
    /// How long a failed disk is left alone: each try closes the file and opens it again.
    const PAUSE: Duration = Duration::from_secs(1);

    pub fn push(&self, changes: impl IntoIterator<Item = C>) {
        let mut state = self.lock();
        let before = state.changes.len();
        state.changes.extend(changes);
        let now = state.changes.len();
        // The first is waited for, and what makes a batch whole.
        if (before == 0 && now > 0) || (before < Self::BATCH && now >= Self::BATCH) {
            self.wake.notify_all();
        }
    }

    pub fn len(&self) -> usize {
        let state = self.lock();
        state.changes.len() + state.in_hand
    }

    /// The last failure to store, until storing succeeds again.
    pub fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    /// The next batch, after letting changes gather; `None` when closed and empty, when closed and the
    /// disk fails, or when nothing may be stored any more.
    fn take(&self) -> Option<Vec<C>> {
        let mut state = self.lock();
        loop {
            let ends = state.closed && (state.changes.is_empty() || state.error.is_some());
            if ends || state.failed {
                return None;
            }
            if state.changes.is_empty() || state.in_hand > 0 {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let few = |s: &mut State<C>| !s.closed && s.changes.len() < Self::BATCH;
            (state, _) = self
                .wake
                .wait_timeout_while(state, Self::GATHER, few)
                .unwrap_or_else(PoisonError::into_inner);
            // While changes gathered somebody may have flushed: two batches at once could be stored
            // in the wrong order.
            if !state.changes.is_empty() && state.in_hand == 0 && !state.failed {
                return Some(Self::cut(&mut state));
            }
        }
    }

    /// The next batch at once; `None` when there is none. Waits while another is being stored.
    fn take_now(&self) -> Result<Option<Vec<C>>, Failed> {
        let mut state = self.idle(self.lock());
        if state.failed {
            return Err(Failed);
        }
        Ok((!state.changes.is_empty()).then(|| Self::cut(&mut state)))
    }

    /// Waits until nothing is being stored.
    fn idle<'s>(&self, state: MutexGuard<'s, State<C>>) -> MutexGuard<'s, State<C>> {
        self.wake
            .wait_while(state, |s| s.in_hand > 0)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(state: &mut State<C>) -> Vec<C> {
        let mut count = state.changes.len().min(Self::BATCH);
        let parts_one = |count: usize| {
            let last = count.checked_sub(1).and_then(|i| state.changes.get(i));
            let next = state.changes.get(count);
            matches!((last, next), (Some(last), Some(next)) if last.is_one_with(next))
        };
        while parts_one(count) {
            count += 1;
        }
        state.in_hand = count;
        state.changes.drain(..count).collect()
    }

    fn stored(&self) {
        let mut state = self.lock();
        state.in_hand = 0;
        state.error = None;
        self.wake.notify_all();
    }

    fn give_back(&self, batch: Vec<C>, error: String) {
        let mut state = self.lock();
        state.in_hand = 0;
        for change in batch.into_iter().rev() {
            state.changes.push_front(change);
        }
        state.error = Some(error);
        self.wake.notify_all();
    }

    /// The storing thread is gone: what waits stays, and nobody waits for what it had in hand.
    fn fail(&self, error: &str) {
        let mut state = self.lock();
        state.in_hand = 0;
        state.failed = true;
        state.error = Some(error.to_owned());
        self.wake.notify_all();
    }

    /// Leaves a failed disk alone for a while.
    fn pause(&self) {
        let state = self.lock();
        let _ = self
            .wake
            .wait_timeout_while(state, Self::PAUSE, |s| !s.closed);
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has a backlog and can store it.
pub(crate) trait Stores: Send + Sync + 'static {
    type Change: Change + Send;
    type Error: Display;

    fn backlog(&self) -> &Backlog<Self::Change>;

    /// Stores a batch in one durable transaction, and lets go of what memory held for it.
    fn store(&self, batch: &[Self::Change]) -> Result<(), Self::Error>;

    /// What is told where nothing is stored any more: a restart replays what is missing.
    fn gone() -> Self::Error;

    /// Whether the log has been told of such an error.
    fn is_told(error: &Self::Error) -> bool;

    /// Tells the log that nothing can be stored: once, until something is stored again.
    fn tell(error: &Self::Error);
}

/// Blocks until everything that waits is stored.
///
/// # Errors
/// What the storing failed with; what is missing stays in the backlog.
pub(crate) fn flush<S: Stores>(of: &S) -> Result<(), S::Error> {
    while let Some(batch) = of.backlog().take_now().map_err(|Failed| S::gone())? {
        store(of, batch)?;
    }
    Ok(())
}

fn store<S: Stores>(of: &S, batch: Vec<S::Change>) -> Result<(), S::Error> {
    match of.store(&batch) {
        Ok(()) => {
            of.backlog().stored();
            Ok(())
        }
        Err(error) => {
            of.backlog().give_back(batch, error.to_string());
            Err(error)
        }
    }
}

/// The thread that stores. Dropped, it stores what waits and ends; the drop waits for that.
pub(crate) struct Storing<S: Stores> {
    of: Arc<S>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<S: Stores> Storing<S> {
    pub fn start(name: &str, of: Arc<S>) -> io::Result<Self> {
        let stores = Arc::clone(&of);
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || Self::run(&*stores))?;
        Ok(Self {
            of,
            thread: Mutex::new(Some(thread)),
        })
    }

    fn run(of: &S) {
        let _ending = Ending(of);
        let mut told = false;
        while let Some(batch) = of.backlog().take() {
            let Err(error) = store(of, batch) else {
                told = false;
                continue;
            };
            if !S::is_told(&error) && !std::mem::replace(&mut told, true) {
                S::tell(&error);
            }
            of.backlog().pause();
        }
    }

    #[cfg(test)]
    pub fn dies_for_tests(&self) {
        let of = Arc::clone(&self.of);
        let _ = thread::spawn(move || {
            let _ending = Ending(&*of);
            panic!("the storing thread dies");
        })
        .join();
    }
}

impl<S: Stores> Drop for Storing<S> {
    fn drop(&mut self) {
        self.of.backlog().close();
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

/// Tells when the storing thread ends before its time; what stands is safe in the ledger.
struct Ending<'a, S: Stores>(&'a S);

impl<S: Stores> Drop for Ending<'_, S> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .backlog()
                .fail("its thread has ended: restart the router");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Of which entry it is.
    struct Of(u64);

    impl Change for Of {
        fn is_one_with(&self, next: &Self) -> bool {
            self.0 == next.0
        }
    }

    const BATCH: u64 = Backlog::<Of>::BATCH as u64;

    /// Two batches that are stored at once may be stored in the wrong order.
    #[test]
    fn while_one_batch_is_stored_no_other_is_taken() {
        let backlog = Arc::new(Backlog::default());
        backlog.push([Of(1)]);
        let (tell, told) = mpsc::channel();
        let gathers = Arc::clone(&backlog);
        let thread = thread::spawn(move || tell.send(gathers.take().unwrap().len()));
        // Somebody flushes while it gathers, or before.
        let first = backlog.take_now().unwrap();
        backlog.push([Of(2)]);
        if first.is_some_and(|batch| batch.len() == 1) {
            let twice = Backlog::<Of>::GATHER * 2;
            assert!(told.recv_timeout(twice).is_err(), "taken beside the first");
            backlog.stored();
        }
        assert_eq!(told.recv(), Ok(1));
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_whole_batch_is_not_waited_for() {
        let backlog = Backlog::default();
        backlog.push((0..=BATCH).map(Of));
        assert_eq!(backlog.take().unwrap().len(), Backlog::<Of>::BATCH);
    }

    #[test]
    fn what_is_of_one_entry_is_stored_together() {
        let backlog = Backlog::default();
        // The second entry alone is more than a batch.
        backlog.push((0..3 * BATCH).map(|n| Of(u64::from(n > 10) + u64::from(n > 2 * BATCH))));
        let first = backlog.take().unwrap();
        assert_eq!(first.len() as u64, 2 * BATCH + 1);
        backlog.stored();
        let second = backlog.take().unwrap();
        assert_eq!(second.len() as u64, BATCH - 1);
        assert!(second.iter().all(|of| of.0 == 2));
    }

    #[test]
    fn what_could_not_be_stored_comes_first_again() {
        let backlog = Backlog::default();
        backlog.push([Of(1), Of(2)]);
        let batch = backlog.take_now().unwrap().unwrap();
        backlog.push([Of(3)]);
        backlog.give_back(batch, "no room".into());
        assert_eq!(backlog.error().as_deref(), Some("no room"));
        let again = backlog.take_now().unwrap().unwrap();
        assert_eq!(again.iter().map(|of| of.0).collect::<Vec<_>>(), [1, 2, 3]);
        backlog.stored();
        assert_eq!((backlog.error(), backlog.len()), (None, 0));
    }

    /// The file remembers up to which entry it has everything.
    #[test]
    fn after_a_batch_that_died_with_its_thread_none_is_stored() {
        let backlog = Backlog::default();
        backlog.push([Of(1)]);
        let lost = backlog.take().unwrap();
        backlog.push([Of(2)]);
        drop(lost);
        backlog.fail("its thread has ended");
        assert!(backlog.take_now().is_err());
        assert_eq!(backlog.len(), 1);
    }
}
