//! What the organisation has signed, filed and assessed.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use smallvec::SmallVec;

use crate::{
    document::{Faults, Fields, Node, Value, Where},
    domain::{CategorySet, Protection, Role},
};

use super::{
    Checked,
    condition::{PROTECTIONS, ROLES},
    law::{Effect, Rule},
    organisation::{Entities, need_entities},
    places::PlaceExpr,
    read,
    sets::{EntityId, Interval, MechanismId, PurposeId},
    start_of,
    vocabulary::Words,
};

/// The signed thing that makes a mechanism usable.
#[derive(Debug)]
pub struct Instrument {
    pub id: Arc<str>,
    pub at: Where,
    /// As it stands in its file, for the places of its keys.
    pub source: Node,
    pub mechanism: MechanismId,
    pub edition: Option<String>,
    pub exporters: SmallVec<[EntityId; 2]>,
    pub importers: SmallVec<[EntityId; 2]>,
    /// Roles in the flows under this instrument, where they differ from the entities' own.
    pub exporter_role: Option<Role>,
    pub importer_role: Option<Role>,
    pub countries: PlaceExpr,
    pub module: Option<u8>,
    pub categories: CategorySet,
    pub purposes: Option<Vec<PurposeId>>,
    pub concluded: Option<Date>,
    pub valid: Interval,
    pub filed_with: Option<String>,
    /// Changes of state in the order of their days.
    pub filed: Vec<(Date, Filing)>,
    pub people: Option<u64>,
    pub assessment: Option<Assessment>,
    pub document: Option<Document>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    Filed,
    /// The waiting term is over.
    TermRun,
    Approved,
    Limited,
    Prohibited,
}

#[derive(Clone, Debug)]
pub struct Document {
    pub sha256: Option<String>,
    pub copy: Option<String>,
}

#[derive(Debug)]
pub struct Assessment {
    pub id: Arc<str>,
    pub at: Where,
    /// As it stands in its file, for the places of its keys.
    pub source: Node,
    pub kind: AssessmentKind,
    /// From its day to the last day before it must be looked at again.
    pub valid: Interval,
    pub outcome: AssessmentOutcome,
    /// For those that stand without an instrument; empty in one.
    pub exporters: SmallVec<[EntityId; 2]>,
    pub importers: Option<SmallVec<[EntityId; 2]>>,
    pub countries: PlaceExpr,
    pub categories: CategorySet,
    pub purposes: Option<Vec<PurposeId>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssessmentKind {
    Pipia,
    Tia,
    ComparableLaw,
    Balancing,
}

impl AssessmentKind {
    pub const TABLE: [(&str, Self); 4] = [
        ("pipia", Self::Pipia),
        ("tia", Self::Tia),
        ("comparable-law", Self::ComparableLaw),
        ("balancing", Self::Balancing),
    ];

    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .into_iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssessmentOutcome {
    Effective,
    /// Effective for flows under this protection.
    WithMeasures(Protection),
    NotEffective,
}

impl AssessmentOutcome {
    pub fn allows(self, protection: Protection) -> bool {
        match self {
            Self::Effective => true,
            Self::WithMeasures(measures) => measures == protection,
            Self::NotEffective => false,
        }
    }
}

/// What of a flow an instrument or an assessment covers.
fn categories(f: &Fields<'_>, words: &Words<'_>) -> CategorySet {
    f.maybe("categories").map_or_else(
        || words.ids().collect(),
        |n| read::categories(n, words, f.faults()),
    )
}

fn purposes(f: &Fields<'_>, words: &Words<'_>) -> Option<Vec<PurposeId>> {
    f.maybe("purposes")
        .map(|n| read::purposes(n, words, f.faults()))
}

impl Instrument {
    pub fn read(
        node: &Node,
        words: &Words<'_>,
        entities: &Entities,
        faults: &Faults,
    ) -> Option<Self> {
        let f = node.fields(faults)?;
        let id: Arc<str> = f.need_text("id").unwrap_or("?").into();
        let mechanism = f
            .need("mechanism")
            .and_then(|n| words.need_mechanism(n, faults));
        let exporters = need_entities(&f, "exporter", entities);
        let importers = need_entities(&f, "importer", entities);
        let role = |key| {
            f.maybe(key)
                .and_then(|n| read::pick(n, "role", &ROLES, faults))
        };
        let countries = f.maybe("countries").map_or_else(
            || PlaceExpr {
                places: importers
                    .iter()
                    .filter_map(|e| Some(entities.get(*e)?.place))
                    .collect(),
                ..PlaceExpr::default()
            },
            |n| read::places(n, words, faults),
        );
        let valid = f.need("valid").and_then(|n| {
            let v = n.fields(faults)?;
            let interval = read::interval(&v);
            v.finish();
            Some(interval)
        });
        let people = f.maybe("limits").and_then(|n| {
            let l = n.fields(faults)?;
            let people = l
                .need("people")
                .and_then(|n| n.integer_in(0..=i64::MAX, faults));
            l.finish();
            people.and_then(|p| u64::try_from(p).ok())
        });
        let (filed_with, filed) = read_filed(&f);
        let concluded = f.maybe("concluded").and_then(|n| n.date(faults));
        let instrument = Self {
            at: f.at.clone(),
            source: node.clone(),
            edition: f.maybe_text("edition").map(str::to_owned).or_else(|| {
                let m = words.mechanisms.get(mechanism?.index())?;
                m.default_edition.clone()
            }),
            exporters,
            importers,
            exporter_role: role("exporter_role"),
            importer_role: role("importer_role"),
            countries,
            module: f
                .maybe("module")
                .and_then(|n| n.integer_in(1..=4, faults))
                .and_then(|m| u8::try_from(m).ok()),
            categories: categories(&f, words),
            purposes: purposes(&f, words),
            concluded,
            valid: in_force(node, &id, concluded, valid.unwrap_or_default(), faults),
            filed_with,
            filed,
            people,
            assessment: f
                .maybe("assessment")
                .and_then(|n| Assessment::read_inner(n, words, faults)),
            document: f.maybe("document").and_then(|n| read_document(n, faults)),
            mechanism: mechanism.unwrap_or(MechanismId(u8::MAX)),
            id,
        };
        f.finish();
        mechanism.map(|_| instrument)
    }

