//! `policy matrix`: whose data may go where, and on what ground.
//!
//! A cell is a law and a class of destinations that it cannot tell apart: every ground on which a
//! record of one of its people may go there from the parties at home to the parties there, with
//! what must be shown for it. Promises that stand against it are named beside, and of erasures the
//! legal holds.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{
    Span, Timestamp,
    civil::Date,
    fmt::friendly::{Designator, Spacing, SpanPrinter},
};
use serde::Serialize;

use crate::{
    domain::{CategorySet, Digest, Operation, Place},
    policy::{Checked, Compiled, Effect, Retention},
};

use super::{
    axes::{AxisFacts, Extra},
    classes::verify,
    days::law_ids,
    ends::destinations,
    engine::Group,
    facts::{Fact, blank},
    promised,
    prove::{Untrue, in_parallel},
    scene::{Said, Scene},
    ways::{AxisKind, Ways},
};

/// What `policy matrix --json` and `/v1/policy/matrix` say.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    pub at: Timestamp,
    pub operation: Operation,
    /// As they were asked for.
    pub categories: Vec<String>,
    pub policy: Digest,
    pub laws: Vec<Row>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub law: String,
    pub name: String,
    pub cells: Vec<Cell>,
    /// The rules on how long records under this law are kept, whatever their categories.
    pub retention: Vec<KeptFor>,
    /// Of erasures: the legal holds in force that refuse some of its people's.
    pub holds: Vec<Held>,
    /// Why there are no cells: the classes and the decision disagree.
    pub fault: Option<Untrue>,
}

/// How long records with some of `categories` are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptFor {
    pub id: String,
    /// Each stands for all below it.
    pub categories: Vec<String>,
    pub keep: String,
    /// At least so long; else at most.
    pub least: bool,
    pub source: Option<String>,
}

/// A legal hold that keeps records from being erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    pub id: String,
    pub citation: String,
    /// Countries and their parts; empty: everybody.
    pub people: Vec<String>,
    /// How many single people it is for; 0: all of them.
    pub single_people: usize,
    pub categories: Vec<String>,
    pub until: Option<Date>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    pub destinations: Vec<String>,
    /// What is open, in the order in which the law asks; empty: closed.
    pub open: Vec<Opening>,
    /// Promises that this would break, of some of the law's people at least.
    pub promises: Vec<String>,
    /// Those of them that are about some of its people alone, with whom.
    pub promised_to: Vec<PromisedTo>,
    /// Legal holds that refuse it of all the law's people; then nothing is open.
    pub holds: Vec<String>,
}

/// The countries and parts of a law's territory whose people have a promise, and others not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PromisedTo {
    pub promise: String,
    pub people: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    pub mechanism: String,
    pub rule: String,
    pub citation: String,
    pub instrument: Option<String>,
    /// What must be shown or said, each with the values that do; empty: nothing.
    pub needs: Vec<String>,
}

/// What is asked of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub operation: Operation,
    /// Keys of the vocabulary, as they were asked for.
    pub categories: Vec<String>,
    keys: Vec<Arc<str>>,
}

impl Asked {
    /// # Errors
    /// What to say of an operation or a category that nobody knows.
    pub fn new(
        checked: &Checked,
        operation: &str,
        categories: Vec<String>,
    ) -> Result<Self, String> {
        let operation = Operation::ALL
            .into_iter()
            .find(|o| o.as_str() == operation)
            .ok_or_else(|| format!("unknown operation `{operation}`"))?;
        let key = |name: &String| {
            let key = checked.category(name).and_then(|c| checked.category_key(c));
            key.map(Arc::clone)
                .ok_or_else(|| format!("unknown category `{name}`"))
        };
        let keys = categories.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self {
            operation,
            categories,
            keys,
        })
    }
}

/// One row a law, for records that hold `categories` (keys of the vocabulary); on all cores.
pub fn matrix(policy: &Compiled, operation: Operation, categories: &[Arc<str>]) -> Vec<Row> {
    let laws = law_ids(policy);
    let rows = in_parallel(laws.len(), |i| {
        let ways = Ways::of(policy, *laws.get(i)?)?;
        Some(row(policy, &ways, operation, categories))
    });
    rows.into_iter().flatten().collect()
}

impl Matrix {
    pub fn new(policy: &Compiled, asked: &Asked) -> Self {
        Self::of(policy, asked, matrix(policy, asked.operation, &asked.keys))
    }

    /// The same, worked out on the calling thread alone: seconds of processor time with an
    /// organisation of many instruments.
    pub fn alone(policy: &Compiled, asked: &Asked) -> Self {
        let ways = law_ids(policy).into_iter();
        let ways = ways.filter_map(|law| Ways::of(policy, law));
        let rows = ways.map(|w| row(policy, &w, asked.operation, &asked.keys));
        Self::of(policy, asked, rows.collect())
    }

    fn of(policy: &Compiled, asked: &Asked, laws: Vec<Row>) -> Self {
        Self {
            at: policy.at(),
            operation: asked.operation,
            categories: asked.categories.clone(),
            policy: policy.checked().digest(),
            laws,
        }
    }
}

