//! Properties that hold for every flow, homes, permits, and the compiled policy itself.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use proptest::prelude::*;

use super::{demo, shipped};
use crate::{
    decide::{
        FindingKind, HomeFault, NotPermitted, Party, Permit, Query, QueryConsent, Subject, answer,
        decide, home, home_candidates, permit,
    },
    document::Faults,
    domain::{
        CategoryId, CategorySet, ConsentKind, Giver, GroundKind, Operation, Outcome, Place, Region,
        RegionId, Regions,
    },
    policy::{Checked, Compiled, CounterId, EntityId},
};

pub(super) static CASES: LazyLock<Arc<Checked>> =
    LazyLock::new(|| shipped("examples/cases/organisation.toml"));
pub(super) static NOW: LazyLock<Compiled> =
    LazyLock::new(|| CASES.compile(at("2026-11-21T12:00:00Z")));

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

const PLACES: [&str; 14] = [
    "CN", "IN", "RU", "DE", "FR", "SG", "US", "GB", "BR", "HK", "JP", "NC", "CN-GD", "X-EPO",
];

fn place() -> impl Strategy<Value = Place> {
    prop::sample::select(&PLACES[..]).prop_map(|p| p.parse().expect("a place"))
}

fn party() -> impl Strategy<Value = Party> {
    let entities = CASES.entities().count();
    (
        place(),
        prop::option::weighted(0.9, 0..entities),
        prop::bool::ANY,
    )
        .prop_map(|(place, entity, at_home)| {
            let entity = entity.map(|i| EntityId(u16::try_from(i).expect("few entities")));
            let own = entity.and_then(|e| CASES.entity_info(e)).map(|e| e.place);
            Party {
                place: own.filter(|_| at_home).unwrap_or(place),
                entity,
                role: None,
            }
        })
}

