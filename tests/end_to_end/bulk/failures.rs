//! What callers are told when regions fail, and what comes back from abroad.

use super::{items, send, setup, statuses};
use crate::kit::backend::{Backend, Reply};
use crate::kit::elastic::answer;
use crate::kit::http::Request;
use crate::kit::{entries_now, entries_of, eventually};

const ELASTIC: &str = "Elasticsearch";

const MIXED: [&str; 6] = [
    r#"{"index":{"_index":"people","_id":"f1"}}"#,
    r#"{"country":"DE"}"#,
    r#"{"index":{"_index":"people","_id":"f2"}}"#,
    r#"{"country":"IN"}"#,
    r#"{"index":{"_index":"people","_id":"f3"}}"#,
    r#"{"country":"FR"}"#,
];

#[test]
fn a_region_that_fails_takes_only_its_own_items() {
    for (reply, status, kind) in [
        (Reply::status(429), 429, "domicile_region_refused"),
        (Reply::status(503), 503, "domicile_region_refused"),
        (Reply::status(401), 401, "domicile_region_refused"),
        (Reply::status(201), 502, "domicile_region_bad_answer"),
        (Reply::status(200), 502, "domicile_region_bad_answer"),
        (Reply::Raw(Vec::new()), 502, "domicile_region_bad_answer"),
        (
            Reply::Answer {
                status: 200,
                media: "application/json",
                body: br#"{"took":1,"errors":false,"items":[{"index":{"_id":"f1","status":201}}]}"#
                    .to_vec(),
            },
            502,
            "domicile_region_bad_answer",
        ),
        (
            Reply::Answer {
                status: 200,
                media: "application/json",
                body: br#"{"items":[{"index":{"_id":"f3","status":201}},{"index":{"_id":"f1","status":201}}]}"#
                    .to_vec(),
            },
            502,
            "domicile_region_bad_answer",
        ),
    ] {
        let (mut setup, _regions) = setup();
        let failing = Backend::scripted(move |_| reply.clone());
        setup.region("eu", failing.address);
        let router = setup.start();
        let answer = send(&router, &MIXED);
        let found = items(&answer);
        assert_eq!(statuses(&found), [status, 201, status], "{found:?}");
        assert_eq!(answer.json()["errors"], true);
        for i in [0, 2] {
            let item = &found[i].1;
            assert_eq!(item["error"]["type"], kind, "{item}");
            let reason = item["error"]["reason"].as_str().unwrap();
            let undone = reason.contains("nothing was carried out");
            // A 503 may be a gateway's, behind which some was done.
            assert_eq!(undone, matches!(status, 401 | 429), "{reason}");
            assert_eq!(item["_index"], "people");
            assert_eq!(item["domicile"]["region"], "eu");
            let decision = item["domicile"]["decision"].as_str().unwrap();
            let entries = eventually("the outcome stands", || {
                let entries = entries_now(router.admin, decision);
                entries.iter().any(|e| !e["status"].is_null()).then_some(entries)
            });
            // Of an answer that cannot be used nobody knows what it means.
            let told = if kind == "domicile_region_refused" { status } else { 0 };
            let said: Vec<_> = entries.iter().filter_map(|e| e["status"].as_u64()).collect();
            assert_eq!(said, [told], "{kind}");
        }
    }
}

/// A router that stands behind this one says of each item what it decided.
#[test]
fn what_a_router_behind_wrote_counts_as_written_and_its_word_is_passed_on_within_ours() {
    let (mut setup, _regions) = setup();
    let router = Backend::scripted(|seen| {
        let mut answer = answer(seen);
        for item in answer["items"].as_array_mut().unwrap() {
            item["index"]["domicile"] = serde_json::json!({"region": "cn", "decision": "01a2"});
        }
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: answer.to_string().into_bytes(),
        }
    });
    setup.region("eu", router.address);
    let router = setup.start();
    let answer = send(&router, &MIXED);
    let found = items(&answer);
    assert_eq!(statuses(&found), [201, 201, 201], "{found:?}");
    for i in [0, 2] {
        let ours = &found[i].1["domicile"];
        assert_eq!(ours["region"], "eu", "{ours}");
        assert_ne!(ours["decision"], "01a2", "{ours}");
        assert_eq!(ours["behind"]["region"], "cn", "{ours}");
        assert_eq!(ours["behind"]["decision"], "01a2", "{ours}");
    }
    assert!(found[1].1["domicile"]["behind"].is_null());
}

/// A router in front would take an error for what does not confirm the erasure.
#[test]
fn a_document_that_is_not_found_is_no_error_though_the_item_is_withheld() {
    let (mut setup, _regions) = setup();
    let router = Backend::scripted(|seen| {
        let mut answer = answer(seen);
        for item in answer["items"].as_array_mut().unwrap() {
            let own = item.as_object_mut().unwrap().values_mut().next().unwrap();
            // Two routers, one behind the other: more than is known to hold nothing of a document.
            own["domicile"] = serde_json::json!({"region": "cn", "behind": {"region": "cn-2"}});
        }
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: answer.to_string().into_bytes(),
        }
    });
    setup.region("eu", router.address);
    setup.set_route("bulk", "answers", "status-only");
    let router = setup.start();
    let lines = [
        r#"{"index":{"_index":"people","_id":"missing"}}"#,
        r#"{"country":"DE"}"#,
        r#"{"delete":{"_index":"people","_id":"missing"}}"#,
    ];
    let found = items(&send(&router, &lines));
    assert_eq!(statuses(&found), [201, 404], "{found:?}");
    let gone = &found[1].1;
    assert_eq!(gone["domicile"]["body"], "withheld", "{gone}");
    assert_eq!(gone["result"], "not_found", "{gone}");
    assert!(gone["error"].is_null(), "{gone}");
}

