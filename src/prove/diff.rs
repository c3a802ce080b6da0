//! `policy diff`: every flow whose outcome or ground differs between two policies, in groups.
//!
//! Both policies are walked at once, law by law and day by day: a node of the diagram is what still
//! stands of either. A group is a change of one law (or promise) from one thing said to another,
//! with the values by which flows get there; an axis that does not matter is left out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    document::Refused,
    domain::Place,
    policy::{Checked, Compiled, Effect, LawId},
};

use super::{
    axes::Extra,
    classes::verify,
    days::{Mark, days, instant, with_papers},
    files::{Files, differing},
    lists::notes,
    promised,
    prove::{Untrue, in_parallel},
    scene::{Said, Scene},
    ways::Ways,
};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Differences {
    pub old: String,
    pub new: String,
    pub changes: Vec<Change>,
    /// Laws of which nothing is told: the classes and the decision disagree.
    pub untrue: Vec<Untrue>,
    /// What differs in the organisation's lists, which are not compared flow by flow: the terms of
    /// recipients, homes, retention, holds, and names that one side alone has.
    pub notes: Vec<String>,
    /// Where nothing else is told and the digests differ: the files and keys that do.
    pub unmoved: Vec<String>,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.is_nothing() && self.unmoved.is_empty()
    }

    /// No flow, and nothing in a list.
    fn is_nothing(&self) -> bool {
        self.changes.is_empty() && self.notes.is_empty() && self.untrue.is_empty()
    }
}

/// Compares two policies by what they decide, and where that finds nothing, by what they say: what
/// `policy diff` does not ask must not pass for the same.
///
/// # Errors
/// Files with mistakes.
pub fn diff_files(old: &Files, new: &Files) -> Result<Differences, Refused> {
    let mut found = diff(&old.check()?, &new.check()?);
    if found.is_nothing() && found.old != found.new {
        found.unmoved = differing(old, new);
    }
    Ok(found)
}

/// Flows of which one law, or one promise, says another thing than before.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The law's id; `promise` for promises.
    pub by: String,
    pub was: String,
    pub is: String,
    /// How many single flows, on one day.
    pub flows: f64,
    /// From and until which day; both inclusive, `null` is open.
    pub days: Vec<(Option<Date>, Option<Date>)>,
    /// What the flows have in common: by axis, the values on which it happens. Axes on which it
    /// happens for every value are left out.
    pub on: BTreeMap<String, Vec<String>>,
}

/// Compares two policies.
pub fn diff(old: &Arc<Checked>, new: &Arc<Checked>) -> Differences {
    let mut found = Differences {
        old: old.digest().to_string(),
        new: new.digest().to_string(),
        ..Differences::default()
    };
    if old.digest() == new.digest() {
        return found;
    }
    found.notes = notes(old, new);
    let all: Vec<Date> = days(old).union(&days(new)).copied().collect();
    let laws: BTreeSet<String> = [old, new]
        .into_iter()
        .flat_map(|p| p.laws().map(|(_, l)| l.id.to_string()))
        .collect();
    let prints = in_parallel(all.len(), |i| {
        let day = all.get(i).copied()?;
        let (a, b) = (old.compile(instant(day)), new.compile(instant(day)));
        let each = laws.iter().map(|law| [&a, &b].map(|p| print(p, law)));
        Some(each.collect::<Vec<_>>())
    });
    let same = context(old) == context(new);
    let mut seen: HashMap<(usize, [Option<Mark>; 2]), usize> = HashMap::new();
    let mut jobs: Vec<(Date, usize)> = Vec::new();
    // By day and law: which job says what changes.
    let mut told: Vec<Vec<usize>> = Vec::new();
    for (day, prints) in all.iter().zip(prints) {
        let mut of_day = Vec::new();
        for (law, print) in prints.into_iter().flatten().enumerate() {
            if let [Some(was), Some(is)] = &print
                && same
                && was == is
            {
                continue;
            }
            let job = *seen.entry((law, print)).or_insert_with(|| {
                jobs.push((*day, law));
                jobs.len() - 1
            });
            of_day.push(job);
        }
        told.push(of_day);
    }
    let names: Vec<&String> = laws.iter().collect();
    let results = in_parallel(jobs.len(), |i| {
        let (day, law) = jobs.get(i)?;
        let (a, b) = (old.compile(instant(*day)), new.compile(instant(*day)));
        Some(of_law(&a, &b, names.get(*law)?))
    });
    let mut untrue: Vec<Untrue> = Vec::new();
    let mut grouped: Vec<(Change, Vec<usize>)> = Vec::new();
    let mut add = |change: &Change, day: usize| {
        let same = |c: &Change| {
            (&c.by, &c.was, &c.is, &c.on) == (&change.by, &change.was, &change.is, &change.on)
        };
        match grouped.iter_mut().find(|(c, _)| same(c)) {
            Some((_, days)) => days.push(day),
            None => grouped.push((change.clone(), vec![day])),
        }
    };
    for (day, of_day) in told.iter().enumerate() {
        for job in of_day {
            match results.get(*job).and_then(Option::as_ref) {
                Some(Ok(changes)) => changes.iter().for_each(|c| add(c, day)),
                Some(Err(fault)) if !untrue.iter().any(|u| u.law == fault.law) => {
                    untrue.push(fault.clone());
                }
                _ => {}
            }
        }
    }
    let promised = in_parallel(all.len(), |i| {
        let day = all.get(i).copied()?;
        let (a, b) = (old.compile(instant(day)), new.compile(instant(day)));
        (!same || promised::told(&a) != promised::told(&b)).then(|| promised::changes(&a, &b))
    });
    for (day, changes) in promised.iter().enumerate() {
        changes.iter().flatten().for_each(|c| add(c, day));
    }
    found.untrue = untrue;
    found.changes = grouped
        .into_iter()
        .map(|(change, on)| Change {
            days: spans(&all, &on),
            ..change
        })
        .collect();
    found
}