fn row(policy: &Compiled, ways: &Ways<'_>, operation: Operation, keys: &[Arc<str>]) -> Row {
    let seats: Vec<Place> = policy.checked().entities().map(|(_, e)| e.place).collect();
    let extra = Extra {
        places: seats,
        entity_places: true,
        record: Some(keys.to_vec()),
        ..Extra::default()
    };
    let (holds, all_held) = held(policy, ways, operation, keys);
    let mut cells: Vec<Cell> = Vec::new();
    let mut fault = None;
    let mut parts = promised::places(&[policy]);
    parts.retain(Place::is_subdivision);
    for class in destinations(&[policy], &[ways], &extra) {
        let Some(to) = class.members.first() else {
            continue;
        };
        let open = match openings(policy, ways, operation, *to, &extra) {
            Ok(_) if !all_held.is_empty() => Vec::new(),
            Ok(open) => open,
            Err(untrue) => {
                cells.clear();
                fault = Some(untrue);
                break;
            }
        };
        // Promises tell apart what the law does not.
        let of_class = |part: &&Place| {
            let whole = part.country().map(Place::of);
            whole.is_some_and(|w| class.members.contains(&w))
        };
        let mut members = class.members.clone();
        members.extend(parts.iter().filter(of_class));
        members.sort_unstable();
        members.dedup();
        for to in members {
            let (promises, promised_to) = promises(policy, ways, operation, to, keys);
            let same = cells.iter_mut().find(|c| {
                (&c.open, &c.promises, &c.promised_to) == (&open, &promises, &promised_to)
            });
            match same {
                Some(cell) => cell.destinations.push(to.to_string()),
                None => cells.push(Cell {
                    destinations: vec![to.to_string()],
                    open: open.clone(),
                    promises,
                    promised_to,
                    holds: all_held.clone(),
                }),
            }
        }
    }
    for cell in &mut cells {
        cell.destinations.sort();
    }
    Row {
        law: ways.law.id.to_string(),
        name: ways.law.name.clone(),
        cells,
        retention: kept_for(policy, &ways.law.id),
        holds,
        fault,
    }
}

/// The holds that concern erasures of the law's people, and the ids of those that refuse all of
/// them, whoever asks. The router asks them before any law.
fn held(
    policy: &Compiled,
    ways: &Ways<'_>,
    operation: Operation,
    keys: &[Arc<str>],
) -> (Vec<Held>, Vec<String>) {
    let checked = policy.checked();
    if operation != Operation::Erase {
        return (Vec::new(), Vec::new());
    }
    let stated: CategorySet = keys.iter().filter_map(|k| checked.category(k)).collect();
    let territory = &ways.table.territory;
    let (mut holds, mut all) = (Vec::new(), Vec::new());
    for hold in checked.holds_of(policy.at(), stated) {
        let lives = |p: &Place| p.country().is_some_and(|c| territory.touches(c));
        if !hold.subjects.is_empty() && !hold.subjects.iter().any(lives) {
            continue;
        }
        let mut countries = territory.countries.iter().map(Place::of);
        let everybody = hold.subjects.is_empty()
            || (territory.is_of_countries() && countries.all(|c| hold.subjects.contains(&c)));
        if everybody && hold.keys.is_empty() {
            all.push(hold.id.to_string());
        }
        holds.push(Held {
            id: hold.id.to_string(),
            citation: hold.citation.to_string(),
            people: hold.subjects.iter().map(ToString::to_string).collect(),
            single_people: hold.keys.len(),
            categories: checked.topmost(hold.categories),
            until: hold.interval.until,
        });
    }
    (holds, all)
}

fn kept_for(policy: &Compiled, law: &str) -> Vec<KeptFor> {
    let checked = policy.checked();
    let of_law = |r: &&Retention| r.laws.is_empty() || r.laws.iter().any(|(l, _)| **l == *law);
    let rules = checked.retention().iter().filter(of_law);
    rules
        .map(|r| KeptFor {
            id: r.id.to_string(),
            categories: checked.topmost(r.categories),
            keep: span(&r.keep),
            least: r.least,
            source: r.source.as_deref().map(str::to_owned),
        })
        .collect()
}

/// As the file says it: `1 year`, `30 days`.
pub(super) fn span(keep: &Span) -> String {
    SpanPrinter::new()
        .designator(Designator::Verbose)
        .spacing(Spacing::BetweenUnitsAndDesignators)
        .span_to_string(keep)
}

