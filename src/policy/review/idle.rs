//! Rules that can never apply: conditions that no flow meets, and rules that another one always
//! goes before.

use jiff::civil::Date;
use smallvec::SmallVec;

use super::scope::{
    Days, asks_no_more, common, ends, in_force, is_absolute, is_wider, samples, spans,
};
use crate::{
    document::{Faults, Where},
    domain::{CategorySet, Country, Operation, Place, Protection, Transaction},
    policy::{
        AttributeSet, Checked, Copies, Effect, Interval, Law, PlaceSet, Rule, Shape,
        condition::{CountTest, Edge, Need},
        read::operation_bit,
    },
};

pub fn rules(law: &Law, checked: &Checked, days: &Days, faults: &Faults) {
    for (i, rule) in law.rules.iter().enumerate() {
        if let Some((at, reason)) = unmet(rule, law, checked, days) {
            let message = format!("rule `{}` can never apply: {reason}", rule.id);
            faults.warning(at, message, None);
        } else if let Some((other, reason)) = shadowed(i, rule, law, checked, days) {
            faults.warning_between(
                rule.source.place("id"),
                format!("rule `{}` can never apply: {reason}", rule.id),
                (other.source.place("id"), "this one goes before it"),
                "drop it, put it first, or say what tells their flows apart",
            );
        }
    }
}

type Reason<'a> = Option<(&'a Where, String)>;

/// Why no flow at all meets the rule's conditions; `None`: some may.
fn unmet<'a>(rule: &'a Rule, law: &Law, checked: &Checked, days: &Days) -> Reason<'a> {
    nowhere(rule)
        .or_else(|| shape(rule, law, checked, days))
        .or_else(|| record(rule, law, checked))
        .or_else(|| facts(rule, law))
        .or_else(|| counts(rule))
        .or_else(|| requirements(rule))
        .or_else(|| of_effect(rule))
}

/// Lists that name nothing. One that names a group without members may be filled one day.
fn nowhere(rule: &Rule) -> Reason<'_> {
    let lists = [
        ("to", rule.to.is_empty()),
        ("origin", rule.origin.is_empty()),
        ("of", rule.of.is_empty()),
    ];
    let (key, _) = lists.into_iter().find(|(_, empty)| *empty)?;
    Some((rule.source.place(key), format!("`{key}` names none")))
}

/// Where flows start and end, against the kinds of flow and the law's territory.
fn shape<'a>(rule: &'a Rule, law: &Law, checked: &Checked, days: &Days) -> Reason<'a> {
    let groups = &checked.vocabulary.groups;
    let during = days.during(&rule.interval);
    // A list that the law's authority has left empty so far says so on purpose.
    let listed = |day: &Date| {
        !rule.origin.on(*day, groups).is_empty()
            && !rule.to.on(*day, groups).is_empty()
            && !rule.of.on(*day, groups).is_empty()
    };
    if !during.iter().any(listed) {
        return None;
    }
    if !during
        .iter()
        .any(|d| !law.territory.on(*d, groups).is_empty())
    {
        let at = rule.source.place("until");
        return Some((at, "the law has no territory on its days".to_owned()));
    }
    let possible = during.iter().any(|day| {
        let [origin, to, _] = ends(rule, *day, groups);
        let territory = law.territory.on(*day, groups);
        is_possible(rule, law, &origin, &to, &territory)
    });
    if possible {
        return None;
    }
    let keys = ["to", "origin", "to_except", "origin_except", "flow"];
    let at = keys.iter().map(|k| rule.source.place(k));
    let at = at
        .into_iter()
        .find(|at| at.line_column() != rule.source.at.line_column());
    let reason = "no flow of its kind (`flow`) starts and ends where it says";
    Some((at.unwrap_or(&rule.source.at), reason.to_owned()))
}

