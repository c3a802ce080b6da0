//! The two ends of a flow as one law could tell them apart: places by rules, territory and
//! coverage; entities by attributes, roles and the instruments they are party to.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{Country, Place, Role},
    policy::{AttributeSet, Compiled, EntityId, Need, PlaceSet},
};

use super::{
    axes::{AxisFacts, Extra, rules},
    facts::{End, Fact},
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
    let mut to_places = classes(
        places
            .iter()
            .map(|p| ((to_told(sides, *p), named(extra, *p)), *p)),
    );
    if let Some(only) = extra.only_to {
        to_places = vec![Class {
            members: vec![only],
            size: 1,
        }];
    }
    let pairs = place_pairs(&from_places, &to_places);
    let entities = entity_classes(policies, sides, extra);
    let roles_matter = sides.iter().flat_map(|w| rules(w)).any(|r| {
        let w = &r.when;
        let roles = w.exporter_role.is_some() || w.importer_role.is_some();
        roles || w.instructs_exporter.is_some()
    });
    let modules = sides.iter().flat_map(|w| rules(w)).any(|r| r.modules != 0);
    let collected = collected(sides);
    let mut axis = AxisFacts {
        alike: to_places.iter().map(|c| c.members.clone()).collect(),
        kind: AxisKind::Ends,
        facts: Vec::new(),
        weights: Vec::new(),
    };
    for (exporter, importer, entity_weight) in entity_pairs(&entities) {
        let signed = modules && has_instrument(sides, exporter.as_deref(), importer.as_deref());
        let roles = role_pairs(roles_matter || signed);
        for (from, to, place_weight) in &pairs {
            for (from_role, to_role, instructs) in roles {
                for collected_in in &collected {
                    axis.facts.push(Fact::Ends {
                        from: End {
                            place: *from,
                            entity: exporter.clone(),
                            role: *from_role,
                        },
                        to: End {
                            place: *to,
                            entity: importer.clone(),
                            role: *to_role,
                        },
                        instructs: *instructs,
                        collected_in: *collected_in,
                    });
                    axis.weights
                        .push(place_weight.saturating_mul(entity_weight));
                }
            }
        }
    }
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
        let lies = place
            .country()
            .map(|c| crate::policy::look(&w.policy.place, c));
        let mut told = vec![
            w.table.territory.contains(place),
            lies.is_some_and(|l| l.contains(w.id)),
        ];
        told.extend(w.table.rules.iter().map(|r| r.origin.contains(place)));
        told
    };
    sides.iter().flat_map(of).collect()
}

