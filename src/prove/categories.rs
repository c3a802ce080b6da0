//! What laws tell of categories: of a record that holds several it is the `or` of each, but for
//! linked counters, to which it matters whether a record holds two of their classes.

use std::sync::Arc;

use crate::{
    domain::CategorySet,
    policy::{Compiled, Counted},
};

use super::{
    axes::{Extra, rules},
    counts::counters,
    engine::Bits,
    ways::Ways,
};

/// What the laws could tell of a set of categories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    pub rest: Bits,
    pub counted: Bits,
}

/// Categories about people, known to all policies.
pub fn personal(policies: &[&Compiled]) -> Vec<Arc<str>> {
    let Some(first) = policies.first() else {
        return Vec::new();
    };
    let everywhere = |key: &str| {
        policies.iter().all(|p| {
            let id = p.checked().category(key);
            id.is_some_and(|id| {
                p.possible(CategorySet::from_iter([id]))
                    .intersects(p.personal)
            })
        })
    };
    let all = first.checked().categories_all().map(|(_, key)| key);
    all.filter(|key| everywhere(key)).map(Into::into).collect()
}

/// What the laws, and a question, could tell of one category.
pub fn told(policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra, key: &str) -> Told {
    let mut rest: Vec<bool> = Vec::new();
    let mut counted: Vec<bool> = Vec::new();
    for ways in sides {
        told_by(ways, key, &mut rest, &mut counted);
    }
    if let Some(first) = policies.first() {
        let own = CategorySet::from_iter(first.checked().category(key));
        for set in &extra.categories {
            rest.extend([set.intersects(own), set.intersects(first.possible(own))]);
        }
    }
    Told {
        rest: Bits::of(&rest),
        counted: Bits::of(&counted),
    }
}

fn told_by(ways: &Ways<'_>, key: &str, rest: &mut Vec<bool>, counted: &mut Vec<bool>) {
    let policy = ways.policy;
    let checked = policy.checked();
    let own = CategorySet::from_iter(checked.category(key));
    let possible = policy.possible(own);
    let personal = own.intersection(policy.personal);
    for counter in counters(ways) {
        let info = checked.vocabulary.counters.get(counter.index());
        match info.map(|c| &c.counted) {
            Some(Counted::Categories(set)) => counted.push(set.intersects(own)),
            Some(Counted::Linked(classes)) => {
                counted.extend(classes.iter().map(|c| c.intersects(possible)));
            }
            _ => {}
        }
    }
    rest.extend([
        possible.intersects(ways.table.sensitive),
        !personal.is_subset(ways.table.sensitive),
    ]);
    for rule in rules(ways) {
        rest.push(rule.when.categories.is_some_and(|c| c.intersects(possible)));
        rest.push(rule.when.without.intersects(possible));
    }
    let instruments = ways.instruments().map(|i| i.categories);
    rest.extend(instruments.map(|c| !personal.is_subset(c)));
    for active in ways.table.assessed_sorted() {
        let all = &checked.organisation.assessments;
        let assessment = all.get(usize::from(active.index));
        rest.push(assessment.is_some_and(|a| !personal.is_subset(a.categories)));
    }
}

pub fn or(a: &Told, b: &Told, linked: &[Bits]) -> Told {
    let mut both = Told {
        rest: a.rest.or(&b.rest),
        counted: a.counted.or(&b.counted),
    };
    many(linked, &mut both.counted);
    both
}

/// Of linked classes it matters which one a record holds, and whether it holds two.
pub fn many(linked: &[Bits], counted: &mut Bits) {
    for classes in linked {
        if counted.and(classes).count() > 1 {
            *counted = counted.or(classes);
        }
    }
}

/// Which of the bits that are told are classes of linked counters, counter by counter.
pub fn linked(sides: &[&Ways<'_>]) -> Vec<Bits> {
    let mut all = Vec::new();
    let mut at = 0;
    for ways in sides {
        for counter in counters(ways) {
            let vocabulary = &ways.policy.checked().vocabulary;
            let info = vocabulary.counters.get(counter.index());
            match info.map(|c| &c.counted) {
                Some(Counted::Categories(_)) => at += 1,
                Some(Counted::Linked(classes)) => {
                    all.push(at..at + classes.len());
                    at += classes.len();
                }
                _ => {}
            }
        }
    }
    let bits = |range: std::ops::Range<usize>| {
        let mut bits = Bits::none(at);
        range.for_each(|i| bits.set(i));
        bits
    };
    all.into_iter().map(bits).collect()
}
