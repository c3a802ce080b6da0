//! The question in its resolved form: ids and bit sets instead of names.

use jiff::{Timestamp, civil::Date};
use smallvec::SmallVec;

use crate::{
    domain::{
        Basis, CategorySet, Circumstances, ConsentKind, Giver, GroundKind, Operation, Place,
        Protection, Role, SpecialGround, SubjectKind, Transaction,
    },
    policy::{Compiled, CounterId, EntityId, Facts, PurposeId, RecipientId},
};

/// One flow to be decided. Built from a [`crate::domain::Question`] by [`Compiled::resolve`], or
/// by the router itself with [`Query::new`] and the public fields.
#[derive(Clone, Debug)]
pub struct Query {
    pub at: Timestamp,
    pub operation: Operation,
    pub subject: Subject,
    pub from: Party,
    pub to: Party,
    /// Clauses of module 4: the importer is the controller that instructs the exporter.
    pub instructs_exporter: bool,
    /// The router's location, where the flow does not start there: its law attaches as an
    /// exporter's does.
    pub via: Option<Party>,
    pub recipient: Option<RecipientId>,
    pub purpose: Option<PurposeId>,
    pub grounds: Grounds,
    pub order: Option<QueryOrder>,
    pub transaction: Option<Transaction>,
    pub protection: Protection,
    pub basis: Option<Basis>,
    /// Recorded; no law asks it yet.
    pub special_ground: Option<SpecialGround>,
    /// Where copies lie already.
    pub held_in: SmallVec<[Place; 2]>,
    /// Distinct people so far, this one excluded; an absent counter is unknown.
    pub counts: SmallVec<[(CounterId, u64); 4]>,
    categories: CategorySet,
    possible: CategorySet,
}

/// Whom the record is about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub countries: SmallVec<[Place; 2]>,
    pub citizenships: SmallVec<[Place; 1]>,
    pub collected_in: Option<Place>,
    pub age: Option<u16>,
    pub born: Option<Date>,
    pub kind: Option<SubjectKind>,
    pub consents: SmallVec<[QueryConsent; 1]>,
}

impl Subject {
    /// Full years on `day`, if anything is known of them; 0 before birth.
    pub(super) fn age_on(&self, day: Date) -> Option<u16> {
        self.born.map(|born| age_on(born, day)).or(self.age)
    }
}

/// Full years from birth to `day`; 0 for a birth in the future.
fn age_on(born: Date, day: Date) -> u16 {
    let had_birthday = (day.month(), day.day()) >= (born.month(), born.day());
    let years = i32::from(day.year()) - i32::from(born.year()) - i32::from(!had_birthday);
    u16::try_from(years).unwrap_or(0)
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    pub place: Place,
    /// `None` at the start of a flow: the person hands the data over.
    pub entity: Option<EntityId>,
    /// `None`: the instrument's, else the entity's own.
    pub role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOrder {
    /// The authority that demands the data sits here.
    pub authority: Place,
    /// The competent authority at home has approved.
    pub approved: bool,
}

#[derive(Clone, Debug)]
pub struct QueryConsent {
    pub kind: ConsentKind,
    pub by: Giver,
    /// `None`: any purpose.
    pub purpose: Option<PurposeId>,
    /// Empty: any destination.
    pub to: SmallVec<[ConsentTo; 1]>,
    pub given: Option<Date>,
    /// From this day on it counts no more.
    pub withdrawn: Option<Date>,
    pub occasional: bool,
    pub informed: bool,
}

impl QueryConsent {
    /// Whether it counts on `day`, for the flow's purpose and destination. A parent speaks for a
    /// child, not for somebody known to be of an age of which no law asks any more (`grown_up`).
    pub(super) fn stands(&self, query: &Query, day: Date, grown_up: u16) -> bool {
        let age = || query.subject.age_on(day);
        let own = self.by == Giver::Person || age().is_none_or(|a| a < grown_up);
        let in_time = self.given.is_none_or(|d| d <= day) && self.withdrawn.is_none_or(|d| day < d);
        let purpose = self.purpose.is_none() || self.purpose == query.purpose;
        let to = self.to.is_empty()
            || self.to.iter().any(|t| match t {
                ConsentTo::Place(place) => query.to.place.within(place),
                ConsentTo::Recipient(recipient) => query.recipient == Some(*recipient),
            });
        own && in_time && purpose && to
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentTo {
    Place(Place),
    Recipient(RecipientId),
}

/// Necessities that a trusted caller asserts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    any: u16,
    occasional: u16,
}

impl Grounds {
    pub fn insert(&mut self, kind: GroundKind, occasional: bool) {
        let bit = 1 << kind as u16;
        self.any |= bit;
        if occasional {
            self.occasional |= bit;
        }
    }

    pub fn contains(self, kind: GroundKind, occasional: bool) -> bool {
        let set = if occasional {
            self.occasional
        } else {
            self.any
        };
        set & (1 << kind as u16) != 0
    }

    pub fn is_empty(self) -> bool {
        self.any == 0
    }

    pub(super) fn intersects(self, bits: u16) -> bool {
        self.any & bits != 0
    }

    pub(super) fn facts(self) -> Facts {
        Facts::grounds(self.any, self.occasional)
    }
}

impl Query {
    /// A flow about which nothing else is known: no purpose, ground, consent or count, and
    /// unprotected. Without categories it is one of anything personal: what nobody said is not
    /// permitted by saying nothing.
    pub fn new(
        policy: &Compiled,
        at: Timestamp,
        operation: Operation,
        subject: Subject,
        categories: CategorySet,
        from: Party,
        to: Party,
    ) -> Self {
        let categories = match categories.is_empty() {
            true => policy.personal,
            false => categories,
        };
        Self {
            at,
            operation,
            subject,
            from,
            to,
            instructs_exporter: false,
            via: None,
            recipient: None,
            purpose: None,
            grounds: Grounds::default(),
            order: None,
            transaction: None,
            protection: Protection::Clear,
            basis: None,
            special_ground: None,
            held_in: SmallVec::new(),
            counts: SmallVec::new(),
            categories,
            possible: policy.possible(categories),
        }
    }

    pub fn circumstances(&self) -> Circumstances {
        Circumstances {
            subject_kind: self.subject.kind,
            basis: self.basis,
            transaction: self.transaction,
            special_ground: self.special_ground,
        }
    }

    pub fn set_circumstances(&mut self, said: Circumstances) {
        self.subject.kind = said.subject_kind;
        self.basis = said.basis;
        self.transaction = said.transaction;
        self.special_ground = said.special_ground;
    }

    /// What the record holds; empty when nothing in it is personal.
    pub fn categories(&self) -> CategorySet {
        self.categories
    }

    /// The categories and all that may stand below them.
    pub fn possible(&self) -> CategorySet {
        self.possible
    }

    pub fn set_categories(&mut self, policy: &Compiled, categories: CategorySet) {
        self.categories = categories;
        self.possible = policy.possible(categories);
    }
}

impl Party {
    pub fn new(place: Place, entity: EntityId) -> Self {
        Self {
            place,
            entity: Some(entity),
            role: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_turn_on_birthdays() {
        let day = |d: &str| -> Date { d.parse().unwrap() };
        assert_eq!(age_on(day("2012-11-21"), day("2026-11-20")), 13);
        assert_eq!(age_on(day("2012-11-21"), day("2026-11-21")), 14);
        assert_eq!(age_on(day("2012-02-29"), day("2026-02-28")), 13);
        assert_eq!(age_on(day("2030-01-01"), day("2026-01-01")), 0);
    }
}
