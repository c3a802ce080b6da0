//! One flow as one law sees it: where its ends lie, who exports, who the person is to that law.

use jiff::civil::Date;

use crate::{
    domain::{CategorySet, ConsentKind, Giver, Place, Role},
    policy::{
        ActiveRule, AttributeSet, Compiled, CountTest, Counted, CounterId, Law, LawId, LawTable,
        Rule, RuleMask, Shape, Unless, When, day_in,
    },
};

use super::{
    mechanism::is_covered_by,
    query::{Party, Query, QueryConsent},
};

pub(crate) struct View<'a> {
    pub policy: &'a Compiled,
    pub law: &'a Law,
    pub table: &'a LawTable,
    pub query: &'a Query,
    /// Who exports under this law: the flow's start, or the router's location.
    pub origin: &'a Party,
    pub shape: Shape,
    pub same_entity: bool,
    pub in_place: bool,
    pub direct: bool,
    pub person: bool,
    pub citizen: bool,
    pub exporter: AttributeSet,
    pub importer: AttributeSet,
    /// Age, where it is known, on the law's day.
    pub age: Option<u16>,
    pub sensitive: bool,
    pub origin_place: Place,
    pub to_place: Place,
}

/// How a condition on a flow came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// It hangs on a counter that is not known.
    Unknown(CounterId),
}

/// What attached the law.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub person: bool,
    pub citizen: bool,
    /// Only the router's location attaches it as an exporter's law.
    pub by_via: bool,
}

impl<'a> View<'a> {
    pub fn new(policy: &'a Compiled, id: LawId, query: &'a Query, link: Link) -> Option<Self> {
        let law = policy.checked().law(id)?;
        let table = policy.laws.get(id.index())?;
        let origin = query
            .via
            .as_ref()
            .filter(|_| link.by_via)
            .unwrap_or(&query.from);
        let exporter = table.attributes_of(origin.entity);
        let importer = table.attributes_of(query.to.entity);
        let (origin_place, origin_inside) = place(policy, law, table, origin, exporter);
        let origin_place = part_of(policy, origin, origin_place);
        let (to_place, to_inside) = place(policy, law, table, &query.to, importer);
        let shape = match (origin_inside, to_inside) {
            (true, true) if origin_place.country() == to_place.country() => Shape::Domestic,
            (true, true) => Shape::Within,
            (false, true) => Shape::Inbound,
            (true, false) => Shape::Outbound,
            (false, false) => Shape::Foreign,
        };
        let same_entity = origin.entity.is_some() && origin.entity == query.to.entity;
        let mut view = Self {
            policy,
            law,
            table,
            query,
            origin,
            shape,
            same_entity,
            in_place: same_entity && origin.place == query.to.place,
            direct: origin.entity.is_none(),
            person: link.person,
            citizen: link.citizen,
            exporter,
            importer,
            age: query.subject.age,
            sensitive: false,
            origin_place,
            to_place,
        };
        if let Some(born) = query.subject.born {
            view.age = Some(age_on(born, view.day()));
        }
        let young = view.age.is_some_and(|a| a < table.sensitive_below);
        view.sensitive = young || query.possible().intersects(table.sensitive);
        Some(view)
    }

    /// The law's day at the question's instant.
    pub fn day(&self) -> Date {
        let (start, end) = self.table.today;
        if start <= self.query.at && self.query.at < end {
            self.table.day
        } else {
            day_in(self.query.at, &self.law.timezone)
        }
    }

    /// The rules whose places, operation and kind of flow are this one's.
    pub fn candidates(&self) -> RuleMask {
        let at = |table: &[RuleMask], place: Place| {
            place.country().map_or(RuleMask::MAX, |c| {
                table.get(c.index()).copied().unwrap_or(0)
            })
        };
        let by = |table: &[RuleMask], index: usize| table.get(index).copied().unwrap_or(0);
        let mask = (self.table.to_anywhere | at(&self.table.by_to, self.to_place))
            & (self.table.from_anywhere | at(&self.table.by_origin, self.origin_place))
            & by(&self.table.by_operation, self.query.operation as usize)
            & by(&self.table.by_flow, self.shape as usize);
        let unsure_place =
            self.to_place.country().is_none() || self.origin_place.country().is_none();
        let exact = if unsure_place {
            RuleMask::MAX
        } else {
            self.table.exact
        };
        if mask & exact == 0 {
            return mask;
        }
        bits(mask & exact)
            .filter(|i| {
                !self
                    .table
                    .rules
                    .get(*i)
                    .is_some_and(|r| r.to.contains(self.to_place) && self.starts_under(r))
            })
            .fold(mask, |m, i| m & !(1 << i))
    }

