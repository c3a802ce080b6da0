use std::fs;

use serde_json::{Value, json};

use super::{World, cell, csv, path, world};
use crate::kit::http::get;
use crate::kit::process::run_to_end;
use crate::kit::setup::Setup;
use crate::kit::{eventually, problem};

/// From, to, operation, mechanism, flows, confirmed, people.
type Told = (String, String, String, String, u64, u64, u64);

fn told(row: &Value) -> Told {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |name: &str| row[name].as_u64().unwrap();
    (
        text(&row["from"]["country"]),
        text(&row["to"]["country"]),
        text(&row["operation"]),
        text(&row["mechanism"]),
        number("flows"),
        number("confirmed"),
        number("subjects"),
    )
}

fn permitted() -> Vec<Told> {
    let row = |from: &str, to: &str, operation: &str, mechanism: &str, flows, people| {
        let [from, to, operation, mechanism] = [from, to, operation, mechanism].map(str::to_owned);
        (from, to, operation, mechanism, flows, flows, people)
    };
    vec![
        row("DE", "SG", "read", "scc", 3, 2),
        row("SG", "CN", "store", "homebound", 1, 1),
        row("SG", "DE", "store", "homebound", 2, 2),
        row("SG", "RU", "store", "homebound", 1, 1),
    ]
}

#[test]
fn the_report_of_transfers_says_exactly_what_crossed_which_border() {
    let world = world();
    let report = world.json("transfers", "");
    let rows = report["transfers"].as_array().unwrap();
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), permitted());
    assert_eq!(report["at_home"], 1);
    assert_eq!(report["observed"], json!([]));
    let clauses = &rows[0];
    for (name, value) in [
        ("instrument", json!("eu-sg-2024")),
        ("module", json!(2)),
        ("exporter", json!("acme-eu")),
        ("importer", json!("acme-sg")),
        ("laws", json!(["EU"])),
        ("subjects_exact", json!(true)),
    ] {
        assert_eq!(clauses[name], value, "{name} of {clauses}");
    }
    assert_eq!(clauses["rules"][0]["id"], "eu-scc");
    let citation = clauses["rules"][0]["citation"].as_str().unwrap();
    assert!(citation.contains("2021/914"), "{citation}");

    let refusals = report["refusals"].as_array().unwrap();
    let by = |row: &Value| {
        let rule = &row["rules"][0];
        assert!(rule["citation"].is_string(), "{row}");
        (
            rule["id"].as_str().unwrap().to_owned(),
            row["flows"].as_u64().unwrap(),
        )
    };
    let by: Vec<_> = refusals.iter().map(by).collect();
    assert_eq!(
        by,
        [("cn-export".to_owned(), 1), ("ru-biometrics".to_owned(), 1)]
    );

    let ledger = &report["ledger"];
    assert_eq!(ledger["verified"], true, "{ledger}");
    assert_eq!(ledger["first"], 1);
    let policy = world.page("/version")["policy"].clone();
    assert_eq!(ledger["decided_by"][0]["policy"], policy);

    // The page says the same, but for the moment.
    let mut page = world.page("/v1/transfers");
    let mut report = world.json("transfers", "");
    for told in [&mut page, &mut report] {
        told["ledger"]["at"] = Value::Null;
    }
    assert_eq!(page, report);
}

