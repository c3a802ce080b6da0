//! A fitness app and its 21 disclosures (C1 to C6).

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Answer, Request, get};
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{contains, decision, entries_now, entries_of, eventually, problem};

/// One of the 21: what it may carry without consent, what needs it, and what it may not carry.
struct Disclosure {
    recipient: &'static str,
    /// Needs no consent; `""`: every record to this recipient does.
    plain: &'static str,
    /// Listed, and sensitive in China; `""`: nothing of the list is.
    sensitive: &'static str,
    /// A field that is not on this recipient's list, and its pointer.
    foreign: (&'static str, &'static str),
}

const fn row(
    recipient: &'static str,
    plain: &'static str,
    sensitive: &'static str,
    foreign: (&'static str, &'static str),
) -> Disclosure {
    Disclosure {
        recipient,
        plain,
        sensitive,
        foreign,
    }
}

const EMAIL: (&str, &str) = (r#""email": "li@example.com""#, "/email");
const STEPS: (&str, &str) = (r#""steps": 4711"#, "/steps");
const PLACE: (&str, &str) = (r#""location": {"lat":31.2,"lon":121.4}"#, "/location");

#[rustfmt::skip]
const DISCLOSURES: [Disclosure; 21] = [
    row("amap", r#"{ "ip":"203.0.113.7" , "wifi":["a","b"],"imei":"35-1","sensors":{"pressure":1.0E+3},"app":"fit 3.1"}"#, r#"{"location":{"lat":31.2,"lon":121.4}}"#, STEPS),
    row("wechat-share", r#"{"pictures":["\u0061"],"text":"5 km"}"#, r#"{"location":[1,2]}"#, STEPS),
    row("huami-devices", r#"{"serial_number":"SN1","workouts":[{"km":5}]}"#, r#"{"steps":1,"heart_rate":[60,61],"sleep":{}, "score":9}"#, ("\"cycle\": 3", "/cycle")),
    row("huami-import", r#"{"serial_number":"SN1"}"#, r#"{"cycle":{"day":3},"blood_oxygen":98}"#, ("\"blood_pressure\":[120,80]", "/blood_pressure")),
    row("werun", r#"{"app":"fit"}"#, r#"{"steps":9000}"#, PLACE),
    row("alipay-steps", r#"{"app":"fit"}"#, r#"{"steps":9000}"#, ("\"heart_rate\":60", "/heart_rate")),
    row("xiaomi-account", r#"{"imei":"35-1","device_id":"oaid-1","account":{"id":12},"password":"pa ss"}"#, "", ("\"name\":\"Li\"", "/name")),
    row("mi-ai", r#"{"account":{"id":12},"device_id":"oaid-1"}"#, r#"{"voice":"AAAA"}"#, ("\"contacts\":[\"Wang\"]", "/contacts")),
    row("xiaomi-cards", r#"{"account":{"id":12},"imei":"35-1","serial_number":"CPLC"}"#, r#"{"card":{"number":"1"}}"#, EMAIL),
    row("onetrack", r#"{"device_id":"oaid-1","pages":["home"],"crashes":[],"agreed":true}"#, "", EMAIL),
    row("xiaomi-community", r#"{"account":{"id":12}}"#, r#"{"steps":9000}"#, ("\"born\":\"1990-01-01\"", "/born")),
    row("xiaomi-home", r#"{"imei":"35-1","model":"W1","system":"9","feedback":"x"}"#, "", PLACE),
    row("mi-push", r#"{"device_id":"reg-1"}"#, "", ("\"model\":\"W1\"", "/model")),
    row("miao-health", r#"{"workouts":[{"minutes":30}]}"#, r#"{"height":171,"weight":64.50,"sleep":{"from":"23:10"}}"#, ("\"heart_rate\":60", "/heart_rate")),
    row("mi-link", r#"{"imei":"35-1","course":"https://example.com/c/1","workouts":[]}"#, "", STEPS),
    row("alipay-top-up", r#"{"imei":"35-1","imsi":"460-1","network":"wifi"}"#, "", ("\"card\":\"1\"", "/card")),
    row("aidong", r#"{"nickname":"li","photo":"AAAA","gender":"f"}"#, r#"{"heart_rate":120,"calories":300}"#, STEPS),
    row("mi-coins", r#"{"account":{"id":12},"order":{"item":"face"}}"#, "", ("\"card\":\"1\"", "/card")),
    row("sleep-clinic", "", r#"{"name":"Li","phone":"1","sleep":{"apnea":2}}"#, ("\"ecg\":[1]", "/ecg")),
    row("research", "", r#"{"account":{"id":12},"gender":"f","ecg":[1,2],"blood_pressure":[120,80]}"#, EMAIL),
    row("music", r#"{"cadence":172}"#, "", ("\"heart_rate\":120", "/heart_rate")),
];

struct World {
    router: Router,
    /// All recipients share a server; paths tell them apart.
    recipient: Backend,
    region: Backend,
}

fn world() -> World {
    let mut setup = Setup::of_example("fitness-app");
    let recipient = Backend::scripted(|_| Reply::Answer {
        status: 200,
        media: "application/json",
        body: b"{\"taken\":true}".to_vec(),
    });
    let region = Backend::recording();
    for disclosure in &DISCLOSURES {
        setup.endpoint("recipients", disclosure.recipient, recipient.address);
    }
    setup.endpoint("recipients", "authority", recipient.address);
    let digests: toml::Value = vec!["content-digest", "idempotency-key"].into();
    setup.set(&["recipients", "onetrack", "headers"], digests);
    setup.region("cn", region.address);
    World {
        router: setup.start(),
        recipient,
        region,
    }
}

fn disclosure(recipient: &str, body: &str) -> Request {
    Request::new("POST", format!("/disclose/li-1/{recipient}"))
        .header("domicile-country", "CN")
        .json(body)
}

impl World {
    fn disclose(&self, recipient: &str, body: &str) -> Answer {
        disclosure(recipient, body).send(self.router.router)
    }

    /// The entry of a refused disclosure, after what every refusal promises was checked.
    fn refused(&self, answer: &Answer) -> (Value, Value) {
        let document = problem(answer, 451);
        assert_eq!(
            answer.header("link"),
            Some("<https://example.com/privacy>; rel=\"blocked-by\"")
        );
        let entries = entries_now(self.router.admin, decision(answer));
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0]["outcome"], "refuse");
        assert_eq!(entries[0]["operation"], "disclose");
        (document, entries[0].clone())
    }
}

/// With one field more, at the end of the object.
fn with_field(body: &str, field: &str) -> String {
    match body.trim_end().strip_suffix('}') {
        Some("{") | None => format!("{{{field}}}"),
        Some(open) => format!("{open},{field}}}"),
    }
}

/// Whoever is told of it, and however little (RFC 9112 §8).
#[test]
fn a_disclosure_whose_answer_breaks_off_was_not_answered() {
    let broken = Backend::scripted(|_| {
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}".to_vec())
    });
    for answers in ["full", "status-only"] {
        let mut setup = Setup::of_example("fitness-app");
        setup.endpoint("recipients", "xiaomi-community", broken.address);
        setup.set_route("record", "answers", answers);
        let router = setup.start();
        let body = r#"{"account":{"id":12}}"#;
        let answer = disclosure("xiaomi-community", body).send(router.router);
        let document = problem(&answer, 502);
        assert_eq!(
            document["type"],
            "urn:domicile:problem:recipient-bad-answer"
        );
        let outcome = eventually("its outcome", || {
            let entries = entries_of(router.admin, decision(&answer)).into_iter();
            entries.last().filter(|e| e["kind"] == "outcome")
        });
        assert_eq!(outcome["status"], 0, "{answers}: {outcome}");
    }
}

#[test]
fn each_of_the_21_gets_what_its_list_names_byte_for_byte() {
    let world = world();
    let mut expected = Vec::new();
    for row in DISCLOSURES.iter().filter(|row| !row.plain.is_empty()) {
        let answer = world.disclose(row.recipient, row.plain);
        assert_eq!(answer.status, 200, "{}: {answer:?}", row.recipient);
        assert_eq!(answer.header("domicile-recipient"), Some(row.recipient));
        assert_eq!(answer.body, b"{\"taken\":true}");
        expected.push((format!("/{}", row.recipient), row.plain.as_bytes().to_vec()));
        let entries = entries_now(world.router.admin, decision(&answer));
        if row.plain.contains("\"app\":\"fit\"}") {
            // C5: nobody is concerned, so it is no transfer.
            assert!(entries.is_empty(), "{}: {entries:?}", row.recipient);
            continue;
        }
        let entry = &entries[0];
        assert_eq!(entry["outcome"], "permit", "{entry}");
        assert_eq!(entry["operation"], "disclose");
        assert_eq!(entry["to"]["country"], "CN");
        assert_eq!(entry["mechanism"], "domestic");
        let rules = entry["rules"].as_array().unwrap();
        assert!(rules.contains(&json!(row.recipient)), "{entry}");
        assert!(entry["subject"].is_string(), "{entry}");
    }
    let seen: Vec<_> = world
        .recipient
        .requests()
        .into_iter()
        .map(|seen| (seen.path, seen.body))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(expected.len(), 19);
    assert!(world.region.requests().is_empty());
}

#[test]
fn each_of_the_21_is_refused_a_field_that_its_list_does_not_name() {
    let world = world();
    for row in DISCLOSURES.iter().filter(|r| r.recipient != "onetrack") {
        let (field, pointer) = row.foreign;
        let listed = if row.plain.is_empty() {
            row.sensitive
        } else {
            row.plain
        };
        let answer = world.disclose(row.recipient, &with_field(listed, field));
        let (document, entry) = world.refused(&answer);
        assert_eq!(document["type"], "urn:domicile:problem:unlisted-field");
        assert_eq!(document["fields"], json!([pointer]), "{}", row.recipient);
        assert_eq!(document["rule"], row.recipient, "{document}");
        assert_eq!(entry["problem"], "unlisted-field");
        let missing = entry["missing"].as_array().unwrap();
        assert!(
            missing.contains(&json!(format!("field {pointer}"))),
            "{entry}"
        );
        let value = field.split(':').nth(1).unwrap().trim().trim_matches('"');
        if value.len() > 3 {
            assert!(!contains(&answer.bytes(), value.as_bytes()), "{answer:?}");
        }
    }
    assert!(world.recipient.requests().is_empty());
}

/// C3 and B3: only with the person's consent to this recipient, and only until it is withdrawn.
#[test]
fn what_is_sensitive_needs_a_consent() {
    let world = world();
    let consents = |what: &str, body: Value, status: u16| {
        let answer = Request::new("POST", format!("/v1/consents{what}"))
            .json(body.to_string())
            .send(world.router.admin);
        assert_eq!(answer.status, status, "{answer:?}");
    };
    let sensitive: Vec<_> = DISCLOSURES
        .iter()
        .filter(|row| !row.sensitive.is_empty())
        .collect();
    assert_eq!(sensitive.len(), 13);
    for (done, row) in sensitive.iter().enumerate() {
        let refused = || {
            let answer = world.disclose(row.recipient, row.sensitive);
            let (document, _) = world.refused(&answer);
            assert_eq!(document["type"], "urn:domicile:problem:transfer-forbidden");
            assert_eq!(document["rule"], row.recipient, "{document}");
            assert!(document.get("fields").is_none(), "{document}");
            assert_eq!(world.recipient.requests().len(), done);
        };
        refused();
        // A consent to another recipient is none to this one, nor is another person's.
        let other = DISCLOSURES.iter().find(|o| o.recipient != row.recipient);
        let to = |name| json!({ "subject": "li-1", "kind": "disclosure", "to": [name] });
        consents("", to(other.unwrap().recipient), 201);
        let mut another = to(row.recipient);
        another["subject"] = json!("li-2");
        consents("", another, 201);
        refused();

        consents("", to(row.recipient), 201);
        let answer = world.disclose(row.recipient, row.sensitive);
        assert_eq!(answer.status, 200, "{}: {answer:?}", row.recipient);
        let seen = world.recipient.requests();
        assert_eq!(seen.len(), done + 1);
        assert_eq!(seen[done].body, row.sensitive.as_bytes());
        let entry = &entries_now(world.router.admin, decision(&answer))[0];
        assert_eq!(entry["outcome"], "permit", "{entry}");

        consents(":withdraw", json!({ "subject": "li-1" }), 200);
        let answer = world.disclose(row.recipient, row.sensitive);
        problem(&answer, 451);
        assert_eq!(world.recipient.requests().len(), done + 1);
    }
}

/// A parent speaks for a child, and for nobody who is known to have grown up.
#[test]
fn a_parents_consent_is_nobodys_once_the_person_has_grown_up() {
    let world = world();
    let consent = json!({ "subject": "li-1", "kind": "disclosure", "by": "parent" });
    let answer = Request::new("POST", "/v1/consents")
        .json(consent.to_string())
        .send(world.router.admin);
    assert_eq!(answer.status, 201, "{answer:?}");
    let record = |born: &str| format!(r#"{{"account":{{"id":12}},{born}"ecg":[1]}}"#);
    let answer = world.disclose("research", &record(""));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = world.disclose("research", &record(r#""born":"1980-01-01","#));
    let (document, _) = world.refused(&answer);
    assert_eq!(document["rule"], "research", "{document}");
    assert_eq!(world.recipient.requests().len(), 1);
}

/// C1: a recipient gets its categories for its purposes only.
#[test]
fn another_purpose_is_refused() {
    let world = world();
    let answer = disclosure("mi-push", r#"{"device_id":"reg-1"}"#)
        .header("domicile-purpose", "advertising")
        .send(world.router.router);
    let (document, _) = world.refused(&answer);
    assert_eq!(document["rule"], "mi-push", "{document}");
    assert!(world.recipient.requests().is_empty());
}

/// C1, with `unlisted = "strip"`: what is not listed is cut out, also what no schema knows.
#[test]
fn what_is_not_listed_is_cut_out_where_the_policy_says_so() {
    let world = world();
    let body = r#"{ "email":"li@example.com", "device_id" : "oaid-1","li@example.com":{"x":[1,{"y":2}]} ,"pages":["a"], "born":"1990"}"#;
    let answer = world.disclose("onetrack", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let stripped = answer.header("domicile-stripped").unwrap();
    assert_eq!(stripped.as_bytes(), "/email, /…, /born".as_bytes());
    let seen = world.recipient.requests();
    assert_eq!(
        String::from_utf8_lossy(&seen[0].body),
        r#"{ "device_id" : "oaid-1" ,"pages":["a"]}"#
    );
    let entry = &entries_now(world.router.admin, decision(&answer))[0];
    let duties = entry["duties"].as_array().unwrap();
    for pointer in ["/email", "/…", "/born"] {
        assert!(
            duties.contains(&json!(format!("stripped {pointer}"))),
            "{entry}"
        );
    }
    let categories = entry["categories"].as_array().unwrap();
    assert!(
        !categories.contains(&json!("user.contact.email")),
        "{entry}"
    );
    assert!(!entry.to_string().contains("li@"), "{entry}");
}

#[test]
fn a_record_of_which_nothing_is_left_discloses_nothing() {
    let world = world();
    for (body, left) in [(r#"{"email":"li@example.com"}"#, "{}"), ("{}", "{}")] {
        let answer = world.disclose("onetrack", body);
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        let seen = world.recipient.requests();
        assert_eq!(seen.last().unwrap().body, left.as_bytes(), "{body}");
    }
}

/// RFC 9530 §2: the caller's digest is of the body that the caller sent.
#[test]
fn a_digest_goes_with_the_body_that_it_is_of() {
    let world = world();
    let whole = r#"{"device_id":"oaid-1"}"#;
    let cut = r#"{"device_id":"oaid-1","email":"li@example.com"}"#;
    for (body, names) in [(whole, 2), (cut, 1)] {
        let answer = disclosure("onetrack", body)
            .header("content-digest", "sha-256=:AAAA:")
            .header("idempotency-key", "k1")
            .send(world.router.router);
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = world.recipient.requests();
        let seen = seen.last().unwrap();
        assert_eq!(seen.body, whole.as_bytes());
        let told = ["content-digest", "idempotency-key"].map(|name| seen.header(name));
        assert_eq!(told.iter().flatten().count(), names, "{told:?}");
        assert_eq!(told[1], Some("k1"));
    }
}

/// C2.
#[test]
fn ids_become_pseudonyms_of_each_recipients_own() {
    let world = world();
    let sent = |recipient: &str, id: &str| {
        let before = world.recipient.requests().len();
        let answer = world.disclose(recipient, &format!("{{ \"user_id\" : {id} }}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let entry = &entries_now(world.router.admin, decision(&answer))[0];
        assert!(
            entry["duties"]
                .to_string()
                .contains("pseudonymised /user_id"),
            "{entry}"
        );
        String::from_utf8(world.recipient.requests()[before].body.clone()).unwrap()
    };
    let one = sent("werun", "\"li-1\"");
    let id = one
        .strip_prefix("{ \"user_id\" : \"")
        .and_then(|o| o.strip_suffix("\" }"));
    let id = id.unwrap_or_else(|| panic!("{one}"));
    assert!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{one}"
    );
    assert_eq!(one, sent("werun", "\"l\\u0069-1\""));
    assert_ne!(one, sent("werun", "\"li-2\""));
    assert_ne!(one, sent("alipay-steps", "\"li-1\""));
    // Elsewhere an id is just a field that is not listed.
    let (document, _) = world.refused(&world.disclose("mi-push", r#"{"user_id":"li-1"}"#));
    assert_eq!(document["fields"], json!(["/user_id"]));
}

/// C4.
#[test]
fn an_order_needs_its_reference_and_is_always_logged() {
    let world = world();
    let body = r#"{"name":"Li","steps":4711}"#;
    let send = |order: Option<&str>| {
        disclosure("authority", body)
            .maybe("domicile-order", order)
            .send(world.router.router)
    };
    for order in [None, Some("CN"), Some("CN; approval=\"x\"")] {
        let (document, _) = world.refused(&send(order));
        assert_eq!(document["rule"], "legal-order", "{document}");
    }
    for order in [
        "the court",
        "CN; reference=\"\"",
        "CN; reference=\"a\"; reference=\"b\"",
    ] {
        problem(&send(Some(order)), 400);
    }
    let answer = send(Some("CN; reference=\"Case 12/2026\""));
    assert_eq!(answer.status, 200, "{answer:?}");
    let entry = &entries_now(world.router.admin, decision(&answer))[0];
    assert_eq!(entry["reference"], "Case 12/2026");
    assert_eq!(entry["outcome"], "permit");
    // Even where nothing in the record is personal.
    let answer = disclosure("authority", r#"{"total":12}"#)
        .header("domicile-order", "CN; reference=\"Case 13\"")
        .send(world.router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    let entry = &entries_now(world.router.admin, decision(&answer))[0];
    assert_eq!(entry["reference"], "Case 13");
    // A recipient of another purpose does not become one of orders.
    let answer = disclosure("music", r#"{"cadence":172}"#)
        .header("domicile-order", "CN; reference=\"Case 14\"")
        .send(world.router.router);
    problem(&answer, 400);
    let entry = &entries_now(world.router.admin, decision(&answer))[0];
    assert_eq!(entry["reference"], "Case 14");
    // An order has no place outside disclosures.
    let answer = Request::new("PUT", "/people/li-1")
        .header("domicile-country", "CN")
        .header("domicile-order", "CN; reference=\"x\"")
        .json("{}")
        .send(world.router.router);
    problem(&answer, 400);
    assert_eq!(world.recipient.requests().len(), 2);
}

/// C5: an aggregate needs no person and leaves no transfer behind.
#[test]
fn what_concerns_nobody_passes_without_an_entry() {
    let world = world();
    let answer = Request::new("POST", "/disclose/nobody/music")
        .json(r#"{"total": 12, "app":"fit"}"#)
        .send(world.router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(entries_now(world.router.admin, decision(&answer)).is_empty());
    assert_eq!(world.recipient.requests().len(), 1);
    // One personal field makes the record personal as a whole.
    let answer = Request::new("POST", "/disclose/nobody/music")
        .json(r#"{"total": 12, "cadence":172}"#)
        .send(world.router.router);
    problem(&answer, 404);
    let shown = metrics(world.router.admin);
    assert!(shown.contains("to=\"recipient:music\""), "{shown}");
}

/// The recipient gets the body and nothing of who asked for whom.
#[test]
fn nothing_goes_along_with_the_body() {
    let world = world();
    let request = disclosure("mi-push", r#"{"device_id":"reg-1"}"#)
        .header("authorization", "Bearer secret-1")
        .header("cookie", "session=secret-2")
        .header("x-forwarded-for", "203.0.113.99")
        .header("user-agent", "secret-3")
        .header("domicile-subject", "li-1");
    let answer = request.send(world.router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = &world.recipient.requests()[0];
    let all = format!("{} {:?}", seen.path, seen.headers);
    for secret in [
        "secret",
        "li-1",
        "203.0.113.99",
        "127.0.0.1\"), (\"forwarded",
        "CN",
    ] {
        assert!(!all.contains(secret), "{all}");
    }
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/mi-push")
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));
    // A query would go along unjudged, and a target would make it a store.
    let mut with_query = request.clone();
    with_query.path.push_str("?email=li@example.com");
    problem(&with_query.send(world.router.router), 400);
    problem(
        &request
            .header("domicile-target", "cn")
            .send(world.router.router),
        400,
    );
    assert_eq!(world.recipient.requests().len(), 1);
}

/// In observe mode a recipient gets what it gets today, and the entry says what would have been.
#[test]
fn observing_changes_nothing_of_a_disclosure() {
    let mut setup = Setup::of_example("fitness-app");
    let recipient = Backend::recording();
    setup.endpoint("recipients", "onetrack", recipient.address);
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "cn");
    let router = setup.start();
    let body = r#"{"device_id":"oaid-1","steps":4711}"#;
    let wrong = r#"{"device_id":"oaid-1","voice":"AAAA"}"#;
    let purpose = ("domicile-purpose", "advertising");
    for (body, wished, problem) in [(body, None, false), (wrong, Some(purpose.1), true)] {
        let answer = disclosure("onetrack", body)
            .maybe(purpose.0, wished)
            .send(router.router);
        assert_eq!(answer.status, 201, "{answer:?}");
        let sent = recipient.requests();
        assert_eq!(sent.last().unwrap().body, body.as_bytes());
        let entry = &entries_now(router.admin, decision(&answer))[0];
        assert_eq!(entry["outcome"], "observe", "{entry}");
        assert_eq!(entry.get("problem").is_some(), problem, "{entry}");
    }
}

/// A child's record asks for a parent (PIPL Art. 31).
#[test]
fn a_childs_record_is_refused() {
    let world = world();
    let body = r#"{"account":{"id":12},"born":"2020-02-03"}"#;
    let (document, _) = world.refused(&world.disclose("research", body));
    assert_eq!(document["rule"], "cn-child", "{document}");
}

#[test]
fn a_recipient_that_is_down_is_named_and_nothing_else_is_tried() {
    let world = {
        let mut setup = Setup::of_example("fitness-app");
        let recipient = Backend::recording();
        setup.endpoint("recipients", "amap", recipient.address);
        World {
            router: setup.start(),
            recipient,
            region: Backend::recording(),
        }
    };
    let answer = world.disclose("mi-push", r#"{"device_id":"reg-1"}"#);
    let document = problem(&answer, 503);
    assert_eq!(
        document["type"],
        "urn:domicile:problem:recipient-unavailable"
    );
    assert!(world.recipient.requests().is_empty());
    // What was permitted stands in the ledger, with an outcome of nothing.
    let kinds: Vec<Value> = entries_of(world.router.admin, decision(&answer))
        .iter()
        .map(|e| e["kind"].clone())
        .collect();
    assert_eq!(kinds[0], "decision");
    assert_eq!(get(world.router.admin, "/livez").status, 200);
}
