//! The two ends of a flow as one law could tell them apart: places by rules and territory, and by
//! what the papers between the two parties cover. Who the parties are is told in [`parties`].

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::{
    domain::{Country, Place, Role},
    policy::{Compiled, PlaceSet},
};

use super::{
    axes::{AxisFacts, Extra, rules},
    facts::{End, Fact},
    parties::{self, Papers},
    ways::{AxisKind, Ways},
};

/// What the law cannot tell apart.
#[derive(Clone, Debug)]
pub struct Class<T> {
    pub members: Vec<T>,
    pub size: u64,
}

fn classes<T: Clone, K: Ord>(all: impl Iterator<Item = (K, T)>) -> Vec<Class<T>> {
    let mut found: BTreeMap<K, (usize, Class<T>)> = BTreeMap::new();
    for (n, (key, value)) in all.enumerate() {
        let (_, class) = found.entry(key).or_insert_with(|| {
            let empty = Class {
                members: Vec::new(),
                size: 0,
            };
            (n, empty)
        });
        class.size += 1;
        class.members.push(value);
    }
    let mut ordered: Vec<_> = found.into_values().collect();
    ordered.sort_by_key(|(n, _)| *n);
    ordered.into_iter().map(|(_, c)| c).collect()
}

pub fn ends(policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra) -> AxisFacts {
    let mut places = places(policies, sides);
    places.extend(
        extra
            .places
            .iter()
            .filter(|p| p.is_subdivision() || p.country().is_none()),
    );
    let from_places = classes(places.iter().map(|p| (from_told(sides, *p), *p)));
    let roles_matter = sides.iter().flat_map(|w| rules(w)).any(|r| {
        let w = &r.when;
        let roles = w.exporter_role.is_some() || w.importer_role.is_some();
        roles || w.instructs_exporter.is_some()
    });
    let modules = sides.iter().flat_map(|w| rules(w)).any(|r| r.modules != 0);
    let collected = collected(sides);
    let mut axis = AxisFacts {
        alike: Vec::new(),
        kind: AxisKind::Ends,
        facts: Vec::new(),
        weights: Vec::new(),
    };
    let mut of_papers: HashMap<Papers, Vec<PlacePair>> = HashMap::new();
    for pair in parties::pairs(policies, sides, extra) {
        let place_pairs = of_papers.entry(pair.papers.clone()).or_insert_with(|| {
            let covered = pair.papers.countries(sides);
            let mut to_places = classes(places.iter().map(|p| {
                let told: Vec<bool> = covered.iter().map(|set| set.contains(*p)).collect();
                ((to_told(sides, *p), named(extra, *p), told), *p)
            }));
            if let Some(only) = extra.only_to {
                to_places = vec![Class {
                    members: vec![only],
                    size: 1,
                }];
            }
            place_pairs(&from_places, &to_places)
        });
        let signed = modules && pair.papers.signed();
        for (from, to, place_weight) in place_pairs.iter() {
            for (from_role, to_role, instructs) in role_pairs(roles_matter || signed) {
                for collected_in in &collected {
                    axis.facts.push(Fact::Ends {
                        from: End {
                            place: *from,
                            entity: pair.exporter.clone(),
                            role: *from_role,
                        },
                        to: End {
                            place: *to,
                            entity: pair.importer.clone(),
                            role: *to_role,
                        },
                        instructs: *instructs,
                        collected_in: *collected_in,
                    });
                    axis.weights.push(place_weight.saturating_mul(pair.weight));
                }
            }
        }
    }
    axis.alike = destinations(policies, sides, extra)
        .into_iter()
        .map(|c| c.members)
        .collect();
    axis
}

type RolePair = (Option<Role>, Option<Role>, bool);

fn role_pairs(matter: bool) -> &'static [RolePair] {
    const C: Option<Role> = Some(Role::Controller);
    const P: Option<Role> = Some(Role::Processor);
    const ALL: [RolePair; 7] = [
        (None, None, false),
        (None, None, true),
        (C, C, false),
        (C, P, false),
        (P, P, false),
        (P, C, false),
        (P, C, true),
    ];
    if matter { &ALL } else { ALL.split_at(1).0 }
}

