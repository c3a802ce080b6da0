//! Since when a file is being written: the thread that hangs with its disk cannot tell.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Nobody waits longer for a disk; one that has not confirmed a write by then hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of writes into one file. Cheap to clone; all clones are one. Looking at it waits for
/// no disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writing(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    /// When the first of them began, or the last of others ended: one after the other is no hang.
    since: Option<Instant>,
}

/// A write that is under way while this lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct UnderWay<'w>(&'w Writing);

impl Writing {
    pub fn begin(&self) -> UnderWay<'_> {
        let mut state = self.lock();
        state.under_way += 1;
        if state.under_way == 1 {
            state.since = Some(Instant::now());
        }
        UnderWay(self)
    }

    /// For how long the disk has confirmed nothing; nothing where it was not asked to.
    pub fn lasts(&self) -> Duration {
        let since = self.lock().since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What is told of a disk that hangs.
    pub fn hang(&self) -> Option<String> {
        let lasts = self.lasts();
        (lasts > PATIENCE).then(|| unconfirmed(lasts))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The words for a disk that hangs.
pub(crate) fn unconfirmed(lasts: Duration) -> String {
    format!(
        "the disk has not confirmed a write for {} seconds",
        lasts.as_secs()
    )
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.under_way -= 1;
        state.since = (state.under_way > 0).then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_does_not_end_is_a_hang_and_many_that_do_are_none() {
        let writing = Writing::default();
        let pass = || tokio::time::advance(Duration::from_secs(6));
        assert_eq!((writing.lasts(), writing.hang()), (Duration::ZERO, None));
        let first = writing.begin();
        pass().await;
        let second = writing.begin();
        drop(first);
        pass().await;
        assert_eq!(writing.hang(), None, "one ended meanwhile");
        pass().await;
        let told = writing.hang().unwrap();
        assert!(told.contains("for 12 seconds"), "{told}");
        drop(second);
        pass().await;
        assert_eq!((writing.lasts(), writing.hang()), (Duration::ZERO, None));
    }
}
