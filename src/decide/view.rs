//! One flow as one law sees it: where its ends lie, who exports, who the person is to that law.

use std::num::NonZeroU64;

use jiff::civil::Date;

use crate::{
    domain::{CategorySet, ConsentKind, Giver, Place, Role},
    policy::{
        ActiveRule, AttributeSet, Compiled, Counted, CounterId, Facts, Flag, Law, LawId, LawTable,
        PlaceSet, Rule, RuleId, RuleMask, Shape, Unless, day_in,
    },
};

use super::{
    flow::{Flow, part_of},
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
    pub person: bool,
    pub exporter: AttributeSet,
    pub importer: AttributeSet,
    /// Age, where it is known, on the law's day.
    pub age: Option<u16>,
    pub sensitive: bool,
    pub origin_place: Place,
    pub to_place: Place,
    pub facts: Facts,
    /// The rules whose places must be looked at one by one.
    pub in_doubt: RuleMask,
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
        Self::of(policy, id, &Flow::of(policy, query), link)
    }

    // In the one loop that asks for it: as a call, the view is moved as a whole.
    #[inline(always)]
    pub(super) fn of(policy: &'a Compiled, id: LawId, flow: &Flow<'a>, link: Link) -> Option<Self> {
        let law = policy.checked().law(id)?;
        let table = policy.laws.get(id.index())?;
        let query = flow.query;
        let start = match &flow.via {
            Some(via) if link.by_via => via,
            _ => &flow.from,
        };
        let origin = start.party;
        let (from, to) = (table.party(origin.entity), table.party(query.to.entity));
        let mut origin_place = start.place;
        let mut to_place = query.to.place;
        if from.outside {
            let place = seat(policy, origin);
            origin_place = part_of(policy, origin.entity, place);
        }
        if to.outside {
            to_place = seat(policy, &query.to);
        }
        let origin_inside = start.inside.contains(id) && !from.outside;
        let to_inside = flow.to_inside.contains(id) && !to.outside;
        let shape = match (origin_inside, to_inside) {
            (true, true) if origin_place.country() == to_place.country() => Shape::Domestic,
            (true, true) => Shape::Within,
            (false, true) => Shape::Inbound,
            (true, false) => Shape::Outbound,
            (false, false) => Shape::Foreign,
        };
        let unsure_place = to_place.country().is_none() || origin_place.country().is_none();
        let mut any = to.as_any;
        if any != 0 {
            let others = std::iter::once(&query.from).chain(&query.via);
            others.for_each(|party| any &= table.party(party.entity).as_any);
        }
        let mut view = Self {
            policy,
            law,
            table,
            query,
            origin,
            shape,
            person: link.person,
            exporter: from.has,
            importer: to.has,
            age: None,
            sensitive: false,
            origin_place,
            to_place,
            facts: flow.facts.and(start.facts),
            in_doubt: if unsure_place {
                RuleMask::MAX
            } else {
                table.exact
            },
        };
        view.age = query.subject.age_on(view.day());
        let young = view.age.is_some_and(|a| a < table.sensitive_below);
        view.sensitive = young || query.possible().intersects(table.sensitive);
        view.facts = (view.facts)
            .and(Facts::parties(from.as_exporter | to.as_importer | any))
            .and(Facts::flag(Flag::Sensitive, view.sensitive))
            .and(Facts::flag(Flag::Person, link.person))
            .and(Facts::flag(Flag::Citizen, link.citizen));
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
        let mask = self.may_concern();
        bits(mask & self.in_doubt)
            .filter(|i| !self.concerns(*i))
            .fold(mask, |m, i| m & !(1 << i))
    }

    /// The same before those that are in doubt were looked at.
    pub fn may_concern(&self) -> RuleMask {
        let at = |table: &[RuleMask], place: Place| {
            place.country().map_or(RuleMask::MAX, |c| {
                table.get(c.index()).copied().unwrap_or(0)
            })
        };
        let by = |table: &[RuleMask], index: usize| table.get(index).copied().unwrap_or(0);
        (self.table.to_anywhere | at(&self.table.by_to, self.to_place))
            & (self.table.from_anywhere | at(&self.table.by_origin, self.origin_place))
            & by(&self.table.by_operation, self.query.operation as usize)
            & by(&self.table.by_flow, self.shape as usize)
    }

    /// Whether the places of the rule with this index in the table are this flow's.
    pub fn concerns(&self, rule: usize) -> bool {
        let rule = self.table.rules.get(rule);
        rule.is_some_and(|r| r.to.contains(self.to_place) && self.starts_under(r))
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

    /// Whether an exception lifts a prohibition.
    pub fn lifted(&self, unless: &Unless) -> bool {
        self.lifted_by_claim(unless) || self.lifted_by_files(unless)
    }

    /// By a ground that is asserted, or a consent.
    pub fn lifted_by_claim(&self, unless: &Unless) -> bool {
        self.query.grounds.intersects(unless.grounds)
            || (unless.consents != 0
                && self.query.subject.consents.iter().any(|c| {
                    unless.consents & (1 << c.kind as u8) != 0
                        && (c.by == Giver::Parent || !unless.by_parent)
                        && self.stands(c)
                }))
    }

    /// By what the policy files say of the exporter, or an instrument of theirs.
    pub fn lifted_by_files(&self, unless: &Unless) -> bool {
        unless.exporter.intersects(self.exporter)
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

    /// Whether a copy lies in the territory already.
    pub fn held_at_home(&self) -> bool {
        let held = &self.query.held_in;
        held.iter().any(|p| self.table.territory.contains(*p))
    }

    pub fn to_inside(&self) -> bool {
        matches!(self.shape, Shape::Domestic | Shape::Within | Shape::Inbound)
    }

    /// Whether a consent counts today, for this purpose and this destination. Whom the law takes for a
    /// child consents to nothing by itself (GDPR Art. 8, PIPL Art. 31).
    pub fn stands(&self, consent: &QueryConsent) -> bool {
        consent.stands(self.query, self.day(), self.policy.grown_up())
            && (consent.by == Giver::Parent || self.child().is_none())
    }

    /// The rule by which the law takes the person for a child: known to be below its age.
    pub fn child(&self) -> Option<RuleId> {
        if self.table.children.is_empty() || !self.person {
            return None;
        }
        let age = self.age?;
        let subject = &self.query.subject;
        let lives_under = |of: &PlaceSet| {
            let mut places = subject.countries.iter().chain(subject.collected_in.iter());
            let nowhere = subject.countries.is_empty() && subject.collected_in.is_none();
            nowhere || places.any(|p| self.table.territory.contains(*p) && of.contains(*p))
        };
        let mut children = self.table.children.iter();
        let young = children.find(|(_, below, of)| age < *below && lives_under(of));
        young.map(|(rule, _, _)| *rule)
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

/// A party's role: the question's, else the entity's own.
pub(super) fn role(policy: &Compiled, party: &Party) -> Option<Role> {
    party.role.or_else(|| {
        let entity = policy.checked().entity_info(party.entity?)?;
        entity.role
    })
}

/// Where a party counts as being that is outside the territory wherever its offices stand, as an
/// international organisation is.
fn seat(policy: &Compiled, party: &Party) -> Place {
    let own = party.entity.and_then(|e| policy.checked().entity_info(e));
    let own = own.map(|e| e.place).filter(|p| p.country().is_none());
    own.unwrap_or(party.place)
}

/// The indexes of the bits that are set, ascending.
pub(crate) fn bits(mask: RuleMask) -> impl Iterator<Item = usize> {
    // A word at a time: counts and shifts over 128 bits take several instructions each.
    #[expect(clippy::cast_possible_truncation, reason = "each half is a word")]
    let (mut word, mut above, mut first) = (mask as u64, (mask >> 64) as u64, 0);
    std::iter::from_fn(move || {
        if word == 0 {
            (word, above, first) = (above, 0, 64);
        }
        let next = NonZeroU64::new(word)?.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        Some(first + next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_ascend() {
        assert_eq!(
            bits(1 << 127 | 1 << 64 | 1).collect::<Vec<_>>(),
            [0, 64, 127]
        );
        assert_eq!(bits(0).count(), 0);
    }
}
