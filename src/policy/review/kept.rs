//! Promises that leave the people of some place nowhere to be stored: each of their writes would be
//! refused, and nobody would know before.
//!
//! Where the settings' regions are known, these are the places that count. Without them every
//! place of the world does, so that only what no region could ever keep is told. Pairs that
//! no place can keep are errors ([`super::promises`]), and are not here. Promises about different
//! categories are not tried together.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::scope::samples;
use crate::{
    document::Faults,
    domain::Place,
    policy::{Checked, PlaceSet, Promise},
};

/// What a promise says of stores on one day.
struct Asked<'p> {
    promise: &'p Promise,
    people: PlaceSet,
    only: Option<PlaceSet>,
    never: Option<PlaceSet>,
}

impl Asked<'_> {
    fn allows(&self, place: Place) -> bool {
        self.only.as_ref().is_none_or(|s| s.contains(place))
            && !self.never.as_ref().is_some_and(|s| s.contains(place))
    }

    /// The key that says where it may be.
    fn key(&self) -> &'static str {
        match self.only {
            Some(_) => "store_only_in",
            None => "never_to",
        }
    }
}

/// Sets of promises that stand for the same records and leave no place to store them in, each as
/// small as it can be.
pub fn stores(checked: &Checked, day: Date, faults: &Faults) {
    let asked = asked(checked, day);
    let sets = asked.iter().flat_map(|a| {
        let sets = [a.only.as_ref(), a.never.as_ref(), Some(&a.people)];
        sets.into_iter().flatten()
    });
    let everywhere = samples(&sets.collect::<Vec<_>>());
    let regions: Vec<Place> = checked.regions().map(|(_, place)| place).collect();
    let to = match regions.is_empty() {
        true => &everywhere,
        false => &regions,
    };
    let mut told = BTreeSet::new();
    for together in together(checked, &asked, &everywhere) {
        let Some(least) = least(&asked, &together, to) else {
            continue;
        };
        if told.insert(least.clone()) {
            let least: Vec<&Asked<'_>> = least.iter().filter_map(|i| asked.get(*i)).collect();
            tell(checked, &least, faults);
        }
    }
}

/// The promises that stand and say something of stores. One that names no place at all is told
/// as such already.
fn asked(checked: &Checked, day: Date) -> Vec<Asked<'_>> {
    let groups = &checked.vocabulary.groups;
    let promises = checked.organisation.promises.iter();
    let asked = promises.filter(|p| !p.observe).map(|p| Asked {
        promise: p,
        people: p.subjects.on(day, groups),
        only: p.store_only_in.as_ref().map(|e| e.on(day, groups)),
        never: p.never_to.as_ref().map(|e| e.on(day, groups)),
    });
    asked
        .filter(|a| a.only.is_some() || a.never.is_some())
        .filter(|a| a.only.as_ref().is_none_or(|s| !s.is_empty()))
        .collect()
}