    /// When its last day ends, or the last one before its assessment must be looked at again, without
    /// which most laws let nothing lean on it: in the first of the laws that take its mechanism in which
    /// that day is over.
    pub fn ends_at(&self, policy: &Checked) -> Option<Timestamp> {
        let review = self.assessment.as_ref().and_then(|a| a.valid.until);
        let last = self.valid.until.into_iter().chain(review).min()?;
        let next = last.tomorrow().ok()?;
        let takes = |rule: &Rule| {
            let permits = rule.effect == Effect::Permit;
            let takes = if permits {
                rule.instruments_of
            } else {
                rule.unless.instrument
            };
            takes == Some(self.mechanism)
        };
        let laws = policy.laws().map(|(_, law)| law);
        let laws = laws.filter(|law| law.rules.iter().any(takes));
        let first = laws.filter_map(|law| start_of(next, &law.timezone)).min();
        first.or_else(|| start_of(next, &TimeZone::UTC))
    }

    /// What people may learn of it (GDPR Art. 13(1)(f), 15(2)): parties, what it covers, dates, where a
    /// copy is.
    pub fn register_entry(&self, policy: &Checked) -> serde_json::Value {
        let names = |ids: &[EntityId]| -> Vec<String> {
            ids.iter()
                .map(|e| policy.entity_id(*e).to_owned())
                .collect()
        };
        let assessment = self.assessment.as_ref();
        serde_json::json!({
            "id": self.id,
            "mechanism": policy.mechanism(self.mechanism).map(|m| m.key.to_string()),
            "edition": self.edition,
            "module": self.module,
            "exporter": names(&self.exporters),
            "importer": names(&self.importers),
            "countries": self.countries.names(&policy.vocabulary.groups.names),
            "categories": policy.topmost(self.categories),
            "purposes": self.purposes.as_ref().map(|all| {
                all.iter().filter_map(|p| policy.purposes.get(p.index())).collect::<Vec<_>>()
            }),
            "concluded": self.concluded,
            "from": self.valid.from,
            "until": self.valid.until,
            "assessment": assessment.map(|a| a.id.to_string()),
            "review_by": assessment.and_then(|a| a.valid.until),
            "document_sha256": self.document.as_ref().and_then(|d| d.sha256.clone()),
            "copy": self.document.as_ref().and_then(|d| d.copy.clone()),
        })
    }

