//! The properties that one law on one day can keep or break.

use std::collections::{BTreeSet, HashSet};

use jiff::civil::Date;

use crate::{
    decide::FindingKind,
    policy::{Effect, Need, Rule},
};

use super::{
    about::Filter,
    axes::Extra,
    engine::Bits,
    facts::{Fact, question},
    property::{Kind, Properties, Property, PropertyError},
    prove::{Counterexample, Part, ProveError, Untrue, of_kind},
    scene::{Said, Scene},
    ways::Ways,
};

pub fn of_law(ways: &Ways<'_>, day: Date, properties: &Properties) -> Part {
    let mut part = Part::new(properties.list.len());
    let own =
        |p: &&Property| p.law.as_deref().is_none_or(|l| *l == *ways.law.id) && p.covers_day(day);
    let mut filters: Vec<(usize, Filter<'_>)> = Vec::new();
    for (i, property) in properties.list.iter().enumerate().filter(|(_, p)| own(p)) {
        let result = match property.kind {
            Kind::Refused | Kind::Only | Kind::Permitted => {
                Filter::new(property, ways).map(|f| filters.push((i, f)))
            }
            Kind::Demands => demands(ways, i, property, &mut part),
            _ => Ok(()),
        };
        if let Err(fault) = result {
            part.fault = Some(fault.into());
            return part;
        }
    }
    // One scene tells apart what any of the properties asks of.
    let extra = filters
        .iter()
        .fold(Extra::default(), |all, (_, f)| all.and(f.extra()));
    let scene = Scene::new(ways.policy.at(), &[ways.policy], &[ways], &extra, &|_| true);
    part.raw_flows = scene.flows;
    if scene.bounded {
        part.bounded.insert(ways.law.id.to_string());
    }
    withdrawn(&scene, properties, &mut part);
    walk(&scene, ways, day, properties, &mut part);
    for (i, filter) in &filters {
        if part.fault.is_none()
            && let Some(property) = properties.list.get(*i)
        {
            filtered(&scene, filter, *i, property, &mut part);
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
    let wider = wider(scene, last);
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
                    part.breaks(*property, || grown(scene, ways, path, (*small, *large)));
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
pub(super) fn compare(
    scene: &Scene<'_>,
    side: usize,
    said: Said,
    path: &[u32],
) -> Result<(), Untrue> {
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

/// By edge of the record's axis, those for some record that holds more, at the same age and counts.
fn wider(scene: &Scene<'_>, last: usize) -> Vec<(usize, usize)> {
    let Some((axis, records)) = scene.axes.get(last).zip(scene.records.as_ref()) else {
        return Vec::new();
    };
    let mut edge_of = vec![0; axis.facts.len()];
    let edges = scene.diagram.edges.get(last).into_iter().flatten();
    for (e, edge) in edges.enumerate() {
        for value in &edge.values {
            let slot = usize::try_from(*value).ok();
            if let Some(slot) = slot.and_then(|v| edge_of.get_mut(v)) {
                *slot = e;
            }
        }
    }
    let mut pairs = BTreeSet::new();
    records.grow(&mut |small, large| {
        let pair = edge_of.get(small).zip(edge_of.get(large));
        pairs.extend(pair.filter(|(a, b)| a != b).map(|(a, b)| (*a, *b)));
    });
    pairs.into_iter().collect()
}

/// The record that is refused, and the larger one that is permitted, at the end of a path.
fn grown(
    scene: &Scene<'_>,
    ways: &Ways<'_>,
    path: &[u32],
    (small, large): (usize, usize),
) -> Counterexample {
    let edges = scene.diagram.edges.get(path.len());
    let holds = |edge: usize, value: usize| {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        edges
            .and_then(|e| e.get(edge))
            .is_some_and(|e| e.values.contains(&value))
    };
    let step = scene.records.as_ref();
    let step = step.and_then(|r| r.step(&|a, b| holds(small, a) && holds(large, b)));
    let mut facts = scene.facts(path);
    let mut said = "permitted, though a record that holds less is refused".to_owned();
    if let Some(step) = step {
        if let Fact::Record { keys, .. } = &step.before {
            said.push_str(&format!(" ({})", keys.join(", ")));
        }
        facts.push(step.after);
    }
    Counterexample {
        law: Some(ways.law.id.to_string()),
        said,
        question: question(scene.at, &facts),
    }
}

/// `refused`, `only`, `permitted`: over the classes of the flows that the property is about.
fn filtered(
    whole: &Scene<'_>,
    filter: &Filter<'_>,
    index: usize,
    property: &Property,
    part: &mut Part,
) {
    let scene = whole.restricted(&|fact| filter.holds(fact));
    let Some(ways) = scene.sides.first().map(|s| s.ways) else {
        return;
    };
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
    let asked = about.operations.as_ref().map_or(u8::MAX, |all| {
        all.iter().fold(0, |bits, o| bits | 1 << *o as u8)
    });
    let permits = super::axes::rules(ways)
        .filter(|r| r.effect == Effect::Permit && r.operations & asked != 0);
    for rule in permits {
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
