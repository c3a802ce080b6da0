//! `law/*.toml`: one jurisdiction each; ended law stays, with its `until`.

use std::sync::Arc;

use jiff::{civil::Date, tz::TimeZone};
use smallvec::SmallVec;

use crate::{
    document::{Faults, Fields, Node, Where, suggest},
    domain::{CategorySet, Operation},
};

use super::{
    breach::{Breach, read_breach},
    certainty::{read_certainty, tell_unsure},
    child::{ChildAge, read_child},
    condition::{FilingNeed, Requirement, Unless, When, requirements},
    places::PlaceExpr,
    read,
    sets::{AttributeSet, Interval, MechanismId, RuleId},
    vocabulary::Words,
};

/// One jurisdiction, all times.
#[derive(Debug)]
pub struct Law {
    pub id: Arc<str>,
    pub name: String,
    pub at: Where,
    pub territory: PlaceExpr,
    /// Days in this law, and in what is judged under it, are days here.
    pub timezone: TimeZone,
    /// Days on which something joins or leaves the territory are days here: mostly `timezone`, but
    /// a law that takes another's place begins at the instant at which that one ends.
    pub territory_timezone: TimeZone,
    pub attaches: Attaches,
    /// An end of a flow whose entity has one of these is outside the territory wherever it sits.
    pub outside: AttributeSet,
    /// Public holidays as (month, day); working days are neither these nor weekends.
    pub holidays: Vec<(i8, i8)>,
    /// Those of them that make the next working day free when they fall on a weekend.
    pub moved_holidays: Vec<(i8, i8)>,
    /// The rule that stands when no mechanism holds: what cannot be shown is refused.
    pub transfer: TransferRule,
    /// Duties of every permit under this law's own mechanisms.
    pub transfer_duties: Vec<Arc<str>>,
    pub sensitive: Vec<Sensitive>,
    pub children: Vec<ChildAge>,
    /// Whom to tell of a breach.
    pub breaches: Vec<Breach>,
    /// Prohibitions first, then localisation, then permits, each in the order of the file.
    pub rules: Vec<Rule>,
}

/// By what a law comes to govern a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attaches {
    /// The person lives in the territory, or was there when the data was collected.
    pub person: bool,
    pub citizen: bool,
    /// The exporter is established there.
    pub exporter: bool,
    /// The data lies there.
    pub place: bool,
    /// Exporters elsewhere that this law governs all the same.
    pub exporters_with: AttributeSet,
    /// Exporters that are proven to be outside: the person alone does not attach.
    pub lifted_by: AttributeSet,
}

#[derive(Clone, Debug)]
pub struct TransferRule {
    pub rule: RuleId,
    pub id: Arc<str>,
    pub citation: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Sensitive {
    pub at: Where,
    /// As it stands in its file.
    pub source: Node,
    pub categories: CategorySet,
    /// Everything about people below this age.
    pub below_age: Option<u16>,
    pub interval: Interval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    Forbid,
    Localise,
    Permit,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "forbid",
            Self::Localise => "localise",
            Self::Permit => "permit",
        }
    }
}

/// When a law that wants the primary copy at home lets further copies leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Copies {
    Never,
    /// Once a copy lies at home.
    #[default]
    AfterPrimary,
    Free,
}

impl Copies {
    /// Whether a localisation with these copies bars an operation that ends outside. `held_at_home`:
    /// a copy lies in the territory already.
    ///
    /// What a recipient gets is a copy of its own, so where none may be abroad, nothing is disclosed
    /// there. A `read` leaves none that the law speaks of.
    pub fn bars(self, operation: Operation, held_at_home: impl FnOnce() -> bool) -> bool {
        match operation {
            Operation::Store | Operation::Relocate => true,
            Operation::Replicate => match self {
                Self::Never => true,
                Self::AfterPrimary => !held_at_home(),
                Self::Free => false,
            },
            Operation::Disclose => self == Self::Never,
            Operation::Read | Operation::Erase => false,
        }
    }
}

