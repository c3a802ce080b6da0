//! Which counters a flow asks and feeds: what the router must know of the people so far, and where
//! it must count this one.
//!
//! A counter is asked where a rule that could concern the flow tests it, or an approval names a
//! volume; it counts the flows that cross the law's border and are permitted, except those that
//! rest on a mechanism which the vocabulary leaves out.

use jiff::{Timestamp, ToSpan as _, civil::Date};
use smallvec::SmallVec;

use crate::{
    domain::Operation,
    policy::{
        Compiled, Counter, CounterId, EntityId, Law, LawId, RecipientId, Shape, Window, start_of,
    },
};

use super::{
    evaluate::rules,
    flow::Attached,
    query::Query,
    verdict::{FindingKind, FindingLaw, Verdict},
    view::View,
};

/// One count that a flow asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    pub law: LawId,
    pub counter: CounterId,
    /// Whose count it is; `None`: the person hands the data over.
    pub exporter: Option<EntityId>,
    /// Where each recipient has its own count: whose.
    pub recipient: Option<CountedRecipient>,
    /// People count from this instant on.
    pub since: Timestamp,
    /// The instants for which `since` is right: from the first, before the second.
    pub day: (Timestamp, Timestamp),
    /// The flow counts its person here, if it is permitted.
    pub adds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedRecipient {
    Recipient(RecipientId),
    Entity(EntityId),
}

/// One edge of a law, as metrics and warnings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub law: LawId,
    pub rule: std::sync::Arc<str>,
    pub counter: CounterId,
    pub number: u64,
    pub since: Timestamp,
}

/// The counts that the decision on this flow may hang on; most flows have none. What only a rule
/// under observation asks is counted too: on the day it binds, its count must not begin at zero.
pub fn countings(policy: &Compiled, query: &Query) -> SmallVec<[Counting; 2]> {
    let mut found = asked(policy, query);
    for counting in policy.shadow().map(|s| asked(s, query)).unwrap_or_default() {
        if !found.contains(&counting) {
            found.push(counting);
        }
    }
    found
}

fn asked(policy: &Compiled, query: &Query) -> SmallVec<[Counting; 2]> {
    let mut found = SmallVec::new();
    if query.operation == Operation::Erase || !query.possible().intersects(policy.personal) {
        return found;
    }
    let attached = Attached::of(policy, query);
    for id in attached.laws.iter() {
        let Some(view) = attached.view(policy, id) else {
            continue;
        };
        let crosses = matches!(view.shape, Shape::Outbound | Shape::Foreign);
        if !crosses || !asks(&view) {
            continue;
        }
        let day = view.day();
        for (counter, info) in counters_of(policy, view.law) {
            let Some((since, day)) = window(info, day, view.law) else {
                continue;
            };
            let importer = query.to.entity.map(CountedRecipient::Entity);
            found.push(Counting {
                law: id,
                counter,
                exporter: view.origin.entity,
                recipient: query
                    .recipient
                    .map(CountedRecipient::Recipient)
                    .or(importer)
                    .filter(|_| info.per_recipient),
                since,
                day,
                adds: view.adds(counter).unwrap_or(false),
            });
        }
    }
    found
}

/// Whether a permitted flow counts its person in `counting`.
pub fn counts(policy: &Compiled, verdict: &Verdict, counting: &Counting) -> bool {
    let info = policy
        .checked()
        .vocabulary
        .counters
        .get(counting.counter.index());
    counting.adds
        && verdict.is_permit()
        && verdict.findings().iter().any(|f| {
            let left_out = f
                .mechanism
                .is_some_and(|m| info.is_some_and(|i| i.except.contains(&m)));
            f.law == FindingLaw::Law(counting.law) && f.kind == FindingKind::Permitted && !left_out
        })
}

