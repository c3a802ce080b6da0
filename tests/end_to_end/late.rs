//! Regions that begin to answer and then trickle: what is read whole before anybody is told does
//! not wait for them for ever.

use serde_json::Value;

use crate::bulk::{bulk, items, setup, statuses};
use crate::kit::backend::{Backend, Reply};
use crate::kit::http::Request;
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{entries_now, eventually, problem};

/// Answers 200 with `begin`, then ten bytes a second: it would come to an end, but not soon.
fn trickling(begin: &'static str) -> Backend {
    Backend::scripted(move |_| {
        let length = begin.len() + 80;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        Reply::Drip(format!("{head} {length}\r\n\r\n{begin}").into_bytes())
    })
}

fn with(mut setup: Setup, region: &str, backend: &Backend) -> Router {
    setup.region(region, backend.address);
    setup.set(&["limits", "body_stall"], "1s");
    setup.start()
}

/// The statuses that the ledger has for the outcome of a decision.
fn outcomes(router: &Router, decision: &Value) -> Vec<u64> {
    let decision = decision.as_str().unwrap();
    eventually("the outcome stands", || {
        let entries = entries_now(router.admin, decision);
        let told: Vec<_> = entries
            .iter()
            .filter_map(|e| e["status"].as_u64())
            .collect();
        (!told.is_empty()).then_some(told)
    })
}