fn is_possible(
    rule: &Rule,
    law: &Law,
    origin: &PlaceSet,
    to: &PlaceSet,
    territory: &PlaceSet,
) -> bool {
    let all = samples(&[origin, to, territory]);
    // Parties outside wherever they sit can make any place an outside one.
    let outside_anywhere = !law.outside.is_empty();
    let of = |set: &PlaceSet, inside: bool| -> Vec<Place> {
        let counts = |p: &Place| territory.contains(*p) == inside || (!inside && outside_anywhere);
        let places = all.iter().copied();
        places.filter(|p| set.contains(*p) && counts(p)).collect()
    };
    let (from_in, from_out) = (of(origin, true), of(origin, false));
    let (to_in, to_out) = (of(to, true), of(to, false));
    let countries =
        |places: &[Place]| -> Vec<Country> { places.iter().filter_map(Place::country).collect() };
    let (start, end) = (countries(&from_in), countries(&to_in));
    let has = |shape: Shape| rule.flows & (1 << shape as u8) != 0;
    (has(Shape::Domestic) && start.iter().any(|c| end.contains(c)))
        || (has(Shape::Within) && start.iter().any(|c| end.iter().any(|e| e != c)))
        || (has(Shape::Inbound) && !from_out.is_empty() && !to_in.is_empty())
        || (has(Shape::Outbound) && !from_in.is_empty() && !to_out.is_empty())
        || (has(Shape::Foreign) && !from_out.is_empty() && !to_out.is_empty())
}

/// What a record may hold.
fn record<'a>(rule: &'a Rule, law: &Law, checked: &Checked) -> Reason<'a> {
    let when = &rule.when;
    let personal = checked.personal();
    let sensitive = sensitive_during(law, &rule.interval);
    let vocabulary = &checked.vocabulary;
    // A record is judged if some category of it is personal; what the rule is about may be another.
    let some = |without: CategorySet, wanted: CategorySet| {
        vocabulary.ids().any(|id| {
            let possible = vocabulary.below(id);
            wanted.intersects(possible) && !without.intersects(possible)
        })
    };
    let single = |set: Option<CategorySet>, without: CategorySet| {
        some(without, personal) && set.is_none_or(|s| some(without, s))
    };
    if when.categories.is_some_and(|c| c.is_empty()) {
        return Some((
            rule.source.place("when.categories"),
            "`categories` names none".to_owned(),
        ));
    }
    if !single(when.categories, when.without) {
        let reason = "`without` takes away every category that it is about";
        return Some((rule.source.place("when.without"), reason.to_owned()));
    }
    let at = rule.source.place("when.sensitive");
    match when.sensitive {
        Some(true) if sensitive.is_none() => {
            Some((at, "the law calls nothing sensitive on its days".to_owned()))
        }
        Some(false) => {
            let always = sensitive.unwrap_or(CategorySet::EMPTY);
            let some = single(when.categories, when.without.union(always));
            (!some).then(|| (at, "all of its categories are sensitive".to_owned()))
        }
        _ => None,
    }
}

/// What is sensitive on all days of `interval`; `None`: nothing ever is.
fn sensitive_during(law: &Law, interval: &Interval) -> Option<CategorySet> {
    let meeting = law
        .sensitive
        .iter()
        .filter(|s| s.interval.overlaps(interval));
    let mut always = None;
    for s in meeting {
        let sum = always.unwrap_or(CategorySet::EMPTY);
        // What is sensitive on some of the days only leaves others.
        let whole = spans(&s.interval, interval);
        always = Some(if whole { sum.union(s.categories) } else { sum });
    }
    always
}

