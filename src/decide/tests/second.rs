//! What the second reading's cases cannot say: words of refusals, questions that cannot be put.

use serde_json::{Value, json};

use super::{ask, demo, shipped};
use crate::{
    decide::{Party, Query, QuestionFaults, Subject, explain_with, home},
    domain::{CategorySet, Operation, Question, Region, Regions},
};

const SECOND: &str = "examples/cases/second.toml";

/// 152-FZ Art. 12: a notification after a prohibition has a term of its own, at whose end the tables
/// must change though nothing in any file has this day.
#[test]
fn each_term_of_a_filing_is_a_boundary() {
    let checked = shipped("examples/cases/edges.toml");
    let policy = checked.compile("2026-12-03T20:45:00Z".parse().unwrap());
    let midnight_in_moscow = "2026-12-03T21:00:00Z".parse().unwrap();
    assert_eq!(policy.next_boundary(), Some(midnight_in_moscow));
}

fn flow(person: &str, from: [&str; 2], to: [&str; 2]) -> Value {
    json!({
        "at": "2026-11-21T12:00:00Z", "operation": "replicate",
        "subject": { "countries": [person] }, "categories": ["user.contact.email"],
        "from": { "country": from[0], "entity": from[1] },
        "to": { "country": to[0], "entity": to[1] },
    })
}

/// What a mechanism lacks in the answer to a question.
fn needs(question: Value, mechanism: &str) -> Vec<String> {
    let answer = ask(&shipped(SECOND), question);
    let found = answer
        .missing
        .into_iter()
        .find(|m| m.mechanism == mechanism);
    found.expect("the mechanism").needs
}

fn fault(change: impl FnOnce(&mut Value)) -> QuestionFaults {
    let mut question = flow("DE", ["NL", "nl"], ["US", "us"]);
    change(&mut question);
    let question: Question = serde_json::from_value(question).expect("a question");
    let answer = explain_with(&shipped(SECOND), &question, None);
    answer.expect_err("no question to put")
}