#[test]
fn a_region_that_is_down_makes_503_items() {
    let (mut setup, _regions) = setup();
    setup.region("eu", crate::kit::free_address());
    let router = setup.start();
    let found = items(&send(&router, &MIXED));
    assert_eq!(statuses(&found), [503, 201, 503], "{found:?}");
    assert_eq!(found[0].1["error"]["type"], "domicile_region_unavailable");
}

#[test]
fn an_error_that_quotes_a_document_comes_back_only_where_that_read_is_permitted() {
    let (setup, _regions) = setup();
    let router = setup.start();
    let answer = send(
        &router,
        &[
            r#"{"index":{"_index":"people","_id":"e1"}}"#,
            r#"{"country":"SG","fail":"secret-sg"}"#,
            r#"{"index":{"_index":"people","_id":"e2"}}"#,
            r#"{"country":"DE","fail":"secret-eu"}"#,
            r#"{"index":{"_index":"people","_id":"e3"}}"#,
            r#"{"country":"IN","fail":"secret-in"}"#,
            r#"{"index":{"_index":"people","_id":"e4"}}"#,
            r#"{"country":"CN","fail":"secret-cn"}"#,
        ],
    );
    let found = items(&answer);
    assert_eq!(statuses(&found), [400; 4], "{found:?}");
    let reasons: Vec<_> = found
        .iter()
        .map(|(_, i)| i["error"]["reason"].as_str().unwrap())
        .collect();
    // At home in the location, and from Europe by the standard contractual clauses.
    assert!(reasons[0].contains("secret-sg"), "{reasons:?}");
    assert!(reasons[1].contains("secret-eu"), "{reasons:?}");
    let decision = found[1].1["domicile"]["decision"].as_str().unwrap();
    let entries = entries_of(router.admin, decision);
    let read = entries.iter().find(|e| e["operation"] == "read");
    let read = read.unwrap_or_else(|| panic!("the read stands in the ledger: {entries:?}"));
    assert_eq!(read["mechanism"], "scc");
    // No read of Chinese records from Singapore without an instrument.
    assert!(reasons[3].starts_with("withheld"), "{reasons:?}");
    let withheld = &found[3].1;
    assert_eq!(withheld["error"]["type"], "document_parsing_exception");
    assert_eq!(withheld["domicile"]["body"], "withheld");
    assert_eq!(withheld["_id"], "e4");
}

#[test]
fn elastics_clients_find_the_product_they_ask_for() {
    let (mut setup, _regions) = setup();
    let says = Backend::scripted(|seen| {
        let body = answer(seen).to_string();
        let length = body.len();
        Reply::Raw(
            format!(
                "HTTP/1.1 200 OK\r\nx-elastic-product: Elasticsearch\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    });
    setup.region("eu", says.address);
    let router = setup.start();
    let german = super::bulk(&MIXED[..2]);
    let indian = super::bulk(&MIXED[2..4]);
    let nobody = r#"{"index":{"_index":"people","_id":"f9"}}"#;
    let refused = super::bulk(&[nobody, r#"{"a":1}"#]);
    let product = "x-elastic-product";
    let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
    assert_eq!(
        german.send(router.router).header(product),
        Some("Elasticsearch")
    );
    // Another server said nothing of the kind, and none can where none is asked.
    let foreign = indian.header("accept", vendor).send(router.router);
    assert_eq!(foreign.header(product), None);
    assert_eq!(refused.send(router.router).header(product), None);
    let asked = refused.header("accept", vendor).send(router.router);
    assert_eq!(asked.header(product), Some("Elasticsearch"));
    let whole = super::bulk(&[]).header("accept", vendor);
    assert_eq!(whole.send(router.router).header(product), Some(ELASTIC));
}

/// They cannot read `application/problem+json`, whatever they asked for.
#[test]
fn elastics_clients_can_read_why_their_other_requests_are_refused() {
    let (setup, _regions) = setup();
    let router = setup.start();
    for (method, path, status) in [("GET", "/people/_search", 404), ("POST", "/", 422)] {
        let plain = Request::new(method, path);
        let told = plain.send(router.router);
        assert_eq!(told.status, status, "{told:?}");
        assert_eq!(
            told.header("content-type"),
            Some("application/problem+json")
        );
        for (name, value) in [
            (
                "accept",
                "application/vnd.elasticsearch+json; compatible-with=9",
            ),
            ("x-elastic-client-meta", "es=9.5.1,py=3.12.3,t=9.4.2"),
        ] {
            let told = Request::new(method, path)
                .header(name, value)
                .send(router.router);
            assert_eq!(told.status, status, "{told:?}");
            assert_eq!(told.header("content-type"), Some("application/json"));
            assert_eq!(told.header("x-elastic-product"), Some(ELASTIC));
            let json = told.json();
            assert!(json["error"]["reason"].is_string(), "{json}");
            assert!(json["decision"].is_string(), "{json}");
        }
    }
}