/// Conditions that exclude each other.
fn facts<'a>(rule: &'a Rule, law: &Law) -> Reason<'a> {
    let when = &rule.when;
    let at = |key: &str| rule.source.place(key);
    let none_left = |wanted: AttributeSet, without: AttributeSet| {
        !wanted.is_empty() && wanted.iter().all(|a| without.contains(a))
    };
    let attaches = &law.attaches;
    let by_exporter = attaches.exporter || attaches.place || !attaches.exporters_with.is_empty();
    let outside = 1u8 << Shape::Foreign as u8 | 1 << Shape::Domestic as u8;
    let checks: [(bool, &str, &str); 20] = [
        (
            when.purposes.as_ref().is_some_and(Vec::is_empty),
            "when.purposes",
            "`purposes` names none",
        ),
        (
            when.purposes.as_ref().is_some_and(|p| {
                !p.is_empty() && p.iter().all(|p| when.purposes_without.contains(p))
            }),
            "when.purposes_without",
            "`purposes_without` takes away every purpose that it is about",
        ),
        (
            when.subject_kinds == Some(0),
            "when.subject_kinds",
            "`subject_kinds` names none",
        ),
        (when.basis == Some(0), "when.basis", "`basis` names none"),
        (
            when.special_grounds == Some(0),
            "when.special_grounds",
            "`special_grounds` names none",
        ),
        (
            when.transactions == Some(0),
            "when.transactions",
            "`transactions` names none",
        ),
        (
            when.transactions
                .is_some_and(|t| t != 0 && t & !when.transactions_without == 0),
            "when.transactions_without",
            "`transactions_without` takes away every transaction that it is about",
        ),
        (
            none_left(when.exporter, when.exporter_without),
            "when.exporter_without",
            "`exporter_without` takes away every exporter that it is about",
        ),
        (
            none_left(when.importer, when.importer_without),
            "when.importer_without",
            "`importer_without` takes away every importer that it is about",
        ),
        (
            when.direct == Some(true) && !when.exporter.is_empty(),
            "when.direct",
            "where the person hands the data over, there is no exporter to have an attribute",
        ),
        (
            when.direct == Some(true) && when.same_entity == Some(true),
            "when.same_entity",
            "where the person hands the data over, there is no exporter to be the same as the importer",
        ),
        (
            when.direct == Some(true) && when.in_place == Some(true),
            "when.in_place",
            "where the person hands the data over, there is no exporter to be the same as the importer",
        ),
        (
            when.in_place == Some(true) && when.same_entity == Some(false),
            "when.same_entity",
            "what stays in place stays with the same entity",
        ),
        (
            when.in_place == Some(true) && rule.flows & outside == 0,
            "flow",
            "what stays in place is `domestic` or `foreign`",
        ),
        (
            when.person == Some(true) && !attaches.person,
            "when.person",
            "this law does not attach by the person (`attaches`)",
        ),
        (
            when.citizen == Some(true) && !attaches.citizen,
            "when.citizen",
            "this law does not attach by citizenship (`attaches`)",
        ),
        (
            when.person == Some(false) && !attaches.citizen && !by_exporter,
            "when.person",
            "this law attaches by the person alone (`attaches`)",
        ),
        (
            when.citizen == Some(false) && !attaches.person && !by_exporter,
            "when.citizen",
            "this law attaches by citizenship alone (`attaches`)",
        ),
        (
            when.above.is_some() && when.above == when.below,
            "when.below",
            "no record is above and below the same thresholds",
        ),
        (
            rule.concluded
                .from
                .is_some_and(|c| rule.interval.until.is_some_and(|u| u < c)),
            "concluded_from",
            "it ends before the first text that it accepts is concluded",
        ),
    ];
    let found = checks.into_iter().find(|(holds, _, _)| *holds);
    found.map(|(_, key, reason)| (at(key), reason.to_owned()))
}

/// Edges of counters that no number meets together.
fn counts(rule: &Rule) -> Reason<'_> {
    fn some(chosen: &mut Vec<CountTest>, rest: &[SmallVec<[CountTest; 2]>]) -> bool {
        let Some((clause, rest)) = rest.split_first() else {
            return chosen.iter().all(|test| {
                let numbers = chosen.iter().filter(|t| t.counter == test.counter);
                let near = |n: u64| [n.saturating_sub(1), n, n.saturating_add(1)];
                let mut tried = numbers.clone().flat_map(|t| near(t.number)).chain([0]);
                tried.any(|n| numbers.clone().all(|t| t.holds(n)))
            });
        };
        clause.iter().any(|test| {
            chosen.push(*test);
            let found = some(chosen, rest);
            chosen.pop();
            found
        })
    }
    // A clause too many is a condition that nobody can read; what it asks is not worked out.
    if rule.when.counts.len() > 8 || rule.when.counts.iter().any(SmallVec::is_empty) {
        return None;
    }
    let impossible = rule
        .when
        .counts
        .iter()
        .flatten()
        .any(|t| t.edge == Edge::Below && t.number == 0);
    let met = some(&mut Vec::new(), &rule.when.counts);
    let reason = if impossible {
        "no count is below 0"
    } else {
        "no count meets all of its edges"
    };
    (!met).then(|| (rule.source.place("when.counts"), reason.to_owned()))
}

