//! How the conditions of two rules lie to each other: the same, one within the other, apart.
//!
//! Everything here errs towards 'apart': what is told as a contradiction or as idle must be one.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::{
    domain::{Country, Place},
    policy::{
        Checked, Effect, Interval, PlaceSet, Rule, When,
        condition::{FilingNeed, Need, Unless},
        sets::GroupId,
        vocabulary::Groups,
    },
};

/// The days on which some group gains or loses a member.
pub struct Days(Vec<Date>);

impl Days {
    pub fn of(groups: &Groups) -> Self {
        let members = groups.groups.iter().flat_map(|g| &g.members);
        let all: BTreeSet<Date> = members.flat_map(|(_, i)| i.edges()).collect();
        Self(all.into_iter().collect())
    }

    /// One day for each state that the groups are in during `interval`.
    pub fn during(&self, interval: &Interval) -> Vec<Date> {
        let first = interval.from.unwrap_or(Date::MIN);
        let later = self.0.iter().copied();
        let later = later.filter(|d| *d > first && interval.contains(*d));
        std::iter::once(first).chain(later).collect()
    }
}

/// The days that both hold; `None`: there are none.
pub fn common(a: &Interval, b: &Interval) -> Option<Interval> {
    let from = match (a.from, b.from) {
        (Some(x), Some(y)) => Some(x.max(y)),
        (x, y) => x.or(y),
    };
    let until = match (a.until, b.until) {
        (Some(x), Some(y)) => Some(x.min(y)),
        (x, y) => x.or(y),
    };
    a.overlaps(b).then_some(Interval { from, until })
}

pub fn spans(wide: &Interval, narrow: &Interval) -> bool {
    let starts = wide
        .from
        .is_none_or(|w| narrow.from.is_some_and(|n| w <= n));
    let ends = wide
        .until
        .is_none_or(|w| narrow.until.is_some_and(|n| n <= w));
    starts && ends
}

/// Whether the rule counts on its days: see [`Rule::is_active`].
pub fn in_force(rule: &Rule) -> bool {
    let counts = match rule.effect {
        Effect::Permit => !rule.review || rule.accepted,
        Effect::Forbid | Effect::Localise => !(rule.review && rule.accepted),
    };
    counts && !rule.observe
}

/// Every place by which sets can differ: the countries, the parts that the sets name, and one
/// organisation for those that none names.
pub fn samples(sets: &[&PlaceSet]) -> Vec<Place> {
    let mut all: Vec<Place> = Country::all().map(Place::of).collect();
    all.extend("X-ZZZZ".parse::<Place>());
    for set in sets {
        let mut inner = Some(*set);
        while let Some(s) = inner {
            all.extend(s.parts.iter().copied());
            inner = s.except.as_deref();
        }
    }
    all
}

pub fn lies_within(inner: &PlaceSet, outer: &PlaceSet) -> bool {
    (outer.any && outer.except.is_none())
        || samples(&[inner, outer])
            .into_iter()
            .all(|p| !inner.contains(p) || outer.contains(p))
}

pub fn first_common(a: &PlaceSet, b: &PlaceSet) -> Option<Place> {
    let mut places = samples(&[a, b]).into_iter();
    places.find(|p| a.contains(*p) && b.contains(*p))
}

/// Where a rule's flows start and end, and whose people they are about, on one day.
pub fn ends(rule: &Rule, day: Date, groups: &Groups) -> [PlaceSet; 3] {
    [
        rule.origin.on_except(&rule.origin_except, day, groups),
        rule.to.on_except(&rule.to_except, day, groups),
        rule.of.on(day, groups),
    ]
}

/// The groups that nobody stands in yet: lists that an authority may still fill, so that what
/// they hold today says nothing of how two rules lie to each other.
fn open_lists(rule: &Rule, groups: &Groups) -> [Vec<GroupId>; 5] {
    let exprs = [
        &rule.origin,
        &rule.origin_except,
        &rule.to,
        &rule.to_except,
        &rule.of,
    ];
    exprs.map(|e| {
        let empty = |id: &GroupId| groups.get(*id).is_some_and(|g| g.members.is_empty());
        e.groups.iter().copied().filter(empty).collect()
    })
}

/// Whether both rules name the same ends and people, however they write them.
pub fn same_ends(a: &Rule, b: &Rule, checked: &Checked, days: &[Date]) -> bool {
    let written = |r: &Rule| {
        let except = (r.origin_except.clone(), r.to_except.clone());
        (r.origin.clone(), r.to.clone(), r.of.clone(), except)
    };
    let groups = &checked.vocabulary.groups;
    written(a) == written(b)
        || open_lists(a, groups) == open_lists(b, groups)
            && days.iter().all(|day| {
                let (a, b) = (ends(a, *day, groups), ends(b, *day, groups));
                a.iter()
                    .zip(&b)
                    .all(|(x, y)| lies_within(x, y) && lies_within(y, x))
            })
}

/// Whether everything that `narrow` is about, `wide` is about too.
pub fn is_wider(wide: &Rule, narrow: &Rule, checked: &Checked, days: &[Date]) -> bool {
    let groups = &checked.vocabulary.groups;
    wide.operations & narrow.operations == narrow.operations
        && wide.flows & narrow.flows == narrow.flows
        && is_weaker(&wide.when, &narrow.when)
        && open_lists(wide, groups) == open_lists(narrow, groups)
        && days.iter().all(|day| {
            let (w, n) = (ends(wide, *day, groups), ends(narrow, *day, groups));
            n.iter().zip(&w).all(|(n, w)| lies_within(n, w))
        })
}

