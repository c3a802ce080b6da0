//! The two parties of a flow as one law could tell them apart.
//!
//! A paper (an instrument, an assessment) speaks of the two parties together, everything else of
//! each alone. So parties are told apart by attributes and roles first, and pairs of such classes
//! by the papers between the two: a hundred contracts make a hundred pairs more, not ten thousand.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use crate::{
    domain::Place,
    policy::{AttributeSet, Compiled, EntityId, InstrumentId, Need, PlaceSet, RuleMask},
};

use super::{
    axes::{Extra, rules},
    ways::Ways,
};

/// Pairs of parties that the law cannot tell apart, by the first of them.
pub struct Pair {
    pub exporter: Option<Arc<str>>,
    pub importer: Option<Arc<str>>,
    pub papers: Papers,
    /// How many pairs this one stands for.
    pub weight: u64,
}

/// What stands between two parties, side by side of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Papers(Vec<Between>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Between {
    /// With the rules that each serves, and whether its assessment is in date.
    instruments: Vec<(InstrumentId, RuleMask, bool)>,
    /// Assessments of the exporter that are for this importer.
    assessments: Vec<u16>,
}

impl Papers {
    /// Whether they hold an instrument.
    pub fn signed(&self) -> bool {
        self.0.iter().any(|b| !b.instruments.is_empty())
    }

    /// The destinations that each of them covers.
    pub fn countries<'a>(&self, sides: &[&'a Ways<'_>]) -> Vec<&'a PlaceSet> {
        let mut all = Vec::new();
        for (ways, between) in sides.iter().zip(&self.0) {
            for usable in ways.table.usable.values().flatten() {
                let is = |(id, _, _): &(InstrumentId, RuleMask, bool)| *id == usable.instrument;
                if between.instruments.iter().any(is) && !all.contains(&&usable.countries) {
                    all.push(&usable.countries);
                }
            }
            for assessed in ways.table.assessments.values().flatten() {
                let known = between.assessments.contains(&assessed.index);
                if known && !all.contains(&&assessed.countries) {
                    all.push(&assessed.countries);
                }
            }
        }
        all
    }
}

/// Every pair of classes: nobody at either end, the same entity, two of one class, two classes.
pub fn pairs(policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra) -> Vec<Pair> {
    let all = parties(policies, sides, extra);
    let mut index: HashMap<(usize, usize, bool, Papers), usize> = HashMap::new();
    let mut pairs: Vec<Pair> = Vec::new();
    for (i, from) in all.iter().enumerate() {
        for (j, to) in all.iter().enumerate() {
            let papers = Papers(
                sides
                    .iter()
                    .zip(from.ids.iter().zip(&to.ids))
                    .map(|(ways, (from, to))| between(ways, *from, *to))
                    .collect(),
            );
            let key = (from.class, to.class, i == j, papers);
            match index.get(&key).and_then(|at| pairs.get_mut(*at)) {
                Some(pair) => pair.weight += 1,
                None => {
                    pairs.push(Pair {
                        exporter: from.name.clone(),
                        importer: to.name.clone(),
                        papers: key.3.clone(),
                        weight: 1,
                    });
                    index.insert(key, pairs.len() - 1);
                }
            }
        }
    }
    pairs
}

fn between(ways: &Ways<'_>, from: Option<EntityId>, to: Option<EntityId>) -> Between {
    let Some(exporter) = from else {
        return Between::default();
    };
    let table = ways.table;
    let signed = to.and_then(|to| table.usable.get(&(exporter, to)));
    let assessed = table.assessments.get(&exporter);
    let all = &ways.policy.checked().organisation.assessments;
    Between {
        instruments: signed
            .into_iter()
            .flatten()
            .map(|u| (u.instrument, u.rules, u.assessed))
            .collect(),
        assessments: assessed
            .into_iter()
            .flatten()
            .map(|a| a.index)
            .filter(|index| {
                let found = all.get(usize::from(*index));
                let importers = found.and_then(|a| a.importers.as_ref());
                importers.is_none_or(|list| to.is_some_and(|to| list.contains(&to)))
            })
            .collect(),
    }
}

/// One entity, or nobody.
struct Party {
    name: Option<Arc<str>>,
    /// By side.
    ids: Vec<Option<EntityId>>,
    class: usize,
}

/// Nobody, and every entity that all policies know.
fn parties(policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra) -> Vec<Party> {
    let mut all = vec![Party {
        name: None,
        ids: vec![None; sides.len()],
        class: 0,
    }];
    let Some(first) = policies.first() else {
        return all;
    };
    let masks: Vec<AttributeSet> = sides
        .iter()
        .map(|w| mentioned(w).union(extra.attributes))
        .collect();
    let mut classes: HashMap<(Vec<Told>, Option<Place>), usize> = HashMap::new();
    for (_, entity) in first.checked().entities() {
        let known = |p: &&Compiled| p.checked().entity(&entity.id).is_some();
        if !policies.iter().all(known) {
            continue;
        }
        let told = sides.iter().zip(&masks);
        let told = told.map(|(w, mask)| told_of(w, *mask, &entity.id));
        let key = (told.collect(), extra.entity_places.then_some(entity.place));
        let next = classes.len() + 1;
        all.push(Party {
            name: Some(Arc::clone(&entity.id)),
            ids: sides
                .iter()
                .map(|w| w.policy.checked().entity(&entity.id))
                .collect(),
            class: *classes.entry(key).or_insert(next),
        });
    }
    all
}

/// What a law could tell of an entity alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Told {
    /// A flow that starts in its country starts in its part of it.
    part: Option<Place>,
    mentioned: Vec<u8>,
    role: Option<u8>,
    /// Where it counts as being, if that is not where the flow says.
    seat: Option<Place>,
    governed: bool,
    lifted: bool,
}

fn told_of(ways: &Ways<'_>, mask: AttributeSet, name: &str) -> Told {
    let checked = ways.policy.checked();
    let Some(id) = checked.entity(name) else {
        return Told::default();
    };
    let has = ways.table.attributes_of(Some(id));
    let info = checked.entity_info(id);
    let of = |laws: Option<&crate::policy::LawSet>| laws.is_some_and(|l| l.contains(ways.id));
    Told {
        part: info.map(|e| e.place).filter(Place::is_subdivision),
        mentioned: has
            .iter()
            .filter(|a| mask.contains(*a))
            .map(|a| a.0)
            .collect(),
        role: info.and_then(|e| e.role).map(|r| r as u8),
        seat: info
            .map(|e| e.place)
            .filter(|_| has.intersects(ways.law.outside)),
        governed: of(ways.policy.entity_laws.get(id.index())),
        lifted: of(ways.policy.entity_lifts.get(id.index())),
    }
}

/// What the law could tell of every entity alone.
pub fn told_all(policy: &Compiled, ways: &Ways<'_>) -> Vec<Told> {
    let mask = mentioned(ways);
    let all = policy.checked().entities();
    all.map(|(_, e)| told_of(ways, mask, &e.id)).collect()
}

/// What is mentioned of entities by any rule of the law.
fn mentioned(ways: &Ways<'_>) -> AttributeSet {
    let mut all = ways.law.outside;
    for rule in rules(ways) {
        let w = &rule.when;
        for set in [
            w.exporter,
            w.exporter_without,
            w.importer,
            w.importer_without,
            w.parties,
            rule.unless.exporter,
        ] {
            all = all.union(set);
        }
        for need in rule.requires.iter().flatten() {
            if let Need::Exporter(a) | Need::Importer(a) = need {
                all.insert(*a);
            }
        }
    }
    all
}
