//! What routes and trusted callers say of a flow beyond its content: legal basis, kind of person,
//! transaction, special ground.

use std::fs;

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Backends, Router, Setup};
use crate::kit::{contains, decision, entries_of, problem};

fn send(router: &Router, country: &str, fields: &[(&str, &str)]) -> Answer {
    let id = format!("{}-1", country.to_lowercase());
    let body = format!(r#"{{"id":"{id}","country":"{country}","name":"x"}}"#);
    let mut request = Request::new("PUT", format!("/people/{id}")).json(body);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.send(router.router)
}

/// The decision's own entry.
fn entry(router: &Router, answer: &Answer) -> Value {
    entries_of(router.admin, decision(answer))[0].clone()
}

/// The route for single records says that consent is the basis.
fn by_consent() -> (Setup, Backends) {
    let (mut setup, backends) = Setup::recording();
    setup.set_route("record", "basis", "consent");
    (setup, backends)
}

#[test]
fn a_route_by_consent_asks_the_register_and_a_trusted_word_goes_before() {
    let (setup, backends) = by_consent();
    let router = setup.start();
    let refused = send(&router, "RU", &[]);
    assert_eq!(problem(&refused, 451)["rule"], "ru-consent-document");
    let told = entry(&router, &refused);
    assert_eq!(told["basis"], "consent");
    assert_eq!(told.get("transaction"), None);
    assert_eq!(backends.touched(), Vec::<&str>::new());

    // The same flow with another word is another question, and the first is not forgotten.
    for _ in 0..2 {
        let other = [
            ("domicile-basis", "contract"),
            ("domicile-special-ground", "h"),
        ];
        let permitted = send(&router, "RU", &other);
        assert!(permitted.is_success(), "{permitted:?}");
        let told = entry(&router, &permitted);
        assert_eq!(
            (&told["basis"], &told["special_ground"]),
            (&json!("contract"), &json!("h"))
        );
        problem(&send(&router, "RU", &[]), 451);
    }
    let seen = backends.of("ru").seen();
    assert_eq!(seen.len(), 2);
    let passed_on = seen.iter().any(|s| s.header("domicile-basis").is_some());
    assert!(!passed_on, "the caller's word stays here");

    let consent = json!({ "subject": "ru-1", "kind": "written", "given": "2026-01-02" });
    let recorded = Request::new("POST", "/v1/consents")
        .json(consent.to_string())
        .send(router.admin);
    assert_eq!(recorded.status, 201, "{recorded:?}");
    let permitted = send(&router, "RU", &[]);
    assert!(permitted.is_success(), "{permitted:?}");
    assert_eq!(entry(&router, &permitted)["basis"], "consent");
}

#[test]
fn what_a_trusted_caller_says_must_be_a_word_and_nobody_else_is_heard() {
    let (setup, backends) = by_consent();
    let router = setup.start();
    for (name, value) in [
        ("domicile-basis", "secret-agent"),
        ("domicile-subject-kind", "robot"),
        ("domicile-transaction", "Vendor"),
        ("domicile-special-ground", "k"),
        ("domicile-basis", ""),
    ] {
        let answer = send(&router, "DE", &[(name, value)]);
        let document = problem(&answer, 400);
        assert_eq!(document["type"], "urn:domicile:problem:bad-steering");
        assert!(
            document["detail"].as_str().unwrap().contains(name),
            "{document}"
        );
        assert!(value.is_empty() || !contains(&answer.body, value.as_bytes()));
    }
    let twice = [
        ("domicile-basis", "contract"),
        ("domicile-basis", "consent"),
    ];
    problem(&send(&router, "DE", &twice), 400);
    assert_eq!(backends.touched(), Vec::<&str>::new());

    let (mut setup, _backends) = by_consent();
    setup.set(&["data_plane", "trusted"], toml::Value::Array(Vec::new()));
    let router = setup.start();
    let stranger = send(&router, "RU", &[("domicile-basis", "contract")]);
    assert_eq!(problem(&stranger, 451)["rule"], "ru-consent-document");
}

/// 28 CFR 202: what a flow counts as decides, and where nobody says it, nothing is presumed.
#[test]
fn a_transaction_opens_what_it_names() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(
        &["schemas", "person", "fields", "/badge"],
        "us-government-related",
    );
    setup.set_route("record", "transaction", "header:x-deal");
    let router = setup.start();
    let lacks = |deal: Option<&str>| {
        let body = r#"{"id":"us-1","country":"US","badge":"b"}"#;
        let mut request = Request::new("PUT", "/people/us-1").json(body);
        request = request.header("domicile-target", "cn");
        if let Some(deal) = deal {
            request = request.header("x-deal", deal);
        }
        let answer = request.send(router.router);
        let told = entry(&router, &answer);
        let deal = deal.map_or(Value::Null, Value::from);
        assert_eq!(*told.get("transaction").unwrap_or(&Value::Null), deal);
        let missing = told["missing"].as_array().unwrap().clone();
        missing
            .iter()
            .any(|m| m.as_str().unwrap().starts_with("US: "))
    };
    assert!(lacks(None));
    assert!(!lacks(Some("other")));
    assert!(lacks(Some("vendor")));
}

