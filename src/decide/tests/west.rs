//! What the cases of Europe, America and the Chinas cannot say: homes, words of refusals, faults.

use serde_json::json;

use super::{ask, policies, shipped};
use crate::{
    decide::{HomeFault, Party, Query, Subject, home},
    document::{Faults, Node},
    domain::{CategorySet, Operation, Region, Regions},
    policy::check,
};

#[test]
fn a_law_of_one_state_demands_the_home_of_its_own_people_only() {
    let checked = shipped("examples/cases/west.toml");
    let policy = checked.compile("2026-11-21T12:00:00Z".parse().unwrap());
    let region = |name: &str, place: &str, entity: &str| Region {
        name: name.into(),
        place: place.parse().unwrap(),
        entity: entity.into(),
    };
    let sg = || region("sg", "SG", "acme-sg");
    let abroad = Regions::new(vec![sg()]);
    let with_us = Regions::new(vec![sg(), region("us", "US", "plain-us")]);
    let store = |person: &str, category: &str| {
        let here = Party::new("SG".parse().unwrap(), checked.entity("acme-sg").unwrap());
        let subject = Subject {
            countries: [person.parse().unwrap()].into_iter().collect(),
            ..Subject::default()
        };
        let categories: CategorySet = checked.category(category).into_iter().collect();
        let (at, op) = (policy.at(), Operation::Store);
        Query::new(&policy, at, op, subject, categories, here, here)
    };
    let texan = store("US-TX", "user.health");
    assert!(matches!(
        home(&policy, &abroad, &texan),
        Err(HomeFault::NoRegionOfLaw { .. })
    ));
    let found = home(&policy, &with_us, &texan).map(|id| with_us.name(id));
    assert_eq!(found, Ok("us"));
    for (person, category) in [("US-CA", "user.health"), ("US-TX", "user.name")] {
        let found = home(&policy, &abroad, &store(person, category));
        assert_eq!(found.map(|id| abroad.name(id)), Ok("sg"), "{person}");
    }
}

#[test]
fn a_refusal_names_the_transaction_and_the_counter() {
    let answer = ask(
        &shipped("examples/cases/west.toml"),
        json!({
            "at": "2026-11-21T12:00:00Z", "operation": "read",
            "subject": { "countries": ["US"] },
            "categories": ["user.health"],
            "from": { "country": "US", "entity": "plain-us" },
            "to": { "country": "CN", "entity": "trade-cn" },
        }),
    );
    let needs: Vec<&String> = answer.missing.iter().flat_map(|m| &m.needs).collect();
    for words in [
        "counter us.health",
        "transaction (vendor) or transaction (employment) or transaction (investment)",
        "transaction (other)",
    ] {
        assert!(
            needs.iter().any(|n| n.contains(words)),
            "{words}: {needs:?}"
        );
    }
}

#[test]
fn unknown_tables_of_thresholds_and_places_of_attributes_are_told() {
    let faults = Faults::new();
    let vocabulary = std::fs::read_to_string(policies().join("vocabulary.toml")).unwrap();
    let vocabulary = vocabulary.replace(
        "established_in = [\"US_COUNTRY_OF_CONCERN\"]",
        "established_in = [\"US_CONCERN\"]",
    );
    let law = std::fs::read_to_string(policies().join("law/us.toml")).unwrap();
    let law = law.replace("above = \"us-bulk-omic\"", "above = \"us-bulk-omc\"");
    let parse = |name: &str, text: String| Node::parse(name, text, &faults).unwrap();
    let organisation = "[entities.a]\ncountry = \"US\"\n".to_owned();
    check(
        &parse("vocabulary.toml", vocabulary),
        &[parse("us.toml", law)],
        &parse("organisation.toml", organisation),
        &faults,
    );
    let told: Vec<String> = faults.into_sorted().iter().map(|f| f.summary()).collect();
    for words in [
        "unknown table of thresholds `us-bulk-omc` (did you mean `us-bulk-omic`?)",
        "`US_CONCERN` is neither a place nor a group",
    ] {
        assert!(told.iter().any(|t| t.contains(words)), "{words}: {told:?}");
    }
}
