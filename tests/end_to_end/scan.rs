//! `domicile scan`: what is in an export, as the binary tells it.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::kit::people::{Fate, people};
use crate::kit::process::run_to_end;
use crate::kit::setup::Setup;

/// One of each home, in a place each.
const PEOPLE: [(&str, &str); 5] = [
    (
        r#"{"id":"wei-7","name":"Wei Example","country":"CN"}"#,
        "cn",
    ),
    (
        r#"{"id":"asha-7","name":"Asha Example","country":"IN"}"#,
        "in",
    ),
    (
        r#"{"id":"ivan-7","name":"Ivan Example","country":"RU"}"#,
        "ru",
    ),
    (
        r#"{"id":"anna-7","name":"Anna Muster","address":{"country":"DE"}}"#,
        "eu",
    ),
    (
        r#"{"id":"mei-7","name":"Mei Example","phone":"+65 9112 3456"}"#,
        "sg",
    ),
];

fn export(records: &[&str]) -> String {
    records.iter().map(|r| format!("{r}\n")).collect()
}

fn scan(setup: &Setup, more: &[&str], input: &str) -> Output {
    let config = setup.write();
    let mut arguments = vec!["scan", "--config", config.to_str().unwrap()];
    arguments.extend(more);
    let output = run_to_end(&arguments, input);
    // Ids and names never, however it is told.
    for part in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(part);
        for (record, _) in PEOPLE {
            let record: Value = serde_json::from_str(record).unwrap();
            for value in [&record["id"], &record["name"]] {
                assert!(!text.contains(value.as_str().unwrap()), "{value} in {text}");
            }
        }
    }
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn summary(setup: &Setup, more: &[&str], input: &str) -> (Value, i32) {
    let mut arguments = vec!["--json"];
    arguments.extend(more);
    let output = scan(setup, &arguments, input);
    let told = serde_json::from_slice(&output.stdout);
    let told = told.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (told, code(&output))
}

