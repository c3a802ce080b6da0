//! Where a person's records may live, remembered by country and categories.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    super::{
        Exchange,
        remember::{HomeKey, Homes, REMEMBERED},
    },
    forbidden,
};
use crate::{
    decide::{self, HomeFault, Party, Query, Subject},
    domain::{CategorySet, Circumstances, Operation, Place},
    policy::RuleId,
    respond::{Forbidden, Refused},
};

/// The regions that can be the home of a person of `countries`, best first; never empty.
///
/// `circumstances` are the route's own: a home must not hang on what a caller says this time.
pub fn homes(
    x: &Exchange<'_>,
    place: Place,
    categories: CategorySet,
    countries: &[Place],
    circumstances: Circumstances,
) -> Homes {
    let mut who: SmallVec<[Place; 4]> = SmallVec::from_elem(place, 1);
    who.extend(countries.iter().copied().filter(|c| *c != place));
    let key = (who, categories, circumstances);
    if let Some(remembered) = x.worker.judgements(&x.snapshot)
        && let Some(known) = remembered.homes.get(&key)
    {
        return known.clone();
    }
    let found = find_homes(x, &key);
    if let Some(mut remembered) = x.worker.judgements(&x.snapshot) {
        if remembered.homes.len() >= REMEMBERED {
            remembered.homes.clear();
        }
        remembered.homes.insert(key, found.clone());
    }
    found
}

fn find_homes(x: &Exchange<'_>, (countries, categories, circumstances): &HomeKey) -> Homes {
    let snapshot = &x.snapshot;
    let location = Party::new(snapshot.location, snapshot.location_entity);
    // Only the strongest evidence gives the home; the other laws are asked when it is judged.
    let strongest = countries.first().copied();
    let subject = Subject {
        countries: strongest.into_iter().collect(),
        ..Subject::default()
    };
    let mut query = Query::new(
        &snapshot.policy,
        x.at(),
        Operation::Store,
        subject,
        *categories,
        location,
        location,
    );
    query.set_circumstances(*circumstances);
    match decide::home_candidates(&snapshot.policy, &snapshot.regions, &query) {
        Ok(found) if found.is_empty() => Err(Refused::NoHome(
            "no region of the settings can be the home of a person of this country; name one under [homes]"
                .to_owned(),
        )),
        Ok(found) => Ok(found.into_iter().collect()),
        Err(HomeFault::NoneAllowed) => Err(none_allowed(x, query)),
        Err(fault) => Err(home_refused(x, fault)),
    }
}

fn home_refused(x: &Exchange<'_>, fault: HomeFault) -> Refused {
    let rules: &[RuleId] = match &fault {
        HomeFault::Unknown => return Refused::NoEvidence,
        HomeFault::Conflict { rules } => rules,
        HomeFault::NoRegionOfLaw { rule } => std::slice::from_ref(rule),
        HomeFault::NoneAllowed => &[],
    };
    let rule = rules.first().and_then(|r| x.snapshot.checked.rule(*r));
    Refused::Forbidden(Arc::new(Forbidden {
        rule: rule.map(|r| r.id.to_string()),
        citation: rule.map(|r| r.citation.to_string()),
        detail: fault.to_string(),
        conflict: rules.len() > 1,
        ..Forbidden::default()
    }))
}

/// Why the first of the default homes is none, as any other flow there would be refused.
fn none_allowed(x: &Exchange<'_>, mut query: Query) -> Refused {
    let snapshot = &x.snapshot;
    let fault = HomeFault::NoneAllowed;
    let defaults = snapshot.checked.homes(None).iter();
    let mut named = defaults.filter_map(|name| {
        let id = snapshot.regions.id(name)?;
        let place = snapshot.regions.get(id)?.place;
        Some((name, place, snapshot.region_entity(id)?))
    });
    let Some((name, place, entity)) = named.next() else {
        return home_refused(x, fault);
    };
    query.to = Party::new(place, entity);
    let verdict = decide::decide(&snapshot.policy, &query);
    match forbidden(x, &query, &verdict, Vec::new()) {
        Refused::Forbidden(why) => Refused::Forbidden(Arc::new(Forbidden {
            detail: format!("{fault}; in `{name}`: {}", why.detail),
            ..Forbidden::clone(&why)
        })),
        other => other,
    }
}