#[derive(Debug)]
pub struct Rule {
    pub number: RuleId,
    pub id: Arc<str>,
    pub effect: Effect,
    pub citation: Arc<str>,
    pub at: Where,
    /// As it stands in its file, for the places of its keys.
    pub source: Node,
    pub interval: Interval,
    /// The fact behind it is not sure: it leans towards refusing until accepted by name.
    pub review: bool,
    /// How sure the fact is: `high`, `medium` or `low`.
    pub confidence: &'static str,
    pub accepted: bool,
    /// Under observation: told of, and without effect.
    pub observe: bool,
    /// The permit in whose place this one stands, while both are in force.
    pub replaces: Option<Replaces>,
    pub operations: u8,
    pub flows: u8,
    pub origin: PlaceExpr,
    pub origin_except: PlaceExpr,
    pub to: PlaceExpr,
    pub to_except: PlaceExpr,
    /// The person lives here, or was here when the data was collected.
    pub of: PlaceExpr,
    pub when: When,
    pub unless: Unless,
    pub copies: Copies,
    pub mechanism: Option<MechanismId>,
    /// The mechanism whose instruments the rule looks for; mostly its own.
    pub instruments_of: Option<MechanismId>,
    pub requires: Vec<Requirement>,
    pub filing: FilingNeed,
    /// Texts of the instrument that will do; empty: any.
    pub editions: SmallVec<[String; 2]>,
    /// The instrument was concluded on one of these days.
    pub concluded: Interval,
    /// The instrument's module, by the roles of the flow, is one of these (bits); 0: none.
    pub modules: u8,
    pub duties: Vec<Arc<str>>,
}

/// The permit that another one replaces: its number is known once all rules are numbered.
#[derive(Clone, Debug)]
pub struct Replaces {
    pub id: Arc<str>,
    pub at: Where,
    pub rule: RuleId,
}

/// Where the ends of a flow lie, seen from one law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shape {
    /// Both ends in one country of the territory.
    Domestic = 0,
    /// Between two countries of the territory.
    Within = 1,
    /// From abroad into the territory.
    Inbound = 2,
    /// Out of the territory.
    Outbound = 3,
    /// Neither end in the territory.
    Foreign = 4,
}

const SHAPES: [(&str, Shape); 5] = [
    ("domestic", Shape::Domestic),
    ("within", Shape::Within),
    ("inbound", Shape::Inbound),
    ("outbound", Shape::Outbound),
    ("foreign", Shape::Foreign),
];
/// What crosses the territory's border outwards, or happens outside it.
const CROSSING: u8 = 1 << Shape::Outbound as u8 | 1 << Shape::Foreign as u8;
const EVERY_SHAPE: u8 = 0x1f;

impl Rule {
    /// Whether the rule lets something leave the territory (or move outside it).
    pub fn is_crossing(&self) -> bool {
        self.flows & CROSSING != 0
    }

    /// Whether the rule is about erasures alone, which move no record.
    pub fn only_erases(&self) -> bool {
        self.operations == 1 << Operation::Erase as u8
    }

    /// Whether the rule is in force on `day`. An unsure permit counts only when accepted; an
    /// unsure prohibition until it is.
    pub fn is_active(&self, day: Date) -> bool {
        let counts = match self.effect {
            Effect::Permit => !self.review || self.accepted,
            Effect::Forbid | Effect::Localise => !(self.review && self.accepted),
        };
        counts && self.interval.contains(day)
    }

    /// Whether the rule would permit on `day`, had the organisation accepted it.
    pub fn waits(&self, day: Date) -> bool {
        let unsure = self.effect == Effect::Permit && self.review && !self.accepted;
        unsure && self.interval.contains(day)
    }
}

impl Law {
    pub fn read(root: &Node, words: &Words<'_>, faults: &Faults) -> Option<Self> {
        let f = root.fields(faults)?;
        let id: Arc<str> = f.need_text("id").unwrap_or("?").into();
        let zone = |n: &Node| {
            let name = n.text(faults)?;
            let found = TimeZone::get(name).ok();
            if found.is_none() {
                let known: Vec<_> = jiff::tz::db().available().collect();
                // Of an abbreviation the nearest is another one: `SGT` is no slip of `CET`.
                let near = (name.len() > 4)
                    .then(|| suggest(name, known.iter().map(jiff::tz::TimeZoneName::as_str)))
                    .flatten();
                faults.error_hint(
                    &n.at,
                    format!("`{name}` is not a time zone of the IANA database"),
                    near.unwrap_or_else(|| "such as `Asia/Singapore`".to_owned()),
                );
            }
            found
        };
        let timezone = f.need("timezone").and_then(zone).unwrap_or(TimeZone::UTC);
        let territory_timezone = f.maybe("territory_timezone").and_then(zone);
        let attributes = |key| {
            f.maybe(key)
                .map(|n| read::attributes(n, words, faults))
                .unwrap_or_default()
        };
        let mut law = Self {
            name: f.need_text("name").unwrap_or_default().to_owned(),
            at: root.at.clone(),
            territory: f
                .need("territory")
                .map(|n| read_territory(n, &id, words, faults))
                .unwrap_or_default(),
            territory_timezone: territory_timezone.unwrap_or_else(|| timezone.clone()),
            timezone,
            attaches: read_attaches(&f, words),
            outside: attributes("outside_with"),
            holidays: read_holidays(&f, "holidays"),
            moved_holidays: read_holidays(&f, "moved_holidays"),
            transfer: read_transfer(&f),
            transfer_duties: texts(&f, "transfer_duties"),
            sensitive: Vec::new(),
            children: Vec::new(),
            breaches: Vec::new(),
            rules: Vec::new(),
            id,
        };
        for node in list(&f, "sensitive") {
            law.sensitive.extend(read_sensitive(node, words, faults));
        }
        for node in list(&f, "child") {
            law.children.extend(read_child(node, words, faults));
        }
        for node in list(&f, "breach") {
            law.breaches.extend(read_breach(node, faults));
        }
        for (key, effect) in [
            ("forbid", Effect::Forbid),
            ("localise", Effect::Localise),
            ("permit", Effect::Permit),
        ] {
            for node in list(&f, key) {
                law.rules.extend(read_rule(node, effect, words, faults));
            }
        }
        f.finish();
        if law.rules.len() > 255 {
            faults.error(&law.at, "more than 255 rules in one law");
        }
        Some(law)
    }
}