fn each(setup: &Setup, more: &[&str], input: &str) -> Vec<Value> {
    let mut arguments = vec!["--each"];
    arguments.extend(more);
    let output = scan(setup, &arguments, input);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn who_lies_at_home_is_in_the_right_place() {
    let setup = Setup::new();
    for (record, home) in PEOPLE {
        let (told, code) = summary(&setup, &["--region", home], &export(&[record, record]));
        assert_eq!(code, 0, "{told}");
        assert_eq!(told["wrong_place"]["records"], 0, "{told}");
        let row = json!({ "home": home, "records": 2, "wrong_place": 0, "forbidden": 0 });
        assert_eq!(told["by_home"], json!([row]), "{told}");
        assert_eq!(told["people"], 1, "{told}");
    }
    // Without a place each has a home, and may be stored there from Singapore.
    let records: Vec<&str> = PEOPLE.iter().map(|(record, _)| *record).collect();
    let (told, code) = summary(&setup, &[], &export(&records));
    assert_eq!(code, 0, "{told}");
    assert_eq!(told["by_home"].as_array().map(Vec::len), Some(5), "{told}");
    assert!(told["place"].is_null(), "{told}");
}

#[test]
fn who_lies_elsewhere_is_judged_for_that_place() {
    let setup = Setup::new();
    let records: Vec<&str> = PEOPLE.iter().map(|(record, _)| *record).collect();
    let told = each(&setup, &["--region", "sg"], &export(&records));
    let lines: Vec<[&Value; 5]> = told
        .iter()
        .map(|t| ["home", "outcome", "wrong_place", "rule", "mechanism"].map(|m| &t[m]))
        .collect();
    assert_eq!(
        json!(lines),
        json!([
            ["cn", "refuse", true, "cn-export", null],
            ["in", "refuse", true, "india-stays", null],
            ["ru", "refuse", true, "ru-localisation", null],
            ["eu", "permit", true, "eu-scc", "scc"],
            ["sg", "permit", false, "sg-domestic", "domestic"],
        ])
    );
    assert_eq!(
        told[2]["citation"],
        "152-FZ Art. 18(5) as amended by 23-FZ of 2025-02-28"
    );
    assert_eq!(told[2]["laws"], json!(["RU"]));
    assert_eq!(told[4]["evidence"], json!(["phone"]));
    assert_eq!(told[3]["line"], 4);
    assert_eq!(told[3]["place"], "sg");

    let (told, code) = summary(&setup, &["--region", "sg"], &export(&records));
    assert_eq!(code, 1, "{told}");
    let wrong = json!({ "records": 4, "permitted": 1, "forbidden": 3 });
    assert_eq!(told["wrong_place"], wrong, "{told}");
    let groups = told["judged"].as_array().unwrap();
    let of = |home: &str| groups.iter().find(|g| g["home"] == home).unwrap();
    assert_eq!(of("eu")["instrument"], "eu-sg-2024", "{told}");
    assert_eq!(of("eu")["lines"], json!([4]), "{told}");
    assert_ne!(of("cn")["missing"], json!([]), "{told}");
    // What is only permitted elsewhere is in the wrong place, too.
    let (told, code) = summary(&setup, &["--region", "sg"], &export(&[PEOPLE[3].0]));
    assert_eq!(code, 1, "{told}");
    assert_eq!(told["wrong_place"]["permitted"], 1, "{told}");
}

/// The finding is that of the same question anywhere else.
#[test]
fn the_finding_is_that_of_policy_explain() {
    let setup = Setup::new();
    let told = each(
        &setup,
        &["--region", "eu"],
        &export(&[PEOPLE[0].0, PEOPLE[2].0]),
    );
    let at = summary(&setup, &[], "").0["at"].clone();
    let policies = setup.folder.path().join("policies");
    for (told, country, entity) in [(&told[0], "CN", "acme-cn"), (&told[1], "RU", "acme-ru")] {
        let question = json!({
            "at": at, "operation": "store",
            "subject": { "countries": [country] }, "categories": told["categories"],
            "from": { "country": country, "entity": entity },
            "to": { "country": "DE", "entity": "acme-eu" } });
        let arguments = [
            "policy",
            "explain",
            "--policies",
            policies.to_str().unwrap(),
            "--input",
            "-",
            "--json",
        ];
        let output = run_to_end(&arguments, &question.to_string());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        for member in ["outcome", "rule", "citation", "mechanism"] {
            assert_eq!(told[member], answer[member], "{member}: {told} {answer}");
        }
    }
}

#[test]
fn broken_lines_and_homes_that_nobody_knows_are_told_by_number_and_reason() {
    let mut setup = Setup::new();
    setup.set(&["limits", "record_bytes"], "1KiB");
    setup.set(&["schemas", "person", "strict"], true);
    let huge = format!(
        r#"{{"id":"h","country":"DE","name":"{}"}}"#,
        "x".repeat(5000)
    );
    let input = export(&[
        PEOPLE[3].0,
        "anna-7",
        r#"{"id":"a","country":"DE","country":"RU"}"#,
        "",
        r#"{"id":"a","country":"DE","address":{"planet":"anna-7"}}"#,
        &huge,
        r#"{"id":"a","name":"b"}"#,
        r#"{"id":"a","country":"Anna Muster"}"#,
        r#"{"country":"DE"}"#,
        r#"["DE"]"#,
        "  ",
        PEOPLE[3].0,
    ]);
    let told = each(&setup, &["--region", "eu"], &input);
    let lines: Vec<(u64, &str, &str)> = told
        .iter()
        .map(|t| {
            let reason = t["reason"].as_str().unwrap_or("");
            (
                t["line"].as_u64().unwrap(),
                t["outcome"].as_str().unwrap(),
                reason,
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (1, "permit", ""),
            (2, "broken", "malformed-record"),
            (3, "broken", "malformed-record"),
            (5, "broken", "unknown-field"),
            (6, "broken", "record-too-large"),
            (7, "no-home", "no-evidence"),
            (8, "no-home", "unreadable-evidence"),
            (9, "broken", "no-subject"),
            (10, "broken", "malformed-record"),
            (12, "permit", ""),
        ]
    );
    let detail = |line: usize| told[line]["detail"].as_str().unwrap();
    assert!(detail(2).contains("stands twice"), "{}", detail(2));
    assert!(detail(3).contains("under `/address`"), "{}", detail(3));
    assert!(detail(4).contains("1024 bytes"), "{}", detail(4));
    assert!(detail(6).contains("body:/country"), "{}", detail(6));

    let (summed, code) = summary(&setup, &["--region", "eu"], &input);
    assert_eq!(code, 1);
    for (member, count) in [("lines", 12), ("records", 4), ("broken", 6), ("no_home", 2)] {
        assert_eq!(summed[member], count, "{member} of {summed}");
    }
    // For people: each broken line on standard error.
    let output = scan(&setup, &["--region", "eu"], &input);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("line 3: key that stands twice in one object at byte"),
        "{text}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("12 lines, 4 records of 2 people"), "{text}");
    assert!(text.contains("no record: 6 lines"), "{text}");
}

#[test]
fn a_mark_carriage_returns_and_a_missing_end_are_no_matter() {
    let setup = Setup::new();
    let input = format!("\u{feff}{}\r\n\r\n{}", PEOPLE[0].0, PEOPLE[0].0);
    let (told, code) = summary(&setup, &["--region", "cn"], &input);
    assert_eq!((code, told["records"].as_u64()), (0, Some(2)), "{told}");
    for empty in ["", "\n", "\r\n \n"] {
        let (told, code) = summary(&setup, &["--region", "cn"], empty);
        assert_eq!((code, told["records"].as_u64()), (1, Some(0)), "{told}");
        assert!(
            told["notes"].to_string().contains("nothing to read"),
            "{told}"
        );
    }
    for (other, hint) in [
        (format!("[{}]", PEOPLE[0].0), "jq -c '.[]'"),
        ("{\n\"id\":1}".to_owned(), "jq -c ."),
    ] {
        let (told, code) = summary(&setup, &[], &other);
        assert_eq!(code, 1, "{told}");
        assert!(told["notes"].to_string().contains(hint), "{told}");
    }
}

#[test]
fn a_choice_of_route_that_is_not_clear_lists_the_routes() {
    let mut setup = Setup::new();
    let refused = |setup: &Setup, more: &[&str], parts: &[&str]| {
        let output = scan(setup, more, "");
        assert_eq!(code(&output), 2, "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in parts {
            assert!(text.contains(part), "`{part}` in {text}");
        }
    };
    // Both batch routes of the demo read alike.
    assert_eq!(summary(&setup, &[], "").0["route"], "people-array");
    setup.set_route("ndjson", "pin", "never");
    refused(
        &setup,
        &[],
        &[
            "--route",
            "people-array at /people",
            "people-ndjson at /people",
        ],
    );
    refused(
        &setup,
        &["--route", "/people"],
        &["people-array", "people-ndjson"],
    );
    refused(
        &setup,
        &["--route", "peeple"],
        &["`peeple`", "people-ndjson"],
    );
    refused(&setup, &["--route", "/files/{subject}/{name}"], &["opaque"]);
    refused(
        &setup,
        &["--region", "us"],
        &["`us` is no region", "cn, eu, in, ru, sg"],
    );
    refused(
        &setup,
        &["--subject", "id"],
        &["`id` is not a JSON pointer"],
    );
    let (told, code) = summary(&setup, &["--route", "people-ndjson"], PEOPLE[0].0);
    assert_eq!(
        (code, &told["route"]),
        (0, &json!("people-ndjson")),
        "{told}"
    );
}

/// What only a request answers is left out, and that is said; ids are then where `--subject` says.
#[test]
fn what_a_request_would_say_is_named_and_left_out() {
    let setup = Setup::new();
    let record = r#"{"uid":7,"name":"Someone","country":"IN"}"#;
    let (told, code) = summary(&setup, &["--route", "/people/{subject}"], record);
    assert_eq!(code, 0, "{told}");
    let notes = told["notes"].to_string();
    assert!(
        notes.contains("only a request answers them: network"),
        "{notes}"
    );
    assert!(notes.contains("--subject"), "{notes}");
    assert!(told["people"].is_null(), "{told}");
    // The id is known as one, and makes the record no more than it is.
    let more = ["--route", "/people/{subject}", "--subject", "/uid"];
    let told = each(&setup, &more, record);
    let categories = [
        "user.contact.address.country",
        "user.name",
        "user.unique_id",
    ];
    assert_eq!(told[0]["categories"], json!(categories), "{told:?}");
    let (told, _) = summary(&setup, &more, &export(&[record, record]));
    assert_eq!(told["people"], 1, "{told}");
    let notes = told["notes"].to_string();
    assert!(notes.contains("no subject-key secret yet"), "{notes}");
    let made = setup.folder.path().join("directory");
    assert!(!made.exists(), "nothing is made");
}

#[test]
fn a_child_without_a_parents_consent_is_forbidden_at_home_too() {
    let mut setup = Setup::new();
    let fields = ["schemas", "person", "fields", "/age"];
    setup.set(&fields, "user.demographic.age_range");
    let input = export(&[
        r#"{"id":"x","country":"CN","age":9}"#,
        r#"{"id":"y","country":"CN","age":39}"#,
        r#"{"id":"z","country":"CN","age":"old"}"#,
    ]);
    let (told, code) = summary(&setup, &["--region", "cn"], &input);
    assert_eq!(code, 1, "{told}");
    assert_eq!(told["forbidden_at_home"], 1, "{told}");
    assert_eq!(told["wrong_place"]["records"], 0, "{told}");
    assert_eq!(
        told["without_home"][0]["reason"], "unreadable-age",
        "{told}"
    );
    assert!(told["notes"].to_string().contains("consents"), "{told}");
}

#[test]
fn pins_count_once_no_router_has_them_open() {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    assert!(router.put("ivan-7", PEOPLE[2].0).is_success());
    let config = router.folder.path().join("domicile.toml");
    let config = config.to_str().unwrap();
    let input = export(&[
        PEOPLE[2].0,
        r#"{"id":"ivan-7"}"#,
        r#"{"id":"ivan-7","country":"IN"}"#,
    ]);
    let run = |mode: &str| {
        let arguments = ["scan", "--config", config, "--region", "ru", mode];
        String::from_utf8(run_to_end(&arguments, &input).stdout).unwrap()
    };
    let told: Value = serde_json::from_str(&run("--json")).unwrap();
    assert!(
        told["notes"].to_string().contains("a router has it open"),
        "{told}"
    );
    assert_eq!(told["no_home"], 1, "{told}");
    // Killed, it has not closed its file; the next start mends that.
    router.process.kill();
    let told = run("--json");
    assert!(told.contains("it was not closed"), "{told}");
    router.restart();
    router.process.terminate();

    let file = router.folder.path().join("directory/pins.redb");
    let before = fs::read(&file).unwrap();
    let text = run("--each");
    let told: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(told[0]["evidence"], json!(["pinned", "declared"]), "{text}");
    assert_eq!(told[1]["home"], "ru", "{text}");
    assert_eq!(told[1]["wrong_place"], false, "{text}");
    assert_eq!(told[2]["reason"], "home-contradicted", "{text}");
    assert!(
        fs::read(&file).unwrap() == before,
        "the directory was only read"
    );
    let key = run_to_end(&["key", "--config", config], "ivan-7\n");
    let key = String::from_utf8(key.stdout).unwrap();
    assert_eq!(told[0]["subject"], key.trim(), "{text}");
}

/// The router would pin the first and refuse the second (409), though each has a home.
#[test]
fn people_with_records_of_several_homes_are_told() {
    let mut setup = Setup::new();
    let input = export(&[
        PEOPLE[2].0,
        r#"{"id":"ivan-7"}"#,
        PEOPLE[2].0,
        r#"{"id":"ivan-7","country":"IN"}"#,
    ]);
    let (told, code) = summary(&setup, &[], &input);
    assert_eq!(code, 1, "{told}");
    assert_eq!(told["second_homes"], 1, "{told}");
    assert_eq!(told["people"], 1, "{told}");
    let notes = told["notes"].to_string();
    assert!(notes.contains("line 4"), "{notes}");
    setup.set_route("ndjson", "pin", "never");
    let (told, code) = summary(
        &setup,
        &["--route", "people-ndjson"],
        &export(&[PEOPLE[2].0, r#"{"id":"ivan-7","country":"IN"}"#]),
    );
    assert_eq!((code, &told["second_homes"]), (0, &json!(0)), "{told}");
    setup.set_route("ndjson", "pin", "always");
    let (told, code) = summary(&setup, &[], &export(&[PEOPLE[2].0, PEOPLE[2].0]));
    assert_eq!((code, &told["second_homes"]), (0, &json!(0)), "{told}");
}

/// With `pin = "weak"` a declared country pins nobody, so what differs from it is no second home.
#[test]
fn weak_pins_are_made_by_weak_evidence_alone() {
    let mut setup = Setup::new();
    setup.set_route("ndjson", "pin", "weak");
    let route = ["--route", "people-ndjson"];
    let (declared, other) = (PEOPLE[2].0, r#"{"id":"ivan-7","country":"IN"}"#);
    let phone = r#"{"id":"ivan-7","phone":"+65 9112 3456"}"#;
    let (told, code) = summary(&setup, &route, &export(&[declared, other, declared]));
    assert_eq!((code, &told["second_homes"]), (0, &json!(0)), "{told}");
    let (told, code) = summary(&setup, &route, &export(&[declared, phone, other]));
    assert_eq!((code, &told["second_homes"]), (1, &json!(1)), "{told}");
    assert!(told["notes"].to_string().contains("line 3"), "{told}");
}

#[test]
fn nothing_read_is_not_good() {
    let setup = Setup::new();
    for input in ["", "\n\n"] {
        let output = scan(&setup, &["--region", "eu"], input);
        assert_eq!(code(&output), 1, "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with("not good: nothing was read\n"), "{text}");
    }
}

#[test]
fn fields_are_discovered_and_dotted_as_in_a_request() {
    let mut setup = Setup::new();
    let more = ["--route", "people-ndjson"];
    let child = r#"{"id":"x","country":"DE","profile":{"dob":"2020-05-06"},"note":"a@example.in"}"#;
    let before = each(&setup, &more, child);
    assert_eq!(before[0]["outcome"], "permit", "{before:?}");
    setup.set_route("ndjson", "discover", true);
    let told = each(&setup, &more, child);
    assert_eq!(told[0]["outcome"], "refuse", "{told:?}");
    let categories = told[0]["categories"].to_string();
    assert!(categories.contains("user.contact.email"), "{categories}");
    // Routes that read one export differently are not taken for each other.
    let output = scan(&setup, &[], child);
    assert_eq!(code(&output), 2, "{output:?}");
    let form = r#"
        path = "/people/forms"
        methods = ["POST"]
        format = "form"
        subject = "body:/id"
        country = ["body:/address/country"]
        schema = "person"
    "#;
    let form: toml::Table = form.parse().unwrap();
    let routes = setup.settings["routes"].as_array_mut().unwrap();
    routes.insert(0, form.into());
    let dotted = r#"{"id":"x","address.country":"DE"}"#;
    let told = each(&setup, &["--route", "/people/forms"], dotted);
    assert_eq!(told[0]["home"], "eu", "{told:?}");
}

/// A thousand people told in all ways, each at the home where a router stores them.
#[test]
fn homes_are_those_of_the_router() {
    let setup = Setup::new();
    let people = people(7, "scan", 1000, false);
    let input: String = people.iter().map(|p| p.body.clone() + "\n").collect();
    let told = each(&setup, &[], &input);
    assert_eq!(told.len(), people.len());
    for (person, told) in people.iter().zip(&told) {
        let expected = match person.fate {
            Fate::Lands(home) => json!(["permit", home]),
            Fate::Unknown => json!(["no-home", null]),
            Fate::Forbidden => {
                assert!(told["outcome"] != "permit", "{person:?}: {told}");
                continue;
            }
        };
        assert_eq!(
            json!([told["outcome"], told["home"]]),
            expected,
            "{person:?}"
        );
    }
}
