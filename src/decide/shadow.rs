//! What rules under observation would have changed.
//!
//! The enforced decision does not know of them: they stand in a second set of tables, the
//! [shadow](Compiled::shadow), which is asked beside it and has no say. A policy without such
//! rules has no shadow, and pays one comparison.

use smallvec::SmallVec;

use crate::{
    domain::Outcome,
    policy::{Compiled, LawId, RuleId},
};

use super::{
    evaluate::{decide, forbids, keeps_away, rules},
    flow::Attached,
    promise,
    query::Query,
    verdict::{FindingKind, FindingLaw, LawFinding, Verdict},
};

/// A rule under observation that is why the shadow's verdict differs, and that verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    pub rule: RuleId,
    pub outcome: Outcome,
}

/// Few rules are observed at once, and mostly none speaks.
pub type Disagreement = SmallVec<[Observed; 2]>;

/// The rules under observation that would have turned `verdict`, which the same policy gave on
/// the same question; empty where both verdicts have one outcome.
///
/// Where the shadow refuses, each observed rule that alone refuses is named, in the order of laws
/// and files; where it permits what is refused today, the observed permits that it rests on.
pub fn observed(policy: &Compiled, query: &Query, verdict: &Verdict) -> Disagreement {
    let mut found = Disagreement::new();
    let Some(shadow) = policy.shadow() else {
        return found;
    };
    let would = decide(shadow, query);
    if would.outcome() == verdict.outcome() {
        return found;
    }
    let checked = policy.checked();
    let mut add = |rule: RuleId| {
        let is_observed = checked.rule(rule).is_some_and(|r| r.observed);
        if is_observed && !found.iter().any(|o| o.rule == rule) {
            found.push(Observed {
                rule,
                outcome: would.outcome(),
            });
        }
    };
    if would.is_permit() {
        would.findings().iter().for_each(|f| add(f.rule));
        return found;
    }
    let attached = Attached::of(shadow, query);
    for finding in would.findings() {
        let FindingLaw::Law(id) = finding.law else {
            continue;
        };
        if let Some(view) = attached.view(shadow, id) {
            let candidates = view.candidates();
            let table = view.table;
            let forbidding = rules(&view, candidates & table.forbids);
            forbidding
                .filter(|(_, r)| forbids(&view, r, view.holds(&r.when)))
                .for_each(|(_, r)| add(r.number));
            let localising = rules(&view, candidates & table.localises);
            localising
                .filter(|(_, r)| keeps_away(&view, r, view.holds(&r.when)))
                .for_each(|(_, r)| add(r.number));
        }
        if finding.kind == FindingKind::Missing {
            replacing(shadow, id, verdict)
                .into_iter()
                .for_each(&mut add);
        }
    }
    let broken = promise::broken(shadow, query, &attached);
    broken.into_iter().for_each(add);
    found
}

/// The permits of a law that stand, in the shadow, in the place of the one on which the enforced
/// verdict rests.
fn replacing(shadow: &Compiled, law: LawId, verdict: &Verdict) -> SmallVec<[RuleId; 2]> {
    let of_law = |f: &&LawFinding| f.law == FindingLaw::Law(law);
    let rested = verdict.findings().iter().find(of_law).map(|f| f.rule);
    let all = shadow.checked().law(law).map_or(&[][..], |l| &l.rules);
    let day = shadow.laws.get(law.index()).map(|t| t.day);
    let instead = all.iter().filter(|r| {
        let replaced = r.replaces.as_ref().map(|of| of.rule);
        replaced.is_some() && replaced == rested && day.is_some_and(|d| r.is_active(d))
    });
    instead.map(|r| r.number).collect()
}