#[test]
fn a_recipient_says_what_its_disclosures_count_as() {
    let mut setup = Setup::of_example("fitness-app");
    let recipient = Backend::scripted(|_| Reply::Answer {
        status: 200,
        media: "application/json",
        body: b"{}".to_vec(),
    });
    setup.endpoint("recipients", "amap", recipient.address);
    setup.set(&["recipients", "amap", "transaction"], "vendor");
    let router = setup.start();
    let disclose = |fields: &[(&str, &str)]| {
        let mut request = Request::new("POST", "/disclose/li-1/amap")
            .header("domicile-country", "CN")
            .json(r#"{"imei":"35-1","app":"fit 3.1"}"#);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let answer = request.send(router.router);
        assert!(answer.is_success(), "{answer:?}");
        entry(&router, &answer)
    };
    assert_eq!(disclose(&[])["transaction"], "vendor");
    let nearer = disclose(&[
        ("domicile-transaction", "other"),
        ("domicile-subject-kind", "employee"),
    ]);
    assert_eq!(nearer["transaction"], "other");
    assert_eq!(nearer["subject_kind"], "employee");
}

/// The look ahead of `check` asks as the route's flows will.
#[test]
fn the_outlook_knows_what_a_route_says() {
    let refused = |basis: Option<&str>| {
        let mut setup = Setup::new();
        if let Some(basis) = basis {
            setup.set_route("record", "basis", basis);
        }
        let config = setup.write();
        let config = config.to_str().unwrap();
        let output = crate::kit::process::run_to_end(&["check", "--config", config, "--json"], "");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["outlook"]["refused_home_stores"].to_string()
    };
    assert!(!refused(None).contains("ru-consent-document"));
    assert!(refused(Some("consent")).contains("ru-consent-document"));
}

/// What `check` says of these settings, and how it ends.
fn checked(setup: &Setup) -> (Option<i32>, String) {
    let config = setup.write();
    let output =
        crate::kit::process::run_to_end(&["check", "--config", config.to_str().unwrap()], "");
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), told)
}

#[test]
fn a_route_s_purpose_that_no_file_names_is_warned_of() {
    let mut setup = Setup::new();
    setup.set_route("record", "purpose", "missionary-activty");
    let (code, told) = checked(&setup);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("names the purpose `missionary-activty`"),
        "{told}"
    );
    assert!(
        told.contains("did you mean `missionary-activity`?"),
        "{told}"
    );
    // An organisation's own is known once it lists it.
    setup.set_route("record", "purpose", "service");
    let (_, told) = checked(&setup);
    assert!(told.contains("names the purpose `service`"), "{told}");
    let organisation = setup.folder.path().join("policies/organisation.toml");
    let text = fs::read_to_string(&organisation).unwrap();
    fs::write(&organisation, format!("purposes = [\"service\"]\n{text}")).unwrap();
    for known in ["service", "missionary-activity", "Missionary_Activity"] {
        setup.set_route("record", "purpose", known);
        let (_, told) = checked(&setup);
        assert!(!told.contains("names the purpose"), "{told}");
    }
}

/// Weaker evidence would decide in its place, without a word.
#[test]
fn evidence_from_a_field_that_the_schema_does_not_list_is_told() {
    let mut setup = Setup::new();
    let country = |first: &str| {
        let all = [first, "body:/country", "pinned"].map(|s| toml::Value::String(s.to_owned()));
        toml::Value::Array(all.to_vec())
    };
    setup.set_route("record", "country", country("body:/contry"));
    let (code, told) = checked(&setup);
    assert_eq!(code, Some(0), "{told}");
    let message = "the schema does not list `/contry`, which `country` is read from";
    assert_eq!(told.matches(message).count(), 1, "{told}");
    assert!(told.contains("did you mean `/country`?"), "{told}");
    setup.set(&["schemas", "person", "strict"], true);
    let (code, told) = checked(&setup);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("each record with that field is refused"),
        "{told}"
    );
    setup.set_route("record", "country", country("body:/address/country"));
    let (code, told) = checked(&setup);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("does not list"), "{told}");
}