/// Countries where something of the organisation sits come first, so that classes are told by
/// places that people know.
fn places(policies: &[&Compiled], sides: &[&Ways<'_>]) -> Vec<Place> {
    let mut all: Vec<Place> = Vec::new();
    for policy in policies {
        all.extend(policy.checked().entities().map(|(_, e)| e.place));
    }
    for ways in sides {
        for rule in &ways.table.rules {
            parts(&rule.to, &mut all);
            parts(&rule.origin, &mut all);
        }
        for usable in ways.table.usable.values().flatten() {
            parts(&usable.countries, &mut all);
        }
    }
    all.extend(Country::all().map(Place::of));
    let mut seen: Vec<Place> = Vec::new();
    all.retain(|p| {
        let new = !seen.contains(p);
        if new {
            seen.push(*p);
        }
        new
    });
    all
}

fn parts(set: &PlaceSet, all: &mut Vec<Place>) {
    all.extend(set.parts.iter().copied());
    if let Some(except) = &set.except {
        parts(except, all);
    }
}

/// Which of the places that a question names this one is, or lies in.
fn named(extra: &Extra, place: Place) -> Vec<bool> {
    extra.places.iter().map(|p| place.within(p)).collect()
}

fn from_told(sides: &[&Ways<'_>], place: Place) -> Vec<bool> {
    let of = |w: &&Ways<'_>| {
        let lies = place.country().map(|c| w.policy.of_country(c).place);
        let mut told = vec![
            w.table.territory.contains(place),
            lies.is_some_and(|l| l.contains(w.id)),
        ];
        told.extend(w.table.rules.iter().map(|r| r.origin.contains(place)));
        told
    };
    sides.iter().flat_map(of).collect()
}

/// What the rules say of a destination; [`Papers::countries`] say more.
fn to_told(sides: &[&Ways<'_>], place: Place) -> Vec<bool> {
    let of = |w: &&Ways<'_>| {
        let mut told = vec![w.table.territory.contains(place)];
        told.extend(w.table.rules.iter().map(|r| r.to.contains(place)));
        told
    };
    sides.iter().flat_map(of).collect()
}

/// What any paper says of a destination.
fn covered(sides: &[&Ways<'_>], place: Place) -> Vec<bool> {
    let of = |w: &&Ways<'_>| -> Vec<bool> {
        let usable = w.table.usable_sorted().into_iter().map(|u| &u.countries);
        let assessed = w.table.assessed_sorted().into_iter().map(|a| &a.countries);
        let sets = usable.chain(assessed);
        sets.map(|set| set.contains(place)).collect()
    };
    sides.iter().flat_map(of).collect()
}

/// Classes of destinations, as the law and the question tell them apart.
pub fn destinations(
    policies: &[&Compiled],
    sides: &[&Ways<'_>],
    extra: &Extra,
) -> Vec<Class<Place>> {
    let all = places(policies, sides);
    classes(all.iter().map(|p| {
        let told = (to_told(sides, *p), covered(sides, *p), named(extra, *p));
        (told, *p)
    }))
}

type PlacePair = (Place, Place, u64);

/// Every class of origins with every class of destinations: the same place, two places of one
/// country, two countries, as far as the classes hold such; with how many pairs there are of each.
fn place_pairs(from: &[Class<Place>], to: &[Class<Place>]) -> Vec<PlacePair> {
    let mut pairs = Vec::new();
    for destination in to {
        let ends: HashSet<Place> = destination.members.iter().copied().collect();
        let mut countries: HashMap<Option<Country>, Vec<Place>> = HashMap::new();
        for end in &destination.members {
            countries.entry(end.country()).or_default().push(*end);
        }
        for origin in from {
            let mut found: [Option<(Place, Place)>; 3] = [None; 3];
            let [mut same, mut near] = [0u64; 2];
            for start in &origin.members {
                let siblings = countries
                    .get(&start.country())
                    .map_or(&[][..], Vec::as_slice);
                if ends.contains(start) {
                    same += 1;
                    found[0].get_or_insert((*start, *start));
                }
                if let Some(other) = siblings.iter().find(|p| *p != start) {
                    let alone = usize::from(ends.contains(start));
                    near += u64::try_from(siblings.len() - alone).unwrap_or(u64::MAX);
                    found[1].get_or_insert((*start, *other));
                }
                if found[2].is_none() {
                    let far = destination.members.iter();
                    let far = far.copied().find(|p| p.country() != start.country());
                    found[2] = far.map(|end| (*start, end));
                }
            }
            let all = origin.size.saturating_mul(destination.size);
            let weights = [same, near, all.saturating_sub(same + near)];
            let found = found.into_iter().zip(weights);
            pairs.extend(found.filter_map(|(pair, n)| pair.map(|(a, b)| (a, b, n))));
        }
    }
    pairs
}

/// Where the data was collected, if any rule cares.
fn collected(sides: &[&Ways<'_>]) -> Vec<Option<Place>> {
    let asked = sides
        .iter()
        .flat_map(|w| rules(w))
        .any(|r| r.when.collected_abroad.is_some());
    if !asked {
        return vec![None];
    }
    let inside = |p: &Place| sides.iter().any(|w| w.table.territory.contains(*p));
    let home = Country::all().map(Place::of).find(inside);
    let abroad = Country::all().map(Place::of).find(|p| !inside(p));
    let said = home.into_iter().chain(abroad).map(Some);
    std::iter::once(None).chain(said).collect()
}
