//! The decision itself: every attaching law, then the promises; deny by default.

use smallvec::SmallVec;

use crate::{
    domain::{Country, Operation, Outcome, Place, PromiseOutcome},
    policy::{
        Compiled, Copies, LawId, LawSet, NO_LAW, NO_LAW_FILE, PromiseId, Rule, RuleId, RuleMask,
        look,
    },
};

use super::{
    mechanism::rests,
    promise,
    query::Query,
    verdict::{FindingKind, FindingLaw, LawFinding, Lead, Verdict},
    view::{self, Holds, Link, View, bits},
};

/// Decides one flow. Total and deterministic: no I/O, no clock but the question's own instant;
/// the same policy and question give the same verdict on every machine.
///
/// The policy must have been compiled for the question's instant, or for one before the same
/// boundary. A permit allocates nothing.
pub fn decide(policy: &Compiled, query: &Query) -> Verdict {
    if !query.possible().intersects(policy.personal) {
        return Verdict {
            outcome: Outcome::Permit,
            operation: query.operation,
            findings: SmallVec::new(),
            broken: SmallVec::new(),
            lead: Lead::None,
            flow_home: query.via.is_none() && is_homely(query.operation),
            recipient: query.recipient,
        };
    }
    let attached = Attached::of(policy, query);
    let mut findings: SmallVec<[LawFinding; 4]> = SmallVec::new();
    for id in attached.laws.iter() {
        if let Some(view) = attached.view(policy, id, query) {
            findings.push(judge(&view, id));
        }
    }
    for country in &attached.without_law {
        findings.push(without_law(policy, query, *country));
    }
    if findings.is_empty() {
        findings.push(LawFinding {
            law: FindingLaw::None,
            kind: FindingKind::Forbidden,
            rule: NO_LAW,
            mechanism: None,
            module: None,
            instrument: None,
        });
    }
    let broken = promise::broken(policy, query, attached.laws);
    conclude(policy, query, &attached, findings, broken)
}

/// The laws that govern a flow, and by what.
pub(crate) struct Attached {
    pub laws: LawSet,
    pub person: LawSet,
    pub citizen: LawSet,
    pub exporter: LawSet,
    via: LawSet,
    pub without_law: SmallVec<[Country; 1]>,
}

impl Attached {
    pub fn of(policy: &Compiled, query: &Query) -> Self {
        let subject = &query.subject;
        let mut person = LawSet::EMPTY;
        let mut citizen = LawSet::EMPTY;
        let mut without_law: SmallVec<[Country; 1]> = SmallVec::new();
        for country in people(query) {
            person = person.union(look(&policy.person, country));
            if subject.citizenships.is_empty() {
                citizen = citizen.union(look(&policy.citizen, country));
            }
            if look(&policy.territory, country).is_empty() && !without_law.contains(&country) {
                without_law.push(country);
            }
        }
        for place in &subject.citizenships {
            if let Some(country) = place.country() {
                citizen = citizen.union(look(&policy.citizen, country));
            }
        }
        without_law.sort_unstable();
        let lifts = query
            .from
            .entity
            .and_then(|e| policy.entity_lifts.get(e.index()))
            .copied()
            .unwrap_or_default();
        person = person.without(lifts);
        let governs = |party: &super::query::Party| match party.entity {
            Some(entity) => policy.entity_laws.get(entity.index()).copied(),
            None => None,
        };
        let place = query.from.place.country();
        let lies_in = place.map(|c| look(&policy.place, c)).unwrap_or_default();
        let exporter = governs(&query.from).unwrap_or_default().union(lies_in);
        let via = query.via.as_ref().map(|party| {
            let at_place = party.place.country().map(|c| look(&policy.exporter, c));
            governs(party).or(at_place).unwrap_or_default()
        });
        let via = via.unwrap_or_default();
        Self {
            laws: person.union(citizen).union(exporter).union(via),
            person,
            citizen,
            exporter,
            via,
            without_law,
        }
    }

    pub fn view<'a>(&self, policy: &'a Compiled, id: LawId, query: &'a Query) -> Option<View<'a>> {
        let link = Link {
            person: self.person.contains(id),
            citizen: self.citizen.contains(id),
            by_via: self.via.contains(id) && !self.exporter.contains(id),
        };
        View::new(policy, id, query, link)
    }
}

