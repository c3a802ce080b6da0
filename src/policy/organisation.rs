//! `organisation.toml`: entities, homes, promises, and what was signed.

use std::{collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;

use crate::{
    document::{Faults, Fields, Node, Value, Where, suggest},
    domain::{CategorySet, Country, Operation, Place, Role},
};

use super::{
    condition::ROLES,
    instrument::{Assessment, Instrument},
    keep::{self, Hold, Retention},
    places::PlaceExpr,
    read,
    sets::{AttributeId, EntityId, Interval, PurposeId, RuleId},
    vocabulary::Words,
};

/// A legal person.
#[derive(Debug)]
pub struct Entity {
    pub id: Arc<str>,
    pub at: Where,
    /// Where it is established.
    pub place: Place,
    /// Its role where nothing nearer to the flow says otherwise.
    pub role: Option<Role>,
    pub attributes: Vec<(AttributeId, Interval)>,
    /// Where each of them stands.
    pub attributes_at: Vec<Where>,
}

/// All entities in the order of their ids.
#[derive(Debug, Default)]
pub struct Entities(Vec<Entity>);

impl Entities {
    pub fn get(&self, id: EntityId) -> Option<&Entity> {
        self.0.get(id.index())
    }

    pub fn find(&self, id: &str) -> Option<EntityId> {
        let i = self.0.binary_search_by(|e| e.id.as_ref().cmp(id)).ok()?;
        u16::try_from(i).ok().map(EntityId)
    }

    pub fn iter(&self) -> impl Iterator<Item = (EntityId, &Entity)> {
        self.0
            .iter()
            .enumerate()
            .filter_map(|(i, e)| Some((EntityId(u16::try_from(i).ok()?), e)))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Stricter than law.
#[derive(Debug)]
pub struct Promise {
    pub rule: RuleId,
    pub id: Arc<str>,
    pub at: Where,
    /// As it stands in its file, for the places of its keys.
    pub source_node: Node,
    pub source: Arc<str>,
    /// People of these places; anywhere: everyone.
    pub subjects: PlaceExpr,
    pub categories: CategorySet,
    pub store_only_in: Option<PlaceExpr>,
    /// Readers sit in these places.
    pub read_only_from: Option<PlaceExpr>,
    pub disclose_only_to: Option<PlaceExpr>,
    pub never_to: Option<PlaceExpr>,
    pub recipients_only: Option<Vec<Arc<str>>>,
    /// Under observation: told of, and without effect.
    pub observe: bool,
}

impl Promise {
    /// Bits of the operations of which the promise says something.
    pub fn operations(&self) -> u8 {
        let mut bits = 0;
        for operation in Operation::ALL {
            let asks = match operation {
                Operation::Store | Operation::Replicate | Operation::Relocate => {
                    self.store_only_in.is_some()
                }
                Operation::Read => self.read_only_from.is_some(),
                Operation::Disclose => {
                    self.disclose_only_to.is_some() || self.recipients_only.is_some()
                }
                Operation::Erase => false,
            };
            let never = self.never_to.is_some() && operation != Operation::Erase;
            bits |= u8::from(asks || never) << operation as u8;
        }
        bits
    }
}

/// A third party that may be sent data.
#[derive(Debug)]
pub struct Recipient {
    pub rule: RuleId,
    pub id: Arc<str>,
    pub at: Where,
    pub entity: EntityId,
    pub purposes: Option<Vec<PurposeId>>,
    pub categories: CategorySet,
    pub unlisted: Unlisted,
    pub pseudonymise: CategorySet,
    pub consent: ConsentAsked,
    pub rules: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    Refuse,
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentAsked {
    None,
    Sensitive,
    Always,
}

/// `[homes]`: regions in order of preference.
#[derive(Debug, Default)]
pub struct Homes {
    /// By law id or country code.
    pub by_key: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// For people whose law names no home and has no region.
    pub default: Vec<Arc<str>>,
    pub places: Vec<(Arc<str>, Where)>,
    pub keys: Vec<(Arc<str>, Where)>,
}

impl Homes {
    pub fn key_place(&self, key: &str) -> Where {
        let found = self.keys.iter().find(|(k, _)| **k == *key);
        found.map_or(Where::Path("organisation.toml".to_owned()), |(_, at)| {
            at.clone()
        })
    }
}

#[derive(Debug, Default)]
pub struct Organisation {
    pub entities: Entities,
    pub homes: Homes,
    pub promises: Vec<Promise>,
    pub instruments: Vec<Instrument>,
    pub assessments: Vec<Assessment>,
    pub recipients: Vec<Recipient>,
    pub retention: Vec<Retention>,
    pub holds: Vec<Hold>,
    /// Unsure rules that the operator takes as they stand.
    pub accept: Vec<(String, Where)>,
    /// Rules of laws, and promises, that the operator puts under observation.
    pub observe: Vec<(String, Where)>,
}

impl Organisation {
    pub fn read(root: &Node, words: &Words<'_>, faults: &Faults) -> Option<Self> {
        let f = root.fields(faults)?;
        let mut org = Self::default();
        if let Some(entities) = f.need("entities").and_then(|n| n.fields(faults)) {
            org.entities = read_entities(entities, words, faults);
        }
        if let Some(homes) = f.maybe("homes").and_then(|n| n.fields(faults)) {
            org.homes = read_homes(homes, faults);
        }
        let list = |key| {
            f.maybe(key)
                .and_then(|n: &Node| n.list(faults))
                .unwrap_or(&[])
        };
        for node in list("promises") {
            org.promises.extend(read_promise(node, words, faults));
        }
        for node in list("instruments") {
            let read = Instrument::read(node, words, &org.entities, faults);
            org.instruments.extend(read);
        }
        for node in list("assessments") {
            let read = Assessment::read(node, words, &org.entities, faults);
            org.assessments.extend(read);
        }
        for node in list("recipients") {
            let read = read_recipient(node, words, &org.entities, faults);
            org.recipients.extend(read);
        }
        for node in list("retention") {
            let read = keep::read_retention(node, words, faults);
            org.retention.extend(read);
        }
        for node in list("holds") {
            org.holds.extend(keep::read_hold(node, words, faults));
        }
        let named = |key| -> Vec<(String, Where)> {
            let texts = f.maybe(key).map(|n: &Node| n.texts(faults));
            let texts = texts.unwrap_or_default().into_iter();
            texts.map(|(t, n)| (t.to_owned(), n.at.clone())).collect()
        };
        org.accept = named("accept");
        org.observe = named("observe");
        if let Some(node) = f.maybe("purposes") {
            // Those that nothing else here names, so that a route's is no slip, and entries tell it.
            read::purposes(node, words, faults);
        }
        f.finish();
        twice(
            org.entities.iter().map(|(_, e)| (&*e.id, &e.at)),
            "entity",
            faults,
        );
        twice(
            org.promises
                .iter()
                .map(|p| (&*p.id, p.source_node.place("id"))),
            "promise",
            faults,
        );
        twice(
            org.instruments
                .iter()
                .map(|i| (&*i.id, i.source.place("id"))),
            "instrument",
            faults,
        );
        twice(
            org.assessments
                .iter()
                .map(|a| (&*a.id, a.source.place("id"))),
            "assessment",
            faults,
        );
        twice(
            org.recipients.iter().map(|r| (&*r.id, &r.at)),
            "recipient",
            faults,
        );
        twice(
            org.retention.iter().map(|r| (&*r.id, &r.at)),
            "retention",
            faults,
        );
        twice(org.holds.iter().map(|h| (&*h.id, &h.at)), "hold", faults);
        Some(org)
    }
}

/// Ids must name one thing each.
pub fn twice<'a>(ids: impl Iterator<Item = (&'a str, &'a Where)>, what: &str, faults: &Faults) {
    let mut seen: BTreeMap<&str, &Where> = BTreeMap::new();
    for (id, at) in ids {
        match seen.get(id) {
            // One without an id is told as such.
            _ if id.is_empty() || id == "?" => {}
            None => {
                seen.insert(id, at);
            }
            Some(first) => faults.error_between(
                at,
                format!("{what} `{id}` stands twice"),
                (first, "here first"),
                "answers and the ledger name it by its id: give each its own",
            ),
        }
        if id.is_empty() || id.chars().any(char::is_control) {
            faults.error_hint(
                at,
                format!("{what} `{}` is no name", id.escape_debug()),
                "ids are not empty and hold no control characters: they stand in ledgers and reports",
            );
        }
    }
}

/// The entities that a key names, one or several; at least one.
pub fn need_entities(
    f: &Fields<'_>,
    key: &'static str,
    entities: &Entities,
) -> SmallVec<[EntityId; 2]> {
    let faults = f.faults();
    let Some(node) = f.need(key) else {
        return SmallVec::new();
    };
    let one = std::slice::from_ref(node);
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => one,
    };
    if items.is_empty() {
        faults.error(&node.at, format!("`{key}` names no entity"));
    }
    items
        .iter()
        .filter_map(|n| find_entity(n, entities, faults))
        .collect()
}

fn find_entity(node: &Node, entities: &Entities, faults: &Faults) -> Option<EntityId> {
    let text = node.text(faults)?;
    let found = entities.find(text);
    if found.is_none() {
        let hint = suggest(text, entities.iter().map(|(_, e)| e.id.as_ref()))
            .unwrap_or_else(|| "entities stand under [entities]".to_owned());
        faults.error_hint(&node.at, format!("unknown entity `{text}`"), hint);
    }
    found
}

fn read_entities(f: Fields<'_>, words: &Words<'_>, faults: &Faults) -> Entities {
    let mut all = Vec::new();
    let at = f.at.clone();
    for (id, at, node) in f.named() {
        let Some(e) = node.fields(faults) else {
            continue;
        };
        let (attributes, attributes_at) = read_attributes(&e, words).into_iter().unzip();
        let place = e.need("country").and_then(|n| read::place(n, faults));
        let role = e.maybe("role");
        let role = role.and_then(|n| read::pick(n, "role", &ROLES, faults));
        e.finish();
        all.push(Entity {
            id: id.into(),
            at: at.clone(),
            // Where the country is a mistake, the load stops; the entity stays known, so that
            // its papers are not told to name a stranger.
            place: place.unwrap_or(Place::of(Country::SOMEWHERE)),
            role,
            attributes,
            attributes_at,
        });
    }
    if all.len() > usize::from(u16::MAX) {
        faults.error(&at, "more than 65,535 entities");
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Entities(all)
}

fn read_attributes(e: &Fields<'_>, words: &Words<'_>) -> Vec<((AttributeId, Interval), Where)> {
    let faults = e.faults();
    let list = e.maybe("attributes").and_then(|n| n.list(faults));
    let mut all = Vec::new();
    for item in list.unwrap_or(&[]) {
        if !matches!(item.value, Value::Table(_)) {
            let Some(text) = item.text(faults) else {
                continue;
            };
            let id = words.need_attribute(text, item, faults);
            all.extend(id.map(|id| ((id, Interval::ALWAYS), item.at.clone())));
            continue;
        }
        let Some(a) = item.fields(faults) else {
            continue;
        };
        let id = a
            .need("name")
            .and_then(|n| words.need_attribute(n.text(faults)?, n, faults));
        let interval = read::interval(&a);
        a.maybe_text("evidence");
        a.finish();
        all.extend(id.map(|id| ((id, interval), item.at.clone())));
    }
    all
}

fn read_homes(f: Fields<'_>, faults: &Faults) -> Homes {
    let mut homes = Homes::default();
    for (key, at, node) in f.named() {
        homes.keys.push((key.into(), at.clone()));
        let one = std::slice::from_ref(node);
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => one,
        };
        let mut regions: Vec<Arc<str>> = Vec::new();
        for item in items {
            if let Some(name) = item.text(faults) {
                homes.places.push((name.into(), item.at.clone()));
                regions.push(name.into());
            }
        }
        if regions.is_empty() {
            faults.error(&node.at, format!("`{key}` names no region"));
        }
        if key == "default" {
            homes.default = regions;
        } else {
            homes.by_key.insert(key.into(), regions);
        }
    }
    homes
}

fn read_promise(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Promise> {
    let f = node.fields(faults)?;
    let places = |key| f.maybe(key).map(|n| read::places(n, words, faults));
    let id = f.need_text("id");
    let promise = Promise {
        rule: RuleId(0),
        at: f.at.clone(),
        source_node: node.clone(),
        source: read::source(&f)
            .unwrap_or("the organisation's own promise")
            .into(),
        subjects: places("subjects").unwrap_or_else(PlaceExpr::anywhere),
        categories: f.maybe("categories").map_or_else(
            || words.ids().collect(),
            |n| read::categories(n, words, faults),
        ),
        store_only_in: places("store_only_in"),
        read_only_from: places("read_only_from"),
        disclose_only_to: places("disclose_only_to"),
        never_to: places("never_to"),
        recipients_only: f
            .maybe("recipients_only")
            .map(|n| n.texts(faults).into_iter().map(|(t, _)| t.into()).collect()),
        observe: f
            .maybe("observe")
            .and_then(|n| n.boolean(faults))
            .unwrap_or(false),
        id: id.unwrap_or("?").into(),
    };
    f.finish();
    let promises_something = promise.store_only_in.is_some()
        || promise.read_only_from.is_some()
        || promise.disclose_only_to.is_some()
        || promise.never_to.is_some()
        || promise.recipients_only.is_some();
    // Of a promise that was misread nothing follows.
    if !promises_something && !faults.concern(node) {
        faults.error_hint(
            &promise.at,
            format!("promise `{}` promises nothing", promise.id),
            "add store_only_in, read_only_from, disclose_only_to, never_to or recipients_only",
        );
    }
    Some(promise)
}

fn read_recipient(
    node: &Node,
    words: &Words<'_>,
    entities: &Entities,
    faults: &Faults,
) -> Option<Recipient> {
    let f = node.fields(faults)?;
    let unlisted = [("refuse", Unlisted::Refuse), ("strip", Unlisted::Strip)];
    let consent = [
        ("none", ConsentAsked::None),
        ("sensitive", ConsentAsked::Sensitive),
        ("always", ConsentAsked::Always),
    ];
    let entity = f
        .need("entity")
        .and_then(|n| find_entity(n, entities, faults));
    let recipient = Recipient {
        rule: RuleId(0),
        id: f.need_text("id").unwrap_or("?").into(),
        at: f.at.clone(),
        purposes: f
            .maybe("purposes")
            .map(|n| read::purposes(n, words, faults)),
        categories: f
            .need("categories")
            .map(|n| read::categories(n, words, faults))
            .unwrap_or_default(),
        unlisted: f
            .maybe("unlisted")
            .and_then(|n| read::pick(n, "treatment of unlisted fields", &unlisted, faults))
            .unwrap_or(Unlisted::Refuse),
        pseudonymise: f
            .maybe("pseudonymise")
            .map(|n| read::categories(n, words, faults))
            .unwrap_or_default(),
        consent: f
            .maybe("consent")
            .and_then(|n| read::pick(n, "consent", &consent, faults))
            .unwrap_or(ConsentAsked::Sensitive),
        rules: f.maybe_text("rules").map(str::to_owned),
        entity: entity.unwrap_or(EntityId(u16::MAX)),
    };
    f.finish();
    entity.map(|_| recipient)
}
