//! The router's own memory of people: thresholds, consents, children; over restarts.

use std::fs;

use serde_json::{Value, json};

use crate::kit::http::{Answer, Request, get};
use crate::kit::setup::{Backends, Router, Setup, metrics};
use crate::kit::{concurrently, contains, decision, entries_of, eventually, problem};

/// An edge that a test can reach: fewer than five ordinary people a year.
const EDGE: &str = "cn.ordinary < 5";

/// China's small-volume exemption with a low edge, an assessment for it, and a strict schema that
/// knows ages.
fn setup() -> (Setup, Backends) {
    let (mut setup, backends) = Setup::recording();
    let policies = setup.folder.path().join("policies");
    let law = policies.join("law/cn.toml");
    let text = fs::read_to_string(&law).unwrap();
    assert!(text.contains("cn.ordinary < 100000\", \"cn.sensitive == 0"));
    let low = text.replace(
        "cn.ordinary < 100000\", \"cn.sensitive == 0",
        &format!("{EDGE}\", \"cn.sensitive == 0"),
    );
    fs::write(&law, low).unwrap();
    let organisation = policies.join("organisation.toml");
    let mut text = fs::read_to_string(&organisation).unwrap();
    // Without its clauses Singapore reads European records by consent alone.
    text = text.replace(
        "categories = [\"user\"]",
        "categories = [\"user.biometric\"]",
    );
    text.push_str(
        r#"
[[assessments]]
id = "PIPIA-1"
kind = "pipia"
exporter = ["acme-cn"]
importer = ["acme-sg"]
date = 2026-01-15
review_by = 2099-12-31
outcome = "effective"
"#,
    );
    fs::write(&organisation, text).unwrap();
    setup.set(&["schemas", "person", "strict"], true);
    for (field, category) in [
        ("/age", "user.demographic.age_range"),
        ("/born", "user.demographic.date_of_birth"),
        ("/profile/born", "user.demographic.date_of_birth"),
    ] {
        setup.set(&["schemas", "person", "fields", field], category);
    }
    (setup, backends)
}