/// Every set of them, by their numbers, that a record of one category of somebody of one place is
/// under.
///
/// One of several categories, or of a general one that stands for any below it, may be under more.
/// Whether there are such records only the routes' schemas tell, and `categories` is how promises
/// are told apart: a warning would be one that nothing silences.
fn together(checked: &Checked, asked: &[Asked<'_>], people: &[Place]) -> BTreeSet<Vec<usize>> {
    let under = |is_under: &dyn Fn(&Asked<'_>) -> bool| -> Vec<usize> {
        let all = asked.iter().enumerate();
        all.filter(|(_, a)| is_under(a)).map(|(i, _)| i).collect()
    };
    let by_place: BTreeSet<Vec<usize>> = people
        .iter()
        .map(|place| under(&|a| a.people.contains(*place)))
        .collect();
    let personal = checked.personal();
    let by_category: BTreeSet<Vec<usize>> = personal
        .iter()
        .map(|id| under(&|a| a.promise.categories.contains(id)))
        .collect();
    let mut all = BTreeSet::new();
    for of_place in &by_place {
        for of_category in &by_category {
            let both = of_place.iter().filter(|i| of_category.contains(i));
            all.insert(both.copied().collect());
        }
    }
    all
}

/// The fewest of `set` that still leave no place; `None`: there is one.
fn least(asked: &[Asked<'_>], set: &[usize], to: &[Place]) -> Option<Vec<usize>> {
    let leaves = |set: &[usize]| {
        let allowed = |place: &Place| {
            let mut promises = set.iter().filter_map(|i| asked.get(*i));
            promises.all(|a| a.allows(*place))
        };
        to.iter().any(allowed)
    };
    if leaves(set) {
        return None;
    }
    let mut least = set.to_vec();
    for one in set {
        let rest: Vec<usize> = least.iter().filter(|i| *i != one).copied().collect();
        if !leaves(&rest) {
            least = rest;
        }
    }
    Some(least)
}

fn tell(checked: &Checked, least: &[&Asked<'_>], faults: &Faults) {
    let Some((last, others)) = least.split_last() else {
        return;
    };
    let names: Vec<String> = least
        .iter()
        .map(|a| format!("`{}`", a.promise.id))
        .collect();
    let who = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            format!("promises {} and {last} together leave no", rest.join(", "))
        }
        _ => format!("promise {} leaves no", names.join("")),
    };
    let regions: Vec<String> = checked
        .regions()
        .map(|(name, place)| format!("{name} in {place}"))
        .collect();
    let (whom, widen) = match others {
        [] => ("it concerns", "widen it"),
        _ => (
            "they concern",
            "widen one, or say by `subjects` or `categories` what tells them apart",
        ),
    };
    let (what, remedy) = match regions.is_empty() {
        true => ("place", widen.to_owned()),
        false => {
            let known = regions.join(", ");
            let remedy = format!("add a region where it may be, or {widen}; there are {known}");
            ("region", remedy)
        }
    };
    let hint = format!("every write that {whom} is refused: {remedy}");
    let message = format!("{who} {what} to store in");
    let at = last.promise.source_node.place(last.key());
    match others.first() {
        None => faults.warning(at, message, Some(hint)),
        Some(first) => {
            let other = first.promise.source_node.place(first.key());
            faults.warning_between(at, message, (other, "with this"), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::review::tests::{summaries, summaries_in};

    const REGIONS: [(&str, &str); 3] = [("eu", "DE"), ("sg", "SG"), ("south", "CN-GD")];

    fn promises(all: &[&str]) -> String {
        let each = all.iter().zip(["p", "q", "r", "s"]);
        each.map(|(text, id)| format!("[[promises]]\nid = \"{id}\"\n{text}\n"))
            .collect()
    }

    #[test]
    fn a_promise_that_no_region_can_keep_is_warned_of() {
        let stays = promises(&["subjects = [\"IN\"]\nstore_only_in = [\"IN\"]"]);
        assert_eq!(
            summaries_in(&REGIONS, &stays),
            "o.toml:8:17: promise `p` leaves no region to store in (every write that it concerns \
             is refused: add a region where it may be, or widen it; there are eu in DE, sg in SG, south in CN-GD)"
        );
        assert_eq!(summaries("", &stays), "");
        assert_eq!(summaries_in(&[("in", "IN-MH")], &stays), "");
        let never = promises(&["never_to = [\"EU27\", \"SG\", \"CN\"]"]);
        let told = summaries_in(&REGIONS, &never);
        assert!(
            told.starts_with("o.toml:7:12: promise `p` leaves no region to store in"),
            "{told}"
        );
        for sound in [
            &["store_only_in = [\"EU27\"]"][..],
            &[
                "never_to = [\"SG\"]",
                "subjects = [\"CN\"]\nnever_to = [\"DE\"]",
            ],
            &["store_only_in = [\"CN\"]"],
            // Of whom it says nothing, or what has no effect.
            &["read_only_from = [\"IN\"]"],
            &["disclose_only_to = [\"IN\"]"],
            &["subjects = []\nstore_only_in = [\"IN\"]"],
            &["categories = [\"system.operations\"]\nstore_only_in = [\"IN\"]"],
            &["observe = true\nstore_only_in = [\"IN\"]"],
            // Told as naming no place.
            &["store_only_in = []"],
        ] {
            let told = summaries_in(&REGIONS, &promises(sound));
            assert!(!told.contains("to store in"), "{told}");
        }
    }

    #[test]
    fn promises_that_no_region_keeps_together_are_warned_of_once() {
        let pair = promises(&[
            "subjects = [\"SG\", \"IN\"]\nstore_only_in = [\"EEA\"]",
            "never_to = [\"US\"]",
            "subjects = [\"IN\"]\ncategories = [\"user.health\"]\nnever_to = [\"DE\"]",
        ]);
        let told = summaries_in(&REGIONS, &pair);
        assert!(
            told.starts_with(
                "o.toml:16:12: promises `p` and `r` together leave no region to store in"
            ) && told.ends_with("; o.toml:8:17: with this")
                && told.lines().count() == 1,
            "{told}"
        );
        let apart = promises(&[
            "subjects = [\"SG\"]\nstore_only_in = [\"EEA\"]",
            "subjects = [\"IN\"]\nnever_to = [\"DE\"]",
        ]);
        assert_eq!(summaries_in(&REGIONS, &apart), "");
    }

    /// No two of them contradict each other, which would be a mistake.
    #[test]
    fn three_promises_that_no_place_keeps_are_warned_of_without_regions() {
        let three = promises(&[
            "store_only_in = [\"FR\", \"SG\"]",
            "store_only_in = [\"SG\", \"US\"]",
            "store_only_in = [\"FR\", \"US\"]",
        ]);
        let told = summaries("", &three);
        assert!(
            told.starts_with("o.toml:13:17: promises `p`, `q` and `r` together leave no place to store in (every write that they concern")
                && told.lines().count() == 1,
            "{told}"
        );
    }
}
