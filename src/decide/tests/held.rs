//! Legal holds: `explain` says of an erasure what the router would answer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ask, policies};
use crate::{
    document::{Faults, Node},
    policy::{Checked, check},
};

/// The demo's organisation with further lines, under a few of the shipped laws.
fn with(more: &str) -> Arc<Checked> {
    let faults = Faults::new();
    let text = |name: &str| std::fs::read_to_string(policies().join(name)).expect("shipped file");
    let vocabulary = Node::parse("vocabulary.toml", text("vocabulary.toml"), &faults).unwrap();
    let laws: Vec<Node> = ["cn", "eu", "in", "kz", "ru", "sg", "vn"]
        .iter()
        .filter_map(|l| Node::parse("law.toml", text(&format!("law/{l}.toml")), &faults))
        .collect();
    let organisation = text("examples/demo/organisation.toml") + more;
    let organisation = Node::parse("organisation.toml", organisation, &faults).unwrap();
    let checked = check(&vocabulary, &laws, &organisation, &faults);
    Arc::new(checked.unwrap_or_else(|| panic!("{:?}", faults.into_sorted())))
}

fn erase(at: &str, country: &str, category: &str) -> Value {
    json!({
        "at": at, "operation": "erase",
        "subject": { "countries": [country] },
        "categories": [category],
        "from": { "country": "SG", "entity": "acme-sg" },
        "to": { "country": "IN", "entity": "acme-in" },
    })
}

const HOLD: &str = "\n[[holds]]\nid = \"tax-audit\"\ncitation = \"order 7 of an invented court\"\nsubjects = [\"IN\"]\ncategories = [\"user.name\"]\nuntil = 2026-12-31\n";

#[test]
fn an_erasure_that_a_hold_forbids_is_refused_with_the_hold() {
    let checked = with(HOLD);
    let now = "2026-11-21T12:00:00Z";
    let told = |question| json!(ask(&checked, question));
    let held = told(erase(now, "IN", "user.name"));
    assert_eq!(held["outcome"], "refuse", "{held}");
    assert_eq!(held["rule"], "tax-audit");
    assert_eq!(held["citation"], "order 7 of an invented court");
    assert_eq!(held["mechanism"], Value::Null);
    assert_eq!(held["holds"][0]["binds"], true, "{held}");
    for question in [
        erase("2027-01-02T12:00:00Z", "IN", "user.name"),
        erase(now, "IN", "user.contact.email"),
        erase(now, "SG", "user.name"),
        // What might lie below what is said is not said.
        erase(now, "IN", "user"),
    ] {
        let free = told(question);
        assert_eq!(free["outcome"], "permit", "{free}");
        assert_eq!(free.get("holds"), None, "{free}");
    }
    let mut read = erase(now, "IN", "user.name");
    read["operation"] = json!("read");
    assert_ne!(told(read)["rule"], "tax-audit");
}

#[test]
fn a_hold_of_single_people_is_named_beside_the_answer() {
    let keyed = format!("{HOLD}keys = [\"{}\"]\n", "1".repeat(32));
    let found = json!(ask(
        &with(&keyed),
        erase("2026-11-21T12:00:00Z", "IN", "user.name")
    ));
    assert_eq!(found["outcome"], "permit", "{found}");
    assert_eq!(found["holds"][0]["id"], "tax-audit");
    assert_eq!(found["holds"][0]["binds"], false);
}