#[test]
fn questions_without_sense_are_told_what_to_do() {
    let told = [
        (
            fault(|q| q["categories"] = json!([])),
            "`user` when unknown, `system.operations` when",
        ),
        (
            fault(|q| q["subject"]["age"] = json!(151)),
            "`subject.age` is above 150",
        ),
        (
            fault(|q| q["subject"]["born"] = json!("2026-11-23")),
            "`subject.born` lies after `at`",
        ),
        (
            fault(|q| q["subject"]["born"] = json!("1850-01-01")),
            "150 years before",
        ),
        (
            fault(|q| q["purpose"] = json!("ser\u{0}vice")),
            "`/purpose`: a control character",
        ),
        (
            fault(|q| q["grounds"] = json!([{ "kind": "legal-claims", "reference": "a\nb" }])),
            "`/grounds/0/reference`: a control character",
        ),
        (
            fault(|q| q["from"]["entity"] = json!("n\u{1b}l")),
            "unknown entity `n\u{fffd}l`",
        ),
    ];
    for (fault, words) in told {
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
    // Born on the day that has begun further east already, or 150 years ago: both can be.
    for born in ["2026-11-22", "1876-11-21"] {
        let mut question = flow("CN", ["CN", "cn"], ["CN", "cn"]);
        question["subject"]["born"] = json!(born);
        ask(&shipped(SECOND), question);
    }
}

#[test]
fn a_permit_that_waits_to_be_accepted_is_named_with_all_it_lacks() {
    let accept = "accept = [\"mo-consent\"] in the organisation's file (confidence medium)";
    let mut question = flow("MO", ["MO", "mo-bay"], ["US", "us"]);
    assert_eq!(
        needs(question.clone(), "consent"),
        ["consent (transfer)", accept]
    );
    question["subject"]["consents"] = json!([{ "kind": "transfer", "given": "2026-01-01" }]);
    assert_eq!(needs(question.clone(), "consent"), [accept]);
    let authorisation = needs(question, "ad-hoc-clauses");
    assert_eq!(authorisation.len(), 2, "{authorisation:?}");
    assert!(authorisation[0].starts_with("instrument between mo-bay and us"));
}

#[test]
fn an_accepted_rule_is_not_told_to_wait() {
    let question = flow("MO", ["MO", "acme-mo"], ["US", "plain-us"]);
    let answer = ask(&shipped("examples/cases/west.toml"), question);
    let consent = answer.missing.iter().find(|m| m.mechanism == "consent");
    assert_eq!(
        consent.expect("the mechanism").needs,
        ["consent (transfer)"]
    );
}

#[test]
fn clauses_for_an_importer_under_the_gdpr_are_named_in_words() {
    let needs = needs(flow("DE", ["NL", "nl"], ["US", "us-art3"]), "scc");
    let words =
        "`scc-art3` is of edition 2021/914; this asks clauses that a supervisory authority adopted";
    assert!(needs[0].contains(words), "{needs:?}");
}

#[test]
fn a_limit_of_people_names_the_counters_that_are_not_known() {
    let mut question = flow("CN", ["CN", "cn"], ["NL", "nl"]);
    let unknown = needs(question.clone(), "cn-security-assessment");
    for words in [
        "limited to 500000 people",
        "counter cn.ordinary",
        "counter cn.sensitive",
    ] {
        assert!(unknown[0].contains(words), "{unknown:?}");
    }
    question["counts"] = json!({ "cn.ordinary": 2_000_000, "cn.sensitive": 0 });
    let reached = needs(question, "cn-security-assessment");
    assert!(
        reached[0].contains("has reached its limit of 500000 people"),
        "{reached:?}"
    );
}

#[test]
fn a_stated_transaction_is_not_asked_to_be_another() {
    let mut question = flow("US", ["US", "us"], ["TW", "tw"]);
    question["categories"] = json!(["user.health"]);
    question["counts"] = json!({ "us.health": 20_000, "us.genomic": 0 });
    question["transaction"] = json!("brokerage");
    let answer = ask(&shipped(SECOND), question);
    let needs: Vec<&String> = answer.missing.iter().flat_map(|m| &m.needs).collect();
    assert!(!needs.is_empty());
    assert!(
        needs.iter().all(|n| !n.contains("transaction (")),
        "{needs:?}"
    );
}

#[test]
fn an_erasure_is_logged_and_nobody_is_told_of_a_transfer() {
    let mut question = flow("DE", ["NL", "nl"], ["TW", "tw"]);
    question["operation"] = json!("erase");
    let answer = ask(&shipped(SECOND), question);
    assert_eq!(answer.mechanism.as_deref(), Some("eu-erasure"));
    assert_eq!(answer.duties, ["log-transfer"]);
}

/// Emirati health data stays in the Emirates, and what is unknown may be health; a schema that says
/// what a record holds gives these people a home all the same.
#[test]
fn the_demo_serves_emirati_contact_data_and_no_unknown_data() {
    let checked = demo();
    let policy = checked.compile("2026-11-21T12:00:00Z".parse().unwrap());
    let region = |name: &str, place: &str, entity: &str| Region {
        name: name.into(),
        place: place.parse().unwrap(),
        entity: entity.into(),
    };
    let regions = Regions::new(vec![
        region("eu", "DE", "acme-eu"),
        region("sg", "SG", "acme-sg"),
    ]);
    let here = Party::new("SG".parse().unwrap(), checked.entity("acme-sg").unwrap());
    let home_of = |category: &str| {
        let subject = Subject {
            countries: ["AE".parse().unwrap()].into_iter().collect(),
            ..Subject::default()
        };
        let categories: CategorySet = checked.category(category).into_iter().collect();
        let (at, op) = (policy.at(), Operation::Store);
        let store = Query::new(&policy, at, op, subject, categories, here, here);
        home(&policy, &regions, &store).map(|id| regions.name(id))
    };
    for category in ["user.contact.email", "user.name", "user.contact.address"] {
        assert_eq!(home_of(category), Ok("sg"), "{category}");
    }
    for category in ["user", "user.health"] {
        assert!(home_of(category).is_err(), "{category}");
    }
}
