//! Rules under observation: which they are, and what stands in whose place.
//!
//! A stricter policy is tried before it binds. A rule with `observe = true`, or named in the
//! organisation's `observe` list, is in force for nobody: a prohibition, a localisation or a
//! promise blocks nothing, and a permit permits nothing. What the policy would say with all of
//! them in force is told beside each decision on which the two differ.
//!
//! Permits are loosened by being added and tightened by being taken away, so a stricter permit
//! says which one it `replaces`: that one is gone wherever the new one is in force.

use std::collections::BTreeSet;

use crate::document::{Faults, suggest};

use super::{
    checked::Checked,
    law::{Effect, Law, Rule},
    sets::RuleId,
};

/// Takes over the organisation's list and finds the rules that others replace.
pub(super) fn settle(checked: &mut Checked, faults: &Faults) {
    let named = std::mem::take(&mut checked.organisation.observe);
    for (name, at) in &named {
        if let Some(id) = find(checked, name) {
            mark(checked, id);
            continue;
        }
        let of_rules = checked.laws.iter().flat_map(|l| &l.rules);
        let known = of_rules.map(|r| r.id.as_ref());
        let promises = checked.organisation.promises.iter();
        let hint = suggest(name, known.chain(promises.map(|p| p.id.as_ref())));
        let stands = checked.rules().any(|(_, r)| *r.id == **name);
        let (message, hint) = match (stands, hint) {
            (true, _) => (
                format!("`{name}` cannot be observed"),
                "only [[forbid]], [[localise]] and [[permit]] rules and [[promises]] can"
                    .to_owned(),
            ),
            (false, Some(hint)) => (format!("unknown rule `{name}`"), hint),
            (false, None) => (
                format!("unknown rule `{name}`"),
                "rules stand in law/*.toml, promises in [[promises]]".to_owned(),
            ),
        };
        faults.error_hint(at, message, hint);
    }
    checked.organisation.observe = named;
    for law in &mut checked.laws {
        replacements(law, faults);
    }
}

/// That something blocks nothing should not be forgotten.
pub(super) fn warnings(checked: &Checked, faults: &Faults) {
    let of_laws = checked.laws.iter().flat_map(|l| &l.rules);
    let of_laws = of_laws.filter(|r| r.observe).map(|r| (&r.id, &r.at));
    let promises = checked.organisation.promises.iter();
    let promises = promises.filter(|p| p.observe).map(|p| (&p.id, &p.at));
    for (id, at) in of_laws.chain(promises) {
        let listed = checked.organisation.observe.iter();
        let at = listed
            .rev()
            .find(|(name, _)| **name == **id)
            .map_or(at, |(_, at)| at);
        let message = format!("`{id}` is under observation: it is told of, and has no effect");
        faults.warning(at, message, None);
    }
}

fn find(checked: &Checked, name: &str) -> Option<RuleId> {
    let mut rules = checked.laws.iter().flat_map(|l| &l.rules);
    let of_law = rules.find(|r| *r.id == *name).map(|r| r.number);
    of_law.or_else(|| {
        let mut promises = checked.organisation.promises.iter();
        promises.find(|p| *p.id == *name).map(|p| p.rule)
    })
}

fn mark(checked: &mut Checked, id: RuleId) {
    let rules = checked.laws.iter_mut().flat_map(|l| &mut l.rules);
    for rule in rules.filter(|r| r.number == id) {
        rule.observe = true;
    }
    let promises = checked.organisation.promises.iter_mut();
    for promise in promises.filter(|p| p.rule == id) {
        promise.observe = true;
    }
    if let Some(info) = checked.rules.get_mut(id.index()) {
        info.observed = true;
    }
}

/// Finds what the permits of a law replace: another permit of this law, and never in a circle.
fn replacements(law: &mut Law, faults: &Faults) {
    let known: Vec<_> = law
        .rules
        .iter()
        .map(|r| (r.id.clone(), r.number, r.effect))
        .collect();
    for rule in &mut law.rules {
        let own = rule.number;
        let Some(replaces) = &mut rule.replaces else {
            continue;
        };
        let permits = || known.iter().filter(|k| k.2 == Effect::Permit && k.1 != own);
        match permits().find(|k| k.0 == replaces.id) {
            Some((_, number, _)) => replaces.rule = *number,
            None => {
                let hint = suggest(&replaces.id, permits().map(|k| k.0.as_ref()));
                let hint = hint.unwrap_or_else(|| {
                    "name another [[permit]] of the same law, or leave `replaces` out".to_owned()
                });
                let message = format!("`{}` is no other permit of this law", replaces.id);
                faults.error_hint(&replaces.at, message, hint);
            }
        }
    }
    for rule in &law.rules {
        let Some(replaces) = &rule.replaces else {
            continue;
        };
        if is_circle(law, rule) {
            let message = format!("`{}` replaces, by way of others, itself", rule.id);
            let hint = "none of them would be in force; leave one `replaces` out";
            faults.error_hint(&replaces.at, message, hint);
        }
    }
}

fn is_circle(law: &Law, rule: &Rule) -> bool {
    let mut seen = BTreeSet::new();
    let mut at = rule.replaces.as_ref().map(|r| r.rule);
    while let Some(id) = at.filter(|id| seen.insert(id.0)) {
        if id == rule.number {
            return true;
        }
        let next = law.rules.iter().find(|r| r.number == id);
        at = next.and_then(|r| r.replaces.as_ref()).map(|r| r.rule);
    }
    false
}
