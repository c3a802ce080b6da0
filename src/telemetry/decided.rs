//! What decisions count beside `domicile_decisions_total`: borders crossed, refusals by rule, the
//! papers that permits lean on.
//!
//! Flows that stay within a country touch none of these, so that the domestic path pays nothing.

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::metrics::{counters, register};

/// Labels are words of code, settings and policy: countries of regions and recipients, ids of
/// rules and instruments.
#[derive(Clone)]
pub struct DecidedMetrics {
    /// `outcome`, `operation`, `from`, `to` (countries; of flows that cross a border).
    pub transfers: IntCounterVec,
    /// `outcome` (`refuse`, or `observe` for what would have been refused), `operation`, `problem`
    /// (the last word of the problem's type), `rule` (`none` where no rule stands behind it).
    pub refusals: IntCounterVec,
    /// `instrument`, `mechanism`, `module` (of standard contractual clauses, or `none`), `from`,
    /// `to` (countries).
    pub instrument_uses: IntCounterVec,
    /// Records of which nothing says whose law governs them, refused or taken by `unknown_home`.
    pub unclassified: IntCounter,
}

impl DecidedMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            transfers: counters(
                r,
                "domicile_transfers_total",
                "decisions on flows that cross a border, by the countries of both ends",
                &["outcome", "operation", "from", "to"],
            )?,
            refusals: counters(
                r,
                "domicile_refusals_total",
                "refusals by problem and decisive rule; those that observe mode let pass included",
                &["outcome", "operation", "problem", "rule"],
            )?,
            instrument_uses: counters(
                r,
                "domicile_instrument_uses_total",
                "permits that lean on an instrument, by the countries of both ends",
                &["instrument", "mechanism", "module", "from", "to"],
            )?,
            unclassified: register(
                r,
                IntCounter::new(
                    "domicile_unclassified_total",
                    "records of whose person's country there was no evidence",
                )?,
            )?,
        })
    }
}
