//! How far the ledger's disk is behind.

use jiff::Timestamp;
use prometheus::{Counter, Gauge, IntCounter, Registry};

use super::metrics::register;
use crate::attest::JournalStatus;

#[derive(Clone)]
pub struct LedgerMetrics {
    lag: Gauge,
    commit_seconds: Counter,
    refused: IntCounter,
    outcomes_lost: IntCounter,
}

impl LedgerMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        let lag = Gauge::new(
            "domicile_ledger_lag_seconds",
            "age of the oldest entry that is not on disk yet",
        )?;
        let commit_seconds = Counter::new(
            "domicile_ledger_commit_seconds_total",
            "time that group commits took, the wait for the disk included",
        )?;
        let refused = IntCounter::new(
            "domicile_ledger_refused_total",
            "requests turned away because the ledger could not be written",
        )?;
        let outcomes_lost = IntCounter::new(
            "domicile_ledger_outcomes_lost_total",
            "outcomes of flows that found no room while the ledger could not be written",
        )?;
        Ok(Self {
            lag: register(r, lag)?,
            commit_seconds: register(r, commit_seconds)?,
            refused: register(r, refused)?,
            outcomes_lost: register(r, outcomes_lost)?,
        })
    }

    /// Copies what the journal counts. One caller at a time.
    pub fn show(&self, journal: &JournalStatus, now: Timestamp) {
        let age = |since: Timestamp| now.duration_since(since).as_secs_f64();
        // Nothing is older than a moment if the clock was set back meanwhile.
        let lag = journal.waiting_since.map_or(0.0, age).max(0.0);
        self.lag.set(lag);
        self.commit_seconds.reset();
        self.commit_seconds
            .inc_by(journal.all_commits.as_secs_f64());
        self.refused.reset();
        self.refused.inc_by(journal.refused);
        self.outcomes_lost.reset();
        self.outcomes_lost.inc_by(journal.outcomes_lost);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_oldest_entry_and_never_negative() {
        let metrics = LedgerMetrics::new(&Registry::new()).unwrap();
        let now = Timestamp::from_second(1_795_000_000).unwrap();
        let mut journal = JournalStatus {
            all_commits: Duration::from_millis(1500),
            refused: 3,
            outcomes_lost: 1,
            ..JournalStatus::default()
        };
        metrics.show(&journal, now);
        assert_eq!(metrics.lag.get(), 0.0);
        journal.waiting_since = Some(now - SignedDuration::from_millis(2500));
        metrics.show(&journal, now);
        metrics.show(&journal, now);
        assert_eq!(metrics.lag.get(), 2.5);
        let counts = (metrics.refused.get(), metrics.outcomes_lost.get());
        assert_eq!((metrics.commit_seconds.get(), counts), (1.5, (3, 1)));
        journal.waiting_since = Some(now + SignedDuration::from_secs(9));
        metrics.show(&journal, now);
        assert_eq!(metrics.lag.get(), 0.0);
    }
}