fn store_chinese(router: &Router, id: &str) {
    let answer = router.put(id, &format!(r#"{{"id":"{id}","country":"CN","name":"x"}}"#));
    assert!(answer.is_success(), "{answer:?}");
}

fn read(router: &Router, id: &str) -> Answer {
    get(router.router, &format!("/people/{id}"))
}

#[track_caller]
fn consents(router: &Router, action: &str, body: Value) -> Answer {
    Request::new("POST", format!("/v1/consents{action}"))
        .json(body.to_string())
        .send(router.admin)
}

#[test]
fn the_person_at_the_edge_is_refused_and_a_restart_forgets_nobody() {
    let (setup, _backends) = setup();
    let mut router = setup.start();
    for n in 0..8 {
        store_chinese(&router, &format!("c{n}"));
    }
    for n in 0..4 {
        let answer = read(&router, &format!("c{n}"));
        assert!(answer.is_success(), "{answer:?}");
        assert_eq!(
            answer.header("domicile-mechanism"),
            Some("cn-exempt-small-volume")
        );
        let entries = entries_of(router.admin, decision(&answer));
        assert_eq!(entries[0]["counted"], json!(["cn.ordinary acme-cn"]));
    }
    let fifth = problem(&read(&router, "c4"), 451);
    assert!(fifth["missing"].is_array(), "{fifth}");
    // Who is counted does not count again.
    for n in 0..4 {
        assert!(read(&router, &format!("c{n}")).is_success());
    }
    problem(&read(&router, "c4"), 451);
    let gauge = r#"domicile_threshold_subjects{law="CN",rule="cn-small-volume"} 4"#;
    assert!(metrics(router.admin).contains(gauge));
    eventually("a warning at 80 %", || {
        router.process.text().contains("80 %").then_some(())
    });

    router.restart();
    problem(&read(&router, "c5"), 451);
    for n in 0..4 {
        assert!(read(&router, &format!("c{n}")).is_success(), "c{n}");
    }
    assert!(metrics(router.admin).contains(gauge));
}

#[test]
fn workers_that_meet_at_the_edge_let_no_more_people_pass() {
    let (setup, _backends) = setup();
    let router = setup.start();
    let people: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    for id in &people {
        store_chinese(&router, id);
    }
    let tries: Vec<String> = (0..6).flat_map(|_| people.clone()).collect();
    let answers = concurrently(12, &tries, |_, id| (id.clone(), read(&router, id).status));
    let mut passed: Vec<&String> = answers
        .iter()
        .filter(|(_, status)| *status < 300)
        .map(|(id, _)| id)
        .collect();
    passed.sort();
    passed.dedup();
    assert!(passed.len() <= 4, "{passed:?}");
    // Whoever was refused for somebody under way can come again, until the edge.
    let all = people
        .iter()
        .filter(|id| read(&router, id).is_success())
        .count();
    assert_eq!(all, 4);
}

#[test]
fn within_one_batch_the_edge_is_at_the_same_person() {
    let (setup, backends) = setup();
    let mut router = setup.start();
    let line = |id: &str| format!(r#"{{"id":"{id}","country":"CN","name":"x"}}"#) + "\n";
    // The second comes twice, and counts once.
    let lines: String = ["b0", "b1", "b1", "b2", "b3", "b4", "b5"]
        .map(line)
        .concat();
    let send = |router: &Router| {
        let answer = Request::new("POST", "/people")
            .header("domicile-target", "sg")
            .ndjson(lines.clone())
            .send(router.router);
        assert_eq!(answer.status, 207, "{answer:?}");
        let text = String::from_utf8(answer.body).unwrap();
        text.lines()
            .map(|l| {
                serde_json::from_str::<Value>(l).unwrap()["status"]
                    .as_u64()
                    .unwrap()
            })
            .collect::<Vec<_>>()
    };
    let expected = [201, 201, 201, 201, 201, 451, 451];
    assert_eq!(send(&router), expected);
    router.restart();
    assert_eq!(
        send(&router),
        expected,
        "who is counted passes again, and nobody else"
    );
    assert_eq!(backends.reached_by("b4"), [] as [&str; 0]);
    assert_eq!(backends.reached_by("b3"), ["sg"]);
}

/// Each record's age is asked for, though all else is as in the records before it.
#[test]
fn no_record_of_a_batch_is_taken_for_an_adults_by_those_before_it() {
    let (setup, backends) = setup();
    let router = setup.start();
    let record = |age: u8| format!(r#"{{"id":"one-4712","country":"DE","age":{age}}}"#);
    assert!(router.put("one-4712", &record(40)).is_success());
    let lines = [40, 40, 12, 40].map(|age| record(age) + "\n").concat();
    let answer = Request::new("POST", "/people")
        .ndjson(lines)
        .send(router.router);
    let text = String::from_utf8(answer.body).unwrap();
    let told: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let statuses: Vec<_> = told.iter().map(|l| l["status"].as_u64()).collect();
    assert_eq!(statuses, [201, 201, 451, 201].map(Some), "{told:?}");
    assert_eq!(backends.reached_by("\"age\":12"), [] as [&str; 0]);
}

#[test]
fn a_child_needs_a_parents_consent_and_its_withdrawal_counts_at_once() {
    let (setup, backends) = setup();
    let mut router = setup.start();
    let child = r#"{"id":"kid-4711","country":"DE","age":12}"#;
    let refused = problem(&router.put("kid-4711", child), 451);
    assert_eq!(refused["rule"], "eu-child-16", "{refused}");
    let born = r#"{"id":"kid-4711","country":"DE","born":"2020-05-05"}"#;
    problem(&router.put("kid-4711", born), 451);
    // Of two facts that disagree the younger one counts.
    for torn in [
        r#"{"id":"kid-4711","country":"DE","born":"1980-05-05","age":12}"#,
        r#"{"id":"kid-4711","country":"DE","born":"2020-05-05","age":40}"#,
        r#"{"id":"kid-4711","country":"DE","born":null,"profile":{"born":"2020-05-05"}}"#,
        r#"{"id":"kid-4711","country":"DE","born":"1980-05-05","profile":{"born":"2020-05-05"}}"#,
    ] {
        problem(&router.put("kid-4711", torn), 451);
    }
    let adult = r#"{"id":"grown","country":"DE","born":"1980-05-05","age":"40-49"}"#;
    assert!(router.put("grown", adult).is_success());
    // What should be an age and is none does not pass for an adult's.
    let odd = problem(
        &router.put("odd", r#"{"id":"odd","country":"DE","age":"eleven"}"#),
        422,
    );
    assert_eq!(odd["type"], "urn:domicile:problem:unreadable-age");
    assert!(backends.reached_by("kid-4711").is_empty());

    let whose = json!({ "subject": "kid-4711" });
    // The child's own word is no parent's.
    let own = json!({ "subject": "kid-4711", "kind": "parental" });
    assert_eq!(consents(&router, "", own).status, 201);
    problem(&router.put("kid-4711", child), 451);
    let parental = json!({ "subject": "kid-4711", "kind": "parental", "by": "parent" });
    assert_eq!(consents(&router, "", parental).status, 201);
    for _ in 0..8 {
        assert!(router.put("kid-4711", child).is_success());
    }
    assert_eq!(backends.reached_by("kid-4711"), ["eu"]);

    router.restart();
    assert!(router.put("kid-4711", child).is_success());
    let withdraw = json!({ "subject": "kid-4711", "by": "parent" });
    let withdrawn = consents(&router, ":withdraw", withdraw);
    assert_eq!(withdrawn.status, 200, "{withdrawn:?}");
    // On every worker: each connection may meet another one.
    for _ in 0..16 {
        problem(&router.put("kid-4711", child), 451);
    }
    router.restart();
    problem(&router.put("kid-4711", child), 451);
    let all = consents(&router, ":query", whose).json();
    let all = all["consents"].as_array().unwrap();
    assert_eq!(all.len(), 2, "nothing is deleted");
    assert!(all[1]["withdrawn"]["at"].is_string(), "{all:?}");

    // A batch obeys the same register.
    let answer = Request::new("POST", "/people")
        .ndjson(format!("{child}\n"))
        .send(router.router);
    assert!(
        String::from_utf8_lossy(&answer.body).contains("451"),
        "{answer:?}"
    );
    assert!(!contains(&router.process.output(), b"kid-4711"));
    for file in ["consents.redb", "counters.redb"] {
        let bytes = fs::read(router.folder.path().join("directory").join(file)).unwrap();
        assert!(!contains(&bytes, b"kid-4711"), "an id in {file}");
    }
}

#[test]
fn a_transfer_rests_on_a_consent_as_long_as_it_stands() {
    let (setup, _backends) = setup();
    let router = setup.start();
    for id in ["ana", "ben"] {
        let body = format!(r#"{{"id":"{id}","country":"DE"}}"#);
        assert!(router.put(id, &body).is_success());
        problem(&read(&router, id), 451);
    }
    let consent = json!({
        "subject": "ana", "namespace": "person", "kind": "transfer",
        "to": ["SG"], "informed": true, "occasional": true,
    });
    let recorded = consents(&router, "", consent);
    assert_eq!(recorded.status, 201, "{recorded:?}");
    let id = recorded.json()["consent"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = read(&router, "ana");
    assert_eq!(
        answer.header("domicile-mechanism"),
        Some("derogation:consent"),
        "{answer:?}"
    );
    problem(&read(&router, "ben"), 451);
    let withdraw = json!({ "subject": "ana", "id": id });
    assert_eq!(consents(&router, ":withdraw", withdraw.clone()).status, 200);
    for _ in 0..16 {
        problem(&read(&router, "ana"), 451);
    }
    // Again: it fits, and has ended already.
    let again = consents(&router, ":withdraw", withdraw).json();
    assert_eq!(again["withdrawn"], json!([]));
}

#[test]
fn what_is_wrong_with_a_consent_is_told_without_repeating_the_person() {
    let (setup, _backends) = setup();
    let router = setup.start();
    let secret = "anna-4712@example.com";
    for (action, body) in [
        ("", json!({ "subject": secret, "kind": "whatever" })),
        (
            "",
            json!({ "subject": secret, "kind": "transfer", "until": "2027-01-01" }),
        ),
        (
            "",
            json!({ "subject": secret, "kind": "transfer", "to": ["Singapore"] }),
        ),
        (
            "",
            json!({ "subject": secret, "kind": "transfer", "namespace": "persons" }),
        ),
        (
            "",
            json!({ "subject": { "id": secret }, "kind": "transfer" }),
        ),
        (":query", json!({ "subject": "" })),
        (":query", json!([secret])),
        (":withdraw", json!({ "id": "c1" })),
    ] {
        let answer = consents(&router, action, body);
        problem(&answer, 400);
        assert!(!contains(&answer.body, secret.as_bytes()), "{answer:?}");
    }
    let none = consents(&router, ":withdraw", json!({ "subject": secret }));
    problem(&none, 404);
    assert!(!contains(&none.body, secret.as_bytes()));
    assert_eq!(get(router.admin, "/v1/consents").status, 405);
    assert!(!contains(&router.process.output(), secret.as_bytes()));
}
