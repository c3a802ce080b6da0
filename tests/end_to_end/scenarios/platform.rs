//! A developer platform: permission, orders, aggregates, children (C3 to C5, A9).

use serde_json::json;

use crate::kit::backend::Backend;
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Router, Setup};
use crate::kit::{decision, entries_now, problem};

struct World {
    router: Router,
    region: Backend,
    recipient: Backend,
}

fn world() -> World {
    let mut setup = Setup::of_example("developer-platform");
    let (region, recipient) = (Backend::recording(), Backend::recording());
    setup.region("cn", region.address);
    for name in ["support", "partner", "court"] {
        setup.endpoint("recipients", name, recipient.address);
    }
    World {
        router: setup.start(),
        region,
        recipient,
    }
}

impl World {
    fn disclose(&self, to: &str, body: &str, order: Option<&str>) -> Answer {
        Request::new("POST", format!("/disclose/dev-1/{to}"))
            .header("domicile-country", "CN")
            .maybe("domicile-order", order)
            .json(body)
            .send(self.router.router)
    }
}

#[test]
fn nothing_goes_to_third_parties_without_permission() {
    let world = world();
    let document = problem(
        &world.disclose("support", r#"{"email":"dev@example.com"}"#, None),
        451,
    );
    assert_eq!(document["rule"], "support", "{document}");
    let document = problem(
        &world.disclose("partner", r#"{"email":"dev@example.com"}"#, None),
        451,
    );
    assert_eq!(document["fields"], json!(["/email"]));
    assert!(world.recipient.requests().is_empty());

    let consent = json!({ "subject": "dev-1", "namespace": "developer", "kind": "disclosure",
        "purpose": "support", "to": ["support"] });
    let answer = Request::new("POST", "/v1/consents")
        .json(consent.to_string())
        .send(world.router.admin);
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = world.disclose("support", r#"{"email":"dev@example.com"}"#, None);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(world.recipient.requests()[0].path, "/tickets");
}

#[test]
fn aggregates_may_be_shared() {
    let world = world();
    let body = r#"{ "developers" : 1200, "requests": 3.5e6 }"#;
    let answer = world.disclose("partner", body, None);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(entries_now(world.router.admin, decision(&answer)).is_empty());
    let seen = world.recipient.requests();
    assert_eq!(
        (seen[0].path.as_str(), seen[0].body.as_slice()),
        ("/trends", body.as_bytes())
    );
    problem(
        &world.disclose("partner", r#"{"developers":1,"ip":"203.0.113.7"}"#, None),
        451,
    );
    assert_eq!(world.recipient.requests().len(), 1);
}

#[test]
fn what_the_law_demands_is_disclosed_with_the_orders_reference() {
    let world = world();
    let body = r#"{"name":"Li","email":"dev@example.com"}"#;
    problem(&world.disclose("court", body, None), 451);
    let answer = world.disclose("court", body, Some("CN; reference=\"(2026) 12\""));
    assert_eq!(answer.status, 201, "{answer:?}");
    let entry = &entries_now(world.router.admin, decision(&answer))[0];
    assert_eq!(entry["reference"], "(2026) 12");
    assert_eq!(entry["to"]["entity"], "court");
    assert_eq!(world.recipient.requests().len(), 1);
}

/// A new field is refused until somebody says what it holds.
#[test]
fn accounts_are_stored_at_home_and_new_fields_are_refused() {
    let world = world();
    let put = |body: &str| {
        Request::new("PUT", "/developers/dev-1")
            .header("domicile-country", "CN")
            .json(body.to_owned())
            .send(world.router.router)
    };
    let answer = put(r#"{"email":"dev@example.com","log":["login"]}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    let seen = world.region.requests();
    assert!(
        seen[0].header("domicile-retain-until").is_some(),
        "{seen:?}"
    );
    problem(&put(r#"{"email":"dev@example.com","face":"AAAA"}"#), 422);
    assert_eq!(world.region.requests().len(), 1);
    problem(
        &world.disclose("court", r#"{"face":"AAAA"}"#, Some("CN; reference=\"1\"")),
        422,
    );
}
