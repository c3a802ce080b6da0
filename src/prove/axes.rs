//! The values worth asking about, axis by axis: one for each manner in which a law on a day could
//! tell values apart, with the number of raw values each stands for.

use std::sync::Arc;

use crate::{
    domain::{Basis, CategorySet, Place, Protection, SpecialGround, SubjectKind, Transaction},
    policy::{AttributeSet, Compiled, Need},
};

use super::{
    asked::asked,
    ends,
    facts::Fact,
    records::Records,
    stated::{by_parent, consents, consents_of, grounds_of, order, protects, purposes},
    ways::{AxisKind, Ways},
};

pub struct AxisFacts {
    pub kind: AxisKind,
    pub facts: Vec<Fact>,
    pub weights: Vec<u64>,
    /// Of the ends: destinations that the law cannot tell apart.
    pub alike: Vec<Vec<Place>>,
}

/// What a question tells apart that the laws may not: so that a property about payment data has
/// payment data to look at even where no rule speaks of it.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub categories: Vec<CategorySet>,
    pub ages: Vec<u16>,
    pub counts: Vec<(Arc<str>, u64)>,
    pub attributes: AttributeSet,
    pub places: Vec<Place>,
    pub order: bool,
    /// Entities are told apart by where they sit, too.
    pub entity_places: bool,
    /// Only flows to this place.
    pub only_to: Option<Place>,
    /// Only records that hold just this.
    pub record: Option<Vec<Arc<str>>>,
}

impl Extra {
    /// What either tells apart.
    pub fn and(mut self, other: Self) -> Self {
        self.categories.extend(other.categories);
        self.ages.extend(other.ages);
        for count in other.counts {
            if !self.counts.contains(&count) {
                self.counts.push(count);
            }
        }
        self.attributes = self.attributes.union(other.attributes);
        self.places.extend(other.places);
        self.order |= other.order;
        self
    }
}

impl AxisFacts {
    pub fn plain(kind: AxisKind, facts: Vec<Fact>) -> Self {
        let weights = vec![1; facts.len()];
        Self {
            kind,
            facts,
            weights,
            alike: Vec::new(),
        }
    }
}

/// The axes for one law on one day, in one policy or in two that are compared. `policies` are all
/// policies in which names must be known, `sides` the law in those that have it.
pub fn axes<'a>(
    policies: &[&Compiled],
    sides: &[&'a Ways<'a>],
    extra: &Extra,
) -> (Vec<AxisFacts>, Records<'a>) {
    let mut all = vec![asked(sides), ends::ends(policies, sides, extra)];
    let whens = || sides.iter().flat_map(|w| rules(w)).map(|r| &r.when);
    let mut one = |kind, asked: bool, facts: Vec<Fact>| {
        let keep = if asked { facts.len() } else { 1 };
        all.push(AxisFacts::plain(
            kind,
            facts.into_iter().take(keep).collect(),
        ));
    };
    let orders = extra.order || whens().any(|w| w.unapproved_order.is_some());
    one(AxisKind::Order, orders, order(sides));
    let bases = [
        Basis::Consent,
        Basis::Contract,
        Basis::LegalObligation,
        Basis::VitalInterest,
        Basis::PublicTask,
        Basis::LegitimateInterests,
    ];
    let asks = whens().any(|w| w.basis.is_some());
    one(AxisKind::Basis, asks, optional(bases, Fact::Basis));
    let letters = SpecialGround::WORDS.map(|(_, letter)| letter);
    let asks = whens().any(|w| w.special_grounds.is_some());
    one(AxisKind::Special, asks, optional(letters, Fact::Special));
    let transactions = [
        Transaction::Brokerage,
        Transaction::Vendor,
        Transaction::Employment,
        Transaction::Investment,
        Transaction::CorporateGroup,
        Transaction::Other,
    ];
    let needed = |n: &Need| matches!(n, Need::Transaction(_));
    let asks = whens().any(|w| w.transactions.is_some() || w.transactions_without != 0)
        || sides
            .iter()
            .flat_map(|w| rules(w))
            .any(|r| r.requires.iter().flatten().any(needed));
    let facts = optional(transactions, Fact::Transaction);
    one(AxisKind::Transaction, asks, facts);
    for kind in consents_of(sides) {
        one(
            AxisKind::Consent(kind),
            true,
            consents(kind, by_parent(sides, kind)),
        );
    }
    let kinds = [
        SubjectKind::Customer,
        SubjectKind::Employee,
        SubjectKind::Other,
    ];
    let asks = whens().any(|w| w.subject_kinds.is_some());
    one(AxisKind::Kind, asks, optional(kinds, Fact::Kind));
    one(AxisKind::Purpose, true, purposes(sides));
    let protections = [
        Protection::Clear,
        Protection::Pseudonymised,
        Protection::EncryptedExporterKeys,
        Protection::TransitOnly,
    ];
    let facts = protections.into_iter().map(Fact::Protection).collect();
    one(AxisKind::Protection, protects(sides), facts);
    for kind in grounds_of(sides) {
        let said = [None, Some(false), Some(true)];
        let facts = said.into_iter().map(|s| Fact::Ground(kind, s)).collect();
        one(AxisKind::Ground(kind), true, facts);
    }
    let records = Records::new(policies, sides, extra);
    all.push(records.axis());
    (all, records)
}

/// The rules in force, with those of their ways.
pub fn rules<'a>(ways: &'a Ways<'_>) -> impl Iterator<Item = &'a crate::policy::Rule> {
    let active = ways.table.rules.iter();
    active.filter_map(|a| ways.law.rules.get(usize::from(a.index)))
}

pub fn optional<T>(values: impl IntoIterator<Item = T>, fact: fn(Option<T>) -> Fact) -> Vec<Fact> {
    let said = values.into_iter().map(Some);
    std::iter::once(None).chain(said).map(fact).collect()
}
