//! What is known of one flow under one law, a bit for each answer.
//!
//! Most of what rules ask has few answers: is the record sensitive, who is the person, what does
//! the caller assert? Each such question has one bit per answer, and of a flow one of them is set.
//! A rule keeps the answers with which it does not hold, so the many rules that do not concern a
//! flow cost one AND each. What has too many answers for bits (categories, purposes, counts, days)
//! is looked at rule by rule, and only for the rules that are left.

use crate::domain::{CategorySet, ConsentKind, Protection, Role, SubjectKind, Transaction};

use super::{
    condition::{self, Need, When},
    law::Rule,
    parties::{End, Watched},
};

/// A set of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    said: u64,
    /// What [`Watched`] tells of the parties.
    parties: u64,
}

/// Questions whose answer is yes or no; two bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    Sensitive,
    Person,
    Citizen,
    SameEntity,
    InPlace,
    Direct,
}

// How many answers each other question has; one more where nothing need be said.
const KINDS: u32 = condition::KINDS.len() as u32;
const TRANSACTIONS: u32 = condition::TRANSACTIONS.len() as u32 + 1;
const ROLES: u32 = condition::ROLES.len() as u32 + 1;
const PROTECTIONS: u32 = condition::PROTECTIONS.len() as u32;
const GROUNDS: u32 = condition::GROUNDS.len() as u32;
const CONSENTS: u32 = condition::CONSENTS.len() as u32;

// The first bit of each.
const KIND: u32 = 12;
const TRANSACTION: u32 = KIND + KINDS;
const EXPORTER_ROLE: u32 = TRANSACTION + TRANSACTIONS;
const IMPORTER_ROLE: u32 = EXPORTER_ROLE + ROLES;
const PROTECTION: u32 = IMPORTER_ROLE + ROLES;
/// Set where no such ground is asserted, and where none is for an occasional transfer.
const NO_GROUND: u32 = PROTECTION + PROTECTIONS;
const NO_OCCASIONAL: u32 = NO_GROUND + GROUNDS;
/// Set where there is no consent of that kind.
const NO_CONSENT: u32 = NO_OCCASIONAL + GROUNDS;

const _: () = assert!(
    NO_CONSENT + CONSENTS <= u64::BITS,
    "answers no longer fit a word"
);

/// The answer to what the caller need not say.
const NO_TRANSACTION: u32 = TRANSACTIONS - 1;
const NO_ROLE: u32 = ROLES - 1;

impl Facts {
    fn one(question: u32, answer: u32) -> Self {
        Self {
            said: 1 << (question + answer),
            parties: 0,
        }
    }

    /// The answers whose bits are not in `wanted`, of a question that has `answers`.
    fn all_but(question: u32, answers: u32, wanted: u64) -> Self {
        let others = !wanted & ((1 << answers) - 1);
        Self {
            said: others << question,
            parties: 0,
        }
    }

    pub fn flag(of: Flag, answer: bool) -> Self {
        Self::one(2 * of as u32, u32::from(answer))
    }

    pub fn kind(kind: Option<SubjectKind>) -> Self {
        Self::one(KIND, kind.unwrap_or(SubjectKind::Customer) as u32)
    }

    pub fn transaction(transaction: Option<Transaction>) -> Self {
        let answer = transaction.map_or(NO_TRANSACTION, |t| t as u32);
        Self::one(TRANSACTION, answer)
    }

    pub fn exporter_role(role: Option<Role>) -> Self {
        Self::one(EXPORTER_ROLE, role.map_or(NO_ROLE, |r| r as u32))
    }

    pub fn importer_role(role: Option<Role>) -> Self {
        Self::one(IMPORTER_ROLE, role.map_or(NO_ROLE, |r| r as u32))
    }

    pub fn protection(protection: Protection) -> Self {
        Self::one(PROTECTION, protection as u32)
    }

    /// `any` and `occasional`: bits of the grounds that are asserted.
    pub fn grounds(any: u16, occasional: u16) -> Self {
        let any = Self::all_but(NO_GROUND, GROUNDS, u64::from(any));
        any.and(Self::all_but(NO_OCCASIONAL, GROUNDS, u64::from(occasional)))
    }

    pub fn consents(kinds: impl Iterator<Item = ConsentKind>) -> Self {
        let given = kinds.fold(0, |all, kind| all | 1 << kind as u64);
        Self::all_but(NO_CONSENT, CONSENTS, given)
    }

