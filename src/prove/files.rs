//! A policy as parsed files, before anything is checked: what mutants and hypotheses change.

use std::{path::Path, sync::Arc};

use crate::{
    document::{Faults, Node, Refused, Value, Where},
    policy::{Checked, check, law_files},
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