#[test]
fn every_format_says_the_same() {
    let world = world();
    let rows = csv(&world.told("transfers --format csv", ""));
    let of = |row: &[(String, String)]| -> Told {
        let text = |name: &str| cell(row, name).to_owned();
        let number = |name: &str| cell(row, name).parse().unwrap();
        (
            text("from_country"),
            text("to_country"),
            text("operation"),
            text("mechanism"),
            number("flows"),
            number("confirmed"),
            number("subjects"),
        )
    };
    let is = |outcome: &str| -> Vec<Told> {
        let found = rows.iter().filter(|row| cell(row, "outcome") == outcome);
        found.map(|row| of(row)).collect()
    };
    assert_eq!(is("permit"), permitted());
    assert_eq!(is("refuse").len(), 2);
    assert!(rows.iter().all(|row| cell(row, "verified") == "yes"));
    let id = world.page("/v1/transfers")["ledger"]["id"].clone();
    assert_eq!(cell(&rows[0], "ledger"), id);

    let text = world.told("transfers", "");
    for line in [
        "  verified             yes: chain ",
        "  permitted transfers  7",
        "  refusals             2",
        "    ground      scc, module 2, instrument eu-sg-2024 (acme-eu to acme-sg)",
        "    refused by  cn-export (PIPL Art. 38, 40)",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let html = world.told("transfers --format html", "");
    assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
    assert!(html.contains("<td>scc, module 2, instrument eu-sg-2024 (acme-eu to acme-sg)</td>"));
    assert!(
        html.contains("<td>DE acme-eu -&gt; SG acme-sg</td>"),
        "{html}"
    );
    assert!(!html.contains("<script"), "{html}");
    assert!(html.ends_with("</html>\n"), "{html}");
}

#[test]
fn a_report_of_transfers_is_narrowed_by_time_region_law_and_instrument() {
    let world = world();
    let flows = |words: &str| -> (u64, u64) {
        let report = world.json(words, "");
        let sum = |name: &str| -> u64 {
            let rows = report[name].as_array().unwrap();
            rows.iter().map(|row| row["flows"].as_u64().unwrap()).sum()
        };
        (sum("transfers"), sum("refusals"))
    };
    assert_eq!(flows("transfers"), (7, 2));
    assert_eq!(flows("transfers --all"), (8, 2));
    assert_eq!(flows("transfers --region cn"), (1, 1));
    // What was stored from there went to others.
    assert_eq!(flows("transfers --region sg"), (4, 0));
    assert_eq!(
        world.page("/v1/transfers?region=sg")["transfers"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // Without settings the ledger tells where it is, and what stood before is counted.
    let ledger = path(world.ledger());
    let words = ["report", "transfers", &ledger, "--region", "sg", "--format"];
    let without = |format: &str| {
        let output = run_to_end(&[&words[..], &[format]].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&without("json")).unwrap();
    let note = "4 entries of stores and copies elsewhere are not listed";
    let notes = json["notes"].as_array().unwrap().iter();
    let mut notes = notes.map(|note| note.as_str().unwrap());
    assert!(notes.any(|told| told.starts_with(note)), "{json}");
    assert!(without("text").contains(note));
    assert_eq!(flows("transfers --law EU"), (5, 0));
    assert_eq!(flows("transfers --instrument eu-sg-2024"), (3, 0));
    assert_eq!(
        flows("transfers --until 2000-01-01 --zone Asia/Singapore"),
        (0, 0)
    );
    // Half open: from the first entry on, and all before it.
    let first = world.json("transfers", "")["ledger"]["first_at"].clone();
    let first = first.as_str().unwrap();
    assert_eq!(flows(&format!("transfers --since {first}")), (7, 2));
    assert_eq!(flows(&format!("transfers --until {first}")), (0, 0));
    // A slip of the pen is not taken for an empty ledger.
    let slip = world.told("transfers --region europe", "");
    assert!(slip.contains("look at how they are spelt"), "{slip}");
    let page = world.page("/v1/transfers?region=europe");
    let notes = page["notes"].to_string();
    assert!(
        notes.contains("look at how they are spelt") && notes.contains("one router"),
        "{notes}"
    );
    let page = world.page("/v1/transfers?region=cn&since=2000-01-01&until=");
    assert_eq!(page["transfers"].as_array().unwrap().len(), 1);
    assert_eq!(page["asked"]["region"], "cn");
}

#[test]
fn a_wrong_question_about_transfers_is_told_what_is_wrong() {
    let world = world();
    for (words, says) in [
        ("transfers --since yesterday", "neither a day"),
        ("transfers --since 2026-11-21T12:00:00", "neither a day"),
        (
            "transfers --since 2026-11-21 --until 2026-11-21",
            "is not after",
        ),
        ("transfers --since 2999-01-01", "is later than now"),
        ("transfers --zone Mars/Base", "time zone"),
        ("transfers --format pdf", "invalid value"),
        ("transfers /nowhere", "holds no ledger"),
    ] {
        let output = world.report(words, "");
        assert_eq!(output.status.code(), Some(2), "{words}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says), "{words}: {text}");
    }
    for query in [
        "since=yesterday",
        "since=2999-01-01",
        "zone=Mars",
        "sinc=2026-01-01",
        "after=x",
        "all=perhaps",
    ] {
        problem(
            &get(world.router.admin, &format!("/v1/transfers?{query}")),
            400,
        );
    }
}

/// Nobody may take numbers of a ledger that was changed for proof.
#[test]
fn a_report_of_a_ledger_that_does_not_verify_says_so_first_and_exits_1() {
    let world = world();
    let copy = world.router.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(world.ledger()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let segment = copy.join("00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[end - 40] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let copy = path(copy);
    for (format, says) in [
        ("text", "THE LEDGER DOES NOT VERIFY"),
        ("html", "<p class=\"warning\">THE LEDGER DOES NOT VERIFY"),
        ("json", "\"verified\": false"),
        ("csv", ",no\r\n"),
    ] {
        let output = run_to_end(&["report", "transfers", &copy, "--format", format], "");
        assert_eq!(output.status.code(), Some(1), "{format}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(says), "{format}: {text}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("does not verify"), "{format}: {text}");
        if format == "text" {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.starts_with(says), "{text}");
            // What stands before the damage is told all the same.
            assert!(text.contains("homebound"), "{text}");
        }
    }
}

/// Nobody may take what no policy ruled for what one permitted.
#[test]
fn what_went_in_observe_mode_stands_apart_from_what_was_permitted() {
    let (mut setup, regions) = Setup::recording();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let world = World {
        router: setup.start(),
        _regions: regions,
    };
    world.store("anna", "DE");
    world.store("li", "CN");
    assert_eq!(world.read("li").status, 201);
    let confirmed = || {
        let report = world.page("/v1/transfers");
        let rows = report["observed"].as_array().unwrap();
        let all: u64 = rows.iter().map(|r| r["confirmed"].as_u64().unwrap()).sum();
        (all == 3).then_some(report)
    };
    let report = eventually("the three flows are confirmed", confirmed);
    assert_eq!(
        (&report["transfers"], &report["refusals"]),
        (&json!([]), &json!([]))
    );
    let rows = report["observed"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["reached"] == "sg"), "{report}");
    // The read that the policy would have refused.
    let refused = rows.iter().find(|row| row["problem"].is_string());
    let refused = refused.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(
        (&refused["operation"], &refused["flows"]),
        (&json!("read"), &json!(1))
    );
    let text = world.told("transfers", "");
    assert!(
        text.contains("under observation: not ruled by the policy"),
        "{text}"
    );
    // A person's data met the region where it went.
    let subject = world.json("subject", "li");
    assert_eq!(subject["regions"], json!(["sg"]));
    assert_eq!(subject["mechanisms"], json!([]));
    let hit = |region: &str| {
        let words = format!("incident --region {region} --aware 2025-11-24");
        world.json(&words, "")["people"].clone()
    };
    assert_eq!((hit("sg"), hit("cn")), (json!(2), json!(0)));
}
