//! The one place that reads the wall clock.
//!
//! A request asks for the time ten times, and each reading costs as much as reading its head: a
//! task that runs [`InTurns`] reads it once whenever it is polled, and the time of day follows from
//! that.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use pin_project_lite::pin_project;
use tokio::time::Instant;

/// The time of day. Everything that decides takes a time instead of calling this.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that the ban names"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since 1970 of `at`; 0 before it.
pub fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// Nanoseconds since 1970 of `at`; 0 before it.
#[cfg(feature = "otlp")]
pub fn unix_ns(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// The day it is, in UTC.
pub fn today() -> jiff::civil::Date {
    now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The day it is where it is first tomorrow, 14 hours ahead of UTC.
pub fn last_today() -> jiff::civil::Date {
    last_day(now())
}

fn last_day(at: Timestamp) -> jiff::civil::Date {
    let first = jiff::tz::TimeZone::fixed(jiff::tz::offset(14));
    at.to_zoned(first).date()
}

/// How long the time of day may follow from a reading of it: so late is noticed that it was set.
const FOLLOWS: Duration = Duration::from_millis(10);

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::None) };
    static READ: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
enum Turn {
    /// What runs is no task in turns.
    None,
    Begun,
    Read(Instant),
}

/// The moment at which it was asked first since the task that runs was polled; of a task that does
/// not run [`InTurns`], now.
///
/// For what is measured and limited in milliseconds: a turn lasts as long as the work that needs
/// no waiting.
pub fn moment() -> Instant {
    match TURN.get() {
        Turn::Read(at) => at,
        Turn::Begun => {
            let at = Instant::now();
            TURN.set(Turn::Read(at));
            at
        }
        Turn::None => Instant::now(),
    }
}

/// The time of day at [`moment`]. If the clock is set, that is seen 10 ms later at most.
pub fn time() -> Timestamp {
    let moment = moment();
    if let Some((read, then)) = READ.get()
        && let Some(passed) = moment.checked_duration_since(read)
        && passed < FOLLOWS
        && let Ok(time) = then.checked_add(SignedDuration::from_nanos(passed.subsec_nanos().into()))
    {
        return time;
    }
    let now = now();
    READ.set(Some((moment, now)));
    now
}

pin_project! {
    /// A task for which time stands while it runs: see [`moment`].
    pub struct InTurns<F> {
        #[pin]
        task: F,
    }
}

impl<F> InTurns<F> {
    pub fn new(task: F) -> Self {
        Self { task }
    }
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _turn = Begun::new();
        self.project().task.poll(cx)
    }
}

/// Ends a turn, also when it panics.
struct Begun;

impl Begun {
    fn new() -> Self {
        TURN.set(Turn::Begun);
        Self
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        TURN.set(Turn::None);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, thread::sleep};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(2);

    fn alone<T>(task: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(task)
    }

    #[test]
    fn time_stands_in_a_turn_and_goes_on_in_the_next() {
        let (first, again, next) = alone(InTurns::new(async {
            let first = (moment(), time());
            sleep(MOMENT);
            let again = (moment(), time());
            tokio::task::yield_now().await;
            (first, again, (moment(), time()))
        }));
        assert_eq!(first, again);
        assert!(next.0 >= first.0 + MOMENT);
        let passed = next.1.duration_since(first.1);
        assert!(passed.unsigned_abs() >= MOMENT, "{passed}");
    }

    #[test]
    fn elsewhere_time_goes_on() {
        let first = (moment(), time());
        sleep(MOMENT);
        assert!(moment() >= first.0 + MOMENT);
        let passed = time().duration_since(first.1);
        assert!(passed.unsigned_abs() >= MOMENT, "{passed}");
    }

    #[test]
    fn a_turn_ends_when_it_panics() {
        let task = InTurns::new(poll_fn(|_| -> Poll<()> {
            let _ = moment();
            panic!("a task panics");
        }));
        let panics = std::panic::AssertUnwindSafe(|| alone(task));
        std::panic::catch_unwind(panics).unwrap_err();
        let first = moment();
        sleep(MOMENT);
        assert!(moment() >= first + MOMENT);
    }

    #[test]
    fn the_time_of_day_is_read_anew_soon() {
        let hour = SignedDuration::from_hours(1);
        let read = Instant::now().checked_sub(FOLLOWS / 2).unwrap();
        READ.set(Some((read, now() - hour)));
        assert!(now().duration_since(time()) > hour / 2, "it follows");
        let read = Instant::now().checked_sub(FOLLOWS).unwrap();
        READ.set(Some((read, now() - hour)));
        assert!(now().duration_since(time()) < hour / 2, "it was read");
    }

    #[test]
    fn a_day_that_has_come_somewhere_has_come() {
        // The 24th, 03:00 in Shanghai; midnight on Kiritimati, and a second before.
        for (at, day) in [
            ("2026-11-23T19:00:00Z", 24),
            ("2026-11-23T10:00:00Z", 24),
            ("2026-11-23T09:59:59Z", 23),
        ] {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!(last_day(at), jiff::civil::date(2026, 11, day), "{at}");
        }
    }
}
