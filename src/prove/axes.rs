//! The values worth asking about, axis by axis: one for each manner in which a law on a day could
//! tell values apart, with the number of raw values each stands for.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{
        Basis, CategorySet, ConsentKind, Country, Giver, GroundKind, Operation, Place, Protection,
        SubjectKind, Transaction,
    },
    policy::{AssessmentOutcome, AttributeSet, Compiled, Counted, CounterId, Need, PurposeId},
};

use super::{
    ends,
    facts::{ConsentFact, Fact},
    ways::{AxisKind, Ways},
};

pub struct AxisFacts {
    pub kind: AxisKind,
    pub facts: Vec<Fact>,
    pub weights: Vec<u64>,
    /// Of the ends: destinations that the law cannot tell apart.
    pub alike: Vec<Vec<Place>>,
}

/// What a question tells apart that the laws may not: so that a property about payment data has
/// payment data to look at even where no rule speaks of it.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub categories: Vec<CategorySet>,
    pub ages: Vec<u16>,
    pub counts: Vec<(Arc<str>, u64)>,
    pub attributes: AttributeSet,
    pub places: Vec<Place>,
    pub order: bool,
    /// Entities are told apart by where they sit, too.
    pub entity_places: bool,
    /// Only flows to this place.
    pub only_to: Option<Place>,
    /// Only records that hold just this.
    pub record: Option<Vec<Arc<str>>>,
}

impl AxisFacts {
    fn plain(kind: AxisKind, facts: Vec<Fact>) -> Self {
        let weights = vec![1; facts.len()];
        Self {
            kind,
            facts,
            weights,
            alike: Vec::new(),
        }
    }
}

/// The axes for one law on one day, in one policy or in two that are compared. `policies` are all
/// policies in which names must be known, `sides` the law in those that have it.
pub fn axes(policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra) -> Vec<AxisFacts> {
    let mut all = vec![asked(sides), ends::ends(policies, sides, extra)];
    let whens = || sides.iter().flat_map(|w| rules(w)).map(|r| &r.when);
    let mut one = |kind, asked: bool, facts: Vec<Fact>| {
        let keep = if asked { facts.len() } else { 1 };
        all.push(AxisFacts::plain(
            kind,
            facts.into_iter().take(keep).collect(),
        ));
    };
    let orders = extra.order || whens().any(|w| w.unapproved_order.is_some());
    one(AxisKind::Order, orders, order(sides));
    let bases = [
        Basis::Consent,
        Basis::Contract,
        Basis::LegalObligation,
        Basis::VitalInterest,
        Basis::PublicTask,
        Basis::LegitimateInterests,
    ];
    let asks = whens().any(|w| w.basis.is_some());
    one(AxisKind::Basis, asks, optional(bases, Fact::Basis));
    let transactions = [
        Transaction::Brokerage,
        Transaction::Vendor,
        Transaction::Employment,
        Transaction::Investment,
        Transaction::CorporateGroup,
        Transaction::Other,
    ];
    let asks = whens().any(|w| w.transactions.is_some());
    let facts = optional(transactions, Fact::Transaction);
    one(AxisKind::Transaction, asks, facts);
    for kind in consents_of(sides) {
        one(AxisKind::Consent(kind), true, consents(kind));
    }
    let kinds = [
        SubjectKind::Customer,
        SubjectKind::Employee,
        SubjectKind::Other,
    ];
    let asks = whens().any(|w| w.subject_kinds.is_some());
    one(AxisKind::Kind, asks, optional(kinds, Fact::Kind));
    one(AxisKind::Purpose, true, purposes(sides));
    let protections = [
        Protection::Clear,
        Protection::Pseudonymised,
        Protection::EncryptedExporterKeys,
        Protection::TransitOnly,
    ];
    let facts = protections.into_iter().map(Fact::Protection).collect();
    one(AxisKind::Protection, protects(sides), facts);
    for kind in grounds_of(sides) {
        let said = [None, Some(false), Some(true)];
        let facts = said.into_iter().map(|s| Fact::Ground(kind, s)).collect();
        one(AxisKind::Ground(kind), true, facts);
    }
    all.push(AxisFacts::plain(
        AxisKind::Record,
        records(policies, sides, extra),
    ));
    all
}

