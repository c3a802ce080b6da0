//! `policy diff`: what stands in the organisation's lists and is no flow of a law's or a promise's:
//! who is known, the terms of recipients, homes, how long records are kept, and legal holds.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::{
    domain::{CategorySet, SubjectKey},
    policy::{Checked, ConsentAsked, Unlisted},
};

use super::matrix::span;

/// One thing of a list, with what the file says of it, key by key, as the file would.
struct Item {
    id: String,
    said: Vec<Said>,
}

struct Said {
    key: &'static str,
    text: String,
    /// What is compared beside the text, and never shown: the keys of people.
    behind: Vec<String>,
}

fn says(key: &'static str, text: String) -> Said {
    let behind = Vec::new();
    Said { key, text, behind }
}

/// Names that only one of the policies knows, and every list in which they differ.
pub(super) fn notes(old: &Checked, new: &Checked) -> Vec<String> {
    let mut notes = Vec::new();
    let mut only = |what: &str, a: BTreeSet<&str>, b: BTreeSet<&str>| {
        for (list, other, word) in [(&a, &b, "gone"), (&b, &a, "new")] {
            let names: Vec<&str> = list.difference(other).copied().collect();
            if !names.is_empty() {
                notes.push(format!(
                    "{what} {word}, with all their flows: {}",
                    names.join(", ")
                ));
            }
        }
    };
    let entities = |p| Checked::entities(p).map(|(_, e)| &*e.id).collect();
    only("entities", entities(old), entities(new));
    let categories = |p| Checked::categories_all(p).map(|(_, k)| k).collect();
    only("categories", categories(old), categories(new));
    let flows = |_: &Item| "with all its flows".to_owned();
    compare(
        "recipient",
        recipients(old),
        recipients(new),
        flows,
        &mut notes,
    );
    let (mut before, mut after) = (laws(old), laws(new));
    let names = |all: &[Item]| all.iter().map(|i| i.id.clone()).collect::<BTreeSet<_>>();
    let both: BTreeSet<String> = names(&before)
        .intersection(&names(&after))
        .cloned()
        .collect();
    // One that is gone or new is told flow by flow.
    for side in [&mut before, &mut after] {
        side.retain(|i| both.contains(&i.id));
    }
    compare("law", before, after, in_words, &mut notes);
    compare("child", children(old), children(new), in_words, &mut notes);
    let duty = |b: &Item| format!("which reports of incidents tell: {}", in_words(b));
    compare("breach", breaches(old), breaches(new), duty, &mut notes);
    compare("home", homes(old), homes(new), in_words, &mut notes);
    let told = |r: &Item| format!("which `Domicile-Retain-Until` follows: {}", in_words(r));
    compare(
        "retention",
        retention(old),
        retention(new),
        told,
        &mut notes,
    );
    let kept = |h: &Item| format!("which refuses erasures with `legal-hold`: {}", in_words(h));
    compare("hold", holds(old), holds(new), kept, &mut notes);
    notes
}

/// Tells what is gone, new or changed; `means`: what comes or goes with a whole item.
fn compare(
    what: &str,
    old: Vec<Item>,
    new: Vec<Item>,
    means: impl Fn(&Item) -> String,
    notes: &mut Vec<String>,
) {
    for was in &old {
        let id = &was.id;
        let Some(is) = new.iter().find(|i| i.id == *id) else {
            notes.push(format!("{what} `{id}` gone, {}", means(was)));
            continue;
        };
        let pairs = was.said.iter().zip(&is.said);
        let changes: Vec<String> = pairs
            .filter(|(a, b)| (&a.text, &a.behind) != (&b.text, &b.behind))
            .map(|(a, b)| {
                let same = if a.text == b.text {
                    ", not the same"
                } else {
                    ""
                };
                format!("{} = {} -> {}{same}", a.key, a.text, b.text)
            })
            .collect();
        if !changes.is_empty() {
            notes.push(format!("{what} `{id}` changed: {}", changes.join("; ")));
        }
    }
    for is in &new {
        if old.iter().all(|i| i.id != is.id) {
            notes.push(format!("{what} `{}` new, {}", is.id, means(is)));
        }
    }
}

/// What the file says, but for what is not there.
fn in_words(item: &Item) -> String {
    let said = item.said.iter().filter(|said| said.text != NONE);
    let said = said.map(|said| format!("{} = {}", said.key, said.text));
    said.collect::<Vec<_>>().join("; ")
}

/// Of a key that does not stand in the file.
const NONE: &str = "none";

/// Of a key that narrows down what a thing is about, and does not stand in the file.
fn all_of_them() -> String {
    "all".to_owned()
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| quoted(i.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |v| v.to_string())
}

fn categories(policy: &Checked, set: CategorySet) -> String {
    if policy.categories_all().all(|(id, _)| set.contains(id)) {
        return "all".to_owned();
    }
    list(policy.topmost(set))
}

