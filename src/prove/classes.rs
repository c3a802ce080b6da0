//! The properties that one law on one day can keep or break.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::civil::Date;

use crate::{
    decide::FindingKind,
    policy::{Effect, Need, Rule},
};

use super::{
    about::Filter,
    axes::{Extra, category_classes},
    engine::Bits,
    facts::{Fact, question},
    property::{Kind, Properties, Property, PropertyError},
    prove::{Counterexample, Part, ProveError, Untrue, of_kind},
    scene::{Said, Scene},
    ways::Ways,
};

pub fn of_law(ways: &Ways<'_>, day: Date, properties: &Properties) -> Part {
    let mut part = Part::new(properties.list.len());
    let scene = Scene::new(
        ways.policy.at(),
        &[ways.policy],
        &[ways],
        &Extra::default(),
        &|_| true,
    );
    part.raw_flows = scene.flows;
    withdrawn(&scene, properties, &mut part);
    walk(&scene, ways, day, properties, &mut part);
    for (i, property) in properties.list.iter().enumerate() {
        let own = property.law.as_deref().is_none_or(|l| *l == *ways.law.id);
        if own && property.covers_day(day) && part.fault.is_none() {
            let result = match property.kind {
                Kind::Refused | Kind::Only | Kind::Permitted => {
                    filtered(ways, i, property, &mut part)
                }
                Kind::Demands => demands(ways, i, property, &mut part),
                _ => Ok(()),
            };
            part.fault = result.err().map(ProveError::from).or(part.fault);
        }
    }
    part
}

/// A withdrawn consent leaves the same ways standing as none.
fn withdrawn(scene: &Scene<'_>, properties: &Properties, part: &mut Part) {
    for (a, axis) in scene.axes.iter().enumerate() {
        for (v, fact) in axis.facts.iter().enumerate() {
            if !matches!(fact, Fact::Consent(Some(c)) if c.withdrawn) {
                continue;
            }
            let value = u32::try_from(v).unwrap_or(u32::MAX);
            let same = scene.keep(a, value) == scene.keep(a, 0);
            for property in of_kind(properties, Kind::WithdrawnIsNone) {
                part.concerns(property);
                if !same {
                    part.breaks(property, || Counterexample {
                        law: scene.sides.first().map(|s| s.ways.law.id.to_string()),
                        said: "a withdrawn consent changes what the law says".to_owned(),
                        question: question(scene.at, std::slice::from_ref(fact)),
                    });
                }
            }
        }
    }
}

fn walk(scene: &Scene<'_>, ways: &Ways<'_>, day: Date, properties: &Properties, part: &mut Part) {
    let last = scene.axes.len() - 1;
    let Some(edges) = scene.diagram.edges.get(last) else {
        return;
    };
    let wider = wider(scene, ways, last, part);
    let monotone: Vec<usize> = of_kind(properties, Kind::CategoriesOnlyRefuse).collect();
    let mut judged: HashSet<usize> = HashSet::new();
    let mut questions = 0;
    let mut classes = 0;
    scene.diagram.walk(&mut |axis, state, path| {
        if axis < last {
            return true;
        }
        let leaves: Vec<(Bits, Said, u32)> = edges
            .iter()
            .map(|e| {
                let leaf = scene.diagram.step(state, last, e);
                let said = scene.said(0, &leaf);
                (leaf, said, e.values.first().copied().unwrap_or(0))
            })
            .collect();
        for (_, said, value) in &leaves {
            if matches!(said, Said::Nothing | Said::Unreal) || part.fault.is_some() {
                continue;
            }
            classes += 1;
            questions += 1;
            let mut full = path.to_vec();
            full.push(*value);
            if let Err(fault) = compare(scene, 0, *said, &full) {
                part.fault = Some(ProveError::Untrue(fault));
                return false;
            }
            if *said == Said::Missing {
                of_kind(properties, Kind::DenyByDefault).for_each(|p| part.concerns(p));
            }
            if let Said::Way(way) = said
                && judged.insert(*way)
            {
                permit(scene, ways, day, (*way, &full), properties, part);
            }
        }
        for (small, large) in &wider {
            let (Some(before), Some(after)) = (leaves.get(*small), leaves.get(*large)) else {
                continue;
            };
            let refused = match before.1 {
                Said::Missing => true,
                Said::Way(_) => !scene.permits(0, before.1),
                Said::Nothing | Said::Unreal => false,
            };
            if !refused {
                continue;
            }
            for property in &monotone {
                part.concerns(*property);
                if scene.permits(0, after.1) {
                    let mut full = path.to_vec();
                    full.push(after.2);
                    part.breaks(*property, || Counterexample {
                        law: Some(ways.law.id.to_string()),
                        said: "permitted, though a record that holds less is refused".to_owned(),
                        question: question(scene.at, &scene.facts(&full)),
                    });
                }
            }
        }
        false
    });
    part.classes += classes;
    part.questions += questions;
}

