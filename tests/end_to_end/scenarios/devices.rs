//! A vendor of smart devices with six data centres (A1 to A10, B2).

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Answer, Request, get};
use crate::kit::setup::{Router, Setup};
use crate::kit::{decision, entries_of, problem};

const REGIONS: [&str; 6] = ["cn", "in", "us", "eu", "ru", "sg"];

struct World {
    router: Router,
    regions: [(&'static str, Backend); 6],
    recipient: Backend,
}

fn world() -> World {
    let mut setup = Setup::of_example("smart-devices");
    let regions = REGIONS.map(|name| {
        let backend = Backend::scripted(|seen| Reply::Answer {
            status: if seen.method == "PUT" { 201 } else { 200 },
            media: "application/json",
            body: b"{}".to_vec(),
        });
        setup.region(name, backend.address);
        (name, backend)
    });
    let recipient = Backend::recording();
    for name in ["location-services", "problem-reports"] {
        setup.endpoint("recipients", name, recipient.address);
    }
    World {
        router: setup.start(),
        regions,
        recipient,
    }
}

impl World {
    fn region(&self, name: &str) -> &Backend {
        &self.regions.iter().find(|(n, _)| *n == name).unwrap().1
    }

    /// The regions that were sent anything.
    fn touched(&self) -> Vec<&'static str> {
        let sent = |backend: &Backend| !backend.requests().is_empty();
        let found = self.regions.iter().filter(|(_, backend)| sent(backend));
        found.map(|(name, _)| *name).collect()
    }

    fn send(&self, request: &Request) -> Answer {
        request.send(self.router.router)
    }

    /// A first record of a person of `country`.
    #[track_caller]
    fn store(&self, id: &str, country: &str) -> Answer {
        let answer = self.send(&put(id, country));
        assert_eq!(answer.status, 201, "{country}: {answer:?}");
        answer
    }

    fn entry(&self, answer: &Answer) -> Value {
        entries_of(self.router.admin, decision(answer))[0].clone()
    }
}

fn put(id: &str, country: &str) -> Request {
    Request::new("PUT", format!("/people/{id}")).json(format!(
        "{{\"email\":\"{id}@example.com\",\"country\":\"{country}\"}}"
    ))
}

fn to(request: Request, operation: &str, target: &str) -> Request {
    request
        .header("domicile-operation", operation)
        .header("domicile-target", target)
}

/// A1 and A7: six data centres, and for everybody else an ordered preference.
#[test]
fn everybody_lives_in_the_data_centre_of_the_promise() {
    for (country, region) in [
        ("CN", "cn"),
        ("IN", "in"),
        ("US", "us"),
        ("DE", "eu"),
        ("NO", "eu"),
        ("RU", "ru"),
        ("SG", "sg"),
        ("MN", "sg"),
        ("UY", "sg"),
    ] {
        let world = world();
        let answer = world.store("p-1", country);
        assert_eq!(answer.header("domicile-region"), Some(region), "{country}");
        assert_eq!(world.touched(), [region], "{country}");
    }
    // Nobody's country, nobody's data centre.
    let world = world();
    let unknown = Request::new("PUT", "/people/p-2").json(r#"{"email":"x@example.com"}"#);
    problem(&world.send(&unknown), 422);
    assert!(world.touched().is_empty());
}

/// A2: out of China only by a mechanism of Chinese law.
#[test]
fn what_china_keeps_leaves_only_by_its_law() {
    let world = world();
    world.store("li", "CN");
    let before = world.region("cn").requests().len();
    let read = Request::new("GET", "/people/li");
    let refused = world.send(&read);
    let document = problem(&refused, 451);
    assert_eq!(document["rule"], "cn-export", "{document}");
    let missing = document["missing"].as_array().unwrap();
    assert!(
        missing
            .iter()
            .any(|m| m["mechanism"] == "cn-standard-contract"),
        "{document}"
    );
    let elsewhere = world.send(&to(put("li", "CN"), "replicate", "us"));
    problem(&elsewhere, 451);
    problem(
        &world.send(&put("wang", "CN").header("domicile-target", "us")),
        451,
    );
    assert_eq!(world.region("cn").requests().len(), before);
    assert_eq!(world.touched(), ["cn"]);

    // Few people's ordinary data, after an impact assessment.
    let few = world.send(&put("wang", "CN").header("domicile-target", "sg"));
    assert_eq!(few.status, 201, "{few:?}");
    let used = few.header("domicile-mechanism");
    assert_eq!(used, Some("cn-exempt-small-volume"));

    let ground = "contract-necessity; reference=\"order 4711\"";
    let permitted = world.send(&read.header("domicile-ground", ground));
    assert_eq!(permitted.status, 200, "{permitted:?}");
    assert_eq!(
        permitted.header("domicile-mechanism"),
        Some("cn-exempt-contract")
    );
    let entry = world.entry(&permitted);
    assert_eq!(entry["reference"], "order 4711");
    assert_eq!(entry["from"]["country"], "CN");
}

/// A3: the primary copy of Russia first, and a copy abroad only after it and by its law.
#[test]
fn a_copy_of_russias_data_follows_its_primary() {
    let world = world();
    // No primary yet: nothing can be copied, and no first copy lies abroad.
    problem(&world.send(&to(put("ivan", "RU"), "replicate", "sg")), 409);
    let document = problem(
        &world.send(&put("ivan", "RU").header("domicile-target", "sg")),
        451,
    );
    assert_eq!(document["rule"], "ru-localisation", "{document}");
    assert!(world.touched().is_empty());

    world.store("ivan", "RU");
    let copied = world.send(&to(put("ivan", "RU"), "replicate", "sg"));
    assert_eq!(copied.status, 201, "{copied:?}");
    let entry = world.entry(&copied);
    assert_eq!(entry["mechanism"], "ru-notification", "{entry}");
    assert_eq!(entry["instrument"], "ru-sg-notification");
    let document = problem(&world.send(&to(put("ivan", "RU"), "replicate", "us")), 451);
    assert_eq!(document["rule"], "ru-transfer", "{document}");
    problem(&world.send(&to(put("ivan", "RU"), "relocate", "sg")), 451);
    assert_eq!(world.touched(), ["ru", "sg"]);
}

/// A4: the promise to India is stricter than Indian law, so it decides.
#[test]
fn what_india_was_promised_is_stricter_than_its_law() {
    let world = world();
    world.store("asha", "IN");
    for operation in ["replicate", "relocate"] {
        let document = problem(&world.send(&to(put("asha", "IN"), operation, "sg")), 451);
        assert_eq!(document["rule"], "india-stays", "{document}");
    }
    assert_eq!(world.touched(), ["in"]);
    // Reading is not storing: there the law decides, which asks for a ground.
    let read = Request::new("GET", "/people/asha");
    let document = problem(&world.send(&read), 451);
    assert_eq!(document["rule"], "in-transfer", "{document}");
    let permitted = world.send(&read.header("domicile-ground", "contract-necessity"));
    assert_eq!(permitted.status, 200, "{permitted:?}");
    let used = permitted.header("domicile-mechanism");
    assert_eq!(used, Some("in-same-protection"));
}

/// A5 and A6: Europe's data is read in Singapore under the clauses, and the ledger says so.
#[test]
fn the_clauses_carry_europes_data_to_singapore_and_no_further() {
    let world = world();
    world.store("zoe", "DE");
    let read = world.send(&Request::new("GET", "/people/zoe"));
    assert_eq!(read.status, 200, "{read:?}");
    let used = "scc; module=2; instrument=\"eu-sg-clauses\"";
    assert_eq!(read.header("domicile-mechanism"), Some(used));
    let entry = world.entry(&read);
    let facts = ["instrument", "module", "exporter", "importer"].map(|key| entry[key].clone());
    assert_eq!(
        facts,
        [
            json!("eu-sg-clauses"),
            json!(2),
            json!("vendor-nl"),
            json!("vendor-sg")
        ]
    );
    for region in ["in", "us", "cn"] {
        let document = problem(&world.send(&to(put("zoe", "DE"), "replicate", region)), 451);
        assert_eq!(document["rule"], "eu-transfer", "{document}");
    }
    assert_eq!(world.touched(), ["eu"]);

    let register = get(world.router.admin, "/v1/instruments");
    let text = String::from_utf8(register.body).unwrap();
    for fact in [
        "eu-sg-clauses",
        "https://example.com/safeguards/eu-sg-clauses.pdf",
        "3f7c1c0d",
    ] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

/// A8: an address is personal, and so is every record that holds one; statistics alone are not.
#[test]
fn one_personal_field_makes_the_record_personal() {
    let world = world();
    let write = |body: &str| {
        let request = Request::new("PUT", "/people/ivan").header("domicile-country", "RU");
        to(request.json(body.to_owned()), "store", "us")
    };
    for body in [
        r#"{"ip":"203.0.113.7"}"#,
        r#"{"clicks":12,"ip":"203.0.113.7"}"#,
    ] {
        let document = problem(&world.send(&write(body)), 451);
        assert_eq!(document["rule"], "ru-localisation", "{document}");
    }
    let statistics = world.send(&write(r#"{"clicks":12}"#));
    assert_eq!(statistics.status, 201, "{statistics:?}");
    assert_eq!(world.touched(), ["us"]);
}

/// A9: a record that shows a child needs a parent's consent, at home and on its way to others.
#[test]
fn a_childs_record_needs_a_parent() {
    let world = world();
    let body = |born: &str| format!("{{\"device_id\":\"d-1\",\"born\":\"{born}\"}}");
    let store = |born: &str| {
        Request::new("PUT", "/people/kid")
            .header("domicile-country", "CN")
            .json(body(born))
            .send(world.router.router)
    };
    let disclose = |born: &str| {
        Request::new("POST", "/disclose/kid/problems")
            .header("domicile-country", "CN")
            .json(body(born))
            .send(world.router.router)
    };
    for answer in [store("2020-02-03"), disclose("2020-02-03")] {
        let document = problem(&answer, 451);
        assert_eq!(document["rule"], "cn-child", "{document}");
    }
    assert!(world.touched().is_empty() && world.recipient.requests().is_empty());
    assert_eq!(disclose("1990-02-03").status, 201);

    let consent = json!({ "subject": "kid", "kind": "parental", "by": "parent" });
    let answer = Request::new("POST", "/v1/consents")
        .json(consent.to_string())
        .send(world.router.admin);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(store("2020-02-03").status, 201);
    assert_eq!(world.touched(), ["cn"]);
}

/// A10: the backend is told how long; what must be kept is not erased.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the router's day is the real one, and so must be the expected"
)]
fn data_is_kept_as_long_as_it_may_and_must_be() {
    let world = world();
    let until = |request: Request, region: &str| {
        let answer = world.send(&request);
        assert_eq!(answer.status, 201, "{answer:?}");
        let seen = world.region(region).requests();
        let told = seen.last().unwrap().header("domicile-retain-until");
        told.map(|day| day.parse::<jiff::civil::Date>().unwrap())
    };
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let days = |n: i64| jiff::Span::new().days(n);
    let near = |day: Option<jiff::civil::Date>, span: jiff::Span| {
        // The day may turn while the test runs.
        let wanted = today.checked_add(span).unwrap();
        let day = day.expect("a date");
        assert!(
            day == wanted || day == wanted.tomorrow().unwrap(),
            "{day} {wanted}"
        );
    };
    near(until(put("zoe", "DE"), "eu"), jiff::Span::new().years(5));
    // The shortest limit holds for the whole record.
    let logs = Request::new("PUT", "/people/zoe")
        .json(r#"{"email":"zoe@example.com","country":"DE","ip":"203.0.113.7"}"#);
    near(until(logs, "eu"), days(180));
    // What a caller says of it does not count.
    let order = |country: &str| {
        Request::new("PUT", format!("/orders/{country}-1"))
            .header("domicile-country", country)
            .header("domicile-retain-until", "2999-01-01")
            .json(r#"{"item":"lamp"}"#)
    };
    near(until(order("CN"), "cn"), jiff::Span::new().years(3));
    assert_eq!(until(order("DE"), "eu"), None);

    let erased = world.region("cn").requests().len();
    let held = world.send(&Request::new("DELETE", "/orders/CN-1"));
    let document = problem(&held, 451);
    assert_eq!(document["type"], "urn:domicile:problem:legal-hold");
    assert_eq!(document["rule"], "china-orders");
    assert_eq!(document["citation"], "E-Commerce Law of the PRC Art. 31");
    let entry = world.entry(&held);
    assert_eq!(entry["outcome"], "refuse");
    assert_eq!(entry["rules"], json!(["china-orders"]));
    assert_eq!(world.region("cn").requests().len(), erased);
    // Other people's orders, and the rest of that person's data, go.
    for path in ["/orders/DE-1", "/people/CN-1"] {
        let answer = world.send(&Request::new("DELETE", path));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

/// B2: an erasure reaches the home and every copy.
#[test]
fn an_erasure_reaches_every_copy() {
    let world = world();
    world.store("ivan", "RU");
    assert_eq!(
        world.send(&to(put("ivan", "RU"), "replicate", "sg")).status,
        201
    );
    let answer = world.send(&Request::new("DELETE", "/people/ivan"));
    assert_eq!(answer.status, 200, "{answer:?}");
    for region in ["ru", "sg"] {
        let seen = world.region(region).requests();
        assert_eq!(seen.last().unwrap().method, "DELETE", "{region}");
    }
}

/// B2: what could not be reached is listed, and the rest is erased all the same.
#[test]
fn an_erasure_lists_what_it_could_not_reach() {
    let mut setup = Setup::of_example("smart-devices");
    let home = Backend::recording();
    let copy =
        Backend::scripted(|seen| Reply::status(if seen.method == "PUT" { 201 } else { 500 }));
    setup.region("ru", home.address);
    setup.region("sg", copy.address);
    let router = setup.start();
    for request in [put("ivan", "RU"), to(put("ivan", "RU"), "replicate", "sg")] {
        assert_eq!(request.send(router.router).status, 201);
    }
    let answer = Request::new("DELETE", "/people/ivan").send(router.router);
    let document = problem(&answer, 502);
    assert_eq!(document["type"], "urn:domicile:problem:erasure-incomplete");
    assert_eq!(document["unreached"], json!(["sg"]));
    let erased = home.requests().into_iter().filter(|s| s.method == "DELETE");
    assert_eq!(erased.count(), 1);
}

/// C1 and C2 for the vendor's own two recipients. They sit in China, the router in Singapore: what
/// concerns people of Singapore or China may go there, Europe's data may not.
#[test]
fn disclosures_cross_a_border_only_by_law() {
    let world = world();
    let disclose = |what: &str, country: &str, body: &str| {
        world.send(
            &Request::new("POST", format!("/disclose/p-1/{what}"))
                .header("domicile-country", country)
                .json(body.to_owned()),
        )
    };
    let location = disclose("location", "CN", r#"{ "device_id":"d-1"}"#);
    assert_eq!(location.status, 201, "{location:?}");
    let refused = disclose("location", "DE", r#"{"device_id":"d-1"}"#);
    let document = problem(&refused, 451);
    assert_eq!(document["rule"], "eu-transfer", "{document}");
    assert_eq!(document["to"]["entity"], "autonavi");
    let foreign = disclose(
        "location",
        "CN",
        r#"{"device_id":"d-1","email":"x@example.com"}"#,
    );
    assert_eq!(problem(&foreign, 451)["fields"], json!(["/email"]));

    let report = r#"{"crashes":[{"at":1}] , "device_id":"d-1","email":"x@example.com"}"#;
    assert_eq!(disclose("problems", "CN", report).status, 201);
    let seen = world.recipient.requests();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, br#"{ "device_id":"d-1"}"#);
    let text = String::from_utf8(seen[1].body.clone()).unwrap();
    assert!(
        text.starts_with(r#"{"crashes":[{"at":1}] , "device_id":""#),
        "{text}"
    );
    assert!(!text.contains("d-1") && !text.contains("email"), "{text}");
}
