use serde_json::{Value, json};

use super::{cell, csv, path, world};
use crate::kit::http::get;
use crate::kit::problem;
use crate::kit::process::run_to_end;

/// A6: the lawyer sees each safeguard with its parties, module, dates, digest and copy, and how often
/// it was used; the ledger's entries name it.
#[test]
fn a6_each_instrument_is_told_with_its_register_entry_and_its_use() {
    let world = world();
    let report = world.json("instruments", "");
    let all = report["instruments"].as_array().unwrap();
    let clauses = all.iter().find(|i| i["id"] == "eu-sg-2024").unwrap();
    let told = &clauses["register"];
    for (name, value) in [
        ("exporter", json!(["acme-eu"])),
        ("importer", json!(["acme-sg"])),
        ("mechanism", json!("scc")),
        ("edition", json!("2021/914")),
    ] {
        assert_eq!(told[name], value, "{name} of {told}");
    }
    for name in ["from", "until", "document_sha256", "copy"] {
        assert!(told[name].is_string(), "{name} of {told}");
    }
    let uses = |one: &Value| ["flows", "confirmed", "subjects"].map(|n| one[n].as_u64().unwrap());
    assert_eq!(uses(clauses), [3, 3, 2]);
    assert_eq!(clauses["uses"].as_array().unwrap().len(), 1);
    let reads = world.page("/v1/transfers?instrument=eu-sg-2024");
    assert_eq!(clauses["first"], reads["transfers"][0]["first"]);
    assert_eq!(clauses["last"], reads["transfers"][0]["last"]);
    // Those that nobody used stand there, too.
    let registered = world.page("/v1/instruments")["instruments"].clone();
    assert_eq!(all.len(), registered.as_array().unwrap().len());
    let unused = all.iter().filter(|i| i["id"] != "eu-sg-2024");
    unused.for_each(|one| assert_eq!(uses(one), [0, 0, 0], "{one}"));
    let none = world.json("instruments --until 2000-01-01", "");
    let flows = none["instruments"].as_array().unwrap().iter();
    assert_eq!(flows.map(|i| i["flows"].as_u64().unwrap()).sum::<u64>(), 0);

    // One by one over HTTP: the same entry, its parties, and the page that tells of its use.
    let mut page = world.page("/v1/instruments/eu-sg-2024");
    assert_eq!(page["transfers"], "/v1/transfers?instrument=eu-sg-2024");
    assert_eq!(
        page["exporters"],
        json!([{ "entity": "acme-eu", "country": "NL" }])
    );
    for more in ["transfers", "exporters", "importers"] {
        page.as_object_mut().unwrap().remove(more);
    }
    assert_eq!(page, *told);
    let document = problem(&get(world.router.admin, "/v1/instruments/eu-sg-1999"), 404);
    assert_eq!(document["type"], "urn:domicile:problem:no-such-instrument");
}

#[test]
fn the_report_of_instruments_says_the_same_in_every_format() {
    let world = world();
    let rows = csv(&world.told("instruments --format csv", ""));
    let row = rows
        .iter()
        .find(|row| cell(row, "instrument") == "eu-sg-2024")
        .unwrap();
    for (name, value) in [("exporter", "acme-eu"), ("flows", "3"), ("people", "2")] {
        assert_eq!(cell(row, name), value, "{name}");
    }
    let copy = cell(row, "copy");
    assert!(copy.starts_with("https://"), "{copy}");
    for format in ["text", "html"] {
        let text = world.told(&format!("instruments --format {format}"), "");
        for fact in [
            "eu-sg-2024",
            copy,
            cell(row, "document_sha256"),
            "what eu-sg-2024 carried",
        ] {
            assert!(text.contains(fact), "{fact} in {text}");
        }
    }
    // Without settings the ledger's own words are all there is.
    let ledger = path(world.ledger());
    let output = run_to_end(&["report", "instruments", &ledger, "--format", "json"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = report["instruments"].as_array().unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0]["id"], &all[0]["register"]),
        (&json!("eu-sg-2024"), &Value::Null)
    );
}