/// The countries whose people the record is about: where the person lives and was; where neither
/// is known, the citizenships.
pub(super) fn people(query: &Query) -> impl Iterator<Item = Country> + '_ {
    view::people(query).filter_map(Place::country)
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
    let candidates = view.candidates();
    for (_, rule) in rules(view, candidates & view.table.forbids) {
        if forbids(view, rule) {
            return finding(FindingKind::Forbidden, rule.number);
        }
    }
    for (_, rule) in rules(view, candidates & view.table.localises) {
        if keeps_away(view, rule) {
            return finding(FindingKind::Localised, rule.number);
        }
    }
    for (bit, rule) in rules(view, candidates & view.table.permits) {
        if view.holds(&rule.when) != Holds::Yes {
            continue;
        }
        if let Some(rests) = rests(view, rule, bit) {
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
    if view.table.children.is_empty() || !view.person || view.query.operation == Operation::Erase {
        return None;
    }
    let age = view.age?;
    let subject = &view.query.subject;
    let lives_under = |of: &crate::policy::PlaceSet| {
        let mut places = subject.countries.iter().chain(subject.collected_in.iter());
        let nowhere = subject.countries.is_empty() && subject.collected_in.is_none();
        nowhere || places.any(|p| view.table.territory.contains(*p) && of.contains(*p))
    };
    view.table
        .children
        .iter()
        .find(|(_, below, of)| age < *below && lives_under(of))
        .filter(|_| !view.parent_consents())
        .map(|(rule, _, _)| *rule)
}

/// Whether a prohibition, one of the candidates, forbids the flow.
pub(super) fn forbids(view: &View<'_>, rule: &Rule) -> bool {
    view.holds(&rule.when) != Holds::No && !view.lifted(&rule.unless)
}

/// Whether a localisation rule keeps the flow from its destination.
pub(super) fn keeps_away(view: &View<'_>, rule: &Rule) -> bool {
    if view.to_inside() || view.holds(&rule.when) == Holds::No || view.lifted(&rule.unless) {
        return false;
    }
    match view.query.operation {
        Operation::Store | Operation::Relocate => true,
        Operation::Replicate => match rule.copies {
            Copies::Never => true,
            Copies::AfterPrimary => !view.held_at_home(),
            Copies::Free => false,
        },
        Operation::Read | Operation::Disclose | Operation::Erase => false,
    }
}

/// A person of a country without a law file goes to a default home, and nowhere else.
fn without_law(policy: &Compiled, query: &Query, country: Country) -> LawFinding {
    let home = policy.default_places.contains(query.to.place);
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

fn conclude(
    policy: &Compiled,
    query: &Query,
    attached: &Attached,
    findings: SmallVec<[LawFinding; 4]>,
    broken: SmallVec<[RuleId; 2]>,
) -> Verdict {
    let refusing = findings
        .iter()
        .enumerate()
        .filter(|(_, f)| f.kind != FindingKind::Permitted)
        .min_by_key(|(i, f)| (f.kind, *i));
    let lead = match (refusing, broken.first()) {
        (Some((_, f)), Some(promise)) if f.kind == FindingKind::Missing => Lead::Promise(*promise),
        (Some((i, _)), _) => Lead::Finding(u8::try_from(i).unwrap_or(u8::MAX)),
        (None, Some(promise)) => Lead::Promise(*promise),
        (None, None) => most_demanding(policy, &findings),
    };
    let permits = refusing.is_none() && broken.is_empty();
    let flow_home = permits && goes_home(policy, query, attached, &findings);
    Verdict {
        outcome: if permits {
            Outcome::Permit
        } else {
            Outcome::Refuse
        },
        operation: query.operation,
        findings,
        broken,
        lead,
        flow_home,
        recipient: query.recipient,
    }
}

/// The permitting finding whose mechanism asks most; the first of equals.
fn most_demanding(policy: &Compiled, findings: &[LawFinding]) -> Lead {
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
    attached: &Attached,
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
    let at_home = attached.person.union(attached.citizen).iter().any(|id| {
        let table = policy.laws.get(id.index());
        table.is_some_and(|t| t.territory.contains(query.to.place))
    });
    is_homely(query.operation) && at_home
}

/// For the answer: what every promise says of the flow.
pub(super) fn promises(policy: &Compiled, query: &Query) -> Vec<(PromiseId, PromiseOutcome)> {
    promise::judged(policy, query)
}