    /// The day on which the text was agreed, as far as the file tells.
    pub fn agreed(&self) -> Option<Date> {
        self.concluded.or(self.valid.from)
    }
}

/// The days of an instrument, none of which is before the day on which it was concluded.
///
/// Law: what nobody has signed yet binds nobody, and is no safeguard (GDPR Art. 46(2)(c): clauses
/// *between* the parties).
fn in_force(
    node: &Node,
    id: &str,
    concluded: Option<Date>,
    valid: Interval,
    faults: &Faults,
) -> Interval {
    let Some(day) = concluded else {
        return valid;
    };
    let hint = "what is not signed binds nobody, so it permits nothing before: let `valid` begin on the day on which the last party signed, or later; a text before it is an instrument of its own";
    let at = node.place("concluded");
    if let Some(until) = valid.until.filter(|until| *until < day) {
        let message =
            format!("instrument `{id}` ends on {until}, and was concluded on {day}, after that");
        let other = (node.place("valid.until"), "the last day");
        faults.error_between(at, message, other, hint);
    } else if let Some(from) = valid.from.filter(|from| *from < day) {
        let message = format!(
            "instrument `{id}` is in force from {from} on, and was concluded on {day}, after that"
        );
        let other = (node.place("valid.from"), "in force from here on");
        faults.warning_between(at, message, other, hint);
    }
    Interval {
        from: valid.from.max(Some(day)),
        until: valid.until,
    }
}

fn read_filed(f: &Fields<'_>) -> (Option<String>, Vec<(Date, Filing)>) {
    let faults = f.faults();
    let Some(node) = f.maybe("filed") else {
        return (None, Vec::new());
    };
    let one = std::slice::from_ref(node);
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => one,
    };
    let mut with = None;
    let mut changes: Vec<(Date, Filing)> = Vec::new();
    let mut places: Vec<Where> = Vec::new();
    for item in items {
        let Some(g) = item.fields(faults) else {
            continue;
        };
        with = g.maybe_text("with").map(str::to_owned).or(with);
        let date = g.need("date").and_then(|n| n.date(faults));
        let table = [
            ("filed", Filing::Filed),
            ("term-run", Filing::TermRun),
            ("approved", Filing::Approved),
            ("limited", Filing::Limited),
            ("prohibited", Filing::Prohibited),
        ];
        let state = g
            .need("state")
            .and_then(|n| read::pick(n, "state of filing", &table, faults));
        if let Some((day, state)) = date.zip(state) {
            let same = changes.iter().zip(&places).find(|((d, _), _)| *d == day);
            if let Some(((_, other), first)) = same
                && *other != state
            {
                faults.error_between(
                    &item.at,
                    format!("the filing has two states on {day}"),
                    (first, "the other state"),
                    "give each change the day on which it came",
                );
            }
            changes.push((day, state));
            places.push(item.at.clone());
        }
        g.finish();
    }
    changes.sort_by_key(|(date, _)| *date);
    (with, changes)
}

/// A digest that can be compared with a file's.
fn sha256(node: &Node, faults: &Faults) -> Option<String> {
    let text = node.text(faults)?;
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let hint = "`sha256sum FILE` prints it";
        let message = format!("`{text}` is no SHA-256: expected 64 hexadecimal digits");
        faults.error_hint(&node.at, message, hint);
    }
    Some(text.to_owned())
}

fn read_document(node: &Node, faults: &Faults) -> Option<Document> {
    let f = node.fields(faults)?;
    let document = Document {
        sha256: f.maybe("sha256").and_then(|n| sha256(n, faults)),
        copy: f.maybe_text("copy").map(str::to_owned),
    };
    f.finish();
    Some(document)
}

