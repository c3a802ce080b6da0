//! `check`, `policy`, and commands that are not there yet.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::kit::process::run_to_end;
use crate::kit::setup::Setup;

/// A whole question, as the README's `policy explain` takes it.
pub const QUESTION: &str = r#"{ "at": "2026-11-21T12:00:00Z", "operation": "replicate",
    "subject": { "countries": ["DE"], "citizenships": [], "collected_in": "DE", "age": null,
        "kind": "customer", "consents": [ { "kind": "transfer", "purpose": "service", "to": ["SG"],
            "by": "person", "given": "2026-01-02", "withdrawn": null, "occasional": false,
            "informed": true } ] },
    "categories": ["user.contact.email"],
    "from": { "country": "DE", "entity": "acme-eu", "role": "controller" },
    "to": { "country": "SG", "entity": "acme-sg", "role": "processor" },
    "purpose": "service",
    "grounds": [ { "kind": "contract-necessity", "reference": "order 4711", "occasional": true } ],
    "order": { "authority_country": "US", "reference": "x", "approval": null },
    "protection": "clear", "held_in": ["DE"],
    "counts": { "cn.ordinary": 99999, "cn.sensitive": 0 } }"#;

fn check(setup: &Setup, more: &[&str]) -> (Output, String) {
    let config = setup.write();
    let mut arguments = vec!["check", "--config", config.to_str().unwrap()];
    arguments.extend(more);
    let output = run_to_end(&arguments, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// The refused home stores, but for the one that every set-up without a region in the Emirates has:
/// a field that no schema declares may hold health data, which may not leave them.
fn refused_homes(setup: &Setup) -> Vec<Value> {
    let (output, text) = check(setup, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_str(&text).unwrap();
    let refused = told["outlook"]["refused_home_stores"].as_array().unwrap();
    let (emirates, rest): (Vec<Value>, Vec<Value>) = refused
        .iter()
        .cloned()
        .partition(|r| r["people"] == serde_json::json!(["AE"]) && r["home"].is_null());
    assert!(!emirates.is_empty(), "{refused:#?}");
    rest
}

/// A recipient's route stores nothing, so none of its stores can be refused.
#[test]
fn the_outlook_is_of_stores_and_not_of_disclosures() {
    for example in ["fitness-app", "smart-devices", "developer-platform"] {
        let (output, text) = check(&Setup::of_example(example), &["--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_str(&text).unwrap();
        let refused = told["outlook"]["refused_home_stores"].to_string();
        assert!(refused.contains("routes"), "{refused}");
        assert!(!refused.contains("disclose"), "{example}: {refused}");
    }
}

#[test]
fn an_access_log_without_a_folder_is_told() {
    let mut setup = Setup::new();
    setup.set(&["access_log", "path"], "nowhere/access.log");
    let (output, text) = check(&setup, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains("there is no folder"), "{text}");
    assert!(text.contains("nowhere"), "{text}");
}

#[test]
fn a_good_file_is_good_and_says_so() {
    let setup = Setup::new();
    let (output, text) = check(&setup, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains("people of AE"), "{text}");
    assert!(text.contains("policy sha256:"), "{text}");
    assert_eq!(refused_homes(&setup), [] as [Value; 0]);
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_way_out() {
    let mut setup = Setup::new();
    setup.set(&["regions", "ru", "entity"], "acme-rx");
    setup.set(
        &["schemas", "person", "fields", "/email"],
        "user.contact.emial",
    );
    let config = setup.write();
    let (output, text) = check(&setup, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let written = fs::read_to_string(&config).unwrap();
    for (wrong, hint) in [
        ("\"acme-rx\"", "add [entities.acme-rx]"),
        (
            "\"user.contact.emial\"",
            "did you mean `user.contact.email`?",
        ),
    ] {
        let (number, line) = (1..)
            .zip(written.lines())
            .find(|(_, line)| line.contains(wrong))
            .unwrap();
        let place = format!(
            "{}:{number}:{}",
            config.display(),
            line.find(wrong).unwrap() + 1
        );
        assert!(text.contains(&place), "`{place}` in {text}");
        assert!(text.contains(hint), "`{hint}` in {text}");
    }
    let (_, json) = check(&setup, &["--json"]);
    let told: Value = serde_json::from_str(&json).unwrap();
    assert!(
        told["outlook"].is_null() && told["policy"].is_null(),
        "{told}"
    );
    let faults = told["faults"].as_array().unwrap();
    assert!(
        faults
            .iter()
            .all(|f| f["line"].is_u64() && f["column"].is_u64()),
        "{told}"
    );
}

#[test]
fn a_location_in_the_eu_learns_which_home_stores_need_instruments() {
    let mut setup = Setup::new();
    setup.set(&["location", "country"], "DE");
    setup.set(&["location", "entity"], "acme-eu");
    let refused = refused_homes(&setup);
    let homes: Vec<&str> = refused.iter().filter_map(|r| r["home"].as_str()).collect();
    for home in ["cn", "in", "ru"] {
        assert!(homes.contains(&home), "{home} in {refused:#?}");
    }
    assert!(!homes.contains(&"eu"), "{refused:#?}");
    let scc = refused[0]["missing"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["mechanism"] == "scc")
        .unwrap_or_else(|| panic!("the clauses are named: {refused:#?}"));
    assert_eq!(scc["law"], "EU");
    let (_, text) = check(&setup, &[]);
    assert!(text.contains("DE, acme-eu"), "{text}");
    assert!(text.contains("people of CN to cn"), "{text}");
    assert!(
        text.contains("EU scc: instrument between acme-eu and acme-cn"),
        "{text}"
    );
}

#[test]
fn the_role_of_a_route_is_looked_ahead_with() {
    // Singapore's intermediary rule is for processors: a controller's home stores are refused.
    let mut setup = Setup::new();
    setup.set_route("ndjson", "role", "controller");
    let refused = refused_homes(&setup);
    assert!(!refused.is_empty());
    for group in &refused {
        assert_eq!(
            group["routes"],
            serde_json::json!(["people-ndjson"]),
            "{group}"
        );
    }
}

#[test]
fn explain_answers_the_example_question() {
    let setup = Setup::new();
    let policies = setup.folder.path().join("policies");
    let policies = policies.to_str().unwrap();
    let ask = |more: &[&str], input: &str| {
        let mut arguments = vec!["policy", "explain", "--policies", policies, "--input", "-"];
        arguments.extend(more);
        let output = run_to_end(&arguments, input);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let answer: Value = serde_json::from_str(&ask(&["--json"], QUESTION)).unwrap();
    assert_eq!(answer["outcome"], "permit", "{answer}");
    assert_eq!(answer["instrument"], "eu-sg-2024", "{answer}");
    assert!(answer["region"].is_null(), "{answer}");
    let config = setup.write();
    let answer: Value = serde_json::from_str(&ask(
        &["--json", "--config", config.to_str().unwrap()],
        QUESTION,
    ))
    .unwrap();
    assert_eq!(answer["region"], "sg", "{answer}");
    assert!(ask(&[], QUESTION).starts_with("permitted by scc"));

    let line = QUESTION.replace('\n', " ");
    let refused = line
        .replace("\"replicate\"", "\"disclose\"")
        .replace("\"DE\"]", "\"RU\"]");
    let answers = ask(&["--batch"], &format!("{line}\n{refused}\n"));
    let outcomes: Vec<String> = answers
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["outcome"].to_string())
        .collect();
    assert_eq!(outcomes, ["\"permit\"", "\"refuse\""], "{answers}");

    // A question that cannot be read is a usage error with the line.
    let arguments = [
        "policy",
        "explain",
        "--policies",
        policies,
        "--input",
        "-",
        "--batch",
    ];
    let output = run_to_end(&arguments, &format!("{line}\n{{}}\n"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("line 2"),
        "{output:?}"
    );
}

#[test]
fn the_shipped_policies_ask_for_an_organisation_file() {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let output = run_to_end(&["policy", "check", "--policies", policies], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("--organisation"), "{text}");
    let demo = format!("{policies}/examples/demo/organisation.toml");
    let arguments = [
        "policy",
        "check",
        "--policies",
        policies,
        "--organisation",
        &demo,
    ];
    assert_eq!(run_to_end(&arguments, "").status.code(), Some(0));
}

#[test]
fn the_shipped_cases_pass_and_a_wrong_one_is_told() {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let output = run_to_end(&["policy", "test", "--policies", policies], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(" passed, 0 failed"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let wrong = format!(
        r#"organisation = "{policies}/examples/demo/organisation.toml"

[[case]]
name = "a Russian primary abroad"
source = "152-FZ Art. 18(5), turned round"
question = {{ at = "2026-11-21T12:00:00Z", operation = "store", subject = {{ countries = ["RU"] }}, categories = ["user.name"], from = {{ country = "RU", entity = "acme-ru" }}, to = {{ country = "DE", entity = "acme-eu" }} }}
expect = {{ outcome = "permit" }}
"#
    );
    fs::write(folder.path().join("wrong.toml"), wrong).unwrap();
    let cases = folder.path().to_str().unwrap();
    let arguments = ["policy", "test", "--policies", policies, "--cases", cases];
    let output = run_to_end(&arguments, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("0 passed, 1 failed"), "{text}");
}

#[test]
fn a_forgotten_organisation_file_is_called_that() {
    let setup = Setup::new();
    fs::remove_file(setup.folder.path().join("policies/organisation.toml")).unwrap();
    let (output, text) = check(&setup, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text.contains("there is no organisation file"), "{text}");
    assert!(text.contains("docs/policy-files.md"), "{text}");
}