/// Whether `weak` holds wherever `strong` does.
///
/// What is comparable is taken over from `strong` where it is weaker; the rest must be equal. So a
/// condition that this function does not know makes two rules incomparable, never idle.
pub fn is_weaker(weak: &When, strong: &When) -> bool {
    let mut probe = weak.clone();
    let attributes = |any: &mut crate::policy::AttributeSet, of: crate::policy::AttributeSet| {
        // One of them is enough: the longer list is the weaker.
        if any.is_empty() || (!of.is_empty() && any.union(of) == *any) {
            *any = of;
        }
    };
    let lacking = |none: &mut crate::policy::AttributeSet, of: crate::policy::AttributeSet| {
        if none.union(of) == of {
            *none = of;
        }
    };
    attributes(&mut probe.exporter, strong.exporter);
    attributes(&mut probe.importer, strong.importer);
    attributes(&mut probe.parties, strong.parties);
    lacking(&mut probe.exporter_without, strong.exporter_without);
    lacking(&mut probe.importer_without, strong.importer_without);
    if weak.without.is_subset(strong.without) {
        probe.without = strong.without;
    }
    match (weak.categories, strong.categories) {
        (None, _) => probe.categories = strong.categories,
        (Some(w), Some(s)) if s.is_subset(w) => probe.categories = Some(s),
        _ => {}
    }
    match (&weak.purposes, &strong.purposes) {
        (None, _) => probe.purposes.clone_from(&strong.purposes),
        (Some(w), Some(s)) if s.iter().all(|p| w.contains(p)) => {
            probe.purposes.clone_from(&strong.purposes);
        }
        _ => {}
    }
    let excluded = &strong.purposes_without;
    if weak.purposes_without.iter().all(|p| excluded.contains(p)) {
        probe.purposes_without.clone_from(excluded);
    }
    if weak.transactions_without & strong.transactions_without == weak.transactions_without {
        probe.transactions_without = strong.transactions_without;
    }
    for (w, s) in [
        (&mut probe.subject_kinds, strong.subject_kinds),
        (&mut probe.basis, strong.basis),
        (&mut probe.transactions, strong.transactions),
    ] {
        match (*w, s) {
            (None, _) => *w = s,
            (Some(a), Some(b)) if a & b == b => *w = s,
            _ => {}
        }
    }
    match (probe.special_grounds, strong.special_grounds) {
        (None, s) => probe.special_grounds = s,
        (Some(a), Some(b)) if a & b == b => probe.special_grounds = Some(b),
        _ => {}
    }
    for (w, s) in [
        (&mut probe.sensitive, strong.sensitive),
        (&mut probe.person, strong.person),
        (&mut probe.citizen, strong.citizen),
        (&mut probe.collected_abroad, strong.collected_abroad),
        (&mut probe.unapproved_order, strong.unapproved_order),
        (&mut probe.same_entity, strong.same_entity),
        (&mut probe.in_place, strong.in_place),
        (&mut probe.direct, strong.direct),
        (&mut probe.instructs_exporter, strong.instructs_exporter),
    ] {
        *w = w.or(s);
    }
    probe.exporter_role = probe.exporter_role.or(strong.exporter_role);
    probe.importer_role = probe.importer_role.or(strong.importer_role);
    probe.below_age = match (weak.below_age, strong.below_age) {
        (Some(w), Some(s)) if w < s => Some(w),
        (_, s) => s.or(probe.below_age),
    };
    if weak.below_age.is_some() && strong.below_age.is_none() {
        probe.below_age = weak.below_age;
    }
    probe.above = probe.above.or(strong.above);
    probe.below = probe.below.or(strong.below);
    if weak.counts.iter().all(|c| strong.counts.contains(c)) {
        probe.counts.clone_from(&strong.counts);
    }
    probe == *strong
}

/// Whether a permit asks for nothing that the other does not ask for too.
pub fn asks_no_more(less: &Rule, more: &Rule) -> bool {
    let clauses = less.requires.iter().all(|wanted| {
        let mut of_more = more.requires.iter();
        of_more.any(|given| given.iter().all(|need| wanted.contains(need)))
    });
    let wants = |r: &Rule| {
        let mut needs = r.requires.iter().flatten();
        needs.any(|n| *n == Need::Instrument)
    };
    let instruments = !wants(less)
        || (less.instruments_of == more.instruments_of
            && (less.filing == FilingNeed::None || less.filing == more.filing)
            && (less.editions.is_empty()
                || (!more.editions.is_empty()
                    && more.editions.iter().all(|e| less.editions.contains(e))))
            && spans(&less.concluded, &more.concluded)
            && (less.modules == 0
                || (more.modules != 0 && less.modules & more.modules == more.modules)));
    clauses && instruments
}

/// Whether a prohibition has no exception.
pub fn is_absolute(rule: &Rule) -> bool {
    let none = Unless {
        by_parent: rule.unless.by_parent,
        ..Unless::default()
    };
    rule.unless == none
}
