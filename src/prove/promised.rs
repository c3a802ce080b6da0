//! What promises say, compared over the classes of places and recipients that they tell apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    decide::{Query, promise::judged},
    domain::{CategorySet, Operation, Place, PromiseOutcome},
    policy::{Compiled, PlaceSet, PromiseId, samples},
};

use super::{diff::Change, facts::blank, papers};

/// All that the promises of a day hang on: equal words are equal promises.
pub(super) fn told(policy: &Compiled) -> String {
    let all = &policy.checked().organisation.promises;
    let said: Vec<_> = all.iter().map(papers::promise).collect();
    format!("{:?}{said:?}", policy.promises)
}

/// The sets of places that promises name.
fn sets(policy: &Compiled) -> impl Iterator<Item = Option<&PlaceSet>> {
    policy.promises.iter().flat_map(|t| {
        [
            t.store_only_in.as_ref(),
            t.read_only_from.as_ref(),
            t.disclose_only_to.as_ref(),
            t.never_to.as_ref(),
            Some(&t.subjects),
        ]
    })
}

/// Every place by which promises can differ: the countries, and the parts that they name.
pub(super) fn places(policies: &[&Compiled]) -> Vec<Place> {
    let named: Vec<&PlaceSet> = policies.iter().flat_map(|p| sets(p)).flatten().collect();
    let all: BTreeSet<Place> = samples(&named).into_iter().collect();
    all.into_iter().collect()
}

/// None, and those that promises name and both sides know.
fn recipients(policies: [&Compiled; 2]) -> Vec<Option<&str>> {
    let promises = policies.map(|p| &p.checked().organisation.promises);
    let named = promises.into_iter().flatten();
    let named = named.filter_map(|p| p.recipients_only.as_ref()).flatten();
    let known = |id: &&str| policies.iter().all(|p| p.checked().recipient(id).is_some());
    let all: BTreeSet<&str> = named.map(|id| &**id).filter(known).collect();
    [None]
        .into_iter()
        .chain(all.into_iter().map(Some))
        .collect()
}

/// What is asked of the promises of both.
struct Asked<'a> {
    operation: Operation,
    person: Place,
    to: Place,
    recipient: Option<&'a str>,
    key: &'a str,
}

/// Changes of what promises say.
pub(super) fn changes(old: &Compiled, new: &Compiled) -> Vec<Change> {
    if old.promises.is_empty() && new.promises.is_empty() {
        return Vec::new();
    }
    let mut classes: BTreeMap<Vec<bool>, Vec<Place>> = BTreeMap::new();
    for place in places(&[old, new]) {
        let inside = |set: Option<&PlaceSet>| set.is_some_and(|s| s.contains(place));
        let told = sets(old).chain(sets(new)).map(inside).collect();
        classes.entry(told).or_default().push(place);
    }
    let (nobody, named) = (vec![None], recipients([old, new]));
    let mut changes: Vec<Change> = Vec::new();
    let keys: Vec<&str> = old.checked().categories_all().map(|(_, k)| k).collect();
    for operation in Operation::ALL {
        let recipients = match operation {
            Operation::Disclose => &named,
            _ => &nobody,
        };
        for people in classes.values() {
            // They live in countries, not in organisations.
            let people: Vec<Place> = people
                .iter()
                .copied()
                .filter(|p| p.country().is_some())
                .collect();
            let Some(person) = people.first() else {
                continue;
            };
            for destinations in classes.values() {
                let Some(to) = destinations.first() else {
                    continue;
                };
                for (recipient, key) in recipients
                    .iter()
                    .flat_map(|r| keys.iter().map(move |k| (*r, *k)))
                {
                    let asked = Asked {
                        operation,
                        person: *person,
                        to: *to,
                        recipient,
                        key,
                    };
                    let before = broken(old, &asked);
                    let after = broken(new, &asked);
                    let mut on = vec![
                        ("operation", operation.as_str().to_owned()),
                        ("person", some_of(&people)),
                        ("destination", some_of(destinations)),
                    ];
                    if recipients.len() > 1 {
                        on.push(("recipient", recipient.unwrap_or("none").to_owned()));
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a count for people to read")]
                    let flows = (people.len() * destinations.len()) as f64;
                    for id in before.symmetric_difference(&after) {
                        add(&mut changes, id, before.contains(id), flows, &on);
                    }
                }
            }
        }
    }
    changes
}

fn add(changes: &mut Vec<Change>, id: &str, gone: bool, flows: f64, on: &[(&str, String)]) {
    let (was, is) = match gone {
        true => ("broken", "not broken"),
        false => ("not broken", "broken"),
    };
    let was = format!("{id}: {was}");
    let known = changes.iter().position(|c| c.was == was);
    let at = known.unwrap_or(changes.len());
    if known.is_none() {
        changes.push(Change {
            by: "promise".to_owned(),
            was,
            is: format!("{id}: {is}"),
            flows: 0.0,
            days: Vec::new(),
            on: BTreeMap::new(),
        });
    }
    let Some(change) = changes.get_mut(at) else {
        return;
    };
    change.flows += flows;
    for (axis, word) in on {
        let list = change.on.entry((*axis).to_owned()).or_default();
        if !list.contains(word) {
            list.push(word.clone());
        }
    }
}

fn some_of(places: &[Place]) -> String {
    let shown: Vec<String> = places.iter().take(6).map(ToString::to_string).collect();
    match places.len() - shown.len() {
        0 => shown.join("="),
        more => format!("{}={more} more", shown.join("=")),
    }
}

fn broken(policy: &Compiled, asked: &Asked<'_>) -> BTreeSet<String> {
    let checked = policy.checked();
    let mut query: Query = blank(policy, policy.at(), asked.to);
    query.operation = asked.operation;
    query.recipient = asked.recipient.and_then(|r| checked.recipient(r));
    query.subject.countries.push(asked.person);
    let id = checked.category(asked.key);
    query.set_categories(policy, CategorySet::from_iter(id));
    broken_by(policy, &query).collect()
}

/// The ids of the promises that a flow breaks.
pub(super) fn broken_by(policy: &Compiled, query: &Query) -> impl Iterator<Item = String> {
    let all = &policy.checked().organisation.promises;
    let name = move |id: PromiseId| all.get(id.index()).map(|p| p.id.to_string());
    judged(policy, query)
        .into_iter()
        .filter(|(_, outcome)| *outcome == PromiseOutcome::Broken)
        .filter_map(move |(id, _)| name(id))
}
