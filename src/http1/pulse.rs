//! One timer for all limits of a connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    task::coop::has_budget_remaining,
    time::{Instant, Sleep, sleep_until},
};

/// A timer that is set anew only when it must ring earlier than it would.
///
/// Deadlines move on with each request; moving the timer each time would cost more than to let it
/// ring now and then for nothing.
pub struct Pulse {
    sleep: Pin<Box<Sleep>>,
    /// Of whom the timer wakes.
    wakes: Option<Waker>,
}

impl Pulse {
    pub fn new(first: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(first)),
            wakes: None,
        }
    }

    /// Whether `deadline` has passed; wakes the task then. Of several deadlines the earliest
    /// must be asked for.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let is_early = deadline < self.sleep.deadline();
        let wakes = self.wakes.as_ref().is_some_and(|w| w.will_wake(cx.waker()));
        if wakes && !is_early && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        if is_early {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= deadline {
                self.wakes = None;
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        // A task that has had its turn is not noted by the timer, but comes again.
        if !wakes {
            self.wakes = has_budget_remaining().then(|| cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::task::coop::poll_proceed;

    use super::*;

    fn alone(test: impl Future<Output = ()> + 'static) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(tokio::task::LocalSet::new().run_until(test));
    }

    #[test]
    fn whoever_asked_last_is_woken_at_the_earliest_deadline_asked_for() {
        alone(async {
            let hour = Instant::now() + Duration::from_secs(3600);
            let mut pulse = Pulse::new(hour);
            poll_fn(|cx| {
                for _ in 0..3 {
                    assert!(pulse.poll(cx, hour).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            let soon = Instant::now() + Duration::from_millis(2);
            let mut asked = 0;
            let other = tokio::task::spawn_local(async move {
                poll_fn(|cx| {
                    asked += 1;
                    pulse.poll(cx, soon)
                })
                .await;
                assert!(Instant::now() >= soon && asked >= 2);
                // It has rung: it does not count as set.
                let next = Instant::now() + Duration::from_millis(2);
                poll_fn(|cx| pulse.poll(cx, next)).await;
                Instant::now() >= next
            });
            assert!(other.await.unwrap());
        });
    }

    #[test]
    fn a_task_without_budget_is_woken_all_the_same() {
        alone(async {
            let soon = Instant::now() + Duration::from_millis(2);
            let mut pulse = Pulse::new(soon);
            let mut asked = 0;
            poll_fn(|cx| {
                asked += 1;
                while asked == 1 && has_budget_remaining() {
                    if let Poll::Ready(unit) = poll_proceed(cx) {
                        unit.made_progress();
                    }
                }
                pulse.poll(cx, soon)
            })
            .await;
            assert!(Instant::now() >= soon && asked > 1);
        });
    }
}
