//! What a decision must know of this one person: consents, and whether it may be a child. Nothing,
//! for most; their judgements can be remembered for everybody.

use jiff::civil::Date;

use super::{Exchange, person::Person};
use crate::{
    classify::Age,
    decide::{ConsentTo, Query, QueryConsent},
    domain::{Consent, Giver},
    respond::Refused,
};

#[derive(Debug, Default)]
pub struct Personal {
    /// Those that are not withdrawn.
    consents: Vec<Consent>,
    /// Known only where it may decide: a grown-up is decided on like anybody, unless a parent's
    /// consent stands in the register, which is nobody's then.
    age: Age,
}

impl Personal {
    /// Looks into the register of consents, if the person may stand in it.
    pub fn of(x: &Exchange<'_>, person: &Person) -> Result<Self, Refused> {
        let register = &x.worker.shared.consents;
        let consents = if register.may_have(&person.key) {
            let all = register
                .of(&person.key)
                .map_err(|e| Refused::Directory(e.to_string()))?;
            all.iter().filter_map(|c| c.standing()).collect()
        } else {
            Vec::new()
        };
        let mut age = Age::default();
        if !person.age.is_unknown() {
            let day = x.at().to_zoned(jiff::tz::TimeZone::UTC).date();
            let youngest = youngest(person.age, day);
            let by_parent = consents.iter().any(|c: &Consent| c.by == Giver::Parent);
            if by_parent || youngest.may_be_below(x.snapshot.policy.grown_up(), day) {
                age = youngest;
            }
        }
        Ok(Self { consents, age })
    }

    pub fn is_empty(&self) -> bool {
        self.consents.is_empty() && self.age.is_unknown()
    }

    /// Something is known of the person's age, who may count in another class of people.
    pub fn has_age(&self) -> bool {
        !self.age.is_unknown()
    }

    /// Tells the question of it; `purpose` is the flow's own.
    pub fn tell(&self, x: &Exchange<'_>, purpose: Option<&str>, query: &mut Query) {
        let consents = self.consents.iter();
        query.subject.consents = consents.filter_map(|c| resolve(x, c, purpose)).collect();
        query.subject.age = self.age.years;
        query.subject.born = self.age.born;
    }
}

/// The fact that makes the person youngest.
fn youngest(age: Age, day: Date) -> Age {
    let years = Age {
        born: None,
        years: age.years,
    };
    let born = Age {
        years: None,
        born: age.born,
    };
    // The decision takes one of the two; at equal ages the day of birth knows more.
    let older = |limit: u16| !born.may_be_below(limit, day);
    let younger_by_years = age
        .years
        .is_some_and(|y| age.born.is_none() || older(y.saturating_add(1)));
    if younger_by_years { years } else { born }
}

/// `None` when a destination that the consent names is not known any more, and no other is left:
/// it must not become a consent to any destination.
fn resolve(x: &Exchange<'_>, consent: &Consent, purpose: Option<&str>) -> Option<QueryConsent> {
    let policy = &x.snapshot.checked;
    let to: smallvec::SmallVec<[ConsentTo; 1]> = consent
        .to
        .iter()
        .filter_map(|text| match text.parse() {
            Ok(place) => Some(ConsentTo::Place(place)),
            Err(_) => policy.recipient(text).map(ConsentTo::Recipient),
        })
        .collect();
    if to.is_empty() && !consent.to.is_empty() {
        return None;
    }
    Some(QueryConsent {
        kind: consent.kind,
        by: consent.by,
        purpose: consent
            .purpose
            .as_deref()
            .map(|p| policy.consent_purpose(p, purpose)),
        to,
        given: consent.given,
        withdrawn: consent.withdrawn,
        occasional: consent.occasional,
        informed: consent.informed,
    })
}
