//! Bad input is answered, and the store goes on.

use super::JSON;
use crate::support::{HttpClient, RawClient, TempWorld};

#[test]
fn bad_requests_are_answered_with_a_problem() {
    let world = TempWorld::new();
    let store = world.store("ru");
    let long = format!("/{}", "a".repeat(3000));
    let deep = "[".repeat(500_000);
    let mut cases = vec![
        ("PUT", "/a", "{", 400),
        ("PUT", "/a", "", 400),
        ("PUT", "/a", "{} {}", 400),
        ("PUT", "/a", "\u{feff}{}", 400),
        ("PUT", "/a", "nul", 400),
        ("PUT", "/a", &deep, 400),
        ("PUT", "/a/", "{}", 405),
        ("DELETE", "/a/", "", 405),
        ("GET", "/none", "", 404),
        ("GET", "/-/none", "", 404),
        ("PUT", "/-/health", "{}", 405),
        ("PUT", "/-/x", "{}", 404),
        ("OPTIONS", "/a", "", 405),
        ("TRACE", "/a", "", 405),
        ("BREW", "/a", "", 405),
        ("OPTIONS", "*", "", 400),
    ];
    for path in [
        "/a/../b",
        "/..",
        "/.",
        "/%2e%2e/b",
        "/a//b",
        "//",
        "/a%00b",
        "/a%",
        "/a%4",
        "/a%zz",
        &long,
    ] {
        cases.push(("GET", path, "", 400));
        cases.push(("PUT", path, "{}", 400));
    }
    for (method, path, body, status) in cases {
        let mut client = HttpClient::connect(store.address());
        let shown = &path[..path.len().min(40)];
        let answer = client.request(method, path, &[JSON], body);
        assert_eq!(answer.status, status, "{method} {shown}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.header("domicile-store"), Some("ru"));
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:domicile:problem:store-")
        );
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{method} {shown}"
        );
    }
    let mut client = HttpClient::connect(store.address());
    assert_eq!(
        client.request("GET", "/", &[], "").json()["ids"],
        serde_json::json!([])
    );
    assert_eq!(client.request("GET", "/-/health", &[], "").status, 200);
}

#[test]
fn invalid_utf8_is_no_json() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    assert_eq!(
        client.request("PUT", "/a", &[JSON], b"\"\xff\"").status,
        400
    );
    assert_eq!(
        client
            .request("POST", "/a", &[JSON], b"[{\"id\":\"\xff\"}]")
            .status,
        400
    );
}

#[test]
fn what_is_no_http_ends_its_connection_alone() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut bystander = HttpClient::connect(store.address());
    bystander.request("PUT", "/a", &[JSON], "1");
    for bytes in [
        &b"\0\xff\0\xff\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"P",
        b"",
    ] {
        let mut client = RawClient::connect(store.address());
        client.send(bytes);
        client.finish();
        // Whatever it says, it ends, and saves or serves nothing of it.
        let end = client.read_to_end().unwrap_or_default();
        assert!(!end.starts_with(b"HTTP/1.1 2"), "{bytes:?}");
    }
    assert_eq!(bystander.request("GET", "/a", &[], "").text(), "1");
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = RawClient::connect(store.address());
    let head = "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    client.send(format!(
        "{head}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(client.read_answer().status, 100);
    client.send("{}");
    assert_eq!(client.read_answer().status, 201);
}
