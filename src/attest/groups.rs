//! How many requests share a commit.
//!
//! Each commit costs the processor a tenth of a millisecond, however many it serves, so requests
//! are waited for that are probably about to ask. With all of them in one group the processor has
//! nothing to do while the disk is at work, for everybody waits. Where requests wait more than once
//! and the disk is quick, as with first records (a pin before anything is sent, the evidence of the
//! answer after it), two half groups take turns: one is at the disk while the other is at work.

use std::time::Duration;

/// Requests that are probably about to ask are waited for at most so long, unless the disk is slow.
const BRIEF: Duration = Duration::from_millis(1);
/// However slow the disk is.
const LONGEST: Duration = Duration::from_millis(5);

pub(super) struct Groups {
    /// How many requests are probably about to ask: those of the last commit and those that
    /// queued meanwhile.
    expected: usize,
    /// How many of them pin somebody.
    pinning: usize,
    /// How long a commit takes, smoothed.
    commit: Duration,
    /// How long requests gathered before it, smoothed.
    gathered: Duration,
    halved: bool,
}

impl Groups {
    pub fn new() -> Self {
        Self {
            expected: 1,
            pinning: 0,
            commit: Duration::ZERO,
            gathered: Duration::ZERO,
            halved: false,
        }
    }

    /// So many are waited for, once there is one.
    pub fn target(&self) -> usize {
        if self.halved {
            self.expected.div_ceil(2)
        } else {
            // Without a little patience two groups would take turns, each waiting for the other's
            // fsync.
            self.expected - self.expected / 8
        }
    }

    /// What waits here goes abroad or is a person's first record: some hundred microseconds are
    /// little beside the way there, and many small commits cost as much as the requests. Where the
    /// disk is slow, a quarter of a commit must do.
    pub fn patience(&self) -> Duration {
        let brief = (self.commit * 4).min(BRIEF);
        brief.max((self.commit / 4).min(LONGEST))
    }

    /// So long passed from the end of a commit to the beginning of the next.
    pub fn gathered(&mut self, took: Duration) {
        self.gathered = smooth(self.gathered, took.min(BRIEF));
    }

    pub fn committed(&mut self, took: Duration) {
        self.commit = smooth(self.commit, took);
    }

    /// After a commit of so many requests, of which so many pin; so many more wait now.
    pub fn served(&mut self, requests: usize, pinning: usize, waiting: usize) {
        let decayed = |n: usize| n - n.div_ceil(8);
        self.expected = (requests + waiting).max(decayed(self.expected)).max(1);
        self.pinning = pinning.max(decayed(self.pinning));
        let many = self.expected >= FEWEST && self.pinning * 4 >= self.expected;
        // What the disk takes has to fit beside the other half's work.
        let quick = if self.halved {
            // Else the disk does nothing but go from one group to the other.
            self.commit <= self.gathered * 8
        } else {
            self.commit <= self.gathered
        };
        self.halved = many && quick;
    }
}

/// With fewer, half a group is hardly one.
const FEWEST: usize = 16;

/// A first value counts as it is.
fn smooth(before: Duration, now: Duration) -> Duration {
    if before.is_zero() {
        now
    } else {
        (before * 7 + now) / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(200);
    const WORK: Duration = Duration::from_micros(900);

    /// After some commits, each of so many requests, with so long between them.
    fn after(requests: usize, pinning: usize, commit: Duration, gathered: Duration) -> Groups {
        let mut groups = Groups::new();
        for _ in 0..50 {
            groups.gathered(gathered);
            groups.committed(commit);
            groups.served(requests, pinning, 0);
        }
        groups
    }

    #[test]
    fn those_that_come_back_are_waited_for_but_for_an_eighth() {
        assert_eq!(Groups::new().target(), 1);
        assert_eq!(after(64, 0, QUICK, WORK).target(), 56);
        let mut fewer = after(64, 0, QUICK, WORK);
        (0..20).for_each(|_| fewer.served(8, 0, 0));
        assert_eq!(fewer.target(), 7);
    }

    #[test]
    fn first_records_take_turns_where_the_disk_is_quick() {
        assert_eq!(after(64, 64, QUICK, WORK).target(), 32);
        // Every other commit pins nobody: those are the answers' evidence.
        let mut turns = after(64, 64, QUICK, WORK);
        for n in 0..20 {
            turns.served(32, 32 * (n % 2), 32);
            assert_eq!(turns.target(), 32);
        }
        assert_eq!(after(64, 64, WORK * 2, WORK).target(), 56, "a slow disk");
        assert_eq!(after(8, 8, QUICK, WORK).target(), 7, "few callers");
        assert_eq!(after(64, 8, QUICK, WORK).target(), 56, "few first records");
    }

    #[test]
    fn the_turns_end_with_what_they_are_for() {
        let mut slower = after(64, 64, QUICK, WORK);
        for _ in 0..50 {
            // Nothing gathers any more: the next half waits already.
            slower.gathered(QUICK / 20);
            slower.committed(WORK);
            slower.served(32, 32, 32);
        }
        assert_eq!(slower.target(), 56);
        let mut known = after(64, 64, QUICK, WORK);
        (0..20).for_each(|_| known.served(64, 0, 0));
        assert_eq!(known.target(), 56);
    }

    #[test]
    fn patience_follows_the_disk_within_bounds() {
        let patience = |commit| after(64, 0, commit, WORK).patience();
        assert_eq!(patience(QUICK), QUICK * 4);
        assert_eq!(patience(WORK), BRIEF);
        assert_eq!(patience(WORK * 8), WORK * 2);
        assert_eq!(patience(Duration::from_secs(1)), LONGEST);
    }
}
