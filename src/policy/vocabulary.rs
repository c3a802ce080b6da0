//! `vocabulary.toml`: the closed lists that law files and organisations draw their words from.

use std::{cell::RefCell, sync::Arc};

use jiff::civil::Date;

use crate::{
    document::{Faults, Fields, Node, Value, Where, suggest},
    domain::{CategoryId, CategorySet, Place, same_purpose},
};

use super::{
    counter::{Counter, Thresholds},
    places::{Group, PlaceExpr},
    read,
    sets::{AttributeId, AttributeSet, CounterId, GroupId, Interval, MechanismId, PurposeId},
};

/// Names with dense indexes, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<Arc<str>>);

impl Names {
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|n| n.as_ref() == name)
    }

    pub fn get(&self, index: usize) -> Option<&Arc<str>> {
        self.0.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// As [`find`](Self::find), of purposes.
    pub fn find_purpose(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|n| same_purpose(n, name))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn push(&mut self, name: &str) -> usize {
        self.0.push(name.into());
        self.0.len() - 1
    }
}

#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub names: Names,
    pub groups: Vec<Group>,
    pub places: Vec<Where>,
}

impl Groups {
    pub fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.index())
    }
}

#[derive(Clone, Debug)]
pub struct Mechanism {
    pub key: Arc<str>,
    pub title: String,
    /// The concept's IRI in the Data Privacy Vocabulary, where it has one.
    pub dpv: Option<String>,
    /// Of several permitting findings the flat answer repeats the one with the highest demand.
    pub demand: u8,
    /// Nothing moves but home: see `Permit::is_flow_home`.
    pub home: bool,
    /// The text that an instrument without `edition` is taken to be.
    pub default_edition: Option<String>,
}

/// The closed lists of one policy.
#[derive(Debug, Default)]
pub struct Vocabulary {
    categories: Vec<Arc<str>>,
    below: Vec<CategorySet>,
    personal: CategorySet,
    /// What recipients get by consent alone where a law has no list of its own; by default all that
    /// is personal.
    pub sensitive: CategorySet,
    /// Old prefix to canonical prefix, longest first.
    aliases: Vec<(String, String)>,
    pub groups: Groups,
    pub mechanisms: Vec<Mechanism>,
    /// What a text is, where its edition's name does not say it: (name, words).
    pub editions: Vec<(Arc<str>, Arc<str>)>,
    pub attributes: Names,
    /// Attributes that serve to know, and no rule.
    pub informative: AttributeSet,
    /// Attributes that every entity has that is established in these places.
    pub established: Vec<(AttributeId, PlaceExpr)>,
    pub counters: Vec<Counter>,
    /// Those that law files may name, where the list stands there.
    pub purposes: Option<Names>,
    pub threshold_names: Names,
    pub thresholds: Vec<Thresholds>,
}

/// The vocabulary while files are read: an organisation's purposes are free words, and get ids as they
/// come, behind those of law.
pub struct Words<'a> {
    vocabulary: &'a Vocabulary,
    purposes: RefCell<Names>,
}

impl std::ops::Deref for Words<'_> {
    type Target = Vocabulary;

    fn deref(&self) -> &Vocabulary {
        self.vocabulary
    }
}

impl<'a> Words<'a> {
    pub fn new(vocabulary: &'a Vocabulary) -> Self {
        Self {
            vocabulary,
            purposes: RefCell::new(vocabulary.purposes.clone().unwrap_or_default()),
        }
    }

    /// The id of a purpose that a file names; grows the list.
    pub fn purpose(&self, name: &str) -> PurposeId {
        let mut names = self.purposes.borrow_mut();
        let known = names.find_purpose(name);
        let i = known.unwrap_or_else(|| names.push(name));
        u16::try_from(i).map_or(PurposeId::OTHER, PurposeId)
    }

    pub fn into_purposes(self) -> Names {
        self.purposes.into_inner()
    }
}

