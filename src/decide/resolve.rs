//! From the question in JSON to ids: every name must be known, every required fact there.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{self, TimeZone},
};
use smallvec::SmallVec;

use crate::{
    document::suggest,
    domain::{CategorySet, Consent, PartyEnd, Place, Question, SpecialGround},
    policy::{Checked, Compiled, EntityId, PurposeId},
};

use super::query::{ConsentTo, Grounds, Party, Query, QueryConsent, QueryOrder, Subject};

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
    #[error("`{0}` holds a control character: write plain text")]
    ControlCharacter(&'static str),
    #[error("`special_ground` is a letter of GDPR Art. 9(2), a to j")]
    SpecialGround,
    #[error("`{what}` has {found} entries; {most} are allowed")]
    TooMany {
        what: &'static str,
        found: usize,
        most: usize,
    },
}

/// More of anything in one question is an attack, not a flow.
const MOST: usize = 1000;

/// Nobody has lived as long: a larger age is a mistake.
const OLDEST: u16 = 150;

impl Compiled {
    /// Resolves the names of a question.
    pub fn resolve(&self, q: &Question) -> Result<Query, QuestionFault> {
        let policy = self.checked().as_ref();
        bounded("categories", q.categories.len())?;
        bounded("subject.countries", q.subject.countries.len())?;
        bounded("subject.citizenships", q.subject.citizenships.len())?;
        bounded("subject.consents", q.subject.consents.len())?;
        bounded("grounds", q.grounds.len())?;
        bounded("held_in", q.held_in.len())?;
        if q.categories.is_empty() {
            return Err(QuestionFault::NoCategories);
        }
        texts_are_plain(q)?;
        let mut categories = CategorySet::EMPTY;
        for key in &q.categories {
            categories.insert(policy.category(key).ok_or_else(|| {
                let known = policy.categories_all().map(|(_, k)| k);
                unknown("category", key, known)
            })?);
        }
        let subject = self.resolve_subject(q)?;
        let to = Party {
            place: q.to.country,
            entity: entity(policy, q.to.entity.as_deref())?,
            role: q.to.role,
        };
        let from = party(policy, &q.from)?;
        let mut query = Query::new(self, q.at, q.operation, subject, categories, from, to);
        query.instructs_exporter = q.to.instructs_exporter;
        query.via = q.via.as_ref().map(|p| party(policy, p)).transpose()?;
        query.purpose = q.purpose.as_deref().map(|p| policy.purpose(p));
        query.recipient = match &q.recipient {
            Some(id) => Some(policy.recipient(id).ok_or_else(|| {
                let known = policy.organisation.recipients.iter();
                unknown("recipient", id, known.map(|r| r.id.as_ref()))
            })?),
            None => None,
        };
        let mut grounds = Grounds::default();
        for ground in &q.grounds {
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
        query.held_in = q.held_in.iter().copied().collect();
        for (key, count) in &q.counts {
            let counter = policy.vocabulary.counter(key).ok_or_else(|| {
                let known = policy.vocabulary.counters.iter();
                unknown("counter", key, known.map(|c| c.key.as_ref()))
            })?;
            query.counts.push((counter, *count));
        }
        if let Some(letter) = &q.special_ground {
            let ground = SpecialGround::parse(letter).ok_or(QuestionFault::SpecialGround)?;
            query.special_ground = Some(ground);
        }
        if let Some(origin) = &q.origin {
            entity(policy, origin.entity.as_deref())?;
            if let Some(id) = &origin.instrument
                && !policy.instruments().any(|(_, i)| *i.id == **id)
            {
                let known = policy.instruments().map(|(_, i)| i.id.as_ref());
                return Err(unknown("instrument", id, known));
            }
        }
        Ok(query)
    }

    fn resolve_subject(&self, q: &Question) -> Result<Subject, QuestionFault> {
        let facts = &q.subject;
        let nobody = facts.countries.is_empty()
            && facts.citizenships.is_empty()
            && facts.collected_in.is_none();
        if nobody {
            return Err(QuestionFault::NobodysLaw);
        }
        let places = facts
            .countries
            .iter()
            .chain(&facts.citizenships)
            .chain(&facts.collected_in);
        if let Some(place) = places.into_iter().find(|p| p.country().is_none()) {
            return Err(QuestionFault::NotACountry(*place));
        }
        if facts.age.is_some() && facts.born.is_some() {
            return Err(QuestionFault::AgeTwice);
        }
        if facts.age.is_some_and(|age| age > OLDEST) {
            return Err(QuestionFault::TooOld);
        }
        if facts.born.is_some_and(|born| !possible_birth(born, q.at)) {
            return Err(QuestionFault::BornOutOfTime);
        }
        let consents: Result<SmallVec<[QueryConsent; 1]>, _> = facts
            .consents
            .iter()
            .map(|c| consent(self.checked(), c, q.purpose.as_deref()))
            .collect();
        Ok(Subject {
            countries: facts.countries.iter().copied().collect(),
            citizenships: facts.citizenships.iter().copied().collect(),
            collected_in: facts.collected_in,
            age: facts.age,
            born: facts.born,
            kind: facts.kind,
            consents: consents?,
        })
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
fn texts_are_plain(q: &Question) -> Result<(), QuestionFault> {
    let consents = q.subject.consents.iter();
    let purposes = consents.map(|c| ("subject.consents.purpose", c.purpose.as_deref()));
    let grounds = q.grounds.iter();
    let references = grounds.map(|g| ("grounds.reference", g.reference.as_deref()));
    let order = q.order.iter().flat_map(|o| {
        let reference = ("order.reference", o.reference.as_deref());
        [reference, ("order.approval", o.approval.as_deref())]
    });
    let own = ("purpose", q.purpose.as_deref());
    let mut all = purposes.chain(references).chain(order).chain([own]);
    match all.find(|(_, text)| {
        let control = |t: &str| t.chars().any(char::is_control);
        text.is_some_and(control)
    }) {
        Some((what, _)) => Err(QuestionFault::ControlCharacter(what)),
        None => Ok(()),
    }
}

fn consent(
    policy: &Checked,
    consent: &Consent,
    own_purpose: Option<&str>,
) -> Result<QueryConsent, QuestionFault> {
    bounded("subject.consents.to", consent.to.len())?;
    let to: Result<SmallVec<[ConsentTo; 1]>, QuestionFault> = consent
        .to
        .iter()
        .map(|text| match text.parse::<Place>() {
            Ok(place) => Ok(ConsentTo::Place(place)),
            Err(_) => match policy.recipient(text) {
                Some(recipient) => Ok(ConsentTo::Recipient(recipient)),
                None => {
                    let known = policy.organisation.recipients.iter();
                    let known = known.map(|r| r.id.as_ref());
                    Err(unknown("country or recipient", text, known))
                }
            },
        })
        .collect();
    Ok(QueryConsent {
        kind: consent.kind,
        by: consent.by,
        purpose: consent
            .purpose
            .as_deref()
            .map(|p| policy.consent_purpose(p, own_purpose)),
        to: to?,
        given: consent.given,
        withdrawn: consent.withdrawn,
        occasional: consent.occasional,
        informed: consent.informed,
    })
}

impl Checked {
    /// The id of a consent's purpose, so that it equals the flow's own exactly when the words do,
    /// also where no file names either.
    pub fn consent_purpose(&self, purpose: &str, flows: Option<&str>) -> PurposeId {
        match self.purpose(purpose) {
            PurposeId::OTHER if flows != Some(purpose) => PurposeId::ANOTHER,
            id => id,
        }
    }
}

fn party(policy: &Checked, end: &PartyEnd) -> Result<Party, QuestionFault> {
    Ok(Party {
        place: end.country,
        entity: entity(policy, end.entity.as_deref())?,
        role: end.role,
    })
}

fn entity(policy: &Checked, id: Option<&str>) -> Result<Option<EntityId>, QuestionFault> {
    let Some(id) = id else {
        return Ok(None);
    };
    let found = policy.entity(id);
    let known = || policy.entities().map(|(_, e)| e.id.as_ref());
    found
        .map(Some)
        .ok_or_else(|| unknown("entity", id, known()))
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
        // A control character could rewrite the terminal that shows the message.
        name: name
            .chars()
            .take(80)
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
        hint,
    }
}

fn bounded(what: &'static str, found: usize) -> Result<(), QuestionFault> {
    if found <= MOST {
        return Ok(());
    }
    Err(QuestionFault::TooMany {
        what,
        found,
        most: MOST,
    })
}