fn openings(
    policy: &Compiled,
    ways: &Ways<'_>,
    operation: Operation,
    to: Place,
    extra: &Extra,
) -> Result<Vec<Opening>, Untrue> {
    let checked = policy.checked();
    let territory = &ways.table.territory;
    let sits = |entity: &Option<Arc<str>>, wanted: &dyn Fn(Place) -> bool| {
        let id = entity.as_deref().and_then(|e| checked.entity(e));
        id.and_then(|e| checked.entity_info(e))
            .map(|e| wanted(e.place))
    };
    let somebody_there = checked.entities().any(|(_, e)| e.place == to);
    let somebody_here = checked.entities().any(|(_, e)| territory.contains(e.place));
    let extra = Extra {
        only_to: Some(to),
        ..extra.clone()
    };
    let scene = Scene::new(
        policy.at(),
        &[policy],
        &[ways],
        &extra,
        &|fact| match fact {
            Fact::Asked {
                operation: asked,
                country,
                citizenship,
                ..
            } => *asked == operation && citizenship.is_none() && territory.contains(*country),
            Fact::Ends { from, to: end, .. } => {
                let home = sits(&from.entity, &|p| territory.contains(p));
                let there = sits(&end.entity, &|p| p == to);
                territory.contains(from.place)
                    && (home == Some(true) || (!somebody_here && home.is_some()))
                    && (there == Some(true) || (!somebody_there && there.is_none()))
            }
            Fact::Record { age, .. } => age.is_none(),
            _ => true,
        },
    );
    verify(&scene)?;
    let mut found: Vec<Said> = Vec::new();
    let groups = scene.diagram.groups(&mut |leaf| {
        let said = scene.said(0, leaf);
        if !scene.permits(0, said) {
            return None;
        }
        let known = found.iter().position(|s| *s == said);
        Some(known.unwrap_or_else(|| {
            found.push(said);
            found.len() - 1
        }))
    });
    let mut all: Vec<(Said, Opening)> = found
        .iter()
        .zip(&groups)
        .filter_map(|(said, group)| Some((*said, opening(&scene, *said, group)?)))
        .collect();
    all.sort_by_key(|(said, _)| *said);
    let mut openings: Vec<Opening> = Vec::new();
    for (_, opening) in all {
        if !openings.contains(&opening) {
            openings.push(opening);
        }
    }
    Ok(openings)
}

fn opening(scene: &Scene<'_>, said: Said, group: &Group) -> Option<Opening> {
    let way = scene.way(0, said).filter(|w| w.effect == Effect::Permit)?;
    let checked = scene.sides.first()?.ways.policy.checked();
    let info = checked.rule(way.number)?;
    let mechanism = info.mechanism.map(|m| checked.mechanism_key(m).to_owned());
    let instrument = way.instrument.and_then(|i| checked.instrument(i));
    let needs = scene
        .axes
        .iter()
        .zip(&group.values)
        .filter_map(|(axis, values)| needed(axis, values))
        .collect();
    Some(Opening {
        mechanism: mechanism.unwrap_or_default(),
        rule: info.id.to_string(),
        citation: info.citation.to_string(),
        instrument: instrument.map(|i| i.id.to_string()),
        needs,
    })
}

/// What must be said on an axis, where saying nothing will not do.
fn needed(axis: &AxisFacts, values: &std::collections::BTreeSet<u32>) -> Option<String> {
    const SHOWN: usize = 3;
    if matches!(axis.kind, AxisKind::Asked | AxisKind::Ends) || values.contains(&0) {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    for value in values {
        let fact = usize::try_from(*value).ok().and_then(|v| axis.facts.get(v));
        for (name, word) in fact.into_iter().flat_map(Fact::words) {
            let text = format!("{name} {word}");
            if name != "categories" && !words.contains(&text) {
                words.push(text);
            }
        }
    }
    if matches!(axis.kind, AxisKind::Record) {
        let last = words.last().cloned();
        return last.map(|l| format!("known counts, such as {}", l.trim_start_matches("counts ")));
    }
    words.truncate(SHOWN);
    Some(words.join(" or "))
}

/// The promises that a flow there would break of some of the law's people, and of whom, where not of
/// all of them.
fn promises(
    policy: &Compiled,
    ways: &Ways<'_>,
    operation: Operation,
    to: Place,
    keys: &[Arc<str>],
) -> (Vec<String>, Vec<PromisedTo>) {
    let territory = &ways.table.territory;
    let people: Vec<Place> = promised::places(&[policy])
        .into_iter()
        .filter(|p| p.country().is_some() && territory.contains(*p))
        .collect();
    let set: CategorySet = keys
        .iter()
        .filter_map(|k| policy.checked().category(k))
        .collect();
    let mut query = blank(policy, policy.at(), to);
    query.operation = operation;
    query.set_categories(policy, set);
    let mut whose: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for person in &people {
        query.subject.countries.clear();
        query.subject.countries.push(*person);
        for id in promised::broken_by(policy, &query) {
            whose.entry(id).or_default().push(person.to_string());
        }
    }
    let all = &policy.checked().organisation.promises;
    let broken = all.iter().map(|p| p.id.to_string());
    let broken: Vec<String> = broken.filter(|id| whose.contains_key(id)).collect();
    let mut promised_to = Vec::new();
    for id in &broken {
        if let Some(some) = whose.remove(id).filter(|some| some.len() < people.len()) {
            promised_to.push(PromisedTo {
                promise: id.clone(),
                people: some,
            });
        }
    }
    (broken, promised_to)
}