/// Puts every class of a scene to the decision itself: what is told of a scene that passes is true
/// of each of its classes.
///
/// # Errors
/// The first class that the decision answers otherwise.
pub fn verify(scene: &Scene<'_>) -> Result<(), Untrue> {
    let Some(last) = scene.axes.len().checked_sub(1) else {
        return Ok(());
    };
    let edges = scene.diagram.edges.get(last);
    let mut fault = None;
    scene.diagram.walk(&mut |axis, state, path| {
        if axis < last || fault.is_some() {
            return fault.is_none();
        }
        for edge in edges.into_iter().flatten() {
            let leaf = scene.diagram.step(state, last, edge);
            let mut full = path.to_vec();
            full.extend(edge.values.first());
            for side in 0..scene.sides.len() {
                let said = scene.said(side, &leaf);
                if !matches!(said, Said::Nothing | Said::Unreal)
                    && let Err(untrue) = compare(scene, side, said, &full)
                {
                    fault = Some(untrue);
                    return false;
                }
            }
        }
        false
    });
    fault.map_or(Ok(()), Err)
}

/// The class says what the law says of its flow, or the classes are wrong.
fn compare(scene: &Scene<'_>, side: usize, said: Said, path: &[u32]) -> Result<(), Untrue> {
    let found = scene.replay(side, path);
    let same = found.as_ref().is_some_and(|f| match scene.way(side, said) {
        None => f.kind == FindingKind::Missing,
        Some(way) => {
            let kind = match way.effect {
                Effect::Forbid => FindingKind::Forbidden,
                Effect::Localise => FindingKind::Localised,
                Effect::Permit => FindingKind::Permitted,
            };
            f.kind == kind && f.rule == way.number && (way.instrument == f.instrument)
        }
    });
    let ways = scene.sides.get(side).map(|s| s.ways);
    let Some(ways) = ways.filter(|_| !same) else {
        return Ok(());
    };
    let said = match scene.way(side, said) {
        Some(way) => ways.name(way).to_string(),
        None => "refused".to_owned(),
    };
    let found = found.map_or("nothing".to_owned(), |f| {
        let rule = ways.policy.checked().rule(f.rule);
        format!("{:?} by {}", f.kind, rule.map_or("?", |r| &r.id))
    });
    Err(Untrue {
        law: ways.law.id.to_string(),
        said: format!("the class says {said}, the decision {found}"),
        question: question(scene.at, &scene.facts(path)),
    })
}

