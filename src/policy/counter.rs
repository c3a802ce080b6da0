//! Counters, and the thresholds that a law reads together.

use std::sync::Arc;

use crate::{
    document::{Faults, Node, Value},
    domain::CategorySet,
};

use super::{
    condition::{CountTest, count_test_or_fault},
    read,
    vocabulary::Vocabulary,
};

/// What a counter counts: distinct people of one law, by the class of what is transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// People about whom something goes that the law does not call sensitive.
    Ordinary,
    /// People about whom something sensitive goes, children included.
    Sensitive,
    /// People about whom one of these categories is stated to go. A broader key is among them
    /// unless another counter of the same law names it: `user` may be a genome, a key that the
    /// law itself counts as health is health.
    Categories(CategorySet),
    /// People about whom categories of at least two of these classes go. One class alone, however
    /// many of its categories, does not count.
    Linked(Vec<CategorySet>),
}

impl Counted {
    /// Whether a record counts by its categories; `None`: the law's own classes decide.
    pub fn holds(&self, stated: CategorySet, possible: CategorySet) -> Option<bool> {
        match self {
            Self::Ordinary | Self::Sensitive => None,
            Self::Categories(set) => Some(set.intersects(stated)),
            Self::Linked(_) => Some(self.classes(possible) >= 2),
        }
    }

    /// Of linked categories: how many classes a record holds.
    pub fn classes(&self, possible: CategorySet) -> usize {
        match self {
            Self::Linked(classes) => classes.iter().filter(|c| c.intersects(possible)).count(),
            _ => 0,
        }
    }
}

/// Edges of several counters that the law reads together: of a mixed record the lowest number
/// among the counters it touches holds for each of them.
#[derive(Clone, Debug)]
pub struct Thresholds {
    pub tests: Vec<CountTest>,
}

#[derive(Clone, Debug)]
pub struct Counter {
    pub key: Arc<str>,
    pub counted: Counted,
}

impl Vocabulary {
    pub(super) fn read_counter(&self, key: &str, node: &Node, faults: &Faults) -> Option<Counter> {
        let counted = match &node.value {
            Value::List(_) => Counted::Categories(read::categories(node, self, faults)),
            Value::Table(_) => {
                let fields = node.fields(faults)?;
                let classes = fields.need("linked").and_then(|n| n.list(faults));
                let classes = classes.unwrap_or(&[]).iter();
                let read = classes.map(|n| read::categories(n, self, faults)).collect();
                fields.finish();
                Counted::Linked(read)
            }
            _ => read::pick(
                node,
                "class of people",
                &[
                    ("ordinary", Counted::Ordinary),
                    ("sensitive", Counted::Sensitive),
                ],
                faults,
            )?,
        };
        Some(Counter {
            key: key.into(),
            counted,
        })
    }

    /// Adds to each counter the keys above its own that no counter of the same law names.
    pub(super) fn widen_counters(&mut self) {
        let law_of = |key: &str| key.split('.').next().map(str::to_owned);
        let own: Vec<(Option<String>, CategorySet)> = self
            .counters
            .iter()
            .filter_map(|c| match &c.counted {
                Counted::Categories(set) => Some((law_of(&c.key), *set)),
                _ => None,
            })
            .collect();
        let widened: Vec<Counted> = self
            .counters
            .iter()
            .map(|counter| {
                let Counted::Categories(set) = counter.counted else {
                    return counter.counted.clone();
                };
                let law = law_of(&counter.key);
                let named = own.iter().filter(|(l, _)| *l == law);
                let named = named.fold(CategorySet::EMPTY, |all, (_, s)| all.union(*s));
                let above: CategorySet = self
                    .ids()
                    .filter(|id| !named.contains(*id) && self.below(*id).intersects(set))
                    .collect();
                Counted::Categories(set.union(above))
            })
            .collect();
        for (counter, counted) in self.counters.iter_mut().zip(widened) {
            counter.counted = counted;
        }
    }

    pub(super) fn read_thresholds(&self, node: &Node, faults: &Faults) -> Vec<CountTest> {
        node.texts(faults)
            .into_iter()
            .filter_map(|(text, item)| count_test_or_fault(text, item, self, faults))
            .collect()
    }
}
