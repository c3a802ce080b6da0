//! Requests that are taken or refused as a whole.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::{bulk, items, send, setup, statuses};
use crate::kit::http::{Answer, Request};
use crate::kit::{all_entries, entries_of, eventually};

const GERMAN: [&str; 2] = [
    r#"{"index":{"_index":"people","_id":"w1"}}"#,
    r#"{"country":"DE"}"#,
];
const INDIAN: [&str; 2] = [
    r#"{"index":{"_index":"people","_id":"w2"}}"#,
    r#"{"country":"IN"}"#,
];

/// An error that Elasticsearch's clients can read, and the problem's members beside it.
#[track_caller]
fn error(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json = answer.json();
    assert_eq!(json["status"], status);
    assert!(json["error"]["reason"].is_string(), "{json}");
    assert_eq!(
        json["error"]["root_cause"][0]["type"],
        json["error"]["type"]
    );
    assert!(
        json["type"]
            .as_str()
            .unwrap()
            .starts_with("urn:domicile:problem:")
    );
    assert!(json["decision"].is_string());
    json
}

#[test]
fn what_cannot_be_split_is_one_error_for_all() {
    let (mut setup, regions) = setup();
    setup.set(&["limits", "batch_items"], 3);
    setup.set(&["limits", "batch_bytes"], "4KiB");
    let router = setup.start();
    let post = |body: &str| {
        Request::new("POST", "/_bulk")
            .ndjson(body)
            .send(router.router)
    };
    let pair = GERMAN.join("\n");
    for (body, told) in [
        (pair.clone(), "must be terminated by a newline"),
        (format!("{pair}\n{{\"remove\":{{}}}}\n{{}}\n"), "line [3]"),
        (
            format!("{pair}\n{{\"index\":{{\"x\":1}}}}\n{{}}\n"),
            "unknown parameter",
        ),
        (format!("{pair}\n{}\n", GERMAN[0]), "no source line"),
        (String::new(), "no requests added"),
    ] {
        let json = error(&post(&body), 400);
        assert_eq!(
            json["error"]["type"], "illegal_argument_exception",
            "{json}"
        );
        let reason = json["error"]["reason"].as_str().unwrap();
        assert!(reason.contains(told), "{reason}");
    }
    let many = format!("{pair}\n").repeat(4);
    let json = error(&post(&many), 413);
    assert_eq!(json["error"]["type"], "content_too_long_exception");
    error(&post(&format!("{pair}\n{}\n", " ".repeat(5000))), 413);
    for query in ["routing=w1", "_source=true", "format=yaml", "x=y"] {
        let request = Request::new("POST", format!("/_bulk?{query}")).ndjson(format!("{pair}\n"));
        let json = error(&request.send(router.router), 400);
        assert_eq!(
            json["error"]["type"], "illegal_argument_exception",
            "{query}"
        );
    }
    let media = Request::new("POST", "/_bulk").body("application/yaml", format!("{pair}\n"));
    error(&media.send(router.router), 415);
    let part = Request::new("POST", "/_bulk").ndjson(format!("{pair}\n"));
    error(
        &part
            .header("content-range", "bytes 0-1/2")
            .send(router.router),
        400,
    );
    error(&Request::new("GET", "/_bulk").send(router.router), 405);
    assert!(regions.reached_by("w1").is_empty());
    assert_eq!(statuses(&items(&send(&router, &GERMAN))), [201]);
}

#[test]
fn every_source_of_steering_may_be_a_parameter_and_stays_here() {
    let (mut setup, regions) = setup();
    for key in ["basis", "subject_kind", "transaction", "special_ground"] {
        setup.set_route("bulk", key, format!("query:{key}"));
    }
    let router = setup.start();
    let steered = "basis=contract&subject_kind=employee&transaction=vendor&special_ground=h";
    let mut request = bulk(&GERMAN);
    request.path = format!("/_bulk?{steered}&refresh=true");
    assert_eq!(statuses(&items(&request.send(router.router))), [201]);
    let seen = regions.seen("eu");
    assert!(seen.iter().any(|s| s.path == "/_bulk?refresh=true"));
    assert!(seen.iter().all(|s| !s.path.contains("basis")));
}