/// What must hold of each way that permits something.
fn permit(
    scene: &Scene<'_>,
    ways: &Ways<'_>,
    day: Date,
    (index, path): (usize, &[u32]),
    properties: &Properties,
    part: &mut Part,
) {
    let said = Said::Way(index);
    let Some(way) = scene.way(0, said).filter(|w| w.effect == Effect::Permit) else {
        return;
    };
    let checked = ways.policy.checked();
    let info = checked.rule(way.number);
    let instrument = way.instrument.and_then(|i| checked.instrument(i));
    let reviewed = way.rule.is_some_and(|r| r.review && !r.accepted);
    for (kind, broken, told) in [
        (
            Kind::Grounded,
            info.is_none_or(|i| i.mechanism.is_none() || i.citation.trim().is_empty()),
            "permitted without a mechanism or a citation",
        ),
        (
            Kind::InDate,
            instrument.is_some_and(|i| {
                i.valid.from.is_some_and(|f| day < f) || i.valid.until.is_some_and(|u| u < day)
            }),
            "permitted by an instrument outside its days",
        ),
        (
            Kind::Sure,
            reviewed,
            "permitted by an unsure rule that nobody accepted",
        ),
    ] {
        for property in of_kind(properties, kind) {
            part.concerns(property);
            if broken {
                part.breaks(property, || example(scene, ways, said, path, told));
            }
        }
    }
}

fn example(
    scene: &Scene<'_>,
    ways: &Ways<'_>,
    said: Said,
    path: &[u32],
    told: &str,
) -> Counterexample {
    let least = scene.shrink(path, &|leaf| scene.said(0, leaf) == said);
    let rule = scene
        .way(0, said)
        .map_or("no rule".into(), |w| ways.name(w));
    Counterexample {
        law: Some(ways.law.id.to_string()),
        said: format!("{told} (rule {rule})"),
        question: question(scene.at, &scene.facts(&least)),
    }
}

/// Pairs of edges of the record's axis: the first stands for some record, the second for one that
/// holds more, at the same age and counts.
fn wider(
    scene: &Scene<'_>,
    ways: &Ways<'_>,
    last: usize,
    part: &mut Part,
) -> HashSet<(usize, usize)> {
    let (sets, all) = category_classes(&[ways.policy], &[ways], &Extra::default());
    if !all {
        part.bounded.insert(ways.law.id.to_string());
    }
    let Some(axis) = scene.axes.get(last) else {
        return HashSet::new();
    };
    let mut edge_of = vec![0; axis.facts.len()];
    for (e, edge) in scene
        .diagram
        .edges
        .get(last)
        .into_iter()
        .flatten()
        .enumerate()
    {
        for value in &edge.values {
            if let Some(slot) = usize::try_from(*value)
                .ok()
                .and_then(|v| edge_of.get_mut(v))
            {
                *slot = e;
            }
        }
    }
    // By what is told of the record: its facts, as age, counts and edge.
    type Leaf<'f> = (Option<u16>, &'f [(Arc<str>, u64)]);
    let mut records: HashMap<Vec<bool>, HashMap<Leaf<'_>, usize>> = HashMap::new();
    let mut told: HashMap<&[Arc<str>], Vec<bool>> = HashMap::new();
    for keys in &sets {
        told.insert(keys, super::axes::told_of(ways, keys));
    }
    for (fact, edge) in axis.facts.iter().zip(&edge_of) {
        if let Fact::Record { keys, age, counts } = fact
            && let Some(told) = told.get(keys.as_slice())
        {
            let leaves = records.entry(told.clone()).or_default();
            leaves.insert((*age, counts), *edge);
        }
    }
    let singles: Vec<&Arc<str>> = sets.iter().filter(|k| k.len() == 1).flatten().collect();
    let mut pairs = HashSet::new();
    for keys in &sets {
        let Some(small) = told.get(keys.as_slice()).and_then(|t| records.get(t)) else {
            continue;
        };
        let of_small: HashSet<&Arc<str>> = small
            .keys()
            .flat_map(|(_, counts)| counts.iter().map(|(k, _)| k))
            .collect();
        // One category more at a time: larger records follow from these.
        for more in &singles {
            let both: Vec<Arc<str>> = keys.iter().chain([*more]).cloned().collect();
            let Some(large) = records.get(&super::axes::told_of(ways, &both)) else {
                continue;
            };
            for ((age, counts), after) in large {
                let same: Vec<(Arc<str>, u64)> = counts
                    .iter()
                    .filter(|(k, _)| of_small.contains(k))
                    .cloned()
                    .collect();
                let before = small.get(&(*age, same.as_slice()));
                pairs.extend(before.map(|b| (*b, *after)).filter(|(a, b)| a != b));
            }
        }
    }
    pairs
}