/// Every edge that a rule in force draws, for the instant `at`.
pub fn thresholds(policy: &Compiled, at: Timestamp) -> Vec<Threshold> {
    let mut found: Vec<Threshold> = Vec::new();
    for (id, law) in policy.checked().laws() {
        let Some(table) = policy.laws.get(id.index()) else {
            continue;
        };
        let day = crate::policy::day_in(at, &law.timezone);
        let active = table
            .rules
            .iter()
            .filter_map(|r| law.rules.get(usize::from(r.index)));
        for rule in active {
            let vocabulary = &policy.checked().vocabulary;
            for test in rule.when.count_tests(vocabulary) {
                let Some(info) = vocabulary.counters.get(test.counter.index()) else {
                    continue;
                };
                let Some((since, _)) = window(info, day, law) else {
                    continue;
                };
                found.push(Threshold {
                    law: id,
                    rule: rule.id.clone(),
                    counter: test.counter,
                    number: test.number,
                    since,
                });
            }
        }
    }
    found
}

/// Whether anything that could concern the flow tests a count.
fn asks(view: &View<'_>) -> bool {
    let vocabulary = &view.policy.checked().vocabulary;
    let counts = rules(view, view.candidates())
        .any(|(_, rule)| rule.when.count_tests(vocabulary).next().is_some());
    let volumes = || {
        let mut instruments = view.policy.checked().instruments();
        !view.table.counters.is_empty() && instruments.any(|(_, i)| i.people.is_some())
    };
    counts || volumes()
}

/// The counters of a law carry its id in front: `cn.ordinary`.
fn counters_of<'a>(
    policy: &'a Compiled,
    law: &'a Law,
) -> impl Iterator<Item = (CounterId, &'a Counter)> {
    let counters = policy.checked().vocabulary.counters.iter().enumerate();
    counters.filter_map(|(i, counter)| {
        let (of, _) = counter.key.split_once('.')?;
        let id = u8::try_from(i).ok().map(CounterId)?;
        of.eq_ignore_ascii_case(&law.id).then_some((id, counter))
    })
}

