//! Which rules a caller's word or a person's consent set aside.

use smallvec::SmallVec;

use crate::policy::{Compiled, Rule, RuleId};

use super::{evaluate::rules, flow::Attached, holds::Holds, query::Query, view::View};

/// Mostly none.
pub type Lifted = SmallVec<[RuleId; 1]>;

/// The prohibitions and localisation rules that would keep the flow from its end, and that an
/// asserted ground or a consent lifts, in the order of laws and files. What the policy files lift by
/// themselves, by an attribute or an instrument, is not among them: it can be read there.
///
/// Asks no law where nothing was asserted and nobody consented.
pub fn lifted(policy: &Compiled, query: &Query) -> Lifted {
    let mut found = Lifted::new();
    let claims = !query.grounds.is_empty() || !query.subject.consents.is_empty();
    if !claims || !query.possible().intersects(policy.personal) {
        return found;
    }
    let attached = Attached::of(policy, query);
    for id in attached.laws.iter() {
        let Some(view) = attached.view(policy, id) else {
            continue;
        };
        let candidates = view.candidates();
        let forbids = rules(&view, candidates & view.table.forbids);
        let forbids = forbids.filter(|(_, rule)| is_lifted(&view, rule));
        found.extend(forbids.map(|(_, rule)| rule.number));
        if view.to_inside() {
            continue;
        }
        let localises = rules(&view, candidates & view.table.localises).filter(|(_, rule)| {
            let bars = |rule: &Rule| {
                let copies = rule.copies;
                copies.bars(query.operation, || view.held_at_home())
            };
            is_lifted(&view, rule) && bars(rule)
        });
        found.extend(localises.map(|(_, rule)| rule.number));
    }
    found
}

fn is_lifted(view: &View<'_>, rule: &Rule) -> bool {
    let unless = &rule.unless;
    (unless.grounds != 0 || unless.consents != 0)
        && view.lifted_by_claim(unless)
        && !view.lifted_by_files(unless)
        && view.holds(&rule.when) != Holds::No
}