impl Vocabulary {
    pub fn read(root: &Node, faults: &Faults) -> Option<Self> {
        let fields = root.fields(faults)?;
        let mut v = Self::default();
        v.read_categories(&fields);
        if let Some(groups) = fields.need("groups").and_then(|n| n.fields(faults)) {
            for (name, at, node) in groups.named() {
                v.groups.names.push(name);
                v.groups.places.push(at.clone());
                v.groups.groups.push(read_group(node, faults));
            }
        }
        if v.groups.groups.len() > 256 {
            faults.error(fields.at, "more than 256 groups");
        }
        if let Some(mechanisms) = fields.need("mechanisms").and_then(|n| n.fields(faults)) {
            for (key, _, node) in mechanisms.named() {
                v.mechanisms.extend(read_mechanism(key, node, faults));
            }
        }
        if v.mechanisms.len() > 255 {
            faults.error(fields.at, "more than 255 mechanisms");
        }
        if let Some(editions) = fields.maybe("editions").and_then(|n| n.fields(faults)) {
            for (name, _, node) in editions.named() {
                let words = node.text(faults).map(Into::into);
                v.editions.extend(words.map(|w| (name.into(), w)));
            }
        }
        if let Some(node) = fields.need("attributes")
            && let Some(attributes) = node.fields(faults)
        {
            for (name, _, serves) in attributes.named() {
                let index = v.attributes.push(name);
                v.read_attribute(index, serves, faults);
            }
            if v.attributes.len() > AttributeSet::CAPACITY {
                faults.error(&node.at, "more than 128 attributes");
            }
        }
        if let Some(node) = fields.maybe("purposes") {
            let mut purposes = Names::default();
            for (text, item) in node.texts(faults) {
                match purposes.find_purpose(text) {
                    Some(_) => faults.error(&item.at, format!("purpose `{text}` stands twice")),
                    None => _ = purposes.push(text),
                }
            }
            v.purposes = Some(purposes);
        }
        if let Some(counters) = fields.maybe("counters").and_then(|n| n.fields(faults)) {
            for (key, _, node) in counters.named() {
                v.counters.extend(v.read_counter(key, node, faults));
            }
            v.widen_counters();
        }
        if let Some(all) = fields.maybe("thresholds").and_then(|n| n.fields(faults)) {
            for (name, _, node) in all.named() {
                let tests = v.read_thresholds(node, faults);
                v.threshold_names.push(name);
                v.thresholds.push(Thresholds { tests });
            }
        }
        fields.finish();
        Some(v)
    }

    fn read_categories(&mut self, fields: &Fields<'_>) {
        let faults = fields.faults();
        let mut other = Vec::new();
        if let Some(node) = fields.maybe("aliases")
            && let Some(aliases) = node.fields(faults)
        {
            for (old, _, node) in aliases.named() {
                if let Some(new) = node.text(faults) {
                    self.aliases.push((old.to_owned(), new.to_owned()));
                }
            }
        }
        self.aliases
            .sort_by_key(|(old, _)| std::cmp::Reverse(old.len()));
        for (list, personal) in [("categories", true), ("not_personal", false)] {
            let Some(node) = fields.need(list) else {
                continue;
            };
            for (key, item) in node.texts(faults) {
                let key = self.canonical(key);
                if self.categories.iter().any(|k| **k == *key) {
                    faults.error(&item.at, format!("category `{key}` stands twice"));
                    continue;
                }
                let Ok(id) = u8::try_from(self.categories.len()) else {
                    faults.error(&item.at, "more than 256 categories");
                    break;
                };
                self.categories.push(key.into());
                if personal {
                    self.personal.insert(CategoryId(id));
                } else {
                    other.push(id);
                }
            }
        }
        self.below = self
            .categories
            .iter()
            .map(|above| {
                self.ids()
                    .filter(|id| is_below(self.category_key(*id), above))
                    .collect()
            })
            .collect();
        self.sensitive = self.personal;
        if let Some(node) = fields.maybe("sensitive") {
            self.sensitive = read::categories(node, self, faults);
        }
    }

    /// An attribute is the text of what it serves, or a table that also says who has it anyway.
    fn read_attribute(&mut self, index: usize, node: &Node, faults: &Faults) {
        if !matches!(node.value, Value::Table(_)) {
            let serves = node.text(faults).unwrap_or_default();
            if let (true, Ok(id)) = (serves.starts_with("informative"), u8::try_from(index)) {
                self.informative.insert(AttributeId(id));
            }
            return;
        }
        let Some(fields) = node.fields(faults) else {
            return;
        };
        fields.need_text("serves");
        let places = fields
            .need("established_in")
            .map(|n| read::places(n, self, faults));
        fields.finish();
        if let (Some(places), Ok(id)) = (places, u8::try_from(index)) {
            self.established.push((AttributeId(id), places));
        }
    }