prop_compose! {
    pub(super) fn query()(
        operation in prop::sample::select(&Operation::ALL[..]),
        countries in prop::collection::vec(place().prop_filter("a country", |p| p.country().is_some()), 1..3),
        citizen in prop::option::weighted(0.2, Just("RU".parse::<Place>().expect("a place"))),
        categories in prop::collection::vec(0..CASES.categories_all().count(), 0..4),
        from in party(),
        to in party(),
        via in prop::option::weighted(0.2, party()),
        ground in prop::option::of((prop::sample::select(&[
            GroundKind::ContractNecessity, GroundKind::VitalInterest, GroundKind::Transit,
            GroundKind::LegalClaims, GroundKind::Journalism, GroundKind::Treaty][..]), prop::bool::ANY)),
        consent in prop::option::of((prop::sample::select(&[
            ConsentKind::Transfer, ConsentKind::Separate, ConsentKind::Parental][..]), prop::bool::ANY)),
        counts in prop::option::of((0u64..2_000_000, 0u64..20_000)),
        age in prop::option::weighted(0.3, 5u16..40),
        held in prop::option::of(place()),
    ) -> Query {
        let ids: CategorySet = categories.iter().map(|i| CategoryId(u8::try_from(*i).expect("few"))).collect();
        let subject = Subject {
            countries: countries.into_iter().collect(),
            citizenships: citizen.into_iter().collect(),
            age,
            consents: consent.into_iter().map(|(kind, full)| QueryConsent {
                kind, by: Giver::Parent, purpose: None, to: Default::default(), given: None,
                withdrawn: None, occasional: full, informed: full,
            }).collect(),
            ..Subject::default()
        };
        let mut q = Query::new(&NOW, NOW.at(), operation, subject, ids, from, to);
        q.via = via;
        if let Some((kind, occasional)) = ground {
            q.grounds.insert(kind, occasional);
        }
        if let Some((n, s)) = counts {
            q.counts.push((CounterId(0), n));
            q.counts.push((CounterId(1), s));
        }
        q.held_in.extend(held);
        q
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_permit_across_a_border_names_mechanism_and_citation(q in query()) {
        let verdict = decide(&NOW, &q);
        let personal = q.categories().intersects(CASES.personal());
        if verdict.is_permit() && personal {
            prop_assert!(verdict.mechanism(&CASES).is_some());
            let rule = verdict.rule(&CASES).expect("a rule");
            prop_assert!(!rule.citation.is_empty());
            for finding in verdict.findings() {
                prop_assert_eq!(finding.kind, FindingKind::Permitted);
                prop_assert!(finding.mechanism.is_some());
            }
        }
        if !verdict.is_permit() {
            prop_assert!(verdict.mechanism(&CASES).is_none() && verdict.rule(&CASES).is_some());
            prop_assert!(!verdict.is_flow_home());
        }
    }

    #[test]
    fn adding_a_category_never_turns_a_refusal_into_a_permit(
        q in query(), more in 0..CASES.categories_all().count()
    ) {
        let before = decide(&NOW, &q);
        let mut wider = q.clone();
        let mut set = q.categories();
        set.insert(CategoryId(u8::try_from(more).expect("few")));
        wider.set_categories(&NOW, set);
        let after = decide(&NOW, &wider);
        prop_assert!(before.is_permit() || !after.is_permit(), "{before:?} {after:?}");
    }

    #[test]
    fn adding_a_law_never_turns_a_refusal_into_a_permit(q in query(), country in place()) {
        prop_assume!(country.country().is_some());
        let before = decide(&NOW, &q);
        // Where no law attached at all, the new one is the first to speak.
        prop_assume!(before.findings().iter().all(|f| f.rule != crate::policy::NO_LAW));
        let mut more = q.clone();
        more.subject.countries.push(country);
        prop_assert!(before.is_permit() || !decide(&NOW, &more).is_permit());
    }

    #[test]
    fn a_citizens_primary_copy_is_never_permitted_outside(q in query()) {
        let russia: Place = "RU".parse().expect("a place");
        let citizen = q.subject.citizenships.contains(&russia)
            || (q.subject.citizenships.is_empty() && q.subject.countries.contains(&russia));
        let excepted = [GroundKind::LegalClaims, GroundKind::Journalism, GroundKind::Treaty]
            .iter().any(|g| q.grounds.contains(*g, false));
        let authority = q.from.entity == CASES.entity("court-ru")
            || q.via.is_some_and(|v| v.entity == CASES.entity("court-ru"));
        let stores = matches!(q.operation, Operation::Store | Operation::Relocate);
        let personal = q.possible().intersects(CASES.personal());
        if citizen && stores && personal && !excepted && !authority && q.to.place != russia {
            prop_assert_eq!(decide(&NOW, &q).outcome(), Outcome::Refuse);
        }
    }

}

// These compile a policy for each case.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn verdicts_and_answers_repeat(q in query()) {
        let again = CASES.compile(NOW.at());
        let (a, b) = (decide(&NOW, &q), decide(&again, &q));
        prop_assert_eq!(&a, &b);
        let text = |p: &Compiled, v| serde_json::to_string(&answer(p, &q, v, None)).expect("JSON");
        prop_assert_eq!(text(&NOW, &a), text(&again, &b));
    }

    #[test]
    fn an_expired_instrument_never_permits(q in query(), day in 0i64..6000) {
        let when = at("2018-06-01T00:00:00Z") + jiff::SignedDuration::from_hours(24 * day);
        let policy = CASES.compile(when);
        let mut q = q;
        q.at = when;
        let verdict = decide(&policy, &q);
        if let Some(instrument) = verdict.instrument(&CASES) {
            let slack = jiff::SignedDuration::from_hours(24);
            let days = [when - slack, when, when + slack]
                .map(|t| jiff::tz::TimeZone::UTC.to_datetime(t).date());
            prop_assert!(days.iter().any(|d| instrument.valid.contains(*d)));
        }
    }

    /// A clock that was put back: tables that say they hold for an earlier day do.
    #[test]
    fn tables_hold_for_earlier_days_or_say_that_they_do_not(
        q in query(), day in 0i64..6000, back in 0i64..3000,
    ) {
        let when = at("2014-06-01T10:30:00Z") + jiff::SignedDuration::from_hours(24 * day);
        let policy = CASES.compile(when);
        prop_assert!(policy.holds_at(when));
        let earlier = when - jiff::SignedDuration::from_hours(24 * back);
        let mut q = q;
        q.at = earlier;
        let anew = CASES.compile(earlier);
        if policy.holds_at(earlier) {
            prop_assert_eq!(decide(&policy, &q), decide(&anew, &q));
        }
        if let Some(boundary) = anew.next_boundary() {
            let second = jiff::SignedDuration::from_secs(1);
            let at_it = CASES.compile(boundary);
            prop_assert!(at_it.holds_at(boundary));
            prop_assert!(!at_it.holds_at(boundary - second));
        }
    }

    #[test]
    fn tables_are_true_until_the_boundary(q in query(), day in 0i64..6000) {
        let when = at("2014-06-01T10:30:00Z") + jiff::SignedDuration::from_hours(24 * day);
        let policy = CASES.compile(when);
        let Some(boundary) = policy.next_boundary() else { return Ok(()) };
        prop_assert!(boundary > when);
        let last = boundary - jiff::SignedDuration::from_secs(1);
        let mut q = q;
        q.at = last;
        prop_assert_eq!(decide(&policy, &q), decide(&CASES.compile(last), &q));
    }
}

