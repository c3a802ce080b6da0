//! Where a person's records live: the region of the law that localises, else of the person's own
//! law, else the organisation's preference as far as law permits it. Never by load.

use smallvec::SmallVec;

use crate::{
    domain::{Country, Operation, RegionId, Regions},
    policy::{Compiled, LawId, PlaceSet, RuleId},
};

use super::{
    evaluate::{decide, rules},
    flow::{Attached, people},
    holds::Holds,
    query::{Party, Query},
    view::View,
};

/// Why a person has no home.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HomeFault {
    #[error("no country of the person is known")]
    Unknown,
    /// 451: each demands its own primary copy.
    #[error("two laws each demand their own primary copy")]
    Conflict { rules: SmallVec<[RuleId; 2]> },
    /// 451: the law demands its primary copy where no region is.
    #[error("no region lies where the law demands the primary copy")]
    NoRegionOfLaw { rule: RuleId },
    /// 451: none of the default regions is permitted.
    #[error("none of the default homes is permitted")]
    NoneAllowed,
}

/// Acceptable homes, the best first.
pub type Homes = SmallVec<[RegionId; 4]>;

/// The home region of the record that `template` describes: a `store` from the router's
/// location, whose `to` does not matter.
pub fn home(policy: &Compiled, regions: &Regions, template: &Query) -> Result<RegionId, HomeFault> {
    let homes = home_candidates(policy, regions, template)?;
    homes.first().copied().ok_or(HomeFault::NoneAllowed)
}

/// Every region that the evidence accepts as home, the best first. A pin that is not among them
/// contradicts the evidence.
pub fn home_candidates(
    policy: &Compiled,
    regions: &Regions,
    template: &Query,
) -> Result<Homes, HomeFault> {
    if people(template).next().is_none() {
        return Err(HomeFault::Unknown);
    }
    let attached = Attached::of(policy, template);
    let demanding = demanding(policy, &attached);
    if !demanding.is_empty() {
        return of_localising(policy, regions, &attached, template, &demanding);
    }
    let mut homes = Homes::new();
    for country in people(template) {
        own_homes(policy, regions, &attached, country, &mut homes);
    }
    if homes.is_empty() {
        homes = default_homes(policy, regions, &attached, template);
    }
    if homes.is_empty() {
        return Err(HomeFault::NoneAllowed);
    }
    Ok(homes)
}

/// The laws that want the primary copy in their territory, each with its rule.
fn demanding(policy: &Compiled, attached: &Attached<'_>) -> SmallVec<[(LawId, RuleId); 2]> {
    let mut all = SmallVec::new();
    for id in attached.laws.iter() {
        let store = policy.laws.get(id.index()).map_or(0, |t| {
            let by = t.by_operation.get(Operation::Store as usize);
            t.localises & by.copied().unwrap_or(0)
        });
        if store == 0 {
            continue;
        }
        let Some(view) = attached.view(policy, id) else {
            continue;
        };
        if let Some(rule) = demand(&view, store) {
            all.push((id, rule));
        }
    }
    all
}

fn demand(view: &View<'_>, store: u128) -> Option<RuleId> {
    rules(view, view.wherever_it_ends(store))
        .find(|(_, r)| view.holds(&r.when) != Holds::No && !view.lifted(&r.unless))
        .map(|(_, r)| r.number)
}

fn of_localising(
    policy: &Compiled,
    regions: &Regions,
    attached: &Attached<'_>,
    template: &Query,
    demanding: &[(LawId, RuleId)],
) -> Result<Homes, HomeFault> {
    let territories = |place| {
        demanding.iter().all(|(id, _)| {
            let table = policy.laws.get(id.index());
            table.is_some_and(|t| t.territory.contains(place))
        })
    };
    let mut preferred = Homes::new();
    for country in people(template) {
        own_homes(policy, regions, attached, country, &mut preferred);
    }
    let every = regions.iter().map(|(id, _)| id);
    let mut homes = Homes::new();
    for id in preferred.into_iter().chain(every) {
        let fits = regions.get(id).is_some_and(|r| territories(r.place));
        if fits && !homes.contains(&id) {
            homes.push(id);
        }
    }
    if !homes.is_empty() {
        return Ok(homes);
    }
    match demanding {
        [(_, rule)] => Err(HomeFault::NoRegionOfLaw { rule: *rule }),
        several => Err(HomeFault::Conflict {
            rules: several.iter().map(|(_, rule)| *rule).collect(),
        }),
    }
}

/// The homes of one country: as `[homes]` says for the country or its law, then the regions
/// inside the law's territory.
fn own_homes(
    policy: &Compiled,
    regions: &Regions,
    attached: &Attached<'_>,
    country: Country,
    homes: &mut Homes,
) {
    let checked = policy.checked();
    let mut add = |id: RegionId| {
        if !homes.contains(&id) {
            homes.push(id);
        }
    };
    let laws = policy.of_country(country).person;
    if laws.is_empty() && attached.without_law.contains(&country) {
        return;
    }
    let keys = std::iter::once(country.as_str()).chain(laws.iter().map(|id| checked.law_id(id)));
    for key in keys {
        let named = checked.homes(Some(key)).iter();
        named.filter_map(|n| regions.id(n)).for_each(&mut add);
    }
    let inside = |set: &PlaceSet| {
        let found = regions.iter().filter(|(_, r)| set.contains(r.place));
        found.map(|(id, _)| id).collect::<Homes>()
    };
    for id in laws.iter() {
        if let Some(table) = policy.laws.get(id.index()) {
            inside(&table.territory).into_iter().for_each(&mut add);
        }
    }
}

/// The default homes to which this very store is permitted. Of a country without a law file, those
/// that `[homes]` names for it stand first; they count only as far as they are defaults too.
fn default_homes(
    policy: &Compiled,
    regions: &Regions,
    attached: &Attached<'_>,
    template: &Query,
) -> Homes {
    let checked = policy.checked();
    let mut query = template.clone();
    query.operation = Operation::Store;
    query.via = None;
    let own = attached.without_law.iter();
    let own = own.flat_map(|country| checked.homes(Some(country.as_str())));
    let mut homes = Homes::new();
    for name in own.chain(checked.homes(None)) {
        let Some(id) = regions.id(name).filter(|id| !homes.contains(id)) else {
            continue;
        };
        let entity = regions
            .get(id)
            .map(|r| (r.place, checked.entity(&r.entity)));
        let Some((place, Some(entity))) = entity else {
            continue;
        };
        query.to = Party::new(place, entity);
        if decide(policy, &query).is_permit() {
            homes.push(id);
        }
    }
    homes
}
