//! From the question in JSON to ids: every name must be known, every required fact there.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{self, TimeZone},
};
use smallvec::SmallVec;

use crate::{
    document::{escaped, suggest},
    domain::{CategorySet, Consent, PartyEnd, Place, Question, SpecialGround, same_purpose},
    policy::{Checked, Compiled, EntityId, PurposeId},
};

use super::query::{ConsentTo, Grounds, Party, Query, QueryConsent, QueryOrder, Subject};

/// Everything for which a question cannot be put, each at its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct QuestionFaults(Vec<PlacedFault>);

/// A mistake in a question and the JSON pointer (RFC 6901) to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}`: {fault}")]
pub struct PlacedFault {
    pub pointer: String,
    pub fault: QuestionFault,
}

/// Why a question cannot be put. The text goes to the caller; it holds names from the question,
/// which are names of the policy's making, and no facts about the person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionFault {
    #[error("unknown {what} `{name}`{hint}")]
    Unknown {
        what: &'static str,
        name: String,
        /// ` (did you mean …?)`, or empty.
        hint: String,
    },
    #[error("`subject.countries` may be empty only where `citizenships` or `collected_in` stands")]
    NobodysLaw,
    #[error("`{0}`: people live in countries, not in international organisations")]
    NotACountry(Place),
    #[error("`subject.age` and `subject.born` say the same thing: give one of them")]
    AgeTwice,
    #[error(
        "`categories` is empty: name what the record holds, `user` when unknown, `system.operations` when nothing in it is personal"
    )]
    NoCategories,
    #[error("`subject.age` is above {OLDEST}: give full years, or leave it out when unknown")]
    TooOld,
    #[error("`subject.born` lies after `at`, or more than {OLDEST} years before it")]
    BornOutOfTime,
    #[error("a control character stands in it: write plain text")]
    ControlCharacter,
    #[error("`special_ground` is a letter of GDPR Art. 9(2), a to j")]
    SpecialGround,
    #[error("{found} entries; {most} are allowed")]
    TooMany { found: usize, most: usize },
}

/// More of anything in one question is an attack, not a flow.
const MOST: usize = 1000;

/// Nobody has lived as long: a larger age is a mistake.
const OLDEST: u16 = 150;

impl QuestionFaults {
    pub fn iter(&self) -> impl Iterator<Item = &PlacedFault> {
        self.0.iter()
    }

    fn summary(&self) -> String {
        let each: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        each.join("; ")
    }
}

/// Collects faults while a question is read; each place is a list of steps.
struct Told(Vec<PlacedFault>);

impl Told {
    fn tell(&mut self, pointer: String, fault: QuestionFault) {
        // Names of counters stand in it.
        let pointer = printable(&pointer, 200);
        self.0.push(PlacedFault { pointer, fault });
    }

    /// Whether a list is short enough to be looked at.
    fn bounded(&mut self, pointer: &str, found: usize) -> bool {
        if found > MOST {
            self.tell(
                pointer.to_owned(),
                QuestionFault::TooMany { found, most: MOST },
            );
        }
        found <= MOST
    }

    fn plain(&mut self, pointer: &str, text: Option<&str>) {
        if text.is_some_and(|t| t.chars().any(char::is_control)) {
            self.tell(pointer.to_owned(), QuestionFault::ControlCharacter);
        }
    }

    fn entity(&mut self, policy: &Checked, end: &str, id: Option<&str>) -> Option<EntityId> {
        let id = id?;
        let found = policy.entity(id);
        if found.is_none() {
            let known = policy.entities().map(|(_, e)| e.id.as_ref());
            self.tell(format!("/{end}/entity"), unknown("entity", id, known));
        }
        found
    }

    fn party(&mut self, policy: &Checked, name: &str, end: &PartyEnd) -> Party {
        Party {
            place: end.country,
            entity: self.entity(policy, name, end.entity.as_deref()),
            role: end.role,
        }
    }
}

