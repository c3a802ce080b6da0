//! What is asked, and of whom: operations, and people by where the law attaches to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Country, Operation, Place};

use super::{
    axes::AxisFacts,
    facts::Fact,
    ways::{AxisKind, Ways},
};

pub fn asked(sides: &[&Ways<'_>]) -> AxisFacts {
    let inside = |place: Place| sides.iter().any(|w| w.table.territory.contains(place));
    // People are told apart by where a law attaches to them, by its rules on children, and by rules
    // on people of some places alone.
    let mut places: Vec<Place> = Country::all().map(Place::of).collect();
    for ways in sides {
        let of = ways.table.rules.iter().map(|r| &r.of);
        let of = of.chain(ways.table.children.iter().map(|c| &c.2));
        places.extend(of.flat_map(|set| set.parts.iter().copied()));
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    places.retain(|p| seen.insert(p.to_string()));
    let mut classes: BTreeMap<Vec<bool>, (usize, Place, u64)> = BTreeMap::new();
    for (n, place) in places.iter().enumerate() {
        let told = sides.iter().flat_map(|w| {
            let table = w.table;
            let children = table.children.iter().map(|c| &c.2);
            let of = table.rules.iter().map(|r| &r.of).filter(|of| !of.any);
            let sets = children.chain(of).map(|set| set.contains(*place));
            std::iter::once(table.territory.contains(*place)).chain(sets)
        });
        classes.entry(told.collect()).or_insert((n, *place, 0)).2 += 1;
    }
    let mut ordered: Vec<(usize, Place, u64)> = classes.into_values().collect();
    ordered.sort_unstable_by_key(|(n, place, _)| (!inside(*place), *n));
    let first = |wanted: bool| {
        let of = ordered.iter().filter(|(_, p, _)| inside(*p) == wanted);
        of.map(|(_, p, n)| (*p, *n)).next()
    };
    let outside = first(false);
    let first_inside = first(true).map(|(p, _)| p);
    let mut subjects: Vec<(Place, Option<Country>, u64)> = Vec::new();
    for (_, place, weight) in &ordered {
        let other = match inside(*place) {
            true => outside,
            false => first_inside.map(|p| (p, 1)),
        };
        subjects.push((*place, None, *weight));
        subjects.extend(
            other.and_then(|(p, n)| Some((*place, Some(p.country()?), weight.saturating_mul(n)))),
        );
    }
    let mut axis = AxisFacts::plain(AxisKind::Asked, Vec::new());
    for operation in Operation::ALL {
        for (country, citizenship, weight) in &subjects {
            let copies = operation == Operation::Replicate;
            let held = first_inside.filter(|_| copies);
            for held_in in std::iter::once(None).chain(held.map(Some)) {
                axis.facts.push(Fact::Asked {
                    operation,
                    country: *country,
                    citizenship: *citizenship,
                    held_in,
                });
                axis.weights.push(*weight);
            }
        }
    }
    axis
}