/// Of a territory that was misread nothing follows, nor that there is none.
fn read_territory(node: &Node, law: &str, words: &Words<'_>, faults: &Faults) -> PlaceExpr {
    let territory = read::places(node, words, faults);
    if territory.is_empty() && !faults.concern(node) {
        faults.error(&node.at, format!("law `{law}` has no territory"));
    }
    if let Some(part) = territory.lone_part(&words.groups) {
        let hint = "laws attach by country: name the country, and in the rules the part (`to`, `origin`, `of`)";
        let message = format!(
            "the territory `{part}` without its country: law `{law}` would attach to nobody there"
        );
        faults.error_hint(&node.at, message, hint);
    }
    territory
}

fn list<'a>(f: &Fields<'a>, key: &'static str) -> &'a [Node] {
    let faults = f.faults();
    f.maybe(key).and_then(|n| n.list(faults)).unwrap_or(&[])
}

fn texts(f: &Fields<'_>, key: &'static str) -> Vec<Arc<str>> {
    let faults = f.faults();
    let node = f.maybe(key);
    node.map(|n| n.texts(faults).into_iter().map(|(t, _)| t.into()).collect())
        .unwrap_or_default()
}

fn read_attaches(f: &Fields<'_>, words: &Words<'_>) -> Attaches {
    let faults = f.faults();
    let mut attaches = Attaches {
        exporters_with: f
            .maybe("attaches_exporters_with")
            .map(|n| read::attributes(n, words, faults))
            .unwrap_or_default(),
        lifted_by: f
            .maybe("lifted_by")
            .map(|n| read::attributes(n, words, faults))
            .unwrap_or_default(),
        ..Attaches::default()
    };
    let table = [
        ("person", 0u8),
        ("citizen", 1),
        ("exporter", 2),
        ("place", 3),
    ];
    let Some(node) = f.need("attaches") else {
        return attaches;
    };
    for (text, item) in node.texts(faults) {
        match read::pick_text(text, item, "way to attach", &table, faults) {
            Some(0) => attaches.person = true,
            Some(1) => attaches.citizen = true,
            Some(2) => attaches.exporter = true,
            Some(_) => attaches.place = true,
            None => {}
        }
    }
    attaches
}

fn read_transfer(f: &Fields<'_>) -> TransferRule {
    let faults = f.faults();
    let table = f.need("transfer").and_then(|n| n.fields(faults));
    let text = |key| -> Arc<str> {
        let found = table.as_ref().and_then(|t| t.need_text(key));
        found.unwrap_or("?").into()
    };
    let transfer = TransferRule {
        rule: RuleId(0),
        id: text("id"),
        citation: table.as_ref().map_or("?", read::citation).into(),
    };
    if let Some(table) = table {
        table.finish();
    }
    transfer
}

fn read_holidays(f: &Fields<'_>, key: &'static str) -> Vec<(i8, i8)> {
    let faults = f.faults();
    let Some(node) = f.maybe(key) else {
        return Vec::new();
    };
    let mut days = Vec::new();
    if node.list(faults).is_some_and(|l| l.len() > 100) {
        faults.error(&node.at, "more than 100 holidays a year");
        return days;
    }
    for (text, item) in node.texts(faults) {
        match format!("2024-{text}").parse::<Date>() {
            Ok(day) => days.push((day.month(), day.day())),
            Err(_) => faults.error_hint(
                &item.at,
                format!("`{text}` is not a day of the year"),
                "write month and day: `05-01`",
            ),
        }
    }
    days
}