    /// Of `rules`, those that concern this person and this start of the flow, wherever it ends.
    pub fn wherever_it_ends(&self, rules: RuleMask) -> RuleMask {
        bits(rules)
            .filter(|i| {
                let rule = self.table.rules.get(*i);
                !rule.is_some_and(|r| self.starts_under(r))
            })
            .fold(rules, |m, i| m & !(1 << i))
    }

    fn starts_under(&self, rule: &ActiveRule) -> bool {
        rule.origin.contains(self.origin_place)
            && (rule.of.any || people(self.query).any(|p| rule.of.contains(*p)))
    }

    pub fn holds(&self, when: &When) -> Holds {
        let q = self.query;
        let set =
            |wanted: AttributeSet, has: AttributeSet| wanted.is_empty() || wanted.intersects(has);
        let is = |wanted: Option<bool>, fact: bool| wanted.is_none_or(|w| w == fact);
        let kind = q
            .subject
            .kind
            .unwrap_or(crate::domain::SubjectKind::Customer);
        let certain = when.categories.is_none_or(|c| c.intersects(q.possible()))
            && !when.without.intersects(q.possible())
            && is(when.sensitive, self.sensitive)
            && when
                .subject_kinds
                .is_none_or(|k| k & (1 << kind as u8) != 0)
            && when
                .purposes
                .as_ref()
                .is_none_or(|p| q.purpose.is_some_and(|own| p.contains(&own)))
            && !q
                .purpose
                .is_some_and(|p| when.purposes_without.contains(&p))
            && set(when.exporter, self.exporter)
            && !when.exporter_without.intersects(self.exporter)
            && set(when.importer, self.importer)
            && !when.importer_without.intersects(self.importer)
            && (when.parties.is_empty() || when.parties.intersects(self.parties()))
            && when
                .exporter_role
                .is_none_or(|r| self.role(self.origin) == Some(r))
            && when
                .importer_role
                .is_none_or(|r| self.role(&q.to) == Some(r))
            && is(when.person, self.person)
            && is(when.citizen, self.citizen)
            && when
                .collected_abroad
                .is_none_or(|w| w == self.collected_abroad())
            && when
                .unapproved_order
                .is_none_or(|w| w == self.unapproved_order())
            && when
                .basis
                .is_none_or(|b| q.basis.is_some_and(|own| b & (1 << own as u8) != 0))
            && when.special_grounds.is_none_or(|letters| {
                q.special_ground
                    .is_some_and(|own| letters & (1 << own.bit()) != 0)
            })
            && when
                .transactions
                .is_none_or(|t| q.transaction.is_some_and(|own| t & (1 << own as u8) != 0))
            && when
                .below_age
                .is_none_or(|limit| self.age.is_some_and(|a| a < limit))
            && is(when.instructs_exporter, q.instructs_exporter)
            && q.transaction
                .is_none_or(|own| when.transactions_without & (1 << own as u8) == 0)
            && is(when.same_entity, self.same_entity)
            && is(when.in_place, self.in_place)
            && is(when.direct, self.direct);
        if !certain {
            return Holds::No;
        }
        let mut unknown = None;
        for (table, wanted) in [(when.above, true), (when.below, false)] {
            let Some(table) = table else { continue };
            match self.passes(table) {
                Holds::Unknown(counter) => unknown = unknown.or(Some(counter)),
                passed if (passed == Holds::Yes) != wanted => return Holds::No,
                _ => {}
            }
        }
        for alternatives in &when.counts {
            let mut missing = None;
            let met = alternatives
                .iter()
                .any(|test| match self.count(test.counter) {
                    Some(count) => test.holds(count),
                    None => {
                        missing = missing.or(Some(test.counter));
                        false
                    }
                });
            match (met, missing) {
                (true, _) => {}
                (false, Some(counter)) => unknown = unknown.or(Some(counter)),
                (false, None) => return Holds::No,
            }
        }
        unknown.map_or(Holds::Yes, Holds::Unknown)
    }