impl Compiled {
    /// Resolves the names of a question.
    ///
    /// # Errors
    /// Every name that is not known, and every value that makes no sense, at its place.
    pub fn resolve(&self, q: &Question) -> Result<Query, QuestionFaults> {
        let policy = self.checked().as_ref();
        let mut told = Told(Vec::new());
        let mut categories = CategorySet::EMPTY;
        if q.categories.is_empty() {
            told.tell("/categories".to_owned(), QuestionFault::NoCategories);
        }
        if told.bounded("/categories", q.categories.len()) {
            for (i, key) in q.categories.iter().enumerate() {
                match policy.category(key) {
                    Some(id) => categories.insert(id),
                    None => {
                        let known = policy.categories_all().map(|(_, k)| k);
                        let fault = unknown("category", key, known);
                        told.tell(format!("/categories/{i}"), fault);
                    }
                }
            }
        }
        let subject = self.resolve_subject(q, &mut told);
        let from = told.party(policy, "from", &q.from);
        let to = Party {
            place: q.to.country,
            entity: told.entity(policy, "to", q.to.entity.as_deref()),
            role: q.to.role,
        };
        let mut query = Query::new(self, q.at, q.operation, subject, categories, from, to);
        query.instructs_exporter = q.to.instructs_exporter;
        query.via = q.via.as_ref().map(|p| told.party(policy, "via", p));
        query.purpose = q.purpose.as_deref().map(|p| policy.purpose(p));
        if let Some(id) = &q.recipient {
            query.recipient = policy.recipient(id);
            if query.recipient.is_none() {
                let known = policy.organisation.recipients.iter();
                let fault = unknown("recipient", id, known.map(|r| r.id.as_ref()));
                told.tell("/recipient".to_owned(), fault);
            }
        }
        let mut grounds = Grounds::default();
        told.bounded("/grounds", q.grounds.len());
        for ground in q.grounds.iter().take(MOST) {
            grounds.insert(ground.kind, ground.occasional);
        }
        query.grounds = grounds;
        query.order = q.order.as_ref().map(|o| QueryOrder {
            authority: o.authority_country,
            approved: o.approval.as_ref().is_some_and(|a| !a.trim().is_empty()),
        });
        query.transaction = q.transaction;
        query.protection = q.protection.unwrap_or_default();
        query.basis = q.basis;
        told.bounded("/held_in", q.held_in.len());
        query.held_in = q.held_in.iter().take(MOST).copied().collect();
        for (key, count) in &q.counts {
            match policy.vocabulary.counter(key) {
                Some(counter) => query.counts.push((counter, *count)),
                None => {
                    let known = policy.vocabulary.counters.iter();
                    let fault = unknown("counter", key, known.map(|c| c.key.as_ref()));
                    told.tell(format!("/counts/{}", escaped(key)), fault);
                }
            }
        }
        if let Some(letter) = &q.special_ground {
            query.special_ground = SpecialGround::parse(letter);
            if query.special_ground.is_none() {
                let pointer = "/special_ground".to_owned();
                told.tell(pointer, QuestionFault::SpecialGround);
            }
        }
        if let Some(origin) = &q.origin {
            told.entity(policy, "origin", origin.entity.as_deref());
            if let Some(id) = &origin.instrument
                && !policy.instruments().any(|(_, i)| *i.id == **id)
            {
                let known = policy.instruments().map(|(_, i)| i.id.as_ref());
                let fault = unknown("instrument", id, known);
                told.tell("/origin/instrument".to_owned(), fault);
            }
        }
        texts_are_plain(q, &mut told);
        match told.0.is_empty() {
            true => Ok(query),
            false => Err(QuestionFaults(told.0)),
        }
    }

    fn resolve_subject(&self, q: &Question, told: &mut Told) -> Subject {
        let facts = &q.subject;
        let nobody = facts.countries.is_empty()
            && facts.citizenships.is_empty()
            && facts.collected_in.is_none();
        if nobody {
            told.tell("/subject/countries".to_owned(), QuestionFault::NobodysLaw);
        }
        for (name, list) in [
            ("countries", &facts.countries),
            ("citizenships", &facts.citizenships),
        ] {
            let pointer = format!("/subject/{name}");
            if told.bounded(&pointer, list.len()) {
                for (i, place) in list.iter().enumerate() {
                    if place.country().is_none() {
                        let fault = QuestionFault::NotACountry(*place);
                        told.tell(format!("{pointer}/{i}"), fault);
                    }
                }
            }
        }
        if let Some(place) = facts.collected_in
            && place.country().is_none()
        {
            let fault = QuestionFault::NotACountry(place);
            told.tell("/subject/collected_in".to_owned(), fault);
        }
        if facts.age.is_some() && facts.born.is_some() {
            told.tell("/subject/born".to_owned(), QuestionFault::AgeTwice);
        }
        if facts.age.is_some_and(|age| age > OLDEST) {
            told.tell("/subject/age".to_owned(), QuestionFault::TooOld);
        }
        if facts.born.is_some_and(|born| !possible_birth(born, q.at)) {
            told.tell("/subject/born".to_owned(), QuestionFault::BornOutOfTime);
        }
        let mut consents: SmallVec<[QueryConsent; 1]> = SmallVec::new();
        if told.bounded("/subject/consents", facts.consents.len()) {
            for (i, one) in facts.consents.iter().enumerate() {
                consents.push(consent(self.checked(), one, i, q.purpose.as_deref(), told));
            }
        }
        Subject {
            countries: facts.countries.iter().take(MOST).copied().collect(),
            citizenships: facts.citizenships.iter().take(MOST).copied().collect(),
            collected_in: facts.collected_in,
            age: facts.age,
            born: facts.born,
            kind: facts.kind,
            consents,
        }
    }
}