pub(super) fn print(policy: &Compiled, law: &str) -> Option<Mark> {
    let ways = Ways::of(policy, law_of(policy, law)?)?;
    Some(with_papers(policy, &ways))
}

/// What ids mean: where it is the same for both, equal marks are equal laws.
pub(super) fn context(policy: &Checked) -> String {
    let v = &policy.vocabulary;
    let categories: Vec<_> = policy
        .categories_all()
        .map(|(id, key)| (key, policy.below(id).words()))
        .collect();
    let entities: Vec<_> = policy.entities().map(|(_, e)| &e.id).collect();
    let mechanisms: Vec<_> = v.mechanisms.iter().map(|m| &m.key).collect();
    format!(
        "{categories:?}{entities:?}{mechanisms:?}{:?}{:?}{:?}{:?}",
        v.counters, v.thresholds, v.attributes, policy.purposes,
    )
}

pub(super) fn law_of(policy: &Compiled, name: &str) -> Option<LawId> {
    let mut laws = policy.checked().laws();
    laws.find(|(_, l)| *l.id == *name).map(|(id, _)| id)
}

/// Days of the list, by index, as spans: the policies differ nowhere between two of them.
fn spans(all: &[Date], on: &[usize]) -> Vec<(Option<Date>, Option<Date>)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for day in on {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *day => *last = *day,
            Some((_, last)) if *last == *day => {}
            _ => spans.push((*day, *day)),
        }
    }
    let start = |i: usize| all.get(i).copied().filter(|_| i > 0);
    let end = |i: usize| all.get(i + 1).and_then(|d| d.yesterday().ok());
    spans.into_iter().map(|(a, b)| (start(a), end(b))).collect()
}

fn of_law(old: &Compiled, new: &Compiled, law: &str) -> Result<Vec<Change>, Untrue> {
    let before = law_of(old, law).and_then(|id| Ways::of(old, id));
    let after = law_of(new, law).and_then(|id| Ways::of(new, id));
    let sides: Vec<&Ways<'_>> = before.iter().chain(&after).collect();
    let scene = Scene::new(old.at(), &[old, new], &sides, &Extra::default(), &|_| true);
    verify(&scene)?;
    let (first, second) = (before.is_some(), after.is_some());
    let mut pairs: Vec<(String, String)> = Vec::new();
    let groups = scene.diagram.groups(&mut |leaf| {
        let was = if first {
            said(&scene, 0, leaf)
        } else {
            nothing()
        };
        let second_side = usize::from(first);
        let is = if second {
            said(&scene, second_side, leaf)
        } else {
            nothing()
        };
        if was == is {
            return None;
        }
        let pair = (was, is);
        let known = pairs.iter().position(|p| *p == pair);
        Some(known.unwrap_or_else(|| {
            pairs.push(pair);
            pairs.len() - 1
        }))
    });
    let mut changes: Vec<Change> = Vec::new();
    for ((was, is), group) in pairs.into_iter().zip(groups) {
        changes.push(Change {
            by: law.to_owned(),
            was,
            is,
            flows: group.flows,
            days: Vec::new(),
            on: common(&scene, &group.values),
        });
    }
    changes.sort_by(|a, b| (&a.was, &a.is).cmp(&(&b.was, &b.is)));
    Ok(changes)
}

