use std::fs;

use serde_json::{Value, json};

use super::{cell, csv, world};
use crate::kit::process::run_to_end;

const AWARE: &str = "--aware 2025-11-24T08:00:00Z";

fn law<'a>(report: &'a Value, id: &str) -> &'a Value {
    let laws = report["laws"].as_array().unwrap();
    let found = laws.iter().find(|law| law["law"] == id);
    found.unwrap_or_else(|| panic!("{id} in {report}"))
}

/// The keys of people as the report lists them.
fn keys(report: &Value) -> Vec<&str> {
    let all = report["subjects"].as_array().unwrap();
    all.iter().map(|s| s["key"].as_str().unwrap()).collect()
}

/// B5: after a break-in at the region of Europe the officer knows whom it concerns, under which laws,
/// what of them, and by when each law wants it told.
#[test]
fn b5_an_incident_of_a_region_gives_people_categories_jurisdictions_and_deadlines() {
    let world = world();
    let report = world.json(&format!("incident --region eu {AWARE}"), "");
    assert_eq!(report["people"], 2);
    let config = world.config();
    let output = run_to_end(&["key", "--config", &config], "anna\nben\n");
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut expected: Vec<&str> = printed.lines().collect();
    expected.sort_unstable();
    assert_eq!(keys(&report), expected);

    // Europe's law by their country, Singapore's by who sent it.
    let laws: Vec<_> = report["laws"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["law"])
        .collect();
    assert_eq!(laws, [&json!("EU"), &json!("SG")]);
    let europe = law(&report, "EU");
    assert_eq!(
        (&europe["people"], &europe["entries"]),
        (&json!(2), &json!(5))
    );
    let categories = europe["categories"].as_array().unwrap();
    assert!(
        categories.contains(&json!("user.contact.email")),
        "{europe}"
    );
    let due = |law: &Value, id: &str| {
        let all = law["deadlines"].as_array().unwrap();
        let found = all.iter().find(|d| d["id"] == id);
        found.unwrap_or_else(|| panic!("{id} in {law}")).clone()
    };
    let authority = due(europe, "eu-breach-authority");
    assert_eq!(authority["due"], "2025-11-27T08:00:00Z");
    assert_eq!(authority["citation"], "GDPR Art. 33(1)");
    assert_eq!(authority["confidence"], "high");
    assert!(due(europe, "eu-breach-people")["within_hours"].is_null());
    let singapore = law(&report, "SG");
    let three_days = due(singapore, "sg-breach-authority");
    assert_eq!(three_days["due"], "2025-11-27T08:00:00Z");
    let words = format!("incident --region eu {AWARE} --assessed 2025-11-26T08:00:00Z");
    let assessed = world.json(&words, "");
    let later = due(law(&assessed, "SG"), "sg-breach-authority");
    assert_eq!(later["due"], "2025-11-29T08:00:00Z");

    // Russia's first notice is the soonest that has a number.
    let russia = world.json(&format!("incident --region ru {AWARE}"), "");
    assert_eq!(russia["people"], 1);
    for report in [&russia, &world.json("instruments", "")] {
        let notes = report["notes"].to_string();
        assert!(notes.contains("one router's ledger alone"), "{notes}");
    }
    let first = due(law(&russia, "RU"), "ru-breach-first");
    assert_eq!(first["due"], "2025-11-25T08:00:00Z");
    // Whom else the law may want told the pack does not know, and says so.
    let all = law(&russia, "RU")["deadlines"].as_array().unwrap().iter();
    let unknown: Vec<_> = all.filter(|d| d["id"].is_null()).collect();
    let told: Vec<_> = unknown.iter().map(|d| &d["tell"]).collect();
    assert_eq!(told, [&json!("people"), &json!("principal")]);
    let who = unknown[0]["who"].as_str().unwrap();
    assert!(who.contains("ask a lawyer"), "{who}");
}