/// Requirements that exclude each other or the conditions.
fn requirements(rule: &Rule) -> Reason<'_> {
    let when = &rule.when;
    let at = rule.source.place("requires");
    let direct = when.direct == Some(true);
    let dead = |need: &Need| match need {
        Need::Exporter(a) => direct || when.exporter_without.contains(*a),
        Need::Importer(a) => when.importer_without.contains(*a),
        Need::Transaction(t) => {
            let bit = 1u8 << *t as u8;
            when.transactions_without & bit != 0
                || when.transactions.is_some_and(|of| of & bit == 0)
        }
        Need::Instrument | Need::Assessment(_) => direct,
        Need::Consent { .. } | Need::Ground { .. } | Need::Protection(_) => false,
    };
    if rule.requires.iter().any(|any| any.iter().all(dead)) {
        let reason = "`requires` asks for what `when` excludes";
        return Some((at, reason.to_owned()));
    }
    // Of these a flow has one.
    let mut protection: Option<Protection> = None;
    let mut transaction: Option<Transaction> = None;
    for any in &rule.requires {
        let clash = match any.as_slice() {
            [Need::Protection(p)] => protection.replace(*p).is_some_and(|q| q != *p),
            [Need::Transaction(t)] => transaction.replace(*t).is_some_and(|u| u != *t),
            _ => false,
        };
        if clash {
            return Some((
                at,
                "`requires` asks for two things of which a flow has one".to_owned(),
            ));
        }
    }
    None
}

/// Localisation stops what brings a copy to places outside, and nothing else.
fn of_effect(rule: &Rule) -> Reason<'_> {
    if rule.effect != Effect::Localise {
        return None;
    }
    let outside = 1u8 << Shape::Outbound as u8 | 1 << Shape::Foreign as u8;
    if rule.flows & outside == 0 {
        let reason = "localisation stops what goes to places outside: `outbound` and `foreign`";
        return Some((rule.source.place("flow"), reason.to_owned()));
    }
    let writes = [Operation::Store, Operation::Relocate].map(operation_bit);
    let writes = writes.into_iter().fold(0, |all, bit| all | bit);
    let copies = match rule.copies {
        Copies::Free => 0,
        Copies::AfterPrimary => operation_bit(Operation::Replicate),
        Copies::Never => operation_bit(Operation::Replicate) | operation_bit(Operation::Disclose),
    };
    if rule.operations & (writes | copies) == 0 {
        let reason = "localisation stops `store`, `relocate`, and `replicate` and `disclose` as `copies` says";
        return Some((rule.source.place("operations"), reason.to_owned()));
    }
    None
}

/// The rule that always decides before this one, and how.
fn shadowed<'a>(
    index: usize,
    rule: &Rule,
    law: &'a Law,
    checked: &Checked,
    days: &Days,
) -> Option<(&'a Rule, String)> {
    if !in_force(rule) {
        return None;
    }
    let during = days.during(&rule.interval);
    let before = law.rules.iter().enumerate().find(|(i, other)| {
        // Of two prohibitions or localisations that say the same the later one is idle.
        let goes_before = match (other.effect, rule.effect) {
            (Effect::Forbid, Effect::Permit) => is_absolute(other),
            (Effect::Permit, Effect::Permit) => *i < index && asks_no_more(other, rule),
            (Effect::Forbid, Effect::Forbid) => {
                *i < index && (is_absolute(other) || other.unless == rule.unless)
            }
            (Effect::Localise, Effect::Localise) => {
                *i < index
                    && (is_absolute(other) || other.unless == rule.unless)
                    && (other.copies == rule.copies || other.copies == Copies::Never)
            }
            _ => false,
        };
        goes_before
            && in_force(other)
            && common(&other.interval, &rule.interval).is_some()
            && spans(&other.interval, &rule.interval)
            && is_wider(other, rule, checked, &during)
    });
    before.map(|(_, other)| {
        let reason = match (other.effect, rule.effect) {
            (Effect::Permit, _) => format!("`{}` permits all it permits", other.id),
            (Effect::Forbid, Effect::Permit) => format!("`{}` forbids all it permits", other.id),
            _ => format!("`{}` refuses all it refuses", other.id),
        };
        (other, reason)
    })
}