#[test]
fn a_slash_behind_the_path_says_nothing() {
    let (setup, regions) = setup();
    let router = setup.start();
    let mut request = bulk(&[r#"{"index":{"_id":"w1"}}"#, GERMAN[1]]);
    for (path, sent) in [
        ("/people/_bulk/?refresh=true", "/people/_bulk?refresh=true"),
        ("/people/_bulk/", "/people/_bulk"),
    ] {
        request.path = path.to_owned();
        let found = items(&request.send(router.router));
        assert_eq!(statuses(&found), [201], "{path}");
        assert_eq!(regions.seen("eu").last().unwrap().path, sent);
    }
    request.path = "/_bulk/?routing=x".to_owned();
    error(&request.send(router.router), 400);
    for (path, status) in [("/people/_bulk//", 404), ("/people//_bulk/", 404)] {
        request.path = path.to_owned();
        assert_eq!(request.send(router.router).status, status, "{path}");
    }
    assert_eq!(regions.seen("eu").len(), 2);
}

#[test]
fn an_atomic_request_sends_all_or_nothing() {
    let (mut setup, regions) = setup();
    for route in setup.settings["routes"].as_array_mut().unwrap() {
        let route = route.as_table_mut().unwrap();
        if route["format"].as_str() == Some("bulk") {
            route.insert("atomic".to_owned(), true.into());
        }
    }
    let router = setup.start();
    let bad = [r#"{"index":{"_index":"people","_id":"w3"}}"#, r#"{"a":1}"#];
    let found = items(&send(&router, &[GERMAN, INDIAN, bad].concat()));
    assert_eq!(statuses(&found), [424, 424, 422], "{found:?}");
    assert_eq!(found[0].1["error"]["type"], "domicile_atomic_batch_refused");
    let decision = found[0].1["domicile"]["decision"].as_str().unwrap();
    assert!(!entries_of(router.admin, decision).is_empty());
    assert!(regions.reached_by("people").is_empty());
    // Nobody was pinned.
    let moved = [GERMAN[0], r#"{"country":"CN"}"#];
    assert_eq!(
        items(&send(&router, &moved))[0].1["domicile"]["region"],
        "cn"
    );
    assert_eq!(statuses(&items(&send(&router, &INDIAN))), [201]);
}

#[test]
fn packed_bodies_are_read_and_go_on_unpacked() {
    let (mut setup, regions) = setup();
    setup.set(&["limits", "batch_bytes"], "64KiB");
    let router = setup.start();
    let pack = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let post = |coding: &str, body: Vec<u8>| {
        Request::new("POST", "/_bulk")
            .header("content-encoding", coding)
            .header("accept-encoding", "gzip")
            .ndjson(body)
            .send(router.router)
    };
    let body = format!("{}\n", [GERMAN, INDIAN].concat().join("\n"));
    let found = items(&post("gzip", pack(&body)));
    assert_eq!(statuses(&found), [201, 201]);
    let europe = regions.seen("eu");
    assert_eq!(
        europe[0].body,
        format!("{}\n", GERMAN.join("\n")).into_bytes()
    );
    assert_eq!(europe[0].header("content-encoding"), None);
    assert_eq!(europe[0].header("accept-encoding"), Some("identity"));

    let bomb = pack(&"\n".repeat(10_000_000));
    assert!(bomb.len() < 60_000);
    error(&post("gzip", bomb), 413);
    error(&post("gzip", b"not gzip".to_vec()), 400);
    error(&post("br", pack(&body)), 415);
    error(&post("gzip, gzip", pack(&body)), 415);
    assert_eq!(statuses(&items(&post("X-GZIP", pack(&body)))), [201, 201]);
    assert_eq!(regions.seen("eu").len(), 2);
}

#[test]
fn observe_mode_passes_everything_on_and_tells_what_would_have_been() {
    let (mut setup, regions) = setup();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let router = setup.start();
    let bad = [r#"{"index":{"_index":"people","_id":"w3"}}"#, r#"{"a":1}"#];
    let lines = [GERMAN, INDIAN, bad].concat();
    let request = bulk(&lines);
    let answer = request.send(router.router);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["took"], 7, "the region's own answer");
    assert_eq!(regions.seen("sg")[0].body, request.body.unwrap());
    assert!(regions.seen("eu").is_empty() && regions.seen("in").is_empty());
    let observed = eventually("all entries stand", || {
        let entries = all_entries(router.admin);
        let observed = entries.into_iter().filter(|e| e["outcome"] == "observe");
        let observed: Vec<_> = observed.collect();
        (observed.len() >= 3).then_some(observed)
    });
    let problems = observed.iter().filter(|e| e["problem"] == "no-evidence");
    assert_eq!(problems.count(), 1, "{observed:?}");

    // Who was stored by it is known to what comes later, under the home that would have been.
    let delete = [r#"{"delete":{"_index":"people","_id":"w1"}}"#];
    let answer = bulk(&delete).send(router.router);
    let entry = &entries_of(router.admin, crate::kit::decision(&answer))[0];
    assert_eq!(entry["operation"], "erase", "{entry}");
    assert_eq!(entry["region"], "eu", "{entry}");
    assert!(entry["problem"].is_null(), "{entry}");
}

#[test]
fn a_server_is_asked_for_its_word_on_itself_but_takes_nothing_from_nobody() {
    let (setup, regions) = setup();
    let router = setup.start();
    let answer = Request::new("GET", "/").send(router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["tagline"], "You Know, for Search");
    assert_eq!(answer.header("domicile-region"), Some("sg"));
    let entries = entries_of(router.admin, crate::kit::decision(&answer));
    assert_eq!(entries[0]["operation"], "read");
    assert!(entries[0]["subject"].is_null(), "{entries:?}");
    let asked = regions.seen("sg").len();
    assert_eq!(Request::new("DELETE", "/").send(router.router).status, 422);
    let put = Request::new("PUT", "/").json("{}").send(router.router);
    assert_eq!(put.status, 422, "{put:?}");
    assert_eq!(regions.seen("sg").len(), asked);
}
