//! How a busy worker waits for events.
//!
//! A worker that is done looks for what came meanwhile. Under load little did, since the last look
//! was a moment ago: then the worker sleeps and is woken for each event, and each time the processor
//! has forgotten the code. So a busy worker lets events gather for a moment before it looks, as
//! network cards do with their interrupts. A worker that sleeps half of its time anyway looks at
//! once: there the pauses cost more than they save.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Requests in a [`WINDOW`] from which on a worker counts as busy, 8,000 a second: with fewer, next
/// to nothing would gather.
const BUSY: u64 = 8;

/// How long requests and work are counted, at least, before the worker counts as busy or not.
const WINDOW: Duration = Duration::from_millis(1);

/// Of the time, this part has to be work: one half.
const SHARE: u64 = 2;

/// A pause that took this long: others want the processor, and to leave it is to stand in line.
const LATE: Duration = Duration::from_millis(1);

/// How long nothing pauses after that.
const REST: Duration = Duration::from_millis(20);

/// What one worker's thread keeps of it. Only that thread writes, but for the pause.
pub struct Coalesce {
    began: Instant,
    /// In microseconds.
    pause: AtomicU32,
    requests: AtomicU64,
    /// Of the window: when it began, in nanoseconds since `began`, and how many requests there had
    /// been.
    since: AtomicU64,
    before: AtomicU64,
    /// Nanoseconds of it that were work.
    worked: AtomicU64,
    is_busy: AtomicBool,
    /// When the worker last came back from its wait for events, in nanoseconds since `began`.
    woke: AtomicU64,
    /// Nanoseconds.
    paused: AtomicU64,
    /// In nanoseconds since `began`.
    rests_until: AtomicU64,
}

impl Coalesce {
    pub fn new(pause: Duration) -> Self {
        let this = Self {
            began: Instant::now(),
            pause: AtomicU32::default(),
            requests: AtomicU64::default(),
            since: AtomicU64::default(),
            before: AtomicU64::default(),
            worked: AtomicU64::default(),
            is_busy: AtomicBool::default(),
            woke: AtomicU64::default(),
            paused: AtomicU64::default(),
            rests_until: AtomicU64::default(),
        };
        this.set_pause(pause);
        this
    }

    /// Zero: it never waits.
    pub fn set_pause(&self, pause: Duration) {
        let micros = u32::try_from(pause.as_micros()).unwrap_or(u32::MAX);
        self.pause.store(micros, Relaxed);
    }

    /// Counts a request.
    pub fn count(&self) {
        // One thread writes, so nothing is lost between the two.
        self.requests
            .store(self.requests.load(Relaxed) + 1, Relaxed);
    }

    /// Pauses if the worker is busy: to be called when it has nothing left to do. Whatever comes
    /// meanwhile waits, timers and other threads' news as well.
    pub fn before_park(&self) {
        let pause = self.pause.load(Relaxed);
        if pause == 0 {
            return;
        }
        let now = self.began.elapsed();
        self.work(now);
        if nanos(now) >= self.rests_until.load(Relaxed) && self.is_busy(now) {
            thread::sleep(Duration::from_micros(pause.into()));
            self.note(now, self.began.elapsed());
        }
    }

    /// To be called when the worker is back from its wait.
    pub fn after_park(&self) {
        if self.pause.load(Relaxed) != 0 {
            self.woke.store(nanos(self.began.elapsed()), Relaxed);
        }
    }

    /// What was done since the worker woke.
    fn work(&self, now: Duration) {
        let worked = nanos(now).saturating_sub(self.woke.load(Relaxed));
        self.worked
            .store(self.worked.load(Relaxed) + worked, Relaxed);
    }

    /// How long it has paused, all in all: for the runtime this is work.
    pub fn paused(&self) -> Duration {
        Duration::from_nanos(self.paused.load(Relaxed))
    }

    fn note(&self, from: Duration, to: Duration) {
        let took = to.saturating_sub(from);
        let all = self.paused.load(Relaxed) + nanos(took);
        self.paused.store(all, Relaxed);
        if took >= LATE.max(4 * Duration::from_micros(self.pause.load(Relaxed).into())) {
            self.rests_until.store(nanos(to + REST), Relaxed);
        }
    }

