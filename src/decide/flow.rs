//! One flow as all laws see it alike, and which of them govern it: worked out once per question.

use smallvec::SmallVec;

use crate::{
    domain::{Country, Place},
    policy::{Compiled, EntityId, Facts, Flag, LawId, LawSet},
};

use super::{
    query::{Party, Query},
    view::{self, Link, View, role},
};

/// What does not hang on the law that looks.
pub(crate) struct Flow<'a> {
    pub query: &'a Query,
    pub from: Start<'a>,
    pub via: Option<Start<'a>>,
    /// The laws in whose territory it ends.
    pub to_inside: LawSet,
    pub facts: Facts,
}

/// Where a flow starts, for the laws to which that is the start.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub party: &'a Party,
    /// As finely as it is known.
    pub place: Place,
    /// The laws in whose territory it lies.
    pub inside: LawSet,
    pub facts: Facts,
}

impl<'a> Flow<'a> {
    #[inline(always)]
    pub fn of(policy: &Compiled, query: &'a Query) -> Self {
        let consents = query.subject.consents.iter().map(|c| c.kind);
        let facts = Facts::kind(query.subject.kind)
            .and(Facts::transaction(query.transaction))
            .and(Facts::protection(query.protection))
            .and(query.grounds.facts())
            .and(Facts::consents(consents))
            .and(Facts::importer_role(role(policy, &query.to)));
        let start = |party| Start::of(policy, query, party);
        Self {
            query,
            from: start(&query.from),
            via: query.via.as_ref().map(start),
            to_inside: policy.inside(query.to.place),
            facts,
        }
    }
}

impl<'a> Start<'a> {
    fn of(policy: &Compiled, query: &Query, party: &'a Party) -> Self {
        let same_entity = party.entity.is_some() && party.entity == query.to.entity;
        let in_place = same_entity && party.place == query.to.place;
        Self {
            party,
            place: part_of(policy, party.entity, party.place),
            inside: policy.inside(party.place),
            facts: Facts::exporter_role(role(policy, party))
                .and(Facts::flag(Flag::SameEntity, same_entity))
                .and(Facts::flag(Flag::InPlace, in_place))
                .and(Facts::flag(Flag::Direct, party.entity.is_none())),
        }
    }
}

/// Where the flow starts, as finely as is known: an entity of Texas that the question only places
/// in its country answers to Texan law all the same.
pub(super) fn part_of(policy: &Compiled, entity: Option<EntityId>, place: Place) -> Place {
    let own = entity.and_then(|e| policy.checked().entity_info(e));
    own.map(|e| e.place)
        .filter(|own| own.within(&place))
        .unwrap_or(place)
}

/// The laws that govern a flow, and by what.
pub(crate) struct Attached<'a> {
    flow: Flow<'a>,
    pub laws: LawSet,
    pub person: LawSet,
    pub citizen: LawSet,
    pub exporter: LawSet,
    via: LawSet,
    pub without_law: SmallVec<[Country; 1]>,
}

impl<'a> Attached<'a> {
    pub fn of(policy: &Compiled, query: &'a Query) -> Self {
        let subject = &query.subject;
        let mut person = LawSet::EMPTY;
        let mut citizen = LawSet::EMPTY;
        let mut without_law: SmallVec<[Country; 1]> = SmallVec::new();
        people(query).for_each(|country| {
            let laws = policy.of_country(country);
            person = person.union(laws.person);
            if subject.citizenships.is_empty() {
                citizen = citizen.union(laws.citizen);
            }
            if laws.territory.is_empty() && !without_law.contains(&country) {
                without_law.push(country);
            }
        });
        for place in &subject.citizenships {
            if let Some(country) = place.country() {
                citizen = citizen.union(policy.of_country(country).citizen);
            }
        }
        if without_law.len() > 1 {
            without_law.sort_unstable();
        }
        let lifts = query
            .from
            .entity
            .and_then(|e| policy.entity_lifts.get(e.index()))
            .copied()
            .unwrap_or_default();
        person = person.without(lifts);
        let governs = |party: &Party| match party.entity {
            Some(entity) => policy.entity_laws.get(entity.index()).copied(),
            None => None,
        };
        let of_place = |party: &Party| party.place.country().map(|c| policy.of_country(c));
        let lies_in = of_place(&query.from).map(|laws| laws.place);
        let exporter = governs(&query.from).unwrap_or_default();
        let exporter = exporter.union(lies_in.unwrap_or_default());
        let via = query.via.as_ref().map(|party| {
            let at_place = of_place(party).map(|laws| laws.exporter);
            governs(party).or(at_place).unwrap_or_default()
        });
        let via = via.unwrap_or_default();
        Self {
            flow: Flow::of(policy, query),
            laws: person.union(citizen).union(exporter).union(via),
            person,
            citizen,
            exporter,
            via,
            without_law,
        }
    }

    #[inline(always)]
    pub fn view(&self, policy: &'a Compiled, id: LawId) -> Option<View<'a>> {
        let link = Link {
            person: self.person.contains(id),
            citizen: self.citizen.contains(id),
            by_via: self.via.contains(id) && !self.exporter.contains(id),
        };
        View::of(policy, id, &self.flow, link)
    }

    /// Whether the flow ends in the territory of a law that attaches by the person.
    pub fn ends_at_home(&self) -> bool {
        let own = self.person.union(self.citizen);
        own.intersects(self.flow.to_inside)
    }
}

/// The countries whose people the record is about: where the person lives and was; where neither
/// is known, the citizenships.
pub(super) fn people(query: &Query) -> impl Iterator<Item = Country> + '_ {
    view::people(query).filter_map(Place::country)
}