    /// Whether the record passes a table of thresholds: the lowest number among the counters that
    /// it touches holds for each of them.
    fn passes(&self, table: u8) -> Holds {
        let vocabulary = &self.policy.checked().vocabulary;
        let Some(thresholds) = vocabulary.thresholds.get(usize::from(table)) else {
            return Holds::No;
        };
        let (stated, possible) = (self.query.categories(), self.query.possible());
        let counted = |test: &CountTest| vocabulary.counters.get(test.counter.index());
        let touched = |test: &CountTest| {
            counted(test).is_some_and(|c| c.counted.holds(stated, possible).unwrap_or(true))
        };
        let tests = &thresholds.tests;
        let Some(lowest) = tests.iter().filter(|t| touched(t)).map(|t| t.number).min() else {
            return Holds::No;
        };
        let mut unknown = None;
        for test in tests {
            // What is linked to a touched category is looked at where it is known, and not missed
            // where it is not: its people are among the touched category's own.
            let linked = || counted(test).is_some_and(|c| c.counted.classes(possible) > 0);
            match (touched(test), self.count(test.counter)) {
                (true, None) => unknown = unknown.or(Some(test.counter)),
                (own, Some(count)) if (own || linked()) && test.holds_at(lowest, count) => {
                    return Holds::Yes;
                }
                _ => {}
            }
        }
        unknown.map_or(Holds::No, Holds::Unknown)
    }

    /// Whether an exception lifts a prohibition.
    pub fn lifted(&self, unless: &Unless) -> bool {
        self.query.grounds.intersects(unless.grounds)
            || unless.exporter.intersects(self.exporter)
            || (unless.consents != 0
                && self.query.subject.consents.iter().any(|c| {
                    unless.consents & (1 << c.kind as u8) != 0
                        && (c.by == Giver::Parent || !unless.by_parent)
                        && self.stands(c)
                }))
            || unless
                .instrument
                .is_some_and(|mechanism| is_covered_by(self, mechanism))
    }

    /// Distinct people with this one added; `None`: the counter is not known.
    pub fn count(&self, counter: CounterId) -> Option<u64> {
        let known = self.query.counts.iter().find(|(c, _)| *c == counter)?;
        let adds = self.adds(counter)?;
        Some(known.1.saturating_add(u64::from(adds)))
    }

    /// Whether the flow counts its person in `counter`; `None`: there is no such counter.
    pub fn adds(&self, counter: CounterId) -> Option<bool> {
        let counters = &self.policy.checked().vocabulary.counters;
        Some(match &counters.get(counter.index())?.counted {
            Counted::Sensitive => self.sensitive,
            // Whether one person counts in both classes is not settled: the cautious reading
            // counts them in both when the record holds both.
            Counted::Ordinary => {
                let young = self.age.is_some_and(|a| a < self.table.sensitive_below);
                !young && self.has_ordinary()
            }
            // Such counters count the law's own people: 28 CFR 202.206 speaks of US persons.
            by_category => {
                let holds = by_category.holds(self.query.categories(), self.query.possible());
                self.person && holds.unwrap_or(true)
            }
        })
    }

    fn has_ordinary(&self) -> bool {
        let personal = self.personal();
        !personal.is_subset(self.table.sensitive)
    }

    /// The record's categories that concern a person.
    pub fn personal(&self) -> CategorySet {
        self.query.categories().intersection(self.policy.personal)
    }

    /// A party's role: the question's, else the entity's own.
    pub fn role(&self, party: &Party) -> Option<Role> {
        party.role.or_else(|| {
            let entity = self.policy.checked().entity_info(party.entity?)?;
            entity.role
        })
    }

    fn parties(&self) -> AttributeSet {
        let of = |party: &Party| self.table.attributes_of(party.entity);
        let via = self.query.via.as_ref().map(of).unwrap_or_default();
        of(&self.query.from).union(self.importer).union(via)
    }

    fn collected_abroad(&self) -> bool {
        match self.query.subject.collected_in {
            Some(place) => !self.table.territory.contains(place),
            None => matches!(self.shape, Shape::Inbound | Shape::Foreign),
        }
    }