fn regions(names: &[(&str, &str, &str)]) -> Regions {
    let all = names.iter().map(|(name, place, entity)| Region {
        name: (*name).into(),
        place: place.parse().expect("a place"),
        entity: (*entity).into(),
    });
    Regions::new(all.collect())
}

fn five() -> Regions {
    regions(&[
        ("cn", "CN", "acme-cn"),
        ("in", "IN", "acme-in"),
        ("ru", "RU", "acme-ru"),
        ("eu", "DE", "acme-eu"),
        ("sg", "SG", "acme-sg"),
    ])
}

/// A store of contact data from the demo's location.
fn template(policy: &Compiled, countries: &[&str]) -> Query {
    let checked = policy.checked();
    let here = Party::new("SG".parse().unwrap(), checked.entity("acme-sg").unwrap());
    let subject = Subject {
        countries: countries.iter().map(|c| c.parse().unwrap()).collect(),
        ..Subject::default()
    };
    let email = checked.category("user.contact.email").unwrap();
    let set = CategorySet::from_iter([email]);
    Query::new(
        policy,
        policy.at(),
        Operation::Store,
        subject,
        set,
        here,
        here,
    )
}

#[test]
fn homes() {
    let checked = demo();
    let policy = checked.compile(at("2026-11-21T12:00:00Z"));
    let all = five();
    for (countries, name) in [
        (&["CN"][..], "cn"),
        (&["IN"], "in"),
        (&["RU"], "ru"),
        (&["IS"], "eu"),
        (&["RE"], "eu"),
        (&["SG"], "sg"),
        (&["BR"], "sg"),
        (&["US"], "sg"),
        // The law that localises goes before the strongest evidence.
        (&["DE", "RU"], "ru"),
        (&["DE", "CN"], "eu"),
    ] {
        let found = home(&policy, &all, &template(&policy, countries));
        assert_eq!(found.map(|id| all.name(id)), Ok(name), "{countries:?}");
    }
    let both = home_candidates(&policy, &all, &template(&policy, &["DE", "CN"])).unwrap();
    assert_eq!(
        both.iter().map(|id| all.name(*id)).collect::<Vec<_>>(),
        ["eu", "cn"]
    );
    let nobody = template(&policy, &[]);
    assert_eq!(home(&policy, &all, &nobody), Err(HomeFault::Unknown));
    let without_ru = regions(&[("sg", "SG", "acme-sg"), ("eu", "DE", "acme-eu")]);
    let refused = home(&policy, &without_ru, &template(&policy, &["RU"]));
    assert!(
        matches!(refused, Err(HomeFault::NoRegionOfLaw { .. })),
        "{refused:?}"
    );
}

#[test]
fn two_laws_that_each_want_the_primary_copy_conflict() {
    let checked = shipped("examples/cases/organisation.toml");
    let policy = checked.compile(at("2026-11-21T12:00:00Z"));
    let mut query = template(&policy, &["RU", "IN"]);
    query.from = Party::new("IN".parse().unwrap(), checked.entity("pay-in").unwrap());
    let payment = checked.category("payment.system").unwrap();
    query.set_categories(&policy, CategorySet::from_iter([payment]));
    let conflict = home(&policy, &five(), &query);
    let Err(HomeFault::Conflict { rules }) = conflict else {
        panic!("{conflict:?}");
    };
    let names: Vec<&str> = rules
        .iter()
        .map(|r| checked.rule(*r).unwrap().id.as_ref())
        .collect();
    assert_eq!(names, ["in-payment-data", "ru-localisation"]);
}

