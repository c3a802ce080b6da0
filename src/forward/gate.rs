use std::{cell::Cell, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How much of one worker one region may take, so that a region that hangs leaves the others room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Requests at work in a region at one time, answers still being read included.
    pub at_work: usize,
    /// Requests that may wait for a seat.
    pub waiting: usize,
}

impl Shares {
    /// Half of what the worker takes in may be at work in one region, a quarter may wait for it;
    /// at least 64 each, so that one batch sent record by record finds room.
    pub fn of(concurrent_requests: usize) -> Self {
        Self {
            at_work: (concurrent_requests / 2).clamp(64, Semaphore::MAX_PERMITS),
            waiting: (concurrent_requests / 4).max(64),
        }
    }

    /// So many at work, and half as many, at least 64, that wait.
    pub fn exactly(at_work: usize) -> Self {
        Self {
            at_work: at_work.clamp(1, Semaphore::MAX_PERMITS),
            waiting: (at_work / 2).max(64),
        }
    }
}

/// A counter of seats with a bounded queue. It belongs to one worker, so nothing contends for it.
pub(super) struct Gate {
    seats: Arc<Semaphore>,
    waiting: Cell<usize>,
    most_waiting: usize,
    /// Longest wait for a seat.
    patience: Duration,
}

/// One request at work; given back by dropping.
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// The queue is full, or waiting took too long.
pub(super) struct Full;

impl Gate {
    pub(super) fn new(shares: Shares, patience: Duration) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(shares.at_work)),
            waiting: Cell::new(0),
            most_waiting: shares.waiting,
            patience,
        }
    }

    /// A seat that is free now.
    pub(super) fn enter_at_once(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat { _permit: permit })
    }

    /// Waits for a seat. Cancel safe: a dropped wait leaves the queue.
    pub(super) async fn enter(&self) -> Result<Seat, Full> {
        if let Some(seat) = self.enter_at_once() {
            return Ok(seat);
        }
        if self.waiting.get() >= self.most_waiting {
            return Err(Full);
        }
        let _place = Place::take(&self.waiting);
        let seat = Arc::clone(&self.seats).acquire_owned();
        match timeout(self.patience, seat).await {
            Ok(Ok(permit)) => Ok(Seat { _permit: permit }),
            _ => Err(Full),
        }
    }
}

struct Place<'a>(&'a Cell<usize>);

impl<'a> Place<'a> {
    fn take(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_gate_queues_a_few_and_refuses_the_rest() {
        let shares = Shares {
            at_work: 1,
            waiting: 1,
        };
        let gate = Gate::new(shares, Duration::from_secs(60));
        let first = gate.enter().await.ok().unwrap();
        let (second, third, ()) = tokio::join!(gate.enter(), gate.enter(), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert!(second.is_ok(), "the queued one gets the seat");
        assert!(third.is_err(), "there is no second place in the queue");
    }

    #[tokio::test]
    async fn waiting_ends_with_patience_and_leaves_the_queue() {
        let shares = Shares {
            at_work: 1,
            waiting: 1,
        };
        let gate = Gate::new(shares, Duration::from_millis(5));
        let _held = gate.enter().await.ok().unwrap();
        assert!(gate.enter().await.is_err());
        assert_eq!(gate.waiting.get(), 0);
    }
}