/// The rules in force, with those of their ways.
pub fn rules<'a>(ways: &'a Ways<'_>) -> impl Iterator<Item = &'a crate::policy::Rule> {
    let active = ways.table.rules.iter();
    active.filter_map(|a| ways.law.rules.get(usize::from(a.index)))
}

fn optional<T>(values: impl IntoIterator<Item = T>, fact: fn(Option<T>) -> Fact) -> Vec<Fact> {
    let said = values.into_iter().map(Some);
    std::iter::once(None).chain(said).map(fact).collect()
}

fn asked(sides: &[&Ways<'_>]) -> AxisFacts {
    let inside = |c: Country| {
        let place = Place::of(c);
        sides.iter().any(|w| w.table.territory.contains(place))
    };
    // People inside are told apart by the rules on children alone.
    let mut classes: BTreeMap<Vec<bool>, (Country, u64)> = BTreeMap::new();
    let mut outside: Option<(Country, u64)> = None;
    for country in Country::all() {
        if inside(country) {
            let place = Place::of(country);
            let told = sides.iter().flat_map(|w| {
                let children = w.table.children.iter().map(move |c| c.2.contains(place));
                std::iter::once(w.table.territory.contains(place)).chain(children)
            });
            classes.entry(told.collect()).or_insert((country, 0)).1 += 1;
        } else {
            outside.get_or_insert((country, 0)).1 += 1;
        }
    }
    let first_inside = classes.values().next().map(|(c, _)| *c);
    let mut subjects: Vec<(Country, Option<Country>, u64)> = Vec::new();
    for (country, weight) in classes.values() {
        subjects.push((*country, None, *weight));
        subjects
            .extend(outside.map(|(abroad, n)| (*country, Some(abroad), weight.saturating_mul(n))));
    }
    if let Some((abroad, n)) = outside {
        subjects.push((abroad, None, n));
        subjects.extend(first_inside.map(|c| (abroad, Some(c), n)));
    }
    let mut axis = AxisFacts::plain(AxisKind::Asked, Vec::new());
    for operation in Operation::ALL {
        for (country, citizenship, weight) in &subjects {
            let copies = operation == Operation::Replicate;
            let held = first_inside.map(Place::of).filter(|_| copies);
            for held_in in std::iter::once(None).chain(held.map(Some)) {
                axis.facts.push(Fact::Asked {
                    operation,
                    country: *country,
                    citizenship: *citizenship,
                    held_in,
                });
                axis.weights.push(*weight);
            }
        }
    }
    axis
}

fn order(sides: &[&Ways<'_>]) -> Vec<Fact> {
    let is_inside = |p: Place| sides.iter().any(|w| w.table.territory.contains(p));
    let places = || Country::all().map(Place::of);
    let home = places().find(|p| is_inside(*p));
    let abroad = places().find(|p| !is_inside(*p));
    let said = [
        abroad.map(|p| (p, false)),
        abroad.map(|p| (p, true)),
        home.map(|p| (p, false)),
    ];
    optional(said.into_iter().flatten(), Fact::Order)
}

/// Kinds of consent that some rule asks for or is lifted by.
fn consents_of(sides: &[&Ways<'_>]) -> Vec<ConsentKind> {
    let kinds = [
        ConsentKind::Transfer,
        ConsentKind::Disclosure,
        ConsentKind::Separate,
        ConsentKind::SpecialCategory,
        ConsentKind::Parental,
        ConsentKind::Written,
    ];
    let children = sides.iter().any(|w| !w.table.children.is_empty());
    let used = |kind: &ConsentKind| {
        (children && *kind == ConsentKind::Parental)
            || sides.iter().flat_map(|w| rules(w)).any(|r| {
                r.unless.consents & (1 << *kind as u8) != 0
                    || r.requires
                        .iter()
                        .flatten()
                        .any(|n| matches!(n, Need::Consent { kind: k, .. } if k == kind))
            })
    };
    kinds.into_iter().filter(used).collect()
}

fn consents(kind: ConsentKind) -> Vec<Fact> {
    let by = match kind {
        ConsentKind::Parental => Giver::Parent,
        _ => Giver::Person,
    };
    let given = |informed, occasional, withdrawn| ConsentFact {
        kind,
        by,
        informed,
        occasional,
        withdrawn,
    };
    let mut all = vec![
        given(false, false, false),
        given(true, false, false),
        given(false, true, false),
        given(true, true, false),
        given(true, true, true),
    ];
    if kind == ConsentKind::Parental {
        all.push(ConsentFact {
            by: Giver::Person,
            ..given(true, true, false)
        });
    }
    optional(all, Fact::Consent)
}

fn grounds_of(sides: &[&Ways<'_>]) -> Vec<GroundKind> {
    let kinds = crate::policy::GROUNDS.map(|(_, kind)| kind);
    let used = |kind: &GroundKind| {
        sides.iter().flat_map(|w| rules(w)).any(|r| {
            r.unless.grounds & (1 << *kind as u16) != 0
                || r.requires
                    .iter()
                    .flatten()
                    .any(|n| matches!(n, Need::Ground { kind: k, .. } if k == kind))
        })
    };
    kinds.into_iter().filter(used).collect()
}

fn protects(sides: &[&Ways<'_>]) -> bool {
    let measured = |o: &AssessmentOutcome| matches!(o, AssessmentOutcome::WithMeasures(_));
    sides.iter().any(|w| {
        let needs = rules(w).flat_map(|r| r.requires.iter().flatten());
        let organisation = &w.policy.checked().organisation;
        let own = organisation
            .instruments
            .iter()
            .filter_map(|i| i.assessment.as_ref());
        let mut assessments = own.chain(&organisation.assessments);
        needs.into_iter().any(|n| matches!(n, Need::Protection(_)))
            || assessments.any(|a| measured(&a.outcome))
    })
}

fn purposes(sides: &[&Ways<'_>]) -> Vec<Fact> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for ways in sides {
        let checked = ways.policy.checked();
        let organisation = &checked.organisation;
        let of_rules = rules(ways).flat_map(|r| {
            let wanted = r.when.purposes.iter().flatten();
            wanted.chain(&r.when.purposes_without)
        });
        let of_instruments = ways
            .list
            .iter()
            .filter_map(|w| checked.instrument(w.instrument?));
        let of_instruments = of_instruments.filter_map(|i| i.purposes.as_ref()).flatten();
        let of_assessments = organisation.assessments.iter();
        let of_assessments = of_assessments.filter_map(|a| a.purposes.as_ref()).flatten();
        let ids: Vec<PurposeId> = of_rules
            .chain(of_instruments)
            .chain(of_assessments)
            .copied()
            .collect();
        for id in ids {
            if let Some(name) = checked.purposes.get(id.index())
                && !names.contains(name)
            {
                names.push(Arc::clone(name));
            }
        }
    }
    names.sort();
    if !names.is_empty() {
        names.push("any-other".into());
    }
    optional(names, Fact::Purpose)
}

/// Sets of categories that the laws could tell apart, with ages and counts around each edge.
fn records(policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra) -> Vec<Fact> {
    let ages = ages(sides, extra);
    let counts = counts(sides, extra);
    let mut facts = Vec::new();
    for keys in category_classes(policies, sides, extra) {
        for age in &ages {
            for counts in &counts {
                facts.push(Fact::Record {
                    keys: keys.clone(),
                    age: *age,
                    counts: counts.clone(),
                });
            }
        }
    }
    facts
}

/// More classes of records than this are not told apart; no shipped law comes near.
const MOST_CLASSES: usize = 512;

pub fn category_classes(
    policies: &[&Compiled],
    sides: &[&Ways<'_>],
    extra: &Extra,
) -> Vec<Vec<Arc<str>>> {
    if let Some(keys) = &extra.record {
        return vec![keys.clone()];
    }
    let Some(first) = policies.first() else {
        return Vec::new();
    };
    let mut known: BTreeMap<Vec<bool>, Vec<Arc<str>>> = BTreeMap::new();
    for (_, key) in first.checked().categories_all() {
        let everywhere = policies.iter().all(|p| {
            let id = p.checked().category(key);
            id.is_some_and(|id| {
                p.possible(CategorySet::from_iter([id]))
                    .intersects(p.personal)
            })
        });
        if everywhere {
            let also = extra.categories.iter().flat_map(|set| {
                let id = first.checked().category(key);
                let own = CategorySet::from_iter(id);
                [set.intersects(own), set.intersects(first.possible(own))]
            });
            let told = sides
                .iter()
                .flat_map(|w| told(w, key))
                .chain(also)
                .collect();
            known.entry(told).or_insert_with(|| vec![key.into()]);
        }
    }
    let singles: Vec<(Vec<bool>, Vec<Arc<str>>)> = known.clone().into_iter().collect();
    let mut open = singles.clone();
    while let Some((told, keys)) = open.pop() {
        for (other, more) in &singles {
            let both: Vec<bool> = told.iter().zip(other).map(|(a, b)| *a || *b).collect();
            if known.len() < MOST_CLASSES && !known.contains_key(&both) {
                let keys: Vec<Arc<str>> = keys.iter().chain(more).cloned().collect();
                known.insert(both.clone(), keys.clone());
                open.push((both, keys));
            }
        }
    }
    known.into_values().collect()
}

/// What a law could tell of a category. A record is told by the `or` of its categories.
fn told(ways: &Ways<'_>, key: &str) -> Vec<bool> {
    let policy = ways.policy;
    let checked = policy.checked();
    let Some(id) = checked.category(key) else {
        return Vec::new();
    };
    let own = CategorySet::from_iter([id]);
    let possible = policy.possible(own);
    let personal = own.intersection(policy.personal);
    let mut told = vec![
        possible.intersects(ways.table.sensitive),
        !personal.is_subset(ways.table.sensitive),
    ];
    for rule in rules(ways) {
        told.extend(rule.when.categories.map(|c| c.intersects(possible)));
        told.push(rule.when.without.intersects(possible));
    }
    for counter in counters(ways) {
        let counted = checked
            .vocabulary
            .counters
            .get(counter.index())
            .map(|c| c.counted);
        if let Some(Counted::Categories(set)) = counted {
            told.push(set.intersects(possible));
        }
    }
    let instruments = ways
        .list
        .iter()
        .filter_map(|w| checked.instrument(w.instrument?));
    told.extend(instruments.map(|i| !personal.is_subset(i.categories)));
    let assessments = checked.organisation.assessments.iter();
    told.extend(assessments.map(|a| !personal.is_subset(a.categories)));
    told
}

fn ages(sides: &[&Ways<'_>], extra: &Extra) -> Vec<Option<u16>> {
    let mut edges: Vec<u16> = sides
        .iter()
        .flat_map(|w| {
            let children = w.table.children.iter().map(|c| c.1);
            children.chain([w.table.sensitive_below])
        })
        .chain(extra.ages.iter().copied())
        .filter(|a| *a > 0)
        .flat_map(|a| [a - 1, a])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    std::iter::once(None)
        .chain(edges.into_iter().map(Some))
        .collect()
}

/// The counters that decide something.
fn counters(ways: &Ways<'_>) -> Vec<CounterId> {
    let mut all: Vec<CounterId> = rules(ways)
        .flat_map(|r| r.when.counts.iter().flatten())
        .map(|t| t.counter)
        .collect();
    let checked = ways.policy.checked();
    let limited = ways
        .list
        .iter()
        .filter_map(|w| checked.instrument(w.instrument?));
    if limited.into_iter().any(|i| i.people.is_some()) {
        all.extend(ways.table.counters.iter().copied());
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// More combinations than this, and the counters are varied one by one, the others low or unknown.
const MOST_COUNTS: usize = 240;

fn counts(sides: &[&Ways<'_>], extra: &Extra) -> Vec<Vec<(Arc<str>, u64)>> {
    let mut edges: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
    for (counter, edge) in &extra.counts {
        let list = edges.entry(Arc::clone(counter)).or_default();
        list.push(0);
        list.extend(around(*edge));
    }
    for ways in sides {
        let checked = ways.policy.checked();
        let key = |id: CounterId| {
            let counter = checked.vocabulary.counters.get(id.index());
            counter.map(|c| Arc::clone(&c.key))
        };
        for counter in counters(ways).into_iter().filter_map(key) {
            edges.entry(counter).or_default().push(0);
        }
        for test in rules(ways).flat_map(|r| r.when.counts.iter().flatten()) {
            if let Some(list) = key(test.counter).and_then(|k| edges.get_mut(&k)) {
                list.extend(around(test.number));
            }
        }
        let limited = ways
            .list
            .iter()
            .filter_map(|w| checked.instrument(w.instrument?));
        for limit in limited.filter_map(|i| i.people) {
            let own = ways.table.counters.first().copied().and_then(key);
            if let Some(list) = own.and_then(|k| edges.get_mut(&k)) {
                list.extend(around(limit));
            }
        }
    }
    for list in edges.values_mut() {
        list.sort_unstable();
        list.dedup();
    }
    let product = edges
        .values()
        .try_fold(1usize, |n, l| n.checked_mul(l.len() + 1));
    if product.is_some_and(|n| n <= MOST_COUNTS) {
        let mut all: Vec<Vec<(Arc<str>, u64)>> = vec![Vec::new()];
        for (key, list) in &edges {
            let said = |rest: &Vec<(Arc<str>, u64)>| {
                let rest = rest.clone();
                list.iter().map(move |n| {
                    let mut longer = rest.clone();
                    longer.push((Arc::clone(key), *n));
                    longer
                })
            };
            all = all
                .iter()
                .flat_map(|r| std::iter::once(r.clone()).chain(said(r)))
                .collect();
        }
        return all;
    }
    let low: Vec<(Arc<str>, u64)> = edges.keys().map(|k| (Arc::clone(k), 0)).collect();
    let mut all = vec![Vec::new(), low.clone()];
    for (key, list) in &edges {
        let others: Vec<_> = low.iter().filter(|(k, _)| k != key).cloned().collect();
        all.push(others.clone());
        for n in list {
            let own = (Arc::clone(key), *n);
            all.push(vec![own.clone()]);
            all.push(others.iter().cloned().chain([own]).collect());
        }
    }
    all
}

/// Counts before this person at which the count with this person reaches, or passes, an edge.
fn around(edge: u64) -> [u64; 4] {
    [
        edge.saturating_sub(2),
        edge.saturating_sub(1),
        edge,
        edge.saturating_add(1),
    ]
}

/// What a law could tell of a record.
pub fn told_of(ways: &Ways<'_>, keys: &[Arc<str>]) -> Vec<bool> {
    let mut all: Vec<bool> = Vec::new();
    for key in keys {
        let one = told(ways, key);
        if all.is_empty() {
            all = one;
        } else {
            all.iter_mut().zip(one).for_each(|(a, b)| *a |= b);
        }
    }
    all
}