/// Since when a counter counts on `day`, and from when until when that is so.
fn window(counter: &Counter, day: Date, law: &Law) -> Option<(Timestamp, (Timestamp, Timestamp))> {
    let first = match counter.window {
        Window::CalendarYear => day.first_of_year(),
        Window::TwelveMonths => day.checked_sub(1.year()).ok()?,
    };
    let start = |day| start_of(day, &law.timezone);
    let today = (start(day)?, start(day.tomorrow().ok()?)?);
    Some((start(first)?, today))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{Party, Subject, decide, tests::demo},
        domain::CategorySet,
    };

    fn read(policy: &Compiled, category: &str, from: (&str, &str), to: (&str, &str)) -> Query {
        let checked = policy.checked();
        let party = |(place, entity): (&str, &str)| {
            Party::new(place.parse().unwrap(), checked.entity(entity).unwrap())
        };
        let subject = Subject {
            countries: ["CN".parse().unwrap()].into_iter().collect(),
            ..Subject::default()
        };
        let categories: CategorySet = checked.category(category).into_iter().collect();
        Query::new(
            policy,
            policy.at(),
            Operation::Read,
            subject,
            categories,
            party(from),
            party(to),
        )
    }

    #[test]
    fn an_export_asks_the_counters_of_its_exporter_and_feeds_its_class() {
        let checked = demo();
        let policy = checked.compile("2026-11-21T12:00:00Z".parse().unwrap());
        let query = read(&policy, "user.name", ("CN", "acme-cn"), ("SG", "acme-sg"));
        let found = countings(&policy, &query);
        let keys: Vec<(&str, bool)> = found
            .iter()
            .map(|c| {
                let counter = &checked.vocabulary.counters[c.counter.index()];
                (counter.key.as_ref(), c.adds)
            })
            .collect();
        assert_eq!(keys, [("cn.ordinary", true), ("cn.sensitive", false)]);
        for counting in &found {
            assert_eq!(counting.exporter, checked.entity("acme-cn"));
            assert_eq!(counting.recipient, None);
            // 1 January in Shanghai.
            assert_eq!(counting.since, "2025-12-31T16:00:00Z".parse().unwrap());
            assert!(counting.day.0 <= query.at && query.at < counting.day.1);
        }
        // Refused, so nobody is counted.
        let verdict = decide(&policy, &query);
        assert!(!verdict.is_permit());
        assert!(!found.iter().any(|c| counts(&policy, &verdict, c)));
    }

    #[test]
    fn what_stays_inside_asks_nothing() {
        let checked = demo();
        let policy = checked.compile("2026-11-21T12:00:00Z".parse().unwrap());
        let inside = read(&policy, "user.name", ("CN", "acme-cn"), ("CN", "acme-cn"));
        assert_eq!(countings(&policy, &inside).len(), 0);
        let inbound = read(&policy, "user.name", ("SG", "acme-sg"), ("CN", "acme-cn"));
        assert_eq!(countings(&policy, &inbound).len(), 0);
        let mut erase = read(&policy, "user.name", ("CN", "acme-cn"), ("SG", "acme-sg"));
        erase.operation = Operation::Erase;
        assert_eq!(countings(&policy, &erase).len(), 0);
    }

    #[test]
    fn tables_of_thresholds_ask_too_and_each_recipient_has_its_count() {
        let checked = demo();
        let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let policy = checked.compile(at);
        let mut query = read(&policy, "user.health", ("US", "acme-sg"), ("CN", "acme-cn"));
        query.subject.countries = ["US".parse().unwrap()].into_iter().collect();
        let found = countings(&policy, &query);
        let health = found.iter().find(|c| {
            let counter = &checked.vocabulary.counters[c.counter.index()];
            *counter.key == *"us.health"
        });
        let health = health.expect("a count of health");
        assert!(health.adds);
        let importer = checked.entity("acme-cn").map(CountedRecipient::Entity);
        assert_eq!(health.recipient, importer);
        let age = at.duration_since(health.since).as_hours() / 24;
        assert_eq!(age, 365, "since the same day of last year");
        let edges = thresholds(&policy, at);
        assert!(
            edges
                .iter()
                .any(|t| t.counter == health.counter && t.number == 10_000)
        );
    }

    #[test]
    fn the_thresholds_are_those_of_the_rules_in_force() {
        let checked = demo();
        let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let policy = checked.compile(at);
        let found = thresholds(&policy, at);
        let small: Vec<u64> = found
            .iter()
            .filter(|t| *t.rule == *"cn-small-volume")
            .map(|t| t.number)
            .collect();
        assert_eq!(small, [100_000, 0]);
        assert!(!found.iter().any(|t| t.rule.ends_with("-2023")));
    }

    #[test]
    fn thresholds_of_a_table_are_asked_per_recipient_and_fed_by_the_laws_own_people() {
        let checked = crate::decide::tests::shipped("examples/cases/west.toml");
        let policy = checked.compile("2026-11-21T12:00:00Z".parse().unwrap());
        let (from, to) = (("US", "plain-us"), ("CN", "trade-cn"));
        let mut query = read(&policy, "user.health", from, to);
        let health = checked.vocabulary.counter("us.health").unwrap();
        let fed = |query: &Query| {
            let all = countings(&policy, query);
            let found = all.iter().find(|c| c.counter == health).copied();
            found.expect("asked")
        };
        assert!(!fed(&query).adds, "a person of CN is no US person");
        query.subject.countries = ["US".parse().unwrap()].into_iter().collect();
        let found = fed(&query);
        assert!(found.adds);
        let importer = checked.entity("trade-cn").map(CountedRecipient::Entity);
        assert_eq!(found.recipient, importer);
        // A year ago, in New York.
        assert_eq!(found.since, "2025-11-21T05:00:00Z".parse().unwrap());
        let edges = thresholds(&policy, policy.at());
        assert!(
            edges
                .iter()
                .any(|t| t.counter == health && t.number == 10_000)
        );
    }
}