fn recipients(policy: &Checked) -> Vec<Item> {
    let all = policy.organisation.recipients.iter();
    all.map(|r| Item {
        id: r.id.to_string(),
        said: vec![
            says("entity", quoted(policy.entity_id(r.entity))),
            says(
                "purposes",
                r.purposes.as_ref().map_or_else(all_of_them, |purposes| {
                    let names = purposes
                        .iter()
                        .filter_map(|p| policy.purposes.get(p.index()));
                    list(names)
                }),
            ),
            says("categories", categories(policy, r.categories)),
            says(
                "unlisted",
                quoted(match r.unlisted {
                    Unlisted::Refuse => "refuse",
                    Unlisted::Strip => "strip",
                }),
            ),
            says(
                "consent",
                quoted(match r.consent {
                    ConsentAsked::None => "none",
                    ConsentAsked::Sensitive => "sensitive",
                    ConsentAsked::Always => "always",
                }),
            ),
            says("pseudonymise", categories(policy, r.pseudonymise)),
            says("rules", or_none(r.rules.as_deref().map(quoted))),
        ],
    })
    .collect()
}

/// What an answer cites of an age; whom it concerns is told flow by flow.
fn children(policy: &Checked) -> Vec<Item> {
    let all = policy.laws().flat_map(|(_, law)| &law.children);
    all.map(|child| Item {
        id: child.id.to_string(),
        said: vec![says("citation", quoted(&child.citation))],
    })
    .collect()
}

/// Whom a law wants to be told of a breach: of no flow, and due in hours.
fn breaches(policy: &Checked) -> Vec<Item> {
    let all = policy.laws().flat_map(|(_, law)| &law.breaches);
    all.map(|b| Item {
        id: b.id.to_string(),
        said: vec![
            says("tell", quoted(b.tell.as_str())),
            says("who", quoted(&b.who)),
            says(
                "within",
                or_none(
                    b.within
                        .map(|time| quoted(&format!("{} hours", time.as_hours()))),
                ),
            ),
            says("counted_from", quoted(b.from.as_str())),
            says("when", or_none(b.when.as_deref().map(quoted))),
            says("citation", quoted(&b.citation)),
            says("from", or_none(b.interval.from)),
            says("until", or_none(b.interval.until)),
            says("confidence", quoted(b.confidence)),
        ],
    })
    .collect()
}

/// In which zone days are counted: of no flow on one day, and of all in the hours between two.
fn laws(policy: &Checked) -> Vec<Item> {
    let name = |zone: &TimeZone| quoted(zone.iana_name().unwrap_or("UTC"));
    let all = policy.laws().map(|(_, law)| Item {
        id: law.id.to_string(),
        said: vec![
            says("timezone", name(&law.timezone)),
            says("territory_timezone", name(&law.territory_timezone)),
        ],
    });
    all.collect()
}

fn homes(policy: &Checked) -> Vec<Item> {
    let homes = &policy.organisation.homes;
    let keyed = homes.by_key.iter().map(|(key, regions)| (&**key, regions));
    keyed
        .chain([("default", &homes.default)])
        .map(|(key, regions)| Item {
            id: key.to_owned(),
            said: vec![says("regions", list(regions))],
        })
        .collect()
}

/// Without its source, which changes no answer.
fn retention(policy: &Checked) -> Vec<Item> {
    let rules = policy.retention().iter();
    rules
        .map(|r| Item {
            id: r.id.to_string(),
            said: vec![
                says(
                    "laws",
                    match r.laws.is_empty() {
                        true => all_of_them(),
                        false => list(r.laws.iter().map(|(law, _)| law)),
                    },
                ),
                says("categories", categories(policy, r.categories)),
                says("keep", quoted(&span(&r.keep))),
                says("least", r.least.to_string()),
            ],
        })
        .collect()
}

fn holds(policy: &Checked) -> Vec<Item> {
    let holds = policy.holds().iter();
    holds
        .map(|h| Item {
            id: h.id.to_string(),
            said: vec![
                says("citation", quoted(&h.citation)),
                says("from", or_none(h.interval.from)),
                says("until", or_none(h.interval.until)),
                says(
                    "subjects",
                    match h.subjects.is_empty() {
                        true => all_of_them(),
                        false => list(h.subjects.iter().map(ToString::to_string)),
                    },
                ),
                people(&h.keys),
                says("categories", categories(policy, h.categories)),
            ],
        })
        .collect()
}

/// How many; who they are is compared and not shown.
fn people(keys: &[SubjectKey]) -> Said {
    let mut behind: Vec<String> = keys.iter().map(|k| k.reveal()).collect();
    behind.sort_unstable();
    let text = match behind.len() {
        0 => all_of_them(),
        1 => "1 person".to_owned(),
        many => format!("{many} people"),
    };
    Said {
        key: "keys",
        text,
        behind,
    }
}