    pub fn parties(parties: u64) -> Self {
        Self { said: 0, parties }
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            said: self.said | other.said,
            parties: self.parties | other.parties,
        }
    }

    pub fn intersects(self, other: Self) -> bool {
        (self.said & other.said) | (self.parties & other.parties) != 0
    }

    /// The answers with which the condition does not hold, the parties' attributes left out.
    pub fn against(when: &When) -> Self {
        let flags = [
            (Flag::Sensitive, when.sensitive),
            (Flag::Person, when.person),
            (Flag::Citizen, when.citizen),
            (Flag::SameEntity, when.same_entity),
            (Flag::InPlace, when.in_place),
            (Flag::Direct, when.direct),
        ];
        let mut against = Self::default();
        for (flag, wanted) in flags {
            if let Some(wanted) = wanted {
                against = against.and(Self::flag(flag, !wanted));
            }
        }
        if let Some(kinds) = when.subject_kinds {
            against = against.and(Self::all_but(KIND, KINDS, u64::from(kinds)));
        }
        if let Some(wanted) = when.transactions {
            against = against.and(Self::all_but(TRANSACTION, TRANSACTIONS, u64::from(wanted)));
        }
        for (question, role) in [
            (EXPORTER_ROLE, when.exporter_role),
            (IMPORTER_ROLE, when.importer_role),
        ] {
            if let Some(role) = role {
                against = against.and(Self::all_but(question, ROLES, 1 << role as u64));
            }
        }
        against.said |= u64::from(when.transactions_without) << TRANSACTION;
        against
    }

    /// The answers with which a mechanism lacks what it needs; `None`: facts do not tell. Of a
    /// consent they tell only that there is one of its kind.
    fn without(need: Need, watched: &mut Watched) -> Option<Self> {
        let of = |attribute| [attribute].into_iter().collect();
        Some(match need {
            Need::Instrument | Need::Assessment(_) => return None,
            Need::Consent { kind, .. } => Self::one(NO_CONSENT, kind as u32),
            Need::Ground { kind, occasional } => {
                let question = if occasional { NO_OCCASIONAL } else { NO_GROUND };
                Self::one(question, kind as u32)
            }
            Need::Exporter(one) => watched.has_none(End::Exporter, of(one))?,
            Need::Importer(one) => watched.has_none(End::Importer, of(one))?,
            Need::Protection(one) => Self::all_but(PROTECTION, PROTECTIONS, 1 << one as u64),
            Need::Transaction(one) => Self::all_but(TRANSACTION, TRANSACTIONS, 1 << one as u64),
        })
    }
}

/// How one rule in force is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// The answers with which the rule does not hold, or, for a permit, lacks something.
    pub against: Facts,
    pub left: Left,
    /// A permit that no fact is against lacks nothing.
    pub met: bool,
    /// Index in [`super::law::Law::rules`].
    pub index: u8,
}

/// What of a rule's condition facts do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// Its categories.
    Categories,
    /// [`When::asks_more`].
    Lists,
    /// The law asks about more sets of attributes than there are bits.
    All,
}

impl Left {
    fn of(when: &When) -> Self {
        let mut others = when.clone();
        others.categories = None;
        others.without = CategorySet::EMPTY;
        match (when.asks_more(), others.asks_more()) {
            (false, _) => Self::Nothing,
            (true, false) => Self::Categories,
            (true, true) => Self::Lists,
        }
    }
}

impl Test {
    pub fn of(rule: &Rule, index: u8, watched: &mut Watched) -> Self {
        let when = &rule.when;
        let mut test = Self {
            against: Facts::against(when),
            left: Left::of(when),
            met: true,
            index,
        };
        for (end, any_of, none_of) in [
            (End::Exporter, when.exporter, when.exporter_without),
            (End::Importer, when.importer, when.importer_without),
            (End::Any, when.parties, Default::default()),
        ] {
            let wanted = (!any_of.is_empty()).then(|| watched.has_none(end, any_of));
            let unwanted = (!none_of.is_empty()).then(|| watched.has_some(end, none_of));
            for facts in [wanted, unwanted].into_iter().flatten() {
                match facts {
                    Some(facts) => test.against = test.against.and(facts),
                    None => test.left = Left::All,
                }
            }
        }
        for any in &rule.requires {
            let against = match any.as_slice() {
                [need] => Facts::without(*need, watched),
                _ => None,
            };
            test.against = test.against.and(against.unwrap_or_default());
            let consent = matches!(any.as_slice(), [Need::Consent { .. }]);
            test.met &= against.is_some() && !consent;
        }
        test
    }
}