pub(super) fn nothing() -> String {
    "not governed".to_owned()
}

/// One side's finding in words; equal words are the same outcome on the same ground.
pub(super) fn said(scene: &Scene<'_>, side: usize, leaf: &super::engine::Bits) -> String {
    let said = scene.said(side, leaf);
    let Some(ways) = scene.sides.get(side).map(|s| s.ways) else {
        return nothing();
    };
    let checked = ways.policy.checked();
    match (said, scene.way(side, said)) {
        (Said::Missing, _) => {
            let transfer = &ways.law.transfer;
            format!("refused by {} ({})", transfer.id, transfer.citation)
        }
        (Said::Unreal, _) => "as for people under other laws".to_owned(),
        (_, Some(way)) => {
            let info = checked.rule(way.number);
            let citation = info.map_or("", |i| &i.citation);
            let name = ways.name(way);
            if way.effect != Effect::Permit {
                return format!("refused by {name} ({citation})");
            }
            let mechanism = info
                .and_then(|i| i.mechanism)
                .map(|m| checked.mechanism_key(m));
            let mut text = format!(
                "permitted by {} ({name}: {citation})",
                mechanism.unwrap_or("")
            );
            if let Some(instrument) = way.instrument.and_then(|i| checked.instrument(i)) {
                text.push_str(&format!(" under {}", instrument.id));
            }
            text
        }
        (_, None) => nothing(),
    }
}

/// By axis the values that matter, in words.
fn common(scene: &Scene<'_>, values: &[BTreeSet<u32>]) -> BTreeMap<String, Vec<String>> {
    let mut on: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (axis, reached) in scene.axes.iter().zip(values) {
        let mut every: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        let mut some: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (i, fact) in axis.facts.iter().enumerate() {
            let here = u32::try_from(i).is_ok_and(|i| reached.contains(&i));
            for (name, word) in fact.words() {
                every.entry(name).or_default().insert(word.clone());
                if here {
                    some.entry(name).or_default().insert(word);
                }
            }
        }
        for (name, words) in some {
            if every.get(name) == Some(&words) {
                continue;
            }
            let mut told: BTreeSet<usize> = BTreeSet::new();
            for word in &words {
                let class = class_of(&axis.alike, name, word);
                // One of a class stands for all of it.
                if class.is_none_or(|(i, _)| told.insert(i)) {
                    let text = alike(class.map(|(_, places)| places), word);
                    on.entry(name.to_owned()).or_default().push(text);
                }
            }
        }
    }
    on
}

/// The destinations that the law cannot tell from this one, itself among them.
fn class_of<'c>(
    classes: &'c [Vec<Place>],
    axis: &str,
    word: &str,
) -> Option<(usize, &'c Vec<Place>)> {
    let mut all = classes.iter().enumerate();
    all.find(|(_, c)| axis == "destination" && c.iter().any(|p| p.to_string() == word))
}

/// A destination with those that the law cannot tell from it.
fn alike(class: Option<&Vec<Place>>, word: &str) -> String {
    const SHOWN: usize = 6;
    let others: Vec<String> = class
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .filter(|p| p != word)
        .collect();
    let shown: Vec<&str> = others.iter().take(SHOWN).map(String::as_str).collect();
    let more = others.len() - shown.len();
    match (shown.is_empty(), more) {
        (true, _) => word.to_owned(),
        (false, 0) => format!("{word}={}", shown.join("=")),
        (false, more) => format!("{word}={}={more} more", shown.join("=")),
    }
}
