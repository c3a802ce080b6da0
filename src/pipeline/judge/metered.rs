//! How a decision is told to the metrics.

use prometheus::IntCounter;
use smallvec::SmallVec;

use crate::{
    attest::{Party, Profile, Verdict},
    respond::Refused,
    telemetry::Metrics,
};

/// The counters that one decision moves, found once: finding one takes a lock that all workers
/// share.
#[derive(Debug)]
pub struct Metered(SmallVec<[IntCounter; 2]>);

impl Metered {
    pub fn of(metrics: &Metrics, profile: &Profile) -> Self {
        Self::towards(
            metrics,
            profile,
            profile.region.as_deref().unwrap_or("none"),
        )
    }

    /// As [`Metered::of`], where it is no region that was asked for: `to` is the recipient.
    pub fn towards(metrics: &Metrics, profile: &Profile, to: &str) -> Self {
        let (outcome, operation) = (profile.outcome.as_str(), profile.operation.as_str());
        let law = profile.laws.first().map_or("none", AsRef::as_ref);
        let mechanism = profile.mechanism.as_deref().unwrap_or("none");
        let labels = [outcome, operation, law, to, mechanism];
        let mut all = SmallVec::new();
        all.push(metrics.decisions.with_label_values(&labels));
        let [from, to] = [&profile.from, &profile.to].map(country);
        if from != to {
            let labels = [outcome, operation, &from, &to];
            all.push(metrics.decided.transfers.with_label_values(&labels));
        }
        if let (Some(instrument), Verdict::Permit) = (&profile.instrument, profile.outcome) {
            let module = profile.module.map(|m| m.to_string());
            let module = module.as_deref().unwrap_or("none");
            let labels = [instrument.as_ref(), mechanism, module, &from, &to];
            all.push(metrics.decided.instrument_uses.with_label_values(&labels));
        }
        // What would have been otherwise under rules that are observed.
        let observed = profile.observed.iter();
        let disagreements = &metrics.observed_disagreements;
        all.extend(observed.map(|o| disagreements.with_label_values(&[&o.rule])));
        Self(all)
    }

    pub fn count(&self) {
        self.0.iter().for_each(IntCounter::inc);
    }

    /// So many decisions like this one.
    pub fn count_all(&self, decisions: u64) {
        self.0.iter().for_each(|c| c.inc_by(decisions));
    }
}

/// A refusal, or what observe mode let pass instead of one; `why` is how the caller is told, or
/// would have been.
pub fn count_refusal(metrics: &Metrics, profile: &Profile, why: &Refused) {
    Metered::of(metrics, profile).count();
    count_reason(metrics, profile, why);
}

/// The reason alone, of a decision that is counted already.
pub fn count_reason(metrics: &Metrics, profile: &Profile, why: &Refused) {
    let rule = match why {
        Refused::Forbidden(forbidden) => forbidden.rule.as_deref(),
        _ => None,
    };
    let labels = [
        profile.outcome.as_str(),
        profile.operation.as_str(),
        why.name(),
        rule.unwrap_or("none"),
    ];
    metrics.decided.refusals.with_label_values(&labels).inc();
}

/// Of a part of a country, the country; of an international organisation its own code.
fn country(end: &Party) -> String {
    let country = end.place.country();
    country.map_or_else(|| end.place.to_string(), |country| country.to_string())
}
