//! The decision itself: every attaching law, then the promises; deny by default.

use smallvec::SmallVec;

use crate::{
    domain::{Country, Operation, Outcome, PromiseOutcome},
    policy::{
        Compiled, LawId, NO_LAW, NO_LAW_FILE, PromiseId, Rule, RuleId, RuleMask, Test, Usable,
    },
};

use super::{
    flow::Attached,
    holds::Holds,
    mechanism::{Rests, rests, usables},
    promise,
    query::Query,
    verdict::{FindingKind, FindingLaw, LawFinding, Lead, Verdict},
    view::{View, bits},
};

/// Decides one flow. Total and deterministic: no I/O, no clock but the question's own instant;
/// the same policy and question give the same verdict on every machine.
///
/// The policy must have been compiled for the question's instant, or for one before the same
/// boundary. A permit allocates nothing.
pub fn decide(policy: &Compiled, query: &Query) -> Verdict {
    let mut verdict = Verdict {
        outcome: Outcome::Permit,
        operation: query.operation,
        findings: SmallVec::new(),
        broken: SmallVec::new(),
        lead: Lead::None,
        flow_home: query.via.is_none() && is_homely(query.operation),
        recipient: query.recipient,
    };
    if !query.possible().intersects(policy.personal) {
        if query.order.is_some() {
            ordered(policy, query, &mut verdict);
        }
        return verdict;
    }
    let attached = Attached::of(policy, query);
    for id in attached.laws.iter() {
        if let Some(view) = attached.view(policy, id) {
            verdict.findings.push(judge(&view, id));
        }
    }
    for country in &attached.without_law {
        verdict.findings.push(without_law(policy, query, *country));
    }
    if verdict.findings.is_empty() {
        verdict.findings.push(LawFinding {
            law: FindingLaw::None,
            kind: FindingKind::Forbidden,
            rule: NO_LAW,
            mechanism: None,
            module: None,
            instrument: None,
        });
    }
    promise::add_broken(policy, query, &attached, &mut verdict.broken);
    conclude(policy, query, &attached, &mut verdict);
    verdict
}

/// What an authority demands is asked about though nothing in it is personal: a law that wants its own
/// authority's approval first wants it for any data (DSL Art. 36).
fn ordered(policy: &Compiled, query: &Query, verdict: &mut Verdict) {
    let attached = Attached::of(policy, query);
    for id in attached.laws.iter() {
        let Some(view) = attached.view(policy, id) else {
            continue;
        };
        let of_orders =
            |(_, _, rule): &(&Test, RuleMask, &Rule)| rule.when.unapproved_order == Some(true);
        let mut rules = open(&view, view.may_concern() & view.table.forbids).filter(of_orders);
        let broken =
            rules.find(|(test, _, rule)| forbids(&view, rule, view.left(test.left, &rule.when)));
        verdict
            .findings
            .extend(broken.map(|(_, _, rule)| LawFinding {
                law: FindingLaw::Law(id),
                kind: FindingKind::Forbidden,
                rule: rule.number,
                mechanism: None,
                module: None,
                instrument: None,
            }));
    }
    if !verdict.findings.is_empty() {
        conclude(policy, query, &attached, verdict);
    }
}

