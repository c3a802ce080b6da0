//! Counters, and the thresholds that a law reads together.

use std::sync::Arc;

use crate::{
    document::{Faults, Node, Value},
    domain::CategorySet,
};

use super::{
    condition::{CountTest, count_test_or_fault},
    read,
    sets::MechanismId,
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

/// Since when people count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Window {
    /// From 1 January of the year that it is in the law's time zone.
    #[default]
    CalendarYear,
    /// From the same day of the year before.
    TwelveMonths,
}

#[derive(Clone, Debug)]
pub struct Counter {
    pub key: Arc<str>,
    pub counted: Counted,
    pub window: Window,
    /// Each recipient has a count of its own; else all recipients share one.
    pub per_recipient: bool,
    /// Flows that rest on one of these mechanisms do not count.
    pub except: Vec<MechanismId>,
}

const CLASSES: [(&str, Counted); 2] = [
    ("ordinary", Counted::Ordinary),
    ("sensitive", Counted::Sensitive),
];
const WINDOWS: [(&str, Window); 2] = [
    ("calendar-year", Window::CalendarYear),
    ("twelve-months", Window::TwelveMonths),
];

impl Vocabulary {
    /// `"ordinary"`, a list of categories, or a table that says more.
    pub(super) fn read_counter(&self, key: &str, node: &Node, faults: &Faults) -> Option<Counter> {
        let mut counter = Counter {
            key: key.into(),
            counted: Counted::Ordinary,
            window: Window::default(),
            per_recipient: false,
            except: Vec::new(),
        };
        if !matches!(node.value, Value::Table(_)) {
            counter.counted = self.read_counted(node, faults)?;
            return Some(counter);
        }
        let f = node.fields(faults)?;
        let window = f.maybe("window");
        counter.window = window
            .and_then(|n| read::pick(n, "window", &WINDOWS, faults))
            .unwrap_or_default();
        let each = f.maybe("per_recipient").and_then(|n| n.boolean(faults));
        counter.per_recipient = each.unwrap_or(false);
        if let Some(except) = f.maybe("except") {
            for (_, item) in except.texts(faults) {
                counter.except.extend(self.need_mechanism(item, faults));
            }
        }
        counter.counted = if let Some(linked) = f.maybe("linked") {
            let classes = linked.list(faults)?.iter();
            Counted::Linked(classes.map(|n| read::categories(n, self, faults)).collect())
        } else {
            self.read_counted(f.need("people")?, faults)?
        };
        f.finish();
        Some(counter)
    }

    fn read_counted(&self, node: &Node, faults: &Faults) -> Option<Counted> {
        Some(match &node.value {
            Value::List(_) => Counted::Categories(read::categories(node, self, faults)),
            _ => read::pick(node, "class of people", &CLASSES, faults)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Severity;

    fn read(counters: &str) -> (Option<Vocabulary>, Vec<String>) {
        let text = format!(
            r#"categories = ["user", "user.health", "user.health.genetic", "user.name", "user.device"]
not_personal = []
groups = {{}}
mechanisms = {{}}
attributes = {{}}
{counters}"#
        );
        let faults = Faults::new();
        let node = Node::parse("vocabulary.toml", text, &faults).expect("valid TOML");
        let read = Vocabulary::read(&node, &faults);
        let told = faults.into_sorted();
        let errors = told.iter().filter(|f| f.severity == Severity::Error);
        (read, errors.map(|f| f.summary()).collect())
    }

    fn counter<'a>(v: &'a Vocabulary, key: &str) -> &'a Counter {
        let found = v.counters.iter().find(|c| &*c.key == key);
        found.expect("a counter")
    }

    #[test]
    fn a_broader_key_counts_unless_another_counter_of_the_law_names_it() {
        let (v, faults) = read(
            r#"[counters]
"us.genomic" = ["user.health.genetic"]
"us.health" = { people = ["user.health"], window = "twelve-months", per_recipient = true }
"xx.genomic" = ["user.health.genetic"]
"#,
        );
        assert_eq!(faults, Vec::<String>::new());
        let v = v.unwrap();
        let holds = |counter_key: &str, category: &str| {
            let stated = CategorySet::from_iter(v.category(category));
            counter(&v, counter_key).counted.holds(stated, stated)
        };
        assert_eq!(holds("us.genomic", "user.health.genetic"), Some(true));
        assert_eq!(holds("us.genomic", "user.health"), Some(false));
        assert_eq!(holds("us.genomic", "user"), Some(true));
        assert_eq!(holds("us.genomic", "user.name"), Some(false));
        assert_eq!(holds("us.health", "user.health.genetic"), Some(true));
        // No counter of that law names health.
        assert_eq!(holds("xx.genomic", "user.health"), Some(true));
        let health = counter(&v, "us.health");
        assert_eq!(health.window, Window::TwelveMonths);
        assert!(health.per_recipient);
        assert_eq!(counter(&v, "us.genomic").window, Window::CalendarYear);
    }

    #[test]
    fn linked_categories_count_from_two_classes_on() {
        let (v, faults) = read(
            r#"[counters]
"us.identifiers" = { linked = [["user.name"], ["user.device"]] }
"#,
        );
        assert_eq!(faults, Vec::<String>::new());
        let v = v.unwrap();
        let of =
            |keys: &[&str]| -> CategorySet { keys.iter().filter_map(|k| v.category(k)).collect() };
        let counted = &counter(&v, "us.identifiers").counted;
        for (keys, classes) in [
            (&["user.name"][..], 1),
            (&["user.health"], 0),
            (&["user.name", "user.device"], 2),
        ] {
            assert_eq!(counted.classes(of(keys)), classes, "{keys:?}");
            assert_eq!(counted.holds(of(keys), of(keys)), Some(classes > 1));
        }
    }

    #[test]
    fn mistakes_in_counters_and_thresholds_are_told() {
        let (_, faults) = read(
            r#"[counters]
"us.health" = { people = ["user.helth"], window = "twelve-month" }
"us.name" = ["user.name"]
[thresholds]
"bulk" = ["us.name > many", "us.names > 3"]
"#,
        );
        for words in [
            "unknown category `user.helth`",
            "unknown window `twelve-month`",
            "`us.name > many` is no test of a counter",
            "`us.names > 3` is no test of a counter",
        ] {
            assert!(
                faults.iter().any(|f| f.contains(words)),
                "{words}: {faults:?}"
            );
        }
    }
}
