//! A policy as parsed files, before anything is checked: what mutants and hypotheses change.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use crate::{
    document::{Faults, Node, Refused, Value, Where},
    policy::{Checked, check, law_files, meaning},
};

#[derive(Clone, Debug)]
pub struct Files {
    pub vocabulary: Node,
    pub laws: Vec<Node>,
    pub organisation: Node,
}

impl Files {
    /// # Errors
    /// Files that cannot be read or parsed, all of them at once.
    pub fn load(dir: &Path, organisation: &Path) -> Result<Self, Refused> {
        let faults = Faults::new();
        let vocabulary = Node::load(&dir.join("vocabulary.toml"), &faults);
        let paths = law_files(dir, &faults);
        let laws = paths
            .iter()
            .filter_map(|p| Node::load(p, &faults))
            .collect();
        let organisation = Node::load(organisation, &faults);
        match (vocabulary, organisation) {
            (Some(vocabulary), Some(organisation)) if !faults.has_errors() => Ok(Self {
                vocabulary,
                laws,
                organisation,
            }),
            _ => Err(Refused(faults.into_sorted())),
        }
    }

    /// # Errors
    /// Every mistake in what the files say.
    pub fn check(&self) -> Result<Arc<Checked>, Refused> {
        let faults = Faults::new();
        let checked = check(&self.vocabulary, &self.laws, &self.organisation, &faults);
        let checked = checked.filter(|_| !faults.has_errors());
        checked
            .map(Arc::new)
            .ok_or_else(|| Refused(faults.into_sorted()))
    }

    /// The same without the organisation's promises.
    pub fn without_promises(&self) -> Self {
        let mut files = self.clone();
        if let Value::Table(entries) = &mut files.organisation.value {
            let promised: Vec<String> = ids(entries, "promises");
            entries.retain(|(key, _, _)| key != "promises");
            let observed = entries.iter_mut().filter(|(key, _, _)| key == "observe");
            for (_, _, node) in observed {
                if let Value::List(names) = &mut node.value {
                    let is_promise = |t: &String| promised.contains(t);
                    names.retain(|n| !matches!(&n.value, Value::Text(t) if is_promise(t)));
                }
            }
        }
        files
    }

    /// The same with a prohibition of everything in the law at `index`, on reads.
    pub fn with_prohibition(&self, index: usize) -> Self {
        let mut files = self.clone();
        let Some(law) = files.laws.get_mut(index) else {
            return files;
        };
        let at = law.at.clone();
        let text = |t: &str| Node {
            at: at.clone(),
            value: Value::Text(t.to_owned()),
        };
        let rule = Node {
            at: at.clone(),
            value: Value::Table(
                [
                    ("id", "hypothetical-prohibition"),
                    ("citation", "none: a hypothesis of `policy prove`"),
                ]
                .map(|(key, value)| (key.to_owned(), at.clone(), text(value)))
                .to_vec(),
            ),
        };
        let Value::Table(entries) = &mut law.value else {
            return files;
        };
        match entries.iter_mut().find(|(key, _, _)| key == "forbid") {
            Some((_, _, node)) => {
                if let Value::List(rules) = &mut node.value {
                    rules.push(rule);
                }
            }
            None => {
                let list = Node {
                    at: at.clone(),
                    value: Value::List(vec![rule]),
                };
                entries.push(("forbid".to_owned(), at, list));
            }
        }
        files
    }
}

/// The keys in which the files of two policies say other things, each with its file.
pub(super) fn differing(old: &Files, new: &Files) -> Vec<String> {
    let mut found = Vec::new();
    let id = |law: &Node| named(law).map(str::to_owned);
    let mut pairs = vec![(
        "vocabulary.toml".to_owned(),
        Some((&old.vocabulary, &new.vocabulary)),
    )];
    for law in &old.laws {
        let other = new.laws.iter().find(|l| id(l) == id(law));
        let name = format!("law {}", id(law).unwrap_or_default());
        pairs.push((name, other.map(|other| (law, other))));
    }
    for law in new
        .laws
        .iter()
        .filter(|l| old.laws.iter().all(|o| id(o) != id(l)))
    {
        pairs.push((format!("law {}", id(law).unwrap_or_default()), None));
    }
    pairs.push((
        "organisation.toml".to_owned(),
        Some((&old.organisation, &new.organisation)),
    ));
    for (name, pair) in pairs {
        let mut keys = Vec::new();
        match pair {
            Some((was, is)) => differ("", was, is, &mut keys),
            None => keys.push("gone or new".to_owned()),
        }
        found.extend(keys.into_iter().map(|key| format!("{name}: {key}")));
    }
    found
}

/// What a table is known by in its list, or its file.
fn named(node: &Node) -> Option<&str> {
    let Value::Table(entries) = &node.value else {
        return None;
    };
    let id = entries
        .iter()
        .find(|(key, _, _)| key == "id" || key == "name");
    id.and_then(|(_, _, node)| match &node.value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// The keys below `path` whose values mean another thing.
fn differ(path: &str, was: &Node, is: &Node, found: &mut Vec<String>) {
    if meaning(was) == meaning(is) {
        return;
    }
    let before = found.len();
    match (&was.value, &is.value) {
        (Value::Table(a), Value::Table(b)) => {
            let keys: BTreeSet<&String> = a.iter().chain(b).map(|(key, _, _)| key).collect();
            for key in keys {
                let below = match path {
                    "" => key.clone(),
                    _ => format!("{path}.{key}"),
                };
                let value =
                    |side: &'_ [(String, Where, Node)]| side.iter().position(|(k, _, _)| k == key);
                match (
                    value(a).and_then(|i| a.get(i)),
                    value(b).and_then(|i| b.get(i)),
                ) {
                    (Some((_, _, was)), Some((_, _, is))) => differ(&below, was, is, found),
                    _ => found.push(below),
                }
            }
        }
        (Value::List(a), Value::List(b)) => {
            let names = |list: &[Node]| -> Vec<Option<String>> {
                let all = list.iter().map(|n| named(n).map(str::to_owned));
                all.collect()
            };
            if names(a) == names(b) {
                for (was, is) in a.iter().zip(b) {
                    if let Some(name) = named(was) {
                        differ(&format!("{path}[{name}]"), was, is, found);
                    }
                }
            }
        }
        _ => {}
    }
    // A value, or a list as a whole: other items, or another order.
    if found.len() == before {
        found.push(path.to_owned());
    }
}

/// The ids of the tables in a list.
fn ids(entries: &[(String, Where, Node)], list: &str) -> Vec<String> {
    let tables = entries.iter().filter(|(key, _, _)| key == list);
    let items = tables.filter_map(|(_, _, node)| match &node.value {
        Value::List(items) => Some(items),
        _ => None,
    });
    let fields = items.flatten().filter_map(|item| match &item.value {
        Value::Table(fields) => Some(fields),
        _ => None,
    });
    fields
        .flatten()
        .filter(|(key, _, _)| key == "id")
        .filter_map(|(_, _, id)| match &id.value {
            Value::Text(id) => Some(id.clone()),
            _ => None,
        })
        .collect()
}