/// What one law says of the flow.
pub(crate) fn judge(view: &View<'_>, id: LawId) -> LawFinding {
    let finding = |kind, rule: RuleId| LawFinding {
        law: FindingLaw::Law(id),
        kind,
        rule,
        mechanism: None,
        module: None,
        instrument: None,
    };
    if let Some(rule) = child(view) {
        return finding(FindingKind::Forbidden, rule);
    }
    let candidates = view.may_concern();
    for (test, _, rule) in open(view, candidates & view.table.forbids) {
        if forbids(view, rule, view.left(test.left, &rule.when)) {
            return finding(FindingKind::Forbidden, rule.number);
        }
    }
    if !view.to_inside() {
        for (test, _, rule) in open(view, candidates & view.table.localises) {
            if keeps_away(view, rule, view.left(test.left, &rule.when)) {
                return finding(FindingKind::Localised, rule.number);
            }
        }
    }
    let mut permits = candidates & view.table.permits;
    let mut usable: &[Usable] = &[];
    if permits & view.table.ask_instruments != 0 {
        usable = usables(view);
        let served = usable.iter().fold(0, |all, u| all | u.rules);
        permits &= served | !view.table.need_instruments;
    }
    for (test, bit, rule) in open(view, permits) {
        if view.left(test.left, &rule.when) != Holds::Yes {
            continue;
        }
        let rests = match test.met {
            true => Some(Rests::ON_FACTS),
            false => rests(view, rule, bit, usable),
        };
        if let Some(rests) = rests {
            return LawFinding {
                mechanism: rule.mechanism,
                module: rests.module,
                instrument: rests.instrument,
                ..finding(FindingKind::Permitted, rule.number)
            };
        }
    }
    finding(FindingKind::Missing, view.law.transfer.rule)
}

/// Rules of a mask that no fact rules out, in the order of the law file, with their tests and bits.
fn open<'a>(
    view: &View<'a>,
    mask: RuleMask,
) -> impl Iterator<Item = (&'a Test, RuleMask, &'a Rule)> {
    bits(mask).filter_map(move |i| {
        let test = view.table.tests.get(i)?;
        if view.facts.intersects(test.against) {
            return None;
        }
        if view.in_doubt & (1 << i) != 0 && !view.concerns(i) {
            return None;
        }
        let rule = view.law.rules.get(usize::from(test.index))?;
        Some((test, 1 << i, rule))
    })
}

/// Active rules of a mask with their bits, in the order of the law file.
pub(super) fn rules<'a>(
    view: &View<'a>,
    mask: RuleMask,
) -> impl Iterator<Item = (RuleMask, &'a Rule)> {
    let (table, law) = (view.table, view.law);
    bits(mask).filter_map(move |i| {
        let index = table.rules.get(i)?.index;
        Some((1 << i, law.rules.get(usize::from(index))?))
    })
}

/// The rule on children that the flow breaks: known to be below the age, and no parent consents.
fn child(view: &View<'_>) -> Option<RuleId> {
    if view.query.operation == Operation::Erase {
        return None;
    }
    view.child().filter(|_| !view.parent_consents())
}

/// Whether a prohibition, one of the candidates, forbids the flow. `holds`: its condition.
pub(super) fn forbids(view: &View<'_>, rule: &Rule, holds: Holds) -> bool {
    holds != Holds::No && !view.lifted(&rule.unless)
}

/// Whether a localisation rule keeps the flow from its destination. `holds`: its condition.
pub(super) fn keeps_away(view: &View<'_>, rule: &Rule, holds: Holds) -> bool {
    if view.to_inside() || holds == Holds::No || view.lifted(&rule.unless) {
        return false;
    }
    (rule.copies).bars(view.query.operation, || view.held_at_home())
}

/// Whether a flow is one to a default home: it ends where one lies, with those who run one. Whoever
/// else sits in that country is another party, of whom no law says that it may have the record.
///
/// Without settings nobody can tell who runs a region: a first copy, and one that comes from outside,
/// is taken to go to one.
fn ends_at_default(policy: &Compiled, query: &Query) -> bool {
    let (from, to) = (&query.from, &query.to);
    let homes = &policy.default_places;
    if !homes.contains(to.place) {
        return false;
    }
    let stays = to.entity.is_some() && to.entity == from.entity;
    let known = policy.default_entities.as_deref();
    let runs = known.map(|all| to.entity.is_some_and(|e| all.contains(&e)));
    match query.operation {
        Operation::Erase => true,
        Operation::Store => runs.unwrap_or(true),
        Operation::Replicate | Operation::Relocate => {
            runs.unwrap_or(stays || !homes.contains(from.place))
        }
        Operation::Disclose => stays || runs == Some(true),
        Operation::Read => {
            let reader = policy.checked().reader();
            stays || runs == Some(true) || (reader.is_some() && to.entity == reader)
        }
    }
}

