//! The values worth asking about, axis by axis: one for each manner in which a law on a day could
//! tell values apart, with the number of raw values each stands for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

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
    let needed = |n: &Need| matches!(n, Need::Transaction(_));
    let asks = whens().any(|w| w.transactions.is_some() || w.transactions_without != 0)
        || sides
            .iter()
            .flat_map(|w| rules(w))
            .any(|r| r.requires.iter().flatten().any(needed));
    let facts = optional(transactions, Fact::Transaction);
    one(AxisKind::Transaction, asks, facts);
    for kind in consents_of(sides) {
        one(
            AxisKind::Consent(kind),
            true,
            consents(kind, by_parent(sides, kind)),
        );
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
    let inside = |place: Place| sides.iter().any(|w| w.table.territory.contains(place));
    // People are told apart by where a law attaches to them, by its rules on children, and by rules
    // on people of some places alone.
    let mut places: Vec<Place> = Country::all().map(Place::of).collect();
    for ways in sides {
        let of = ways.table.rules.iter().map(|r| &r.of);
        let of = of.chain(ways.table.children.iter().map(|c| &c.2));
        places.extend(of.flat_map(|set| set.parts.iter().copied()));
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    places.retain(|p| seen.insert(p.to_string()));
    let mut classes: BTreeMap<Vec<bool>, (usize, Place, u64)> = BTreeMap::new();
    for (n, place) in places.iter().enumerate() {
        let told = sides.iter().flat_map(|w| {
            let table = w.table;
            let children = table.children.iter().map(|c| &c.2);
            let of = table.rules.iter().map(|r| &r.of).filter(|of| !of.any);
            let sets = children.chain(of).map(|set| set.contains(*place));
            std::iter::once(table.territory.contains(*place)).chain(sets)
        });
        classes.entry(told.collect()).or_insert((n, *place, 0)).2 += 1;
    }
    let mut ordered: Vec<(usize, Place, u64)> = classes.into_values().collect();
    ordered.sort_unstable_by_key(|(n, place, _)| (!inside(*place), *n));
    let first = |wanted: bool| {
        let of = ordered.iter().filter(|(_, p, _)| inside(*p) == wanted);
        of.map(|(_, p, n)| (*p, *n)).next()
    };
    let outside = first(false);
    let first_inside = first(true).map(|(p, _)| p);
    let mut subjects: Vec<(Place, Option<Country>, u64)> = Vec::new();
    for (_, place, weight) in &ordered {
        let other = match inside(*place) {
            true => outside,
            false => first_inside.map(|p| (p, 1)),
        };
        subjects.push((*place, None, *weight));
        subjects.extend(
            other.and_then(|(p, n)| Some((*place, Some(p.country()?), weight.saturating_mul(n)))),
        );
    }
    let mut axis = AxisFacts::plain(AxisKind::Asked, Vec::new());
    for operation in Operation::ALL {
        for (country, citizenship, weight) in &subjects {
            let copies = operation == Operation::Replicate;
            let held = first_inside.filter(|_| copies);
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

/// Whether some rule is lifted by this consent only where a parent gives it.
fn by_parent(sides: &[&Ways<'_>], kind: ConsentKind) -> bool {
    let mut all = sides.iter().flat_map(|w| rules(w)).map(|r| &r.unless);
    kind == ConsentKind::Parental || all.any(|u| u.by_parent && u.consents & (1 << kind as u8) != 0)
}

fn consents(kind: ConsentKind, by_parent: bool) -> Vec<Fact> {
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
    if by_parent {
        let by = match kind {
            ConsentKind::Parental => Giver::Person,
            _ => Giver::Parent,
        };
        all.push(ConsentFact {
            by,
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
        let of_instruments = ways.instruments();
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
    let mut facts = Vec::new();
    for keys in category_classes(policies, sides, extra).0 {
        let counts = counts(sides, extra, &keys);
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

/// More classes of records than this are not looked at: those of the fewest categories come first.
const MOST_CLASSES: usize = 512;

/// Records by what the laws could tell of them, and whether these are all.
pub fn category_classes(
    policies: &[&Compiled],
    sides: &[&Ways<'_>],
    extra: &Extra,
) -> (Vec<Vec<Arc<str>>>, bool) {
    if let Some(keys) = &extra.record {
        return (vec![keys.clone()], true);
    }
    let Some(first) = policies.first() else {
        return (Vec::new(), true);
    };
    let linked = linked(sides);
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
            let mut told: Vec<bool> = sides
                .iter()
                .flat_map(|w| told(w, key))
                .chain(also)
                .collect();
            many(&linked, &mut told);
            known.entry(told).or_insert_with(|| vec![key.into()]);
        }
    }
    let singles: Vec<(Vec<bool>, Vec<Arc<str>>)> = known.clone().into_iter().collect();
    let mut open: VecDeque<_> = singles.iter().cloned().collect();
    let mut all = true;
    while let Some((told, keys)) = open.pop_front() {
        for (other, more) in &singles {
            let mut both: Vec<bool> = told.iter().zip(other).map(|(a, b)| *a || *b).collect();
            many(&linked, &mut both);
            if known.contains_key(&both) {
                continue;
            }
            if known.len() >= MOST_CLASSES {
                all = false;
                break;
            }
            let keys: Vec<Arc<str>> = keys.iter().chain(more).cloned().collect();
            known.insert(both.clone(), keys.clone());
            open.push_back((both, keys));
        }
    }
    (known.into_values().collect(), all)
}

/// Of linked classes it matters which one a record holds, and whether it holds two.
fn many(linked: &[Range<usize>], told: &mut [bool]) {
    for range in linked {
        if let Some(classes) = told.get_mut(range.clone())
            && classes.iter().filter(|c| **c).count() > 1
        {
            classes.fill(true);
        }
    }
}

/// Where in what is told the classes of linked counters stand.
fn linked(sides: &[&Ways<'_>]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut at = 0;
    for ways in sides {
        for counter in counters(ways) {
            let info = ways
                .policy
                .checked()
                .vocabulary
                .counters
                .get(counter.index());
            match info.map(|c| &c.counted) {
                Some(Counted::Categories(_)) => at += 1,
                Some(Counted::Linked(classes)) => {
                    all.push(at..at + classes.len());
                    at += classes.len();
                }
                _ => {}
            }
        }
        at += rest_told(ways);
    }
    all
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
    let mut told = Vec::new();
    for counter in counters(ways) {
        let info = checked.vocabulary.counters.get(counter.index());
        match info.map(|c| &c.counted) {
            Some(Counted::Categories(set)) => told.push(set.intersects(own)),
            Some(Counted::Linked(classes)) => {
                told.extend(classes.iter().map(|c| c.intersects(possible)));
            }
            _ => {}
        }
    }
    told.extend([
        possible.intersects(ways.table.sensitive),
        !personal.is_subset(ways.table.sensitive),
    ]);
    for rule in rules(ways) {
        told.push(rule.when.categories.is_some_and(|c| c.intersects(possible)));
        told.push(rule.when.without.intersects(possible));
    }
    told.extend(
        ways.instruments()
            .map(|i| !personal.is_subset(i.categories)),
    );
    let assessments = checked.organisation.assessments.iter();
    told.extend(assessments.map(|a| !personal.is_subset(a.categories)));
    told
}

/// How much is told of a category beside counters.
fn rest_told(ways: &Ways<'_>) -> usize {
    let assessments = ways.policy.checked().organisation.assessments.len();
    2 + 2 * rules(ways).count() + ways.instruments().count() + assessments
}

fn ages(sides: &[&Ways<'_>], extra: &Extra) -> Vec<Option<u16>> {
    let mut edges: Vec<u16> = sides
        .iter()
        .flat_map(|w| {
            let children = w.table.children.iter().map(|c| c.1);
            let below = rules(w).filter_map(|r| r.when.below_age);
            children.chain([w.table.sensitive_below]).chain(below)
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
    let checked = ways.policy.checked();
    let mut all: Vec<CounterId> = rules(ways)
        .flat_map(|r| r.when.count_tests(&checked.vocabulary))
        .map(|t| t.counter)
        .collect();
    if ways.instruments().any(|i| i.people.is_some()) {
        all.extend(ways.table.counters.iter().copied());
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a count could matter for a record of these categories.
fn touches(ways: &Ways<'_>, counter: CounterId, keys: &[Arc<str>]) -> bool {
    let checked = ways.policy.checked();
    let stated: CategorySet = keys.iter().filter_map(|k| checked.category(k)).collect();
    let possible = ways.policy.possible(stated);
    let info = checked.vocabulary.counters.get(counter.index());
    // A count that no threshold reads with others is looked at whatever the record holds.
    let tables = &checked.vocabulary.thresholds;
    let in_table = tables
        .iter()
        .any(|t| t.tests.iter().any(|t| t.counter == counter));
    let alone = rules(ways)
        .flat_map(|r| r.when.counts.iter().flatten())
        .any(|t| t.counter == counter);
    alone
        || !in_table
        || info.is_some_and(|c| {
            c.counted.holds(stated, possible).unwrap_or(true) || c.counted.classes(possible) > 0
        })
}

/// More combinations than this, and the counters are varied one by one, the others low or unknown.
const MOST_COUNTS: usize = 240;

type Counts = Vec<(Arc<str>, u64)>;

fn counts(sides: &[&Ways<'_>], extra: &Extra, keys: &[Arc<str>]) -> Vec<Counts> {
    let mut edges: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
    for (counter, edge) in &extra.counts {
        let list = edges.entry(Arc::clone(counter)).or_default();
        list.push(0);
        list.extend(around(*edge));
    }
    for ways in sides {
        let vocabulary = &ways.policy.checked().vocabulary;
        let touched: Vec<CounterId> = counters(ways)
            .into_iter()
            .filter(|c| touches(ways, *c, keys))
            .collect();
        let limits: Vec<u64> = ways.instruments().filter_map(|i| i.people).collect();
        for id in &touched {
            let Some(counter) = vocabulary.counters.get(id.index()) else {
                continue;
            };
            let list = edges.entry(Arc::clone(&counter.key)).or_default();
            list.push(0);
            let whens = || rules(ways).map(|r| &r.when);
            let own = whens().flat_map(|w| w.counts.iter().flatten());
            let own = own.filter(|t| t.counter == *id).map(|t| t.number);
            // Of a table the lowest touched number holds for each of its counters.
            let tables = whens().flat_map(|w| w.above.into_iter().chain(w.below));
            let tables = tables.filter_map(|t| vocabulary.thresholds.get(usize::from(t)));
            let tables = tables.filter(|t| t.tests.iter().any(|t| t.counter == *id));
            let shared = tables.flat_map(|t| t.tests.iter());
            let shared = shared
                .filter(|t| touched.contains(&t.counter))
                .map(|t| t.number);
            for number in own.chain(shared) {
                list.extend(around(number));
            }
            if ways.table.counters.first() == Some(id) {
                limits.iter().for_each(|n| list.extend(around(*n)));
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
    many(&linked(&[ways]), &mut all);
    all
}