fn read_sensitive(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Sensitive> {
    let f = node.fields(faults)?;
    let sensitive = Sensitive {
        at: f.at.clone(),
        source: node.clone(),
        categories: f
            .maybe("categories")
            .map(|n| read::categories(n, words, faults))
            .unwrap_or_default(),
        below_age: f
            .maybe("below_age")
            .and_then(|n| n.integer_in(1..=120, faults))
            .and_then(|i| u16::try_from(i).ok()),
        interval: read::interval(&f),
    };
    read::citation(&f);
    f.finish();
    Some(sensitive)
}

fn read_rule(node: &Node, effect: Effect, words: &Words<'_>, faults: &Faults) -> Option<Rule> {
    let f = node.fields(faults)?;
    let places = |key, absent: fn() -> PlaceExpr| {
        f.maybe(key)
            .map_or_else(absent, |n| read::places(n, words, faults))
    };
    let (confidence, review) = read_certainty(&f);
    let permits = effect == Effect::Permit;
    let (requires, filing) = permits
        .then(|| f.maybe("requires"))
        .flatten()
        .map(|n| requirements(n, words, faults))
        .unwrap_or_default();
    let mechanism = permits
        .then(|| f.need("mechanism"))
        .flatten()
        .and_then(|n| words.need_mechanism(n, faults));
    let borrowed = permits
        .then(|| f.maybe("instrument_of"))
        .flatten()
        .and_then(|n| words.need_mechanism(n, faults));
    let rule = Rule {
        number: RuleId(0),
        id: f.need_text("id").unwrap_or("?").into(),
        effect,
        citation: read::citation(&f).into(),
        at: f.at.clone(),
        source: node.clone(),
        interval: read::interval(&f),
        review: review.unwrap_or(false),
        confidence: confidence.unwrap_or("high"),
        accepted: false,
        observe: f
            .maybe("observe")
            .and_then(|n| n.boolean(faults))
            .unwrap_or(false),
        replaces: permits
            .then(|| f.maybe("replaces"))
            .flatten()
            .and_then(|n| {
                Some(Replaces {
                    id: n.text(faults)?.into(),
                    at: n.at.clone(),
                    rule: RuleId(u16::MAX),
                })
            }),
        operations: f
            .maybe("operations")
            .map_or(0x3f, |n| read::operations(n, faults)),
        flows: f.maybe("flow").map_or(
            if effect == Effect::Localise {
                EVERY_SHAPE
            } else {
                CROSSING
            },
            |n| read_flows(n, faults),
        ),
        origin: places("origin", PlaceExpr::anywhere),
        origin_except: places("origin_except", PlaceExpr::default),
        to: places("to", PlaceExpr::anywhere),
        to_except: places("to_except", PlaceExpr::default),
        of: places("of", PlaceExpr::anywhere),
        when: f
            .maybe("when")
            .and_then(|n| When::read(n, words, faults))
            .unwrap_or_default(),
        unless: (!permits)
            .then(|| f.maybe("unless"))
            .flatten()
            .and_then(|n| Unless::read(n, words, faults))
            .unwrap_or_default(),
        copies: (effect == Effect::Localise)
            .then(|| f.maybe("copies"))
            .flatten()
            .and_then(|n| {
                let table = [
                    ("never", Copies::Never),
                    ("after-primary", Copies::AfterPrimary),
                    ("free", Copies::Free),
                ];
                read::pick(n, "order of copies", &table, faults)
            })
            .unwrap_or_default(),
        mechanism,
        instruments_of: borrowed.or(mechanism),
        requires,
        filing,
        editions: permits
            .then(|| f.maybe("editions"))
            .flatten()
            .map(|n| {
                n.texts(faults)
                    .into_iter()
                    .map(|(t, _)| t.to_owned())
                    .collect()
            })
            .unwrap_or_default(),
        concluded: if permits {
            concluded(&f)
        } else {
            Interval::ALWAYS
        },
        modules: permits
            .then(|| f.maybe("modules"))
            .flatten()
            .and_then(|n| n.list(faults))
            .unwrap_or(&[])
            .iter()
            .filter_map(|n| n.integer_in(1..=4, faults))
            .fold(0, |bits, m| bits | 1 << m),
        duties: texts(&f, "duties"),
    };
    tell_unsure(&rule.id, confidence, review, &f);
    f.finish();
    Some(rule)
}

fn concluded(f: &Fields<'_>) -> Interval {
    let faults = f.faults();
    let day = |key| f.maybe(key).and_then(|n: &Node| n.date(faults));
    let (from, until) = (day("concluded_from"), day("concluded_until"));
    if let (Some(first), Some(last)) = (from, until)
        && last < first
    {
        faults.error_hint(
            f.maybe("concluded_until").map_or(f.at, |n| &n.at),
            format!("no text is concluded until {last} and from {first} on"),
            "`concluded_from` and `concluded_until` are both inclusive",
        );
    }
    Interval { from, until }
}

fn read_flows(node: &Node, faults: &Faults) -> u8 {
    node.texts(faults)
        .into_iter()
        .filter_map(|(text, item)| read::pick_text(text, item, "flow", &SHAPES, faults))
        .fold(0, |set, shape| set | 1 << shape as u8)
}