#[test]
fn a_mistyped_word_is_told_with_its_place() {
    let mut setup = Setup::new();
    setup.set_route("record", "transaction", "vendr");
    let config = setup.write();
    let output =
        crate::kit::process::run_to_end(&["check", "--config", config.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let line = fs::read_to_string(&config).unwrap();
    let number = 1 + line.lines().position(|l| l.contains("vendr")).unwrap();
    assert!(told.contains(&format!("domicile.toml:{number}:")), "{told}");
    assert!(told.contains("did you mean `vendor`?"), "{told}");
}

/// A token that one secret key signed (RFC 7515, RFC 7518 §3.2), valid until 2100.
fn token(claims: &str) -> String {
    let message = format!(
        "{}.{}",
        base64url(br#"{"alg":"HS256","kid":"h"}"#),
        base64url(claims.as_bytes())
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]);
    let signature = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(signature.as_ref()))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for i in 0..=chunk.len() {
            out.push(DIGITS[(word >> (18 - 6 * i) & 63) as usize].into());
        }
    }
    out
}

/// A token tells a child where the record does not; what it cannot mean is no adult.
#[test]
fn a_day_of_birth_comes_from_tokens_and_trusted_callers_too() {
    let birth = |source: &str| {
        let (mut setup, backends) = Setup::recording();
        setup.set_route("record", "born", source);
        setup.set(
            &["schemas", "person", "fields", "/born"],
            "user.demographic.date_of_birth",
        );
        let keys = json!({ "keys": [{ "kty": "oct", "kid": "h", "k": base64url(&[7; 32]) }] });
        fs::write(setup.folder.path().join("jwks.json"), keys.to_string()).unwrap();
        setup.set(&["jwt", "keys"], "jwks.json");
        setup.set(&["jwt", "algorithms"], vec!["HS256"]);
        setup.set(&["jwt", "audience"], vec!["storage"]);
        (setup, backends)
    };
    let put = |router: &Router, name: &str, value: &str, more: &str| {
        Request::new("PUT", "/people/kim")
            .header(name, value)
            .json(format!(r#"{{"id":"kim","country":"DE"{more}}}"#))
            .send(router.router)
    };
    let (setup, backends) = birth("jwt:birthdate");
    let router = setup.start();
    let with = |birthdate: Value, more: &str| {
        let claims = json!({ "aud": "storage", "exp": 4_102_444_800_u64, "birthdate": birthdate });
        let token = format!("Bearer {}", token(&claims.to_string()));
        put(&router, "authorization", &token, more)
    };
    let child = json!("2019-05-04");
    assert_eq!(
        problem(&with(child.clone(), ""), 451)["rule"],
        "eu-child-16"
    );
    // A record cannot make its child older.
    problem(&with(child, r#","born":"1980-01-01""#), 451);
    for unclear in [json!("0000-05-04"), json!(19_800_104), json!("unknown")] {
        let document = problem(&with(unclear, ""), 422);
        assert_eq!(document["type"], "urn:domicile:problem:unreadable-age");
    }
    assert_eq!(backends.touched(), Vec::<&str>::new());
    assert!(with(json!("1980-01-04"), "").is_success());
    assert!(with(Value::Null, "").is_success(), "nothing is known");

    let (setup, _backends) = birth("header:x-born");
    let router = setup.start();
    let refused = put(&router, "x-born", "2019-05-04", "");
    assert_eq!(problem(&refused, 451)["rule"], "eu-child-16");
    assert!(put(&router, "x-born", "1980-05-04", "").is_success());
    problem(&put(&router, "x-born", "long ago", ""), 422);
}

/// What was asked for by a field that nobody reads would silently not be done.
#[test]
fn a_misspelt_field_of_the_router_s_own_is_refused_of_trusted_callers() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for (field, meant) in [
        ("Domicile-Tragets", "did you mean `domicile-target`?"),
        (
            "domicile-subject-knid",
            "did you mean `domicile-subject-kind`?",
        ),
        ("domicile-colour", "it knows domicile-"),
    ] {
        let refused = send(&router, "DE", &[(field, "secret-word")]);
        let document = problem(&refused, 400);
        assert_eq!(document["type"], "urn:domicile:problem:bad-steering");
        let detail = document["detail"].as_str().unwrap();
        assert!(detail.contains(&field.to_lowercase()), "{detail}");
        assert!(detail.contains(meant), "{detail}");
        assert!(!contains(&refused.body, b"secret-word"));
    }
    assert_eq!(backends.touched(), Vec::<&str>::new());
    // Fields of answers, which a router in front may leave in its requests, are dropped as ever.
    assert!(send(&router, "DE", &[("domicile-region", "sg")]).is_success());
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["data_plane", "trusted"], toml::Value::Array(Vec::new()));
    let router = setup.start();
    assert!(send(&router, "DE", &[("domicile-tragets", "sg")]).is_success());
}

/// Any past decision can be decided again: its entry has all that it hung on.
#[test]
fn an_entry_tells_what_was_asserted_what_that_lifted_and_for_what() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let plain = entry(&router, &send(&router, "RU", &[("domicile-target", "eu")]));
    assert_eq!(plain["rules"][0], "ru-localisation", "{plain}");
    for name in ["purpose", "grounds", "lifted"] {
        assert_eq!(plain.get(name), None, "{plain}");
    }
    let claimed = [
        ("domicile-target", "eu"),
        ("domicile-ground", "journalism; occasional, transit"),
        ("domicile-purpose", "academic-study"),
    ];
    for _ in 0..2 {
        let told = entry(&router, &send(&router, "RU", &claimed));
        let grounds = json!([
            { "kind": "transit", "occasional": false },
            { "kind": "journalism", "occasional": true },
        ]);
        assert_eq!(told["grounds"], grounds, "{told}");
        assert_eq!(told["lifted"], json!(["ru-localisation"]), "{told}");
        assert_ne!(told["rules"][0], "ru-localisation");
        assert_eq!(told["purpose"], "academic-study");
        assert_eq!(told.get("reference"), None);
    }
    // A ground that lifts nothing lifted nothing.
    let transit = [("domicile-target", "eu"), ("domicile-ground", "transit")];
    let told = entry(&router, &send(&router, "RU", &transit));
    assert_eq!(
        (told.get("lifted"), &told["rules"]),
        (None, &plain["rules"])
    );
    // What no file names is a caller's text, and stays out.
    let other = [("domicile-purpose", "for-anna-s-birthday")];
    let told = entry(&router, &send(&router, "DE", &other));
    assert_eq!(told["purpose"], "other");
}

/// Adequacy of Korea is not for missionaries: however they are spelt.
#[test]
fn how_a_purpose_is_spelt_decides_nothing() {
    let question = |purpose: &str| {
        json!({ "at": "2026-11-21T12:00:00Z", "operation": "disclose",
            "subject": { "countries": ["DE"] }, "categories": ["user.contact.email"],
            "from": { "country": "DE", "entity": "acme-eu" },
            "to": { "country": "KR", "entity": "plain-kr" }, "purpose": purpose })
    };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let organisation = tempfile::NamedTempFile::new().unwrap();
    let text = "[entities.acme-eu]\ncountry = \"DE\"\n[entities.plain-kr]\ncountry = \"KR\"\n";
    fs::write(organisation.path(), text).unwrap();
    let mut outcomes = Vec::new();
    for purpose in [
        "service",
        "missionary-activity",
        "Missionary-Activity",
        "missionary_activity",
        "missionary activity",
    ] {
        let arguments = [
            "policy",
            "explain",
            "--policies",
            root.to_str().unwrap(),
            "--organisation",
            organisation.path().to_str().unwrap(),
            "--input",
            "-",
            "--json",
        ];
        let asked = question(purpose).to_string();
        let output = crate::kit::process::run_to_end(&arguments, &asked);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        outcomes.push(told["outcome"].as_str().unwrap().to_owned());
    }
    assert_eq!(outcomes, ["permit", "refuse", "refuse", "refuse", "refuse"]);
}

/// A consent that lifts a prohibition is told of this person alone, though both are permitted.
#[test]
fn a_consent_that_lifts_a_rule_is_told() {
    let (setup, _backends) = by_consent();
    let router = setup.start();
    let consent = json!({ "subject": "ru-1", "kind": "written", "given": "2026-01-02" });
    let recorded = Request::new("POST", "/v1/consents")
        .json(consent.to_string())
        .send(router.admin);
    assert_eq!(recorded.status, 201, "{recorded:?}");
    let permitted = send(&router, "RU", &[]);
    assert!(permitted.is_success(), "{permitted:?}");
    let told = entry(&router, &permitted);
    assert_eq!(told["lifted"], json!(["ru-consent-document"]), "{told}");
    let contract = [("domicile-basis", "contract")];
    let told = entry(&router, &send(&router, "RU", &contract));
    assert_eq!(told.get("lifted"), None, "{told}");
}