/// Whether somebody born on this day can live at `at`: by the calendar of the place where the day
/// begins first.
fn possible_birth(born: Date, at: Timestamp) -> bool {
    let day = at.to_zoned(TimeZone::fixed(tz::offset(14))).date();
    let years = i32::from(day.year()) - i32::from(born.year());
    born <= day && years <= i32::from(OLDEST)
}

/// Free words and references: what goes into ledgers, logs and reports. Ids need no look here,
/// since they must be known.
fn texts_are_plain(q: &Question, told: &mut Told) {
    told.plain("/purpose", q.purpose.as_deref());
    for (i, consent) in q.subject.consents.iter().take(MOST).enumerate() {
        let pointer = format!("/subject/consents/{i}/purpose");
        told.plain(&pointer, consent.purpose.as_deref());
    }
    for (i, ground) in q.grounds.iter().take(MOST).enumerate() {
        told.plain(
            &format!("/grounds/{i}/reference"),
            ground.reference.as_deref(),
        );
    }
    if let Some(order) = &q.order {
        told.plain("/order/reference", order.reference.as_deref());
        told.plain("/order/approval", order.approval.as_deref());
    }
}

fn consent(
    policy: &Checked,
    consent: &Consent,
    index: usize,
    own_purpose: Option<&str>,
    told: &mut Told,
) -> QueryConsent {
    let mut to: SmallVec<[ConsentTo; 1]> = SmallVec::new();
    let pointer = format!("/subject/consents/{index}/to");
    if told.bounded(&pointer, consent.to.len()) {
        for (i, text) in consent.to.iter().enumerate() {
            if let Ok(place) = text.parse::<Place>() {
                to.push(ConsentTo::Place(place));
            } else if let Some(recipient) = policy.recipient(text) {
                to.push(ConsentTo::Recipient(recipient));
            } else {
                let known = policy.organisation.recipients.iter();
                let known = known.map(|r| r.id.as_ref());
                let fault = unknown("country or recipient", text, known);
                told.tell(format!("{pointer}/{i}"), fault);
            }
        }
    }
    QueryConsent {
        kind: consent.kind,
        by: consent.by,
        purpose: consent
            .purpose
            .as_deref()
            .map(|p| policy.consent_purpose(p, own_purpose)),
        to,
        given: consent.given,
        withdrawn: consent.withdrawn,
        occasional: consent.occasional,
        informed: consent.informed,
    }
}

impl Checked {
    /// The id of a consent's purpose, so that it equals the flow's own exactly when the words do,
    /// also where no file names either.
    pub fn consent_purpose(&self, purpose: &str, flows: Option<&str>) -> PurposeId {
        match self.purpose(purpose) {
            PurposeId::OTHER if !flows.is_some_and(|f| same_purpose(f, purpose)) => {
                PurposeId::ANOTHER
            }
            id => id,
        }
    }
}

fn unknown<'a>(
    what: &'static str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> QuestionFault {
    let hint = suggest(name, known)
        .map(|h| format!(" ({h})"))
        .unwrap_or_default();
    QuestionFault::Unknown {
        what,
        name: printable(name, 80),
        hint,
    }
}

/// A control character could rewrite the terminal that shows the message.
fn printable(text: &str, most: usize) -> String {
    let shown = text.chars().take(most);
    shown
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