/// A person of a country without a law file goes to a default home, and nowhere else.
fn without_law(policy: &Compiled, query: &Query, country: Country) -> LawFinding {
    let home = ends_at_default(policy, query);
    LawFinding {
        law: FindingLaw::Country(country),
        kind: if home {
            FindingKind::Permitted
        } else {
            FindingKind::Missing
        },
        rule: NO_LAW_FILE,
        mechanism: home.then_some(policy.checked().no_law_file),
        module: None,
        instrument: None,
    }
}

/// From what laws and promises say to the outcome.
fn conclude(policy: &Compiled, query: &Query, attached: &Attached<'_>, verdict: &mut Verdict) {
    let findings = verdict.findings.as_slice();
    let mut refusing: Option<(usize, &LawFinding)> = None;
    for (i, f) in findings.iter().enumerate() {
        let first = refusing.is_none_or(|(_, known)| f.kind < known.kind);
        if first && f.kind != FindingKind::Permitted {
            refusing = Some((i, f));
        }
    }
    verdict.lead = match (refusing, verdict.broken.first()) {
        (Some((_, f)), Some(promise)) if f.kind == FindingKind::Missing => Lead::Promise(*promise),
        (Some((i, _)), _) => Lead::Finding(u8::try_from(i).unwrap_or(u8::MAX)),
        (None, Some(promise)) => Lead::Promise(*promise),
        (None, None) => most_demanding(policy, findings),
    };
    let permits = refusing.is_none() && verdict.broken.is_empty();
    verdict.flow_home = permits && goes_home(policy, query, attached, findings);
    if !permits {
        verdict.outcome = Outcome::Refuse;
    }
}

/// The permitting finding whose mechanism asks most; the first of equals.
fn most_demanding(policy: &Compiled, findings: &[LawFinding]) -> Lead {
    if findings.len() == 1 {
        return Lead::Finding(0);
    }
    let demand = |f: &LawFinding| {
        let mechanism = f.mechanism.and_then(|m| policy.checked().mechanism(m));
        mechanism.map_or(0, |m| m.demand)
    };
    let first_of_highest = findings
        .iter()
        .enumerate()
        .max_by_key(|(i, f)| (demand(f), std::cmp::Reverse(*i)));
    first_of_highest.map_or(Lead::None, |(i, _)| {
        Lead::Finding(u8::try_from(i).unwrap_or(u8::MAX))
    })
}

fn is_homely(operation: Operation) -> bool {
    matches!(operation, Operation::Store | Operation::Erase)
}

/// Whether a permitted flow is one home: a store or erase at the subject's own home, or a read
/// where nothing crosses a border. Only mechanisms that the vocabulary marks `home` may have been
/// needed; a flow that was asked to leave home (`via`) is never one.
fn goes_home(
    policy: &Compiled,
    query: &Query,
    attached: &Attached<'_>,
    findings: &[LawFinding],
) -> bool {
    let only_home = findings.iter().all(|f| {
        let mechanism = f.mechanism.and_then(|m| policy.checked().mechanism(m));
        mechanism.is_some_and(|m| m.home)
    });
    if !only_home || query.via.is_some() {
        return false;
    }
    // Nothing crosses a border.
    let stays = query.from.place == query.to.place;
    if stays && (is_homely(query.operation) || query.operation == Operation::Read) {
        return true;
    }
    is_homely(query.operation) && attached.ends_at_home()
}

/// For the answer: what every promise says of the flow.
pub(super) fn promises(policy: &Compiled, query: &Query) -> Vec<(PromiseId, PromiseOutcome)> {
    promise::judged(policy, query)
}
