use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{sync::Notify, time::timeout};

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
            at_work: (concurrent_requests / 2).max(64),
            waiting: (concurrent_requests / 4).max(64),
        }
    }

    /// So many at work, and half as many, at least 64, that wait.
    pub fn exactly(at_work: usize) -> Self {
        Self {
            at_work: at_work.max(1),
            waiting: (at_work / 2).max(64),
        }
    }
}

/// A counter of seats with a bounded queue. It belongs to one worker, so nothing contends for it:
/// to take a free seat and to give it back is to count.
pub(super) struct Gate {
    seats: Rc<Seats>,
    most_waiting: usize,
    /// Longest wait for a seat.
    patience: Duration,
}

struct Seats {
    free: Cell<usize>,
    /// In the queue; seats that are given back go to them first.
    waiting: Cell<usize>,
    /// Seats that were given back to those who wait and that nobody sits in yet.
    promised: Cell<usize>,
    given: Notify,
}

/// One request at work; given back by dropping.
pub(super) struct Seat(Rc<Seats>);

/// The queue is full, or waiting took too long.
pub(super) struct Full;

impl Gate {
    pub(super) fn new(shares: Shares, patience: Duration) -> Self {
        let seats = Seats {
            free: Cell::new(shares.at_work),
            waiting: Cell::new(0),
            promised: Cell::new(0),
            given: Notify::new(),
        };
        Self {
            seats: Rc::new(seats),
            most_waiting: shares.waiting,
            patience,
        }
    }

    /// A seat that is free now.
    pub(super) fn enter_at_once(&self) -> Option<Seat> {
        let free = self.seats.free.get().checked_sub(1)?;
        self.seats.free.set(free);
        Some(Seat(Rc::clone(&self.seats)))
    }

    /// Waits for a seat. Cancel safe: a dropped wait leaves the queue.
    pub(super) async fn enter(&self) -> Result<Seat, Full> {
        if let Some(seat) = self.enter_at_once() {
            return Ok(seat);
        }
        if self.seats.waiting.get() >= self.most_waiting {
            return Err(Full);
        }
        let place = Place::take(&self.seats);
        let seat = async {
            loop {
                self.seats.given.notified().await;
                if let Some(seat) = place.promised() {
                    return seat;
                }
            }
        };
        timeout(self.patience, seat).await.map_err(|_| Full)
    }
}

impl Seats {
    fn give_back(&self) {
        if self.promised.get() < self.waiting.get() {
            self.promised.set(self.promised.get() + 1);
            self.given.notify_one();
        } else {
            self.free.set(self.free.get() + 1);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A place in the queue.
struct Place<'a>(&'a Rc<Seats>);

impl<'a> Place<'a> {
    fn take(seats: &'a Rc<Seats>) -> Self {
        seats.waiting.set(seats.waiting.get() + 1);
        Self(seats)
    }

    /// The seat that one of those who wait was told of.
    fn promised(&self) -> Option<Seat> {
        let promised = self.0.promised.get().checked_sub(1)?;
        self.0.promised.set(promised);
        Some(Seat(Rc::clone(self.0)))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting.get().saturating_sub(1);
        self.0.waiting.set(waiting);
        // Whom it was promised to has gone: nobody else waits for it.
        if let Some(left) = self
            .0
            .promised
            .get()
            .checked_sub(waiting)
            .filter(|n| *n > 0)
        {
            self.0.promised.set(waiting);
            self.0.free.set(self.0.free.get() + left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::Pin,
        task::Poll,
    };

    use super::*;

    fn one_seat(waiting: usize, patience: Duration) -> Gate {
        let at_work = 1;
        Gate::new(Shares { at_work, waiting }, patience)
    }

    async fn waits_still<F: Future + Unpin>(wait: &mut F) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *wait).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn a_full_gate_queues_a_few_and_refuses_the_rest() {
        let gate = one_seat(1, Duration::from_secs(60));
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
        let gate = one_seat(1, Duration::from_millis(5));
        let _held = gate.enter().await.ok().unwrap();
        assert!(gate.enter().await.is_err());
        assert_eq!(gate.seats.waiting.get(), 0);
    }

    #[tokio::test]
    async fn a_seat_goes_to_who_waited_longest_and_is_not_lost_with_them() {
        let gate = one_seat(3, Duration::from_secs(60));
        let first = gate.enter_at_once().unwrap();
        {
            let mut waits = Box::pin(gate.enter());
            let mut waits_too = Box::pin(gate.enter());
            assert!(waits_still(&mut waits).await);
            assert!(waits_still(&mut waits_too).await);
            drop(first);
            assert!(gate.enter_at_once().is_none(), "it is promised");
            // The first in line goes; the second is told instead.
            drop(waits);
            let second = waits_too.await.ok().unwrap();
            assert!(gate.enter_at_once().is_none());
            let mut waits = Box::pin(gate.enter());
            assert!(waits_still(&mut waits).await);
            drop(second);
        }
        // Nobody came to fetch it.
        let third = gate.enter_at_once().unwrap();
        assert!(gate.enter_at_once().is_none());
        let mut waits = Box::pin(gate.enter());
        assert!(waits_still(&mut waits).await);
        drop(third);
        assert!(waits.await.is_ok());
        assert_eq!(gate.seats.free.get(), 1);
    }
}
