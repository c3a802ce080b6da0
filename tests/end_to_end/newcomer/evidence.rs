//! The demo with what its files leave out: tokens, and callers behind a proxy.

use std::fs;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use crate::kit::http::Request;
use crate::kit::problem;
use crate::kit::process::{Demo, Process, domicile};

/// 33 bytes, so that their base64 needs no padding.
const SECRET: [u8; 33] = [b'a'; 33];

/// Seconds since 1970, far from any day on which this runs.
const PAST: i64 = 1_000_000_000;
const FUTURE: i64 = 4_000_000_000;

fn token(country: &str, exp: i64) -> String {
    let claims = json!({ "country": country, "exp": exp });
    let key = EncodingKey::from_secret(&SECRET);
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    format!("Bearer {token}")
}

#[test]
fn a_key_set_from_the_environment_makes_tokens_count() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    let secret = "YWFh".repeat(11);
    let set = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": secret }] });
    fs::write(&keys, set.to_string()).unwrap();
    let data = folder.path().join("data");
    let mut command = domicile();
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--store-ports", "0", "--data"])
        .arg(&data)
        .env("DOMICILE__JWT__KEYS", &keys)
        .env("DOMICILE__JWT__ALGORITHMS", "HS256")
        .env("DOMICILE__ROUTES__0__COUNTRY", "jwt:country,body:/phone");
    let demo = Demo::wait_ready(Process::spawn(&mut command), || Some(data.clone()));
    let put = |id: &str, token: &str, body: &str| {
        Request::new("PUT", format!("/people/{id}"))
            .header("authorization", token)
            .json(body)
            .send(demo.router)
    };
    // Stronger than the phone's country.
    let answer = put(
        "ivan",
        &token("RU", FUTURE),
        r#"{"phone":"+86 131 0000 0001"}"#,
    );
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("ru"));

    let answer = put("late", &token("RU", PAST), r#"{"country":"RU"}"#);
    let document = problem(&answer, 401);
    assert!(
        document["detail"].as_str().unwrap().contains("expired"),
        "{document}"
    );
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    let mut forged = token("RU", FUTURE);
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    problem(&put("forged", &forged, r#"{"country":"RU"}"#), 401);
    for id in ["late", "forged"] {
        assert!(demo.holders(&format!("/people/{id}")).is_empty(), "{id}");
    }
}

#[test]
fn a_trusted_proxys_client_address_is_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let put = |id: &str, address: &str| {
        Request::new("PUT", format!("/people/{id}"))
            .header("x-forwarded-for", address)
            .json("{}")
            .send(demo.router)
    };
    // China Telecom's and Rostelecom's networks, whoever uses them now.
    for (id, address, home) in [("wei", "202.96.128.86", "cn"), ("ivan", "95.167.1.1", "ru")] {
        let answer = put(id, address);
        assert!(answer.is_success(), "{answer:?}");
        assert_eq!(answer.header("domicile-region"), Some(home));
    }
    for address in ["10.0.0.1", "192.0.2.1", "nonsense"] {
        problem(&put("nobody", address), 422);
    }
}