#[test]
fn b5_an_incident_of_an_instrument_or_a_time_gives_whom_it_concerns() {
    let world = world();
    let people = |words: &str| {
        let report = world.json(&format!("incident {words} {AWARE}"), "");
        assert_eq!(
            keys(&report).len() as u64,
            report["people"].as_u64().unwrap()
        );
        report["people"].as_u64().unwrap()
    };
    assert_eq!(people("--instrument eu-sg-2024"), 2);
    assert_eq!(people("--since 2000-01-01"), 5);
    assert_eq!(people("--until 2000-01-01"), 0);
    let parts = people("--since 2000-01-01 --part 1/2") + people("--since 2000-01-01 --part 2/2");
    assert_eq!(parts, 5);
    assert_eq!(people("--region eu --until 2000-01-01"), 0);
    assert_eq!(people("--region in"), 0);
}

#[test]
fn the_report_of_an_incident_says_the_same_in_every_format() {
    let world = world();
    let words = format!("incident --region eu {AWARE}");
    let report = world.json(&words, "");
    let rows = csv(&world.told(&format!("{words} --format csv"), ""));
    let told: Vec<&str> = rows.iter().map(|row| cell(row, "subject")).collect();
    assert_eq!(told, keys(&report));
    assert!(
        rows.iter()
            .all(|row| cell(row, "laws") == "EU, SG" && cell(row, "verified") == "yes")
    );
    for (format, facts) in [
        (
            "text",
            [
                "  people      2\n",
                "2025-11-27T08:00:00Z (2025-11-27T09:00:00+01:00[Europe/Brussels])",
            ],
        ),
        (
            "html",
            [
                "<dt>people</dt><dd>2</dd>",
                "<td>2025-11-27T08:00:00Z (2025-11-27T09:00:00+01:00[Europe/Brussels])</td>",
            ],
        ),
    ] {
        let text = world.told(&format!("{words} --format {format}"), "");
        for fact in facts {
            assert!(text.contains(fact), "{fact}: {text}");
        }
        // Their keys are in the lists alone.
        assert!(
            keys(&report).iter().all(|key| !text.contains(key)),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_question_about_an_incident_is_told_what_is_wrong() {
    let world = world();
    for (words, says) in [
        (AWARE, "say what was hit"),
        ("--region eu", "--aware"),
        ("--region eu --aware today", "neither a day"),
        ("--region eu --aware 2999-01-01", "is later than now"),
        (
            &*format!("--region eu {AWARE} --assessed 2999-01-01"),
            "`assessed` (2998-12-31T10:00:00Z) is later than now",
        ),
        (
            &*format!("--region eu --since 2999-01-01 {AWARE}"),
            "`since`",
        ),
        (&*format!("--region europe {AWARE}"), "is no region"),
        (&*format!("--instrument eu-sg {AWARE}"), "is no instrument"),
        (&*format!("--region eu --part 3/2 {AWARE}"), "is no part"),
    ] {
        let output = world.report(&format!("incident {words}"), "");
        assert_eq!(output.status.code(), Some(2), "{words}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says), "{words}: {text}");
    }
}

#[test]
fn a_law_pack_that_knows_no_deadline_says_so() {
    let world = world();
    let file = world.router.folder.path().join("policies/law/ru.toml");
    let law_of_russia = fs::read_to_string(&file).unwrap();
    let (rest, _) = law_of_russia.split_once("[[breach]]").unwrap();
    fs::write(&file, rest).unwrap();
    let words = format!("incident --region ru {AWARE}");
    let report = world.json(&words, "");
    let deadlines = &law(&report, "RU")["deadlines"];
    assert_eq!(deadlines.as_array().unwrap().len(), 3);
    assert_eq!(deadlines[0]["id"], Value::Null);
    let text = world.told(&words, "");
    assert!(text.contains("ask a lawyer at once"), "{text}");
    // A mistake in the pack is told at its place.
    fs::write(
        &file,
        format!("{rest}[[breach]]\nid = \"x\"\ntell = \"press\"\nwho = \"x\"\ncitation = \"x\"\n"),
    )
    .unwrap();
    let output = world.report(&words, "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("unknown one to tell `press`") && told.contains("ru.toml"),
        "{told}"
    );
}