    /// The index of a table of thresholds; a fault with a suggestion otherwise.
    pub fn need_thresholds(&self, node: &Node, faults: &Faults) -> Option<u8> {
        let text = node.text(faults)?;
        let i = read::named(
            text,
            node,
            "table of thresholds",
            &self.threshold_names,
            faults,
        )?;
        u8::try_from(i).ok()
    }

    fn canonical(&self, key: &str) -> String {
        self.aliases
            .iter()
            .find_map(|(old, new)| {
                let rest = key.strip_prefix(old.as_str())?;
                (rest.is_empty() || rest.starts_with('.')).then(|| format!("{new}{rest}"))
            })
            .unwrap_or_else(|| key.to_owned())
    }

    pub fn category(&self, key: &str) -> Option<CategoryId> {
        let direct = self.categories.iter().position(|k| k.as_ref() == key);
        let found = direct.or_else(|| {
            let key = self.canonical(key);
            self.categories.iter().position(|k| **k == *key)
        });
        found.and_then(|i| u8::try_from(i).ok()).map(CategoryId)
    }

    /// The canonical key; empty for an id of another policy.
    pub fn category_key(&self, id: CategoryId) -> &str {
        self.categories.get(usize::from(id.0)).map_or("", |k| k)
    }

    pub fn category_name(&self, id: CategoryId) -> Option<&Arc<str>> {
        self.categories.get(usize::from(id.0))
    }

    pub fn ids(&self) -> impl Iterator<Item = CategoryId> {
        (0..self.categories.len()).filter_map(|i| u8::try_from(i).ok().map(CategoryId))
    }

    /// The category and all below it.
    pub fn below(&self, id: CategoryId) -> CategorySet {
        self.below
            .get(usize::from(id.0))
            .copied()
            .unwrap_or_default()
    }

    /// Categories that make a record one about a person, or that law guards all the same.
    pub fn personal(&self) -> CategorySet {
        self.personal
    }

    pub fn suggest_category(&self, key: &str) -> String {
        suggest(key, self.categories.iter().map(AsRef::as_ref))
            .unwrap_or_else(|| "categories stand in vocabulary.toml".to_owned())
    }

    pub fn group(&self, name: &str) -> Option<GroupId> {
        let i = self.groups.names.find(name)?;
        u8::try_from(i).ok().map(GroupId)
    }

    pub fn mechanism(&self, key: &str) -> Option<MechanismId> {
        let i = self.mechanisms.iter().position(|m| m.key.as_ref() == key)?;
        u8::try_from(i).ok().map(MechanismId)
    }

    /// An edition in words for people: its own name where nothing else is said.
    pub fn edition_words<'a>(&'a self, edition: &'a str) -> &'a str {
        let found = self.editions.iter().find(|(name, _)| **name == *edition);
        found.map_or(edition, |(_, words)| words)
    }

    pub fn need_mechanism(&self, node: &Node, faults: &Faults) -> Option<MechanismId> {
        let key = node.text(faults)?;
        let found = self.mechanism(key);
        if found.is_none() {
            let hint = suggest(key, self.mechanisms.iter().map(|m| m.key.as_ref()))
                .unwrap_or_else(|| "mechanisms stand in vocabulary.toml".to_owned());
            faults.error_hint(&node.at, format!("unknown mechanism `{key}`"), hint);
        }
        found
    }

    pub fn need_attribute(&self, text: &str, node: &Node, faults: &Faults) -> Option<AttributeId> {
        let i = read::named(text, node, "attribute", &self.attributes, faults)?;
        u8::try_from(i).ok().map(AttributeId)
    }

    pub fn attribute_name(&self, id: AttributeId) -> &str {
        self.attributes.get(id.index()).map_or("", |n| n)
    }

    pub fn counter(&self, key: &str) -> Option<CounterId> {
        let i = self.counters.iter().position(|c| c.key.as_ref() == key)?;
        u8::try_from(i).ok().map(CounterId)
    }
}

fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn read_group(node: &Node, faults: &Faults) -> Group {
    let Some(fields) = node.fields(faults) else {
        return Group::default();
    };
    let as_of: Option<Date> = fields.need("as_of").and_then(|n| n.date(faults));
    let source = fields.maybe_text("source").map(str::to_owned);
    let mut members: Vec<(Place, Interval)> = Vec::new();
    // Where each stands; `None` of one whose days were misread: that it is in the group on all
    // days was not meant, so it is compared with none.
    let mut places: Vec<Option<&Where>> = Vec::new();
    let list = fields.need("members").and_then(|n| n.list(faults));
    for item in list.unwrap_or(&[]) {
        let (place, interval) = match &item.value {
            Value::Table(_) => {
                let Some(dated) = item.fields(faults) else {
                    continue;
                };
                let place = dated.need("place");
                let interval = read::interval(&dated);
                dated.finish();
                (place, interval)
            }
            _ => (Some(item), Interval::ALWAYS),
        };
        let Some(node) = place else { continue };
        let Some(place) = read::place(node, faults) else {
            continue;
        };
        let at = (!faults.concern(item)).then_some(&node.at);
        let mut same = members
            .iter()
            .zip(&places)
            .filter(|((p, i), _)| *p == place && i.overlaps(&interval))
            .filter_map(|(_, at)| *at);
        if let (Some(_), Some(first)) = (at, same.next()) {
            faults.error_between(
                &node.at,
                format!("`{place}` stands twice in this group for the same days"),
                (first, "here first"),
                "remove one of them, or give them days that do not overlap",
            );
        }
        members.push((place, interval));
        places.push(at);
    }
    fields.finish();
    Group {
        as_of,
        source,
        members,
    }
}

fn read_mechanism(key: &str, node: &Node, faults: &Faults) -> Option<Mechanism> {
    let fields = node.fields(faults)?;
    let mechanism = Mechanism {
        key: key.into(),
        title: fields.need_text("title").unwrap_or_default().to_owned(),
        dpv: fields.maybe_text("dpv").map(str::to_owned),
        demand: fields
            .need("demand")
            .and_then(|n| n.integer_in(0..=255, faults))
            .and_then(|i| u8::try_from(i).ok())
            .unwrap_or(0),
        home: fields
            .maybe("home")
            .and_then(|n| n.boolean(faults))
            .unwrap_or(false),
        default_edition: fields.maybe_text("default_edition").map(str::to_owned),
    };
    fields.finish();
    Some(mechanism)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Fault;

    /// What is told of a group with these members.
    fn told(members: &[&str]) -> String {
        let faults = Faults::new();
        let text = format!("as_of = 2026-11-22\nmembers = [{}]\n", members.join(", "));
        let node = Node::parse("g.toml", text, &faults).expect("valid TOML");
        read_group(&node, &faults);
        let all: Vec<String> = faults.into_sorted().iter().map(Fault::summary).collect();
        all.join("\n")
    }

    #[test]
    fn a_member_stands_once_for_the_same_days() {
        let early = "{ place = \"DE\", until = 2009-12-31 }";
        let middle = "{ place = \"DE\", from = 2010-01-01, until = 2019-12-31 }";
        let late = "{ place = \"DE\", from = 2020-01-01 }";
        assert_eq!(told(&[early, middle, late, "\"FR\""]), "");
        let twice = told(&[early, "\"FR\"", "\"DE\"", late]);
        assert_eq!(twice.matches("`DE` stands twice").count(), 2, "{twice}");
    }

    /// Neither before nor after a sound one, which may stand twice with another all the same.
    #[test]
    fn a_misread_member_is_compared_with_none() {
        let late = "{ place = \"DE\", from = 2020-01-01 }";
        for misread in [
            "{ place = \"DE\", until = 2019-02-30 }",
            "{ place = \"DE\", untill = 2019-02-28 }",
            "{ place = \"DE\", from = 2019-01-01, until = 2018-01-01 }",
        ] {
            for members in [[misread, late], [late, misread], [misread, misread]] {
                let told = told(&members);
                assert!(!told.contains("stands twice"), "{told}");
                assert!(!told.is_empty(), "{members:?}");
            }
            let told = told(&[misread, late, "\"DE\""]);
            let twice = told.lines().filter(|line| line.contains("stands twice"));
            let twice: Vec<&str> = twice.collect();
            assert!(
                matches!(twice[..], [one] if one.contains("here first") && one.matches("g.toml:2:").count() == 2),
                "{told}"
            );
        }
    }
}
