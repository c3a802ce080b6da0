//! Batches: split, saved whole, answered item by item in the shape they came in.

use super::{JSON, NDJSON};
use crate::support::{HttpClient, TempWorld};

#[test]
fn an_array_is_saved_item_by_item() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    client.request("PUT", "/people/old", &[JSON], "{}");
    let body = r#" [ {"id" : "old", "n":1.0} ,{"id":7},{"name":"x"},{"id":"a b@example.com"}, 3,
        {"id":7,"again":true}]"#;
    let answer = client.request("POST", "/people", &[JSON], body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let statuses = [200, 201, 400, 201, 400, 200];
    let expected: Vec<_> = (0..)
        .zip(statuses)
        .map(|(index, status)| serde_json::json!({ "index": index, "status": status }))
        .collect();
    assert_eq!(answer.json(), serde_json::Value::from(expected));
    for (path, text) in [
        ("/people/old", r#"{"id" : "old", "n":1.0}"#),
        ("/people/7", r#"{"id":7,"again":true}"#),
        ("/people/a%20b%40example.com", r#"{"id":"a b@example.com"}"#),
    ] {
        let got = client.request("GET", path, &[], "");
        assert_eq!(
            (got.text(), got.header("content-type")),
            (text, Some(JSON.1))
        );
    }
    assert_eq!(
        client.request("GET", "/people/", &[], "").json()["ids"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn lines_are_answered_in_lines() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let body = "{\"id\":\"a\", \"t\":\"\\n\"}\r\n\n{\"id\":\"b\"\n{}\n{\"id\":\"c\"} ";
    let answer = client.request("POST", "/people/", &[NDJSON], body);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some(NDJSON.1))
    );
    assert_eq!(
        answer.text(),
        "{\"index\":0,\"status\":201}\n{\"index\":1,\"status\":400}\n\
         {\"index\":2,\"status\":400}\n{\"index\":3,\"status\":201}\n"
    );
    assert_eq!(
        client.request("GET", "/people/a", &[], "").text(),
        "{\"id\":\"a\", \"t\":\"\\n\"}"
    );
    assert_eq!(client.request("GET", "/people/b", &[], "").status, 404);
    assert_eq!(
        client.request("GET", "/people/c", &[], "").text(),
        "{\"id\":\"c\"} "
    );
}

#[test]
fn one_object_is_saved_at_its_id() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    for status in [201, 200] {
        let answer = client.request("POST", "/people", &[JSON], " {\"id\":\"x\"}\n");
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), "");
    }
    assert_eq!(
        client.request("GET", "/people/x", &[], "").text(),
        " {\"id\":\"x\"}\n"
    );
    assert_eq!(client.request("POST", "/people", &[JSON], "{}").status, 400);
}

#[test]
fn a_body_that_is_no_batch_saves_nothing() {
    let world = TempWorld::new();
    let mut options = world.store_options("eu");
    options.limits.batch_items = 3;
    options.limits.batch_bytes = 100;
    let store = domicile::store::Store::bind(options)
        .unwrap()
        .spawn()
        .unwrap();
    let mut client = HttpClient::connect(store.address());
    let four = r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#;
    let long = format!("[{{\"id\":\"{}\"}}]", "x".repeat(100));
    for (headers, body, status) in [
        (&[JSON][..], r#"[{"id":1},"#, 400),
        (&[JSON], r#"[{"id":1}] x"#, 400),
        (&[JSON], "", 400),
        (&[JSON], "7", 400),
        (&[JSON], four, 413),
        (&[JSON], &long, 413),
        (&[NDJSON], "{}\n{}\n{}\n{}", 413),
        (&[], "[]", 415),
        (&[("Content-Type", "text/plain")], "[]", 415),
        (&[JSON, ("Content-Encoding", "gzip")], "[]", 415),
    ] {
        let answer = client.request("POST", "/c", headers, body);
        assert_eq!(answer.status, status, "{headers:?} {body}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.json()["status"], status);
    }
    assert_eq!(client.request("POST", "/c", &[JSON], "[]").text(), "[]");
    assert_eq!(client.request("POST", "/c", &[NDJSON], "\n").text(), "");
    assert_eq!(
        client.request("GET", "/c/", &[], "").json()["ids"],
        serde_json::json!([])
    );
}

#[test]
fn a_hundred_thousand_items_are_one_batch() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let body: String = (0..100_000)
        .map(|n| format!("{{\"id\":\"p-{n:06}\"}}\n"))
        .collect();
    let answer = client.request("POST", "/people", &[NDJSON], &body);
    assert_eq!(answer.status, 200);
    let statuses = answer.ndjson();
    assert_eq!(statuses.len(), 100_000);
    for (index, item) in statuses.iter().enumerate() {
        assert_eq!(
            (item["index"].as_u64(), &item["status"]),
            (Some(index as u64), &201.into())
        );
    }
    let last = client.request("GET", "/people/p-099999", &[], "");
    assert_eq!(last.text(), "{\"id\":\"p-099999\"}");
    let one_more = format!("{body}{{\"id\":\"x\"}}\n");
    assert_eq!(
        client.request("POST", "/other", &[NDJSON], one_more).status,
        413
    );
}