#[test]
fn permits_come_from_permitting_verdicts_only() {
    let checked = demo();
    let policy = checked.compile(at("2026-11-21T12:00:00Z"));
    let party = |p: &str, e: &str| Party::new(p.parse().unwrap(), checked.entity(e).unwrap());
    let region = RegionId(0);
    let mut q = template(&policy, &["IN"]);
    q.to = party("IN", "acme-in");
    let verdict = decide(&policy, &q);
    let home = permit(&verdict, region, Operation::Store).unwrap();
    assert!(home.is_flow_home());
    let other = permit(&verdict, region, Operation::Read).unwrap_err();
    assert_eq!(other, NotPermitted::OtherOperation);
    q.to = party("SG", "acme-sg");
    let refused = decide(&policy, &q);
    let none = permit(&refused, region, Operation::Store).unwrap_err();
    assert_eq!(none, NotPermitted::Refused);
    assert!(!Permit::observed(region, Operation::Store).is_flow_home());
    let forged = Permit::danger_for_tests(region, Operation::Store, true);
    assert_eq!(
        (forged.region().unwrap(), forged.operation()),
        (region, Operation::Store)
    );

    // A read from abroad is written ahead, a read where the data lies is not.
    let mut read = template(&policy, &["DE"]);
    read.operation = Operation::Read;
    read.from = party("DE", "acme-eu");
    let abroad = decide(&policy, &read);
    assert!(abroad.is_permit() && !abroad.is_flow_home());
    let mut local = template(&policy, &["SG"]);
    local.operation = Operation::Read;
    assert!(decide(&policy, &local).is_flow_home());
}

#[test]
fn unknown_names_in_questions_are_errors() {
    let checked = demo();
    let policy = checked.compile(at("2026-11-21T12:00:00Z"));
    let base = serde_json::json!({
        "at": "2026-11-21T12:00:00Z", "operation": "read", "subject": { "countries": ["DE"] },
        "categories": ["user.contact.email"], "from": { "country": "DE", "entity": "acme-eu" },
        "to": { "country": "SG", "entity": "acme-sg" },
    });
    let resolve = |key: &str, value: serde_json::Value| {
        let mut q = base.clone();
        q[key] = value;
        let q: crate::domain::Question = serde_json::from_value(q).expect("the shape holds");
        policy.resolve(&q).map(|_| ()).map_err(|e| e.to_string())
    };
    use serde_json::json;
    assert_eq!(resolve("purpose", json!("anything")), Ok(()));
    for (key, value, words) in [
        (
            "categories",
            json!(["user.contct"]),
            "did you mean `user.contact`",
        ),
        (
            "from",
            json!({ "country": "DE", "entity": "acme-de" }),
            "unknown entity `acme-de`",
        ),
        ("recipient", json!("nobody"), "unknown recipient"),
        ("counts", json!({ "cn.odd": 1 }), "unknown counter `cn.odd`"),
        ("subject", json!({ "countries": [] }), "may be empty only"),
        (
            "subject",
            json!({ "countries": ["X-EPO"] }),
            "people live in countries",
        ),
        ("special_ground", json!("z"), "Art. 9(2)"),
    ] {
        let error = resolve(key, value).expect_err(words);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn regions_must_be_the_ones_that_homes_name() {
    let dir = super::policies();
    let faults = Faults::new();
    let organisation = dir.join("examples/demo/organisation.toml");
    let checked = crate::policy::load(&dir, &organisation, &faults).unwrap();
    checked.bind(
        &regions(&[("eu", "DE", "acme-eu"), ("sgp", "SG", "acme")]),
        &faults,
    );
    let told: Vec<String> = faults.into_sorted().iter().map(|f| f.summary()).collect();
    assert!(
        told.iter()
            .any(|t| t.contains("unknown region `sg` (did you mean `sgp`?)")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|t| t.contains("region `sgp` is run by `acme`")),
        "{told:?}"
    );
}
