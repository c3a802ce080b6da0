//! Personal data in fields that nobody has listed (`discover`).

use serde_json::Value;

use crate::kit::http::Request;
use crate::kit::setup::{Backends, Router, Setup};
use crate::kit::{all_entries, problem};

fn start(discover: bool) -> (Router, Backends) {
    let (mut setup, backends) = Setup::recording();
    for format in ["record", "ndjson"] {
        setup.set_route(format, "discover", discover);
    }
    (setup.start(), backends)
}

/// Of the last entry of a record that somebody writes abroad, where the decision is written at once.
#[track_caller]
fn categories(router: &Router, body: &str) -> Vec<String> {
    let answer = router.put("d1", body);
    let decision = answer.header("domicile-decision").unwrap().to_owned();
    let entries = all_entries(router.admin);
    let entry = entries.iter().find(|e| e["decision"] == decision.as_str());
    let entry = entry.unwrap_or_else(|| panic!("no entry of {decision}: {answer:?}"));
    let mut named: Vec<String> = entry["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c.as_str().unwrap().to_owned())
        .collect();
    named.sort();
    named
}

#[test]
fn what_was_found_stands_in_the_entry() {
    let body = r#"{"country":"DE","note":"write to asha@example.in","диагноз":"j45","phones":["+4930901820"]}"#;
    let plain = categories(&start(false).0, body);
    assert_eq!(plain, ["user", "user.contact.address.country"]);
    let found = categories(&start(true).0, body);
    for wanted in [
        "user",
        "user.contact.address.country",
        "user.contact.email",
        "user.contact.phone_number",
        "user.health_and_medical.medical_diagnosis",
    ] {
        assert!(
            found
                .iter()
                .any(|f| f == wanted
                    || f.replace("user.health.", "user.health_and_medical.") == wanted),
            "{wanted}: {found:?}"
        );
    }
}

#[test]
fn a_child_is_seen_in_a_field_that_nobody_listed() {
    for (discover, status) in [(false, 201), (true, 451)] {
        let (router, _backends) = start(discover);
        let body = r#"{"country":"DE","profile":{"जन्म तिथि":"2020-05-06"}}"#;
        let answer = router.put("d2", body);
        assert_eq!(answer.status, status, "{answer:?}");
        let batch = Request::new("POST", "/people")
            .ndjson(r#"{"id":"d3","country":"DE","profile":{"dob":"2020-05-06"}}"#);
        let items = batch.send(router.router).items();
        assert_eq!(items[0]["status"], Value::from(status), "{items:?}");
    }
    let told = problem(
        &start(true)
            .0
            .put("d2", r#"{"country":"DE","dob":"2020-05-06"}"#),
        451,
    );
    assert!(!told.to_string().contains("2020-05-06"), "{told}");
}

/// It learns shapes elsewhere; here each value counts.
#[test]
fn records_of_one_shape_are_looked_into_each() {
    let (router, _backends) = start(true);
    let calm = r#"{"country":"DE","profile":{"age":"30"}}"#;
    for _ in 0..4 {
        assert_eq!(router.put("d4", calm).status, 201);
    }
    assert_eq!(router.put("d4", &calm.replace("30", "12")).status, 451);
}