/// `refused`, `only`, `permitted`: over the classes of the flows that the property is about.
fn filtered(
    ways: &Ways<'_>,
    index: usize,
    property: &Property,
    part: &mut Part,
) -> Result<(), PropertyError> {
    let filter = Filter::new(property, ways)?;
    let scene = Scene::new(
        ways.policy.at(),
        &[ways.policy],
        &[ways],
        &filter.extra(),
        &|fact| filter.holds(fact),
    );
    let checked = ways.policy.checked();
    let allowed = |said: Said| {
        let way = scene.way(0, said);
        let mechanism = way.and_then(|w| checked.rule(w.number)?.mechanism);
        let key = mechanism.map_or("", |m| checked.mechanism_key(m));
        match property.kind {
            Kind::Refused => !scene.permits(0, said),
            Kind::Permitted => scene.permits(0, said),
            _ => {
                !scene.permits(0, said) || {
                    let listed = |list: &Option<Vec<String>>| {
                        list.as_ref().map(|l| l.iter().any(|m| m == key))
                    };
                    listed(&property.about.mechanisms).unwrap_or(true)
                        && !listed(&property.about.except_mechanisms).unwrap_or(false)
                }
            }
        }
    };
    let end = scene.axes.len();
    part.classes += scene.diagram.walk(&mut |axis, leaf, path| {
        if axis < end {
            return true;
        }
        let said = scene.said(0, leaf);
        if matches!(said, Said::Nothing | Said::Unreal) {
            return false;
        }
        part.concerns(index);
        if !allowed(said) {
            let told = match scene.permits(0, said) {
                true => "permitted",
                false => "refused",
            };
            part.breaks(index, || example(&scene, ways, said, path, told));
        }
        false
    });
    Ok(())
}

/// `demands`: the rules of these mechanisms ask for an assessment, an instrument, a filing.
fn demands(
    ways: &Ways<'_>,
    index: usize,
    property: &Property,
    part: &mut Part,
) -> Result<(), PropertyError> {
    let about = &property.about;
    let assessment = property.assessment()?;
    Filter::new(property, ways)?;
    let checked = ways.policy.checked();
    let demanded = |rule: &Rule| {
        let alone = |need: Need| {
            rule.requires
                .iter()
                .any(|any| any.iter().all(|n| *n == need))
        };
        assessment.is_none_or(|kind| alone(Need::Assessment(kind)))
            && (about.instrument != Some(true) || alone(Need::Instrument))
            && (about.filing != Some(true) || rule.filing != crate::policy::FilingNeed::None)
    };
    for rule in super::axes::rules(ways).filter(|r| r.effect == Effect::Permit) {
        let mechanism = rule.mechanism.and_then(|m| checked.mechanism(m));
        let key = mechanism.map_or("", |m| m.key.as_ref());
        let home = mechanism.is_some_and(|m| m.home);
        let concerned = match &about.mechanisms {
            Some(list) => list.iter().any(|m| m == key),
            None => rule.is_crossing() && !home,
        };
        if !concerned || about.except_mechanisms.iter().flatten().any(|m| m == key) {
            continue;
        }
        part.concerns(index);
        if !demanded(rule) {
            part.breaks(index, || Counterexample {
                law: Some(ways.law.id.to_string()),
                said: format!("rule `{}` does not demand it", rule.id),
                question: serde_json::Value::Null,
            });
        }
    }
    Ok(())
}
