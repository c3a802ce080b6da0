//! How often a region may be tried again.
//!
//! A region that fails under load is not helped by two more tries for each request. Retries may
//! make up a fifth of the requests of the last ten seconds, and three a second besides, so that a
//! single failure is still mended where there is little traffic.

use std::cell::Cell;

use tokio::time::Instant;

/// Whole seconds that are looked back on.
const SECONDS: usize = 10;
/// One retry for so many requests.
const REQUESTS_PER_RETRY: u32 = 5;
/// Retries allowed in the time looked back on, whatever the traffic: three a second.
const FLOOR: u32 = 3 * SECONDS as u32;

/// Of one region in one worker, so nothing contends for it. By the monotonic clock.
pub(super) struct Budget {
    base: Instant,
    /// The second of the newest slot.
    newest: Cell<u64>,
    slots: [Slot; SECONDS],
}

#[derive(Default)]
struct Slot {
    requests: Cell<u32>,
    retries: Cell<u32>,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            base: now,
            newest: Cell::new(0),
            slots: Default::default(),
        }
    }

    /// A request begins.
    pub(super) fn request(&self, now: Instant) {
        if let Some(slot) = self.slot(now) {
            slot.requests.set(slot.requests.get().saturating_add(1));
        }
    }

    /// Whether one may be tried again; counted if so.
    pub(super) fn retry(&self, now: Instant) -> bool {
        let Some(slot) = self.slot(now) else {
            return false;
        };
        let (mut requests, mut retries) = (0u32, 0u32);
        for slot in &self.slots {
            requests = requests.saturating_add(slot.requests.get());
            retries = retries.saturating_add(slot.retries.get());
        }
        let may = retries < FLOOR.saturating_add(requests / REQUESTS_PER_RETRY);
        if may {
            slot.retries.set(slot.retries.get().saturating_add(1));
        }
        may
    }

    /// The slot of this second; those of seconds that are too old are begun anew.
    fn slot(&self, now: Instant) -> Option<&Slot> {
        let second = now.saturating_duration_since(self.base).as_secs();
        let newest = self.newest.get();
        let passed = second.saturating_sub(newest).min(SECONDS as u64);
        for old in 1..=passed {
            if let Some(slot) = self.slots.get(place(newest + old)) {
                slot.requests.set(0);
                slot.retries.set(0);
            }
        }
        self.newest.set(newest.max(second));
        self.slots.get(place(newest.max(second)))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a remainder by ten fits any usize"
)]
fn place(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spend(budget: &Budget, now: Instant) -> u32 {
        (0..10_000).filter(|_| budget.retry(now)).count() as u32
    }

    #[test]
    fn a_fifth_of_the_requests_and_a_floor_may_be_tried_again() {
        let begin = Instant::now();
        let budget = Budget::new(begin);
        assert_eq!(spend(&budget, begin), FLOOR);
        (0..500).for_each(|_| budget.request(begin));
        assert_eq!(spend(&budget, begin), 100);
        assert_eq!(spend(&budget, begin + Duration::from_secs(9)), 0);
        assert_eq!(spend(&budget, begin + Duration::from_secs(10)), FLOOR);
    }

    #[test]
    fn old_seconds_are_forgotten_one_by_one_and_all_after_a_rest() {
        let begin = Instant::now();
        let at = |s| begin + Duration::from_secs(s);
        let budget = Budget::new(begin);
        for second in 0..10 {
            (0..50).for_each(|_| budget.request(at(second)));
        }
        assert_eq!(spend(&budget, at(9)), FLOOR + 100);
        // The requests of the first second are gone; the retries of the tenth are not.
        assert_eq!(spend(&budget, at(10)), 0);
        assert_eq!(spend(&budget, at(1_000_000)), FLOOR);
        // Never back: an older instant counts as the newest.
        assert_eq!(spend(&budget, at(5)), 0);
    }
}