    fn unapproved_order(&self) -> bool {
        self.query
            .order
            .is_some_and(|order| !order.approved && !self.table.territory.contains(order.authority))
    }

    /// Whether a copy lies in the territory already.
    pub fn held_at_home(&self) -> bool {
        let held = &self.query.held_in;
        held.iter().any(|p| self.table.territory.contains(*p))
    }

    pub fn to_inside(&self) -> bool {
        matches!(self.shape, Shape::Domestic | Shape::Within | Shape::Inbound)
    }

    /// Whether a consent counts today, for this purpose and this destination. A parent speaks for
    /// a child, not for somebody known to be of an age of which no law asks any more.
    pub fn stands(&self, consent: &QueryConsent) -> bool {
        let own =
            consent.by == Giver::Person || self.age.is_none_or(|a| a < self.policy.grown_up());
        own && consent.stands(self.query, self.day())
    }

    /// Whether an unsure rule that nobody has accepted would concern the flow. Only refusals ask,
    /// so nothing is compiled for it.
    pub fn waits_for(&self, rule: &Rule) -> bool {
        let (day, groups) = (self.table.day, &self.policy.checked().vocabulary.groups);
        let of = rule.of.on(day, groups);
        rule.waits(day)
            && rule.operations & (1 << self.query.operation as u8) != 0
            && rule.flows & (1 << self.shape as u8) != 0
            && rule
                .to
                .on_except(&rule.to_except, day, groups)
                .contains(self.to_place)
            && rule
                .origin
                .on_except(&rule.origin_except, day, groups)
                .contains(self.origin_place)
            && (of.any || people(self.query).any(|p| of.contains(*p)))
    }

    pub fn parent_consents(&self) -> bool {
        self.query
            .subject
            .consents
            .iter()
            .any(|c| c.kind == ConsentKind::Parental && c.by == Giver::Parent && self.stands(c))
    }
}

/// The places whose person the record is about: where the person lives and was; where neither is
/// known, the citizenships.
pub(super) fn people(query: &Query) -> impl Iterator<Item = &Place> + '_ {
    let s = &query.subject;
    let nowhere = s.countries.is_empty() && s.collected_in.is_none();
    let citizenships = s.citizenships.iter().filter(move |_| nowhere);
    s.countries
        .iter()
        .chain(s.collected_in.iter())
        .chain(citizenships)
}

/// Where a party counts as being, and whether that is inside the territory. An international
/// organisation is outside wherever its offices stand.
fn place(
    policy: &Compiled,
    law: &Law,
    table: &LawTable,
    party: &Party,
    has: AttributeSet,
) -> (Place, bool) {
    if !has.intersects(law.outside) {
        return (party.place, table.territory.contains(party.place));
    }
    let own = party.entity.and_then(|e| policy.checked().entity_info(e));
    let own = own.map(|e| e.place).filter(|p| p.country().is_none());
    (own.unwrap_or(party.place), false)
}

/// Where the flow starts, as finely as is known: an entity of Texas that the question only places
/// in its country answers to Texan law all the same.
fn part_of(policy: &Compiled, party: &Party, place: Place) -> Place {
    let own = party.entity.and_then(|e| policy.checked().entity_info(e));
    own.map(|e| e.place)
        .filter(|own| own.within(&place))
        .unwrap_or(place)
}

/// Full years from birth to `day`; 0 for a birth in the future.
fn age_on(born: Date, day: Date) -> u16 {
    let had_birthday = (day.month(), day.day()) >= (born.month(), born.day());
    let years = i32::from(day.year()) - i32::from(born.year()) - i32::from(!had_birthday);
    u16::try_from(years).unwrap_or(0)
}

/// The indexes of the bits that are set, ascending.
pub(crate) fn bits(mask: RuleMask) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let next = usize::try_from(rest.trailing_zeros())
            .ok()
            .filter(|n| *n < 128)?;
        rest &= rest - 1;
        Some(next)
    })
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

    #[test]
    fn bits_ascend() {
        assert_eq!(
            bits(1 << 127 | 1 << 64 | 1).collect::<Vec<_>>(),
            [0, 64, 127]
        );
        assert_eq!(bits(0).count(), 0);
    }
}