/// The protection under which an assessment finds flows safe. A flow has one protection, so one that
/// is to have two could never be shown.
fn read_measures(node: &Node, faults: &Faults) -> Option<Protection> {
    let one = std::slice::from_ref(node);
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => one,
    };
    let mut told = Vec::new();
    for item in items {
        told.push(read::pick(item, "protection", &PROTECTIONS, faults));
    }
    match told.as_slice() {
        [one] => *one,
        [] => {
            let hint = "name the protection that flows must have: `\"encrypted-exporter-keys\"`";
            faults.error_hint(&node.at, "`measures` is empty", hint);
            None
        }
        several => {
            let message = format!(
                "{} measures: a flow is asked for one protection",
                several.len()
            );
            let hint = "name the one that the assessment cannot do without; where it needs several at once, say `outcome = \"not-effective\"`, and where each does alone, write an assessment for each";
            faults.error_hint(&node.at, message, hint);
            None
        }
    }
}

impl Assessment {
    /// One that stands on its own, in `[[assessments]]`.
    pub fn read(
        node: &Node,
        words: &Words<'_>,
        entities: &Entities,
        faults: &Faults,
    ) -> Option<Self> {
        let f = node.fields(faults)?;
        let mut assessment = Self::read_common(node, &f, words)?;
        assessment.exporters = need_entities(&f, "exporter", entities);
        assessment.importers = f
            .maybe("importer")
            .map(|_| need_entities(&f, "importer", entities));
        assessment.countries = f
            .maybe("countries")
            .map_or_else(PlaceExpr::anywhere, |n| read::places(n, words, faults));
        assessment.categories = categories(&f, words);
        assessment.purposes = purposes(&f, words);
        f.finish();
        Some(assessment)
    }

    /// One inside an instrument, which says the rest.
    fn read_inner(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Self> {
        let f = node.fields(faults)?;
        let assessment = Self::read_common(node, &f, words);
        f.finish();
        assessment
    }

    fn read_common(node: &Node, f: &Fields<'_>, words: &Words<'_>) -> Option<Self> {
        let faults = f.faults();
        let id = f.need_text("id").unwrap_or("?").into();
        let kind = f
            .need("kind")
            .and_then(|n| read::pick(n, "kind of assessment", &AssessmentKind::TABLE, faults));
        let from = f.need("date").and_then(|n| n.date(faults));
        let review = f.maybe("review_by");
        let until = review.and_then(|n| n.date(faults));
        if let (Some(a), Some(b), Some(node)) = (from, until, review)
            && b < a
        {
            faults.error(
                &node.at,
                format!("the review on {b} is before the assessment on {a}"),
            );
        }
        let measures = f.maybe("measures").and_then(|n| read_measures(n, faults));
        let outcome_node = f.need("outcome")?;
        let outcome = match outcome_node.text(faults)? {
            "effective" => AssessmentOutcome::Effective,
            "not-effective" => AssessmentOutcome::NotEffective,
            "effective-with-measures" => match measures {
                Some(m) => AssessmentOutcome::WithMeasures(m),
                None => {
                    if f.maybe("measures").is_none() {
                        faults.error_hint(
                            &outcome_node.at,
                            "the measures are not named",
                            "add `measures = \"encrypted-exporter-keys\"` or another protection",
                        );
                    }
                    AssessmentOutcome::NotEffective
                }
            },
            other => {
                faults.error_hint(
                    &outcome_node.at,
                    format!("unknown outcome `{other}`"),
                    "one of: effective, effective-with-measures, not-effective",
                );
                AssessmentOutcome::NotEffective
            }
        };
        Some(Self {
            id,
            at: f.at.clone(),
            source: node.clone(),
            kind: kind?,
            valid: Interval {
                from: Some(from?),
                until,
            },
            outcome,
            exporters: SmallVec::new(),
            importers: None,
            countries: PlaceExpr::anywhere(),
            categories: words.ids().collect(),
            purposes: None,
        })
    }
}