#[test]
fn a_bulk_request_does_not_wait_for_a_region_that_trickles_its_answer() {
    let (setup, _regions) = setup();
    let slow = trickling(r#"{"took":1,"errors":false,"note":""#);
    let router = with(setup, "eu", &slow);
    let answer = bulk(&[
        r#"{"index":{"_index":"people","_id":"f1"}}"#,
        r#"{"country":"DE"}"#,
        r#"{"index":{"_index":"people","_id":"f2"}}"#,
        r#"{"country":"IN"}"#,
    ])
    .send(router.router);
    let found = items(&answer);
    assert_eq!(statuses(&found), [504, 201], "{found:?}");
    let item = &found[0].1;
    assert_eq!(item["error"]["type"], "domicile_region_timeout", "{item}");
    assert_eq!(outcomes(&router, &item["domicile"]["decision"]), [0]);
}

#[test]
fn a_batch_does_not_wait_for_a_region_that_trickles_its_answer() {
    let (setup, _regions) = Setup::recording();
    let slow = trickling(r#"[{"index":0,"status":201,"note":""#);
    let router = with(setup, "eu", &slow);
    let answer = Request::new("POST", "/people")
        .ndjson("{\"id\":\"a\",\"country\":\"DE\"}\n{\"id\":\"b\",\"country\":\"IN\"}\n")
        .send(router.router);
    let items = answer.items();
    assert_eq!(items[0]["status"], 504, "{items:?}");
    assert_eq!(items[1]["status"], 201, "{items:?}");
    assert_eq!(outcomes(&router, &items[0]["decision"]), [0]);
}

/// The caller is told nothing of a short answer before it is whole, so it, too, is bounded.
#[test]
fn a_short_answer_that_trickles_is_a_timeout() {
    let (setup, _regions) = Setup::recording();
    let slow = trickling("{");
    let router = with(setup, "eu", &slow);
    let answer = router.put("a", r#"{"country":"DE"}"#);
    let document = problem(&answer, 504);
    assert!(document.to_string().contains("region-timeout"));
}

/// So many pieces of an answer whose length nobody announced.
fn chunks(count: usize, trailer: &str) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let piece = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    format!("{head}{trailer}\r\n{}", piece.repeat(count)).into_bytes()
}

fn events() -> Vec<u8> {
    let text = String::from_utf8(chunks(2, "")).unwrap();
    text.replace("application/json", "Text/Event-Stream; charset=utf-8")
        .into_bytes()
}

/// Of unknown length is read whole, too, what tells that something was done; what reads and what
/// is opaque may be meant to come bit by bit.
#[test]
fn a_write_is_answered_as_a_whole_whatever_the_framing() {
    let (setup, _regions) = Setup::recording();
    let stalls = Backend::scripted(|seen| match (&*seen.method, &*seen.path) {
        ("PUT", "/people/pinned") => Reply::status(201),
        ("PUT", "/people/trailed") => Reply::Stall(chunks(2, "Trailer: X-Sum\r\n")),
        ("PUT", "/people/events") => Reply::Stall(events()),
        ("PUT", "/people/long") => Reply::Stall(chunks(100, "")),
        ("PUT", "/people/whole") => Reply::Raw([&*chunks(100, ""), b"0\r\n\r\n"].concat()),
        ("PUT", "/people/short") => Reply::Raw([&*chunks(9, ""), b"0\r\n\r\n"].concat()),
        ("PUT", "/people/bare") => Reply::Stall(chunks(0, "")),
        _ => Reply::Stall(chunks(2, "")),
    });
    let router = with(setup, "eu", &stalls);
    let german = r#"{"country":"DE"}"#;
    assert_eq!(router.put("pinned", german).status, 201);
    let send = |method, path: &str| Request::new(method, path).send(router.router);
    for (answer, name) in [
        (router.put("a", german), "region-timeout"),
        (router.put("bare", german), "region-timeout"),
        (send("DELETE", "/people/pinned"), "erasure-incomplete"),
    ] {
        let document = problem(&answer, 504);
        assert!(document.to_string().contains(name), "{document}");
    }
    // Half an answer, seen as such.
    for (answer, bytes) in [
        (send("GET", "/people/pinned"), 2000),
        (router.put("trailed", german), 2000),
        (router.put("events", german), 2000),
        (router.put("long", german), 100_000),
    ] {
        let found = (answer.status, answer.complete, answer.body.len());
        assert_eq!(found, (200, false, bytes));
    }
    for (id, bytes, announced) in [("whole", 100_000, None), ("short", 9000, Some("9000"))] {
        let answer = router.put(id, german);
        let found = (answer.status, answer.complete, answer.body.len());
        assert_eq!(found, (200, true, bytes));
        assert_eq!(answer.header("content-length"), announced, "{id}");
    }
}

/// RFC 9112 §8: of an answer that breaks off nothing counts, its status neither, whoever is told and
/// however little of it.
#[test]
fn a_write_whose_answer_breaks_off_was_not_answered() {
    let (mut setup, _regions) = Setup::recording();
    let each = toml::toml! { each = "PUT /people/{subject}" };
    setup.set_route("ndjson", "upstream", each);
    setup.set_route("record", "answers", "status-only");
    let broken = Backend::scripted(|seen| match &*seen.path {
        "/people/whole" => Reply::status(201),
        "/people/chunk" => {
            Reply::Raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n".to_vec())
        }
        _ => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}".to_vec()),
    });
    let router = with(setup, "eu", &broken);
    let lines = ["whole", "chunk", "length"].map(|id| format!(r#"{{"id":"{id}","country":"DE"}}"#));
    let answer = Request::new("POST", "/people")
        .ndjson(lines.join("\n"))
        .send(router.router);
    let items = answer.items();
    for (item, (status, outcome)) in items.iter().zip([(201, 201), (502, 0), (502, 0)]) {
        assert_eq!(item["status"], status, "{items:?}");
        assert_eq!(outcomes(&router, &item["decision"]), [outcome], "{items:?}");
    }
    // What is withheld is read all the same.
    let german = r#"{"country":"DE"}"#;
    assert_eq!(router.put("whole", german).status, 201);
    for id in ["chunk", "length"] {
        let document = problem(&router.put(id, german), 502);
        assert!(document.to_string().contains("region-bad-answer"));
    }
}

#[test]
fn a_status_that_none_may_have_is_no_answer() {
    let (setup, _regions) = Setup::recording();
    let other = Backend::scripted(|seen| match &*seen.method {
        "PUT" => Reply::status(201),
        "GET" => Reply::status(600),
        _ => Reply::status(999),
    });
    let router = with(setup, "eu", &other);
    assert_eq!(router.put("a", r#"{"country":"DE"}"#).status, 201);
    for (method, name) in [
        ("GET", "region-bad-answer"),
        ("DELETE", "erasure-incomplete"),
    ] {
        let answer = Request::new(method, "/people/a").send(router.router);
        let document = problem(&answer, 502);
        assert!(document.to_string().contains(name), "{document}");
    }
    // Once more, as of a region that answers 500.
    assert!(metrics(router.admin).contains("domicile_erasures_open 1"));
}