    fn is_busy(&self, now: Duration) -> bool {
        let window = nanos(now).saturating_sub(self.since.load(Relaxed));
        if window < nanos(WINDOW) {
            return self.is_busy.load(Relaxed);
        }
        let requests = self.requests.load(Relaxed);
        let fresh = requests - self.before.load(Relaxed);
        let worked = self.worked.load(Relaxed);
        let is_busy = fresh.saturating_mul(nanos(WINDOW)) >= BUSY.saturating_mul(window)
            && worked.saturating_mul(SHARE) >= window;
        self.since.store(nanos(now), Relaxed);
        self.before.store(requests, Relaxed);
        self.worked.store(0, Relaxed);
        self.is_busy.store(is_busy, Relaxed);
        is_busy
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Coalesce {
        Coalesce::new(Duration::from_micros(50))
    }

    /// Counts requests, and that all the time was work.
    fn take(worker: &Coalesce, requests: u64) {
        for _ in 0..requests {
            worker.count();
        }
        worker.worked.store(u64::from(u32::MAX), Relaxed);
    }

    #[test]
    fn a_worker_is_busy_from_eight_requests_a_millisecond_on() {
        let worker = worker();
        take(&worker, BUSY - 1);
        assert!(!worker.is_busy(WINDOW));
        take(&worker, BUSY);
        assert!(worker.is_busy(2 * WINDOW));
        // Half as many in twice the time, and as many in as long.
        take(&worker, BUSY);
        assert!(!worker.is_busy(4 * WINDOW));
        take(&worker, 2 * BUSY);
        assert!(worker.is_busy(6 * WINDOW));
    }

    #[test]
    fn a_worker_that_sleeps_most_of_the_time_is_not_busy() {
        let worker = worker();
        let half = WINDOW / 2;
        for (slept, is_busy) in [(half, true), (half + Duration::from_nanos(1), false)] {
            let woke = worker.began.elapsed().max(WINDOW) + slept;
            worker.since.store(nanos(woke - slept), Relaxed);
            worker.worked.store(0, Relaxed);
            worker.woke.store(nanos(woke), Relaxed);
            worker.requests.fetch_add(1000, Relaxed);
            let now = woke - slept + WINDOW;
            worker.work(now);
            assert_eq!(worker.is_busy(now), is_busy, "{slept:?}");
        }
    }

    #[test]
    fn what_was_found_holds_until_the_window_is_over() {
        let worker = worker();
        take(&worker, 100);
        assert!(!worker.is_busy(WINDOW / 2));
        assert!(worker.is_busy(WINDOW));
        assert!(worker.is_busy(WINDOW + WINDOW / 2));
        // Nothing has come since.
        assert!(!worker.is_busy(2 * WINDOW));
    }

    #[test]
    fn a_worker_that_slept_for_long_is_not_busy_with_what_wakes_it() {
        let worker = worker();
        take(&worker, 1000);
        assert!(worker.is_busy(WINDOW));
        take(&worker, 100);
        assert!(!worker.is_busy(Duration::from_secs(3600)));
    }

    #[test]
    fn a_worker_whose_processor_others_want_keeps_it() {
        let worker = worker();
        let at = Duration::from_secs(1);
        worker.note(at, at + LATE / 2);
        assert_eq!(worker.rests_until.load(Relaxed), 0);
        worker.note(at, at + LATE);
        assert_eq!(worker.rests_until.load(Relaxed), nanos(at + LATE + REST));
        assert_eq!(worker.paused(), LATE / 2 + LATE);
        // It is busy, but rests for another hour.
        let far = nanos(Duration::from_secs(3600));
        worker.rests_until.store(far, Relaxed);
        take(&worker, 1_000_000);
        thread::sleep(2 * WINDOW);
        worker.before_park();
        assert_eq!(worker.paused(), LATE / 2 + LATE);
        worker.rests_until.store(0, Relaxed);
        worker.before_park();
        assert!(worker.paused() > LATE / 2 + LATE);
    }

    #[test]
    fn only_a_busy_worker_with_a_pause_pauses() {
        let never = Coalesce::new(Duration::ZERO);
        let idle = worker();
        let busy = worker();
        for worker in [&never, &busy] {
            take(worker, 1_000_000);
        }
        thread::sleep(2 * WINDOW);
        for worker in [&never, &idle, &busy] {
            worker.before_park();
        }
        assert_eq!(never.paused(), Duration::ZERO);
        assert_eq!(idle.paused(), Duration::ZERO);
        assert!(busy.paused() >= Duration::from_micros(50));
        never.set_pause(Duration::from_micros(10));
        never.before_park();
        assert!(never.paused() >= Duration::from_micros(10));
    }
}
