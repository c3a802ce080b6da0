//! What the ledger says of a disclosure that law or a court orders, granted and refused.

use serde_json::{Value, json};

use crate::kit::backend::Backend;
use crate::kit::http::{Answer, Request};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Router, Setup};
use crate::kit::{decision, entries_now, problem};

struct World {
    router: Router,
    recipient: Backend,
}

fn world() -> World {
    let mut setup = Setup::of_example("developer-platform");
    let (region, recipient) = (Backend::recording(), Backend::recording());
    setup.region("cn", region.address);
    setup.endpoint("recipients", "court", recipient.address);
    World {
        router: setup.start(),
        recipient,
    }
}

impl World {
    fn disclose(&self, fields: &[(&'static str, &str)]) -> Answer {
        let mut request =
            Request::new("POST", "/disclose/dev-1/court").header("domicile-country", "CN");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        request.json(r#"{"name":"Li"}"#).send(self.router.router)
    }

    fn entry(&self, answer: &Answer) -> Value {
        entries_now(self.router.admin, decision(answer))[0].clone()
    }
}

#[test]
fn a_disclosure_without_its_order_is_refused_with_rule_citation_and_destination() {
    let world = world();
    for order in [None, Some("CN; approval=\"x\"")] {
        let fields: Vec<_> = order.map(|o| ("domicile-order", o)).into_iter().collect();
        let answer = world.disclose(&fields);
        let document = problem(&answer, 451);
        assert_eq!(document["rule"], "legal-order", "{document}");
        let citation = document["citation"].as_str().unwrap_or_default();
        assert!(citation.contains("organisation.toml"), "{document}");
        assert_eq!(document["to"], json!({"country": "CN", "entity": "court"}));
        let entry = world.entry(&answer);
        assert_eq!(entry["outcome"], "refuse");
        assert_eq!(entry["operation"], "disclose");
        assert_eq!(entry["problem"], "transfer-forbidden");
        assert_eq!(entry["to"], json!({"country": "CN", "entity": "court"}));
        let rules = entry["rules"].as_array().unwrap();
        assert!(rules.contains(&json!("legal-order")), "{entry}");
        assert_eq!(entry["laws"], json!(["CN"]), "{entry}");
        assert_eq!(entry["categories"], json!(["user.name"]), "{entry}");
        assert_eq!(entry["mechanism"], Value::Null, "{entry}");
    }
    assert!(world.recipient.requests().is_empty());
}

#[test]
fn the_ledger_names_the_orders_country_and_approval_and_the_grounds_own_reference() {
    let mut world = world();
    let answer = world.disclose(&[
        (
            "domicile-order",
            "CN; reference=\"ref-r\"; approval=\"appr-a\"",
        ),
        ("domicile-ground", "legal-claims; reference=\"claim-g\""),
    ]);
    assert_eq!(answer.status, 201, "{answer:?}");
    let entry = world.entry(&answer);
    assert_eq!(entry["reference"], "ref-r", "{entry}");
    assert_eq!(entry["authority_country"], "CN", "{entry}");
    assert_eq!(entry["approval"], "appr-a", "{entry}");
    assert_eq!(entry["ground_reference"], "claim-g", "{entry}");
    // A refused one too; and where no approval was said, none is.
    let refused = world.disclose(&[("domicile-order", "US; reference=\"ref-s\"")]);
    let entry = world.entry(&refused);
    assert_eq!(entry["authority_country"], "US", "{entry}");
    assert_eq!(entry["approval"], Value::Null, "{entry}");

    let (status, _) = world.router.process.terminate();
    assert!(status.success());
    let folder = world.router.folder.path().join("ledger");
    let folder = folder.to_str().unwrap();
    let output = run_to_end(&["ledger", "verify", folder], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run_to_end(&["ledger", "tail", "--json", folder], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(r#""approval":"appr-a""#), "{printed}");
    let output = run_to_end(&["ledger", "tail", folder], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("authority_country=CN"), "{printed}");
}

/// What is blank names nothing: neither an order nor its approval.
#[test]
fn a_blank_reference_or_approval_is_refused() {
    let world = world();
    for order in [
        "SG; reference=\" \"",
        "SG; reference=\"\"",
        "US; reference=\"F\"; approval=\" \"",
        "US; reference=\"F\"; approval=",
        "US; reference=\"F\" trailing",
        "US; reference=\"a\\\"b\"",
        "US; reference=\"F\"; reference=\"G\"",
    ] {
        let refused = world.disclose(&[("domicile-order", order)]);
        problem(&refused, 400);
    }
    let ground = ("domicile-ground", "legal-claims; reference=\"\t\"");
    let order = ("domicile-order", "CN; reference=\"F\"");
    problem(&world.disclose(&[order, ground]), 400);
    assert!(world.recipient.requests().is_empty());
}