fn to_told(sides: &[&Ways<'_>], place: Place) -> Vec<bool> {
    let of = |w: &&Ways<'_>| {
        let mut told = vec![w.table.territory.contains(place)];
        told.extend(w.table.rules.iter().map(|r| r.to.contains(place)));
        told.extend(
            w.table
                .usable_sorted()
                .iter()
                .map(|u| u.countries.contains(place)),
        );
        told.extend(
            w.table
                .assessed_sorted()
                .iter()
                .map(|a| a.countries.contains(place)),
        );
        told
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
    classes(
        all.iter()
            .map(|p| ((to_told(sides, *p), named(extra, *p)), *p)),
    )
}

/// Every class of origins with every class of destinations: the same place, two places of one
/// country, two countries, as far as the classes hold such.
fn place_pairs(from: &[Class<Place>], to: &[Class<Place>]) -> Vec<(Place, Place, u64)> {
    let mut pairs = Vec::new();
    for origin in from {
        for destination in to {
            let weight = origin.size.saturating_mul(destination.size);
            let mut found = [None; 3];
            let all = origin.members.iter().flat_map(|start| {
                let ends = destination.members.iter();
                ends.map(move |end| (*start, *end))
            });
            for (start, end) in all {
                let sort = match (start == end, start.country() == end.country()) {
                    (true, _) => 0,
                    (_, true) => 1,
                    _ => 2,
                };
                if let Some(slot) = found.get_mut(sort) {
                    slot.get_or_insert((start, end));
                }
                if found.iter().all(Option::is_some) {
                    break;
                }
            }
            let weights = [origin.size.min(destination.size), 1, weight];
            let found = found.into_iter().zip(weights);
            pairs.extend(found.filter_map(|(pair, n)| pair.map(|(a, b)| (a, b, n))));
        }
    }
    pairs
}

/// What is mentioned of entities by any rule of the law.
fn mentioned(ways: &Ways<'_>) -> AttributeSet {
    let mut all = ways.law.outside;
    for rule in rules(ways) {
        let w = &rule.when;
        for set in [
            w.exporter,
            w.exporter_without,
            w.importer,
            w.importer_without,
            w.parties,
            rule.unless.exporter,
        ] {
            all = all.union(set);
        }
        for need in rule.requires.iter().flatten() {
            if let Need::Exporter(a) | Need::Importer(a) = need {
                all.insert(*a);
            }
        }
    }
    all
}

fn entity_classes(
    policies: &[&Compiled],
    sides: &[&Ways<'_>],
    extra: &Extra,
) -> Vec<Class<Arc<str>>> {
    let Some(first) = policies.first() else {
        return Vec::new();
    };
    let masks: Vec<AttributeSet> = {
        let of = |w: &&Ways<'_>| mentioned(w).union(extra.attributes);
        sides.iter().map(of).collect()
    };
    let common = first.checked().entities().filter(|(_, e)| {
        let known = |p: &&Compiled| p.checked().entity(&e.id).is_some();
        policies.iter().all(known)
    });
    classes(common.map(|(_, e)| {
        let told: Vec<String> = sides
            .iter()
            .zip(&masks)
            .map(|(w, mask)| entity_told(w, *mask, &e.id))
            .chain(extra.entity_places.then(|| e.place.to_string()))
            .collect();
        (told, Arc::clone(&e.id))
    }))
}

fn entity_told(ways: &Ways<'_>, mask: AttributeSet, name: &str) -> String {
    let checked = ways.policy.checked();
    let Some(id) = checked.entity(name) else {
        return String::new();
    };
    let has = ways.table.attributes_of(Some(id));
    let mentioned: Vec<u8> = has
        .iter()
        .filter(|a| mask.contains(*a))
        .map(|a| a.0)
        .collect();
    let info = checked.entity_info(id);
    let outside = has.intersects(ways.law.outside);
    let place = info.map(|e| e.place.to_string()).filter(|_| outside);
    let governed = ways
        .policy
        .entity_laws
        .get(id.index())
        .is_some_and(|l| l.contains(ways.id));
    let lifted = ways
        .policy
        .entity_lifts
        .get(id.index())
        .is_some_and(|l| l.contains(ways.id));
    let mut party: Vec<(usize, bool)> = Vec::new();
    for ((from, to), list) in &ways.table.usable {
        for usable in list {
            party.extend((*from == id).then_some((usable.instrument.index(), true)));
            party.extend((*to == id).then_some((usable.instrument.index(), false)));
        }
    }
    party.sort_unstable();
    party.dedup();
    let assessed: Vec<(bool, bool)> = checked
        .organisation
        .assessments
        .iter()
        .map(|a| {
            let to = a.importers.as_ref().is_some_and(|i| i.contains(&id));
            (a.exporters.contains(&id), to)
        })
        .collect();
    let role = info.and_then(|e| e.role);
    // A flow that starts in its country starts in its part of it.
    let part = info.map(|e| e.place).filter(Place::is_subdivision);
    format!("{part:?} {mentioned:?} {role:?} {place:?} {governed} {lifted} {party:?} {assessed:?}")
}

type EntityPair = (Option<Arc<str>>, Option<Arc<str>>, u64);

/// Every class of exporters with every class of importers, the same entity and another one of the
/// class, and nobody at either end.
fn entity_pairs(classes: &[Class<Arc<str>>]) -> Vec<EntityPair> {
    let nobody = Class {
        members: Vec::new(),
        size: 1,
    };
    let all: Vec<&Class<Arc<str>>> = std::iter::once(&nobody).chain(classes).collect();
    let mut pairs = Vec::new();
    for (i, from) in all.iter().enumerate() {
        for (j, to) in all.iter().enumerate() {
            let (exporter, importer) = (from.members.first(), to.members.first());
            let weight = from.size.saturating_mul(to.size);
            pairs.push((
                exporter.cloned(),
                importer.cloned(),
                if i == j { from.size } else { weight },
            ));
            if let (true, Some(sibling)) = (i == j, to.members.get(1)) {
                let others = from.size.saturating_mul(from.size.saturating_sub(1));
                pairs.push((exporter.cloned(), Some(Arc::clone(sibling)), others));
            }
        }
    }
    pairs
}

fn has_instrument(sides: &[&Ways<'_>], from: Option<&str>, to: Option<&str>) -> bool {
    let pair = |w: &&Ways<'_>| -> Option<(EntityId, EntityId)> {
        let checked = w.policy.checked();
        checked.entity(from?).zip(checked.entity(to?))
    };
    sides
        .iter()
        .any(|w| pair(w).is_some_and(|p| w.table.usable.contains_key(&p)))
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

/// What the law could tell of every entity.
pub fn entity_told_all(policy: &Compiled, ways: &Ways<'_>) -> String {
    let mask = mentioned(ways);
    let all = policy.checked().entities();
    all.map(|(_, e)| entity_told(ways, mask, &e.id)).collect()
}
