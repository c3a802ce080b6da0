//! What is asked: the flow of a request without its person, and the question about it.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use smallvec::SmallVec;

use super::super::{Exchange, Routed, person::Person};
use crate::{
    decide::{Grounds, Party, Query, Subject},
    domain::{CategorySet, Circumstances, Ground, Operation, Place, RegionId},
    respond::Refused,
    settings::Route,
};

/// What is asked, without the person: two requests with equal flows get one judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub route: usize,
    pub operation: Operation,
    pub countries: SmallVec<[Place; 4]>,
    pub categories: CategorySet,
    pub home: RegionId,
    /// The region that is written to, read from or erased at.
    pub region: RegionId,
    pub held_in: SmallVec<[RegionId; 2]>,
    pub purpose: Option<String>,
    pub grounds: SmallVec<[Ground; 1]>,
    pub circumstances: Circumstances,
}

/// What most flows differ in goes in as one word; what only some have, where they have it. What a
/// caller may choose freely is never left out, or it could fill one place of a table.
impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            route,
            operation,
            countries,
            categories,
            home,
            region,
            held_in,
            purpose,
            grounds,
            circumstances,
        } = self;
        let regions = held_in
            .iter()
            .fold(0_u64, |all, r| all << 8 | u64::from(r.0));
        let ends = u64::from(home.0) << 8 | u64::from(region.0);
        state.write_u64((*route as u64) << 24 | (*operation as u64) << 16 | ends);
        state.write_u64(regions);
        categories.hash(state);
        countries.iter().for_each(|c| c.hash(state));
        if let Some(purpose) = purpose {
            purpose.hash(state);
        }
        if !grounds.is_empty() {
            grounds.hash(state);
        }
        if !circumstances.is_empty() {
            circumstances.hash(state);
        }
    }
}

impl Flow {
    pub fn new(routed: &Routed<'_>, person: &Person, region: RegionId) -> Self {
        let mut held_in: SmallVec<[RegionId; 2]> = SmallVec::new();
        if person.pinned {
            // A home that was only claimed holds nothing yet.
            if person.stored {
                held_in.push(person.home);
            }
            held_in.extend_from_slice(&person.held_in);
        }
        let route = &routed.route.settings;
        Self {
            route: routed.index,
            operation: routed.operation,
            countries: SmallVec::from_slice(&person.countries),
            categories: person.categories,
            home: person.home,
            region,
            held_in,
            purpose: routed
                .wishes
                .purpose
                .clone()
                .or_else(|| route.purpose.clone()),
            grounds: match routed.wishes.grounds.is_empty() {
                true => SmallVec::new(),
                false => routed.wishes.grounds.clone(),
            },
            circumstances: routed.wishes.circumstances.or(route.circumstances),
        }
    }

    /// The read that the answer to a write is: what lies in the region is more than what was sent.
    pub fn back(&self, routed: &Routed<'_>) -> Self {
        let all = routed.route.schema.categories_without_body();
        Self {
            categories: self.categories.union(all),
            ..self.to(Operation::Read)
        }
    }

    /// The same with another operation.
    pub fn to(&self, operation: Operation) -> Self {
        Self {
            operation,
            countries: SmallVec::from_slice(&self.countries),
            held_in: SmallVec::from_slice(&self.held_in),
            purpose: self.purpose.clone(),
            grounds: match self.grounds.is_empty() {
                true => SmallVec::new(),
                false => self.grounds.clone(),
            },
            ..*self
        }
    }

    /// What the ledger keeps of the grounds that the caller asserted.
    pub fn reference(&self) -> Option<Arc<str>> {
        let ground = self.grounds.iter().find(|g| g.reference.is_some())?;
        ground.reference.as_deref().map(Arc::from)
    }
}

/// docs/decision.md, 'From a request to a question'.
pub(super) fn question(x: &Exchange<'_>, route: &Route, flow: &Flow) -> Result<Query, Refused> {
    let snapshot = &x.snapshot;
    let mut location = Party::new(snapshot.location, snapshot.location_entity);
    location.role = route.role;
    let at = |region: RegionId| {
        let place = snapshot.regions.get(region).map(|r| r.place);
        place
            .zip(snapshot.region_entity(region))
            .map(|(place, entity)| Party::new(place, entity))
            .ok_or(Refused::Internal(
                "a flow names a region that the snapshot does not have",
            ))
    };
    let (from, to, via) = match flow.operation {
        Operation::Store if flow.region == flow.home => (location, at(flow.region)?, None),
        // A new collection that leaves home, by way of the location.
        Operation::Store | Operation::Replicate | Operation::Relocate => {
            (at(flow.home)?, at(flow.region)?, Some(location))
        }
        Operation::Read => (at(flow.region)?, location, None),
        Operation::Erase | Operation::Disclose => (location, at(flow.region)?, None),
    };
    let subject = Subject {
        countries: flow.countries.iter().copied().collect(),
        ..Subject::default()
    };
    let mut query = Query::new(
        &snapshot.policy,
        x.at(),
        flow.operation,
        subject,
        flow.categories,
        from,
        to,
    );
    query.via = via;
    query.purpose = flow.purpose.as_deref().map(|p| snapshot.checked.purpose(p));
    let mut grounds = Grounds::default();
    for ground in &flow.grounds {
        grounds.insert(ground.kind, ground.occasional);
    }
    query.grounds = grounds;
    query.set_circumstances(flow.circumstances);
    query.held_in = flow
        .held_in
        .iter()
        .filter_map(|r| snapshot.regions.get(*r).map(|r| r.place))
        .collect();
    Ok(query)
}
