//! Bodies that are long in coming, while what is in force changes.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::kit::entries_of;
use crate::kit::http::{Request, read_body, read_head};
use crate::kit::setup::{Router, Setup};

const BODY: &str = r#"{"country":"IN","name":"Asha"}"#;

/// All but the last byte of a record.
fn begin(router: &Router, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(router.router).unwrap();
    let (begun, length) = (&BODY[..BODY.len() - 1], BODY.len());
    let head = format!(
        "PUT /people/{id} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{begun}",
        router.router
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Status, head and body, once the last byte has gone out.
fn end(mut stream: TcpStream) -> (u16, Vec<(String, String)>, Value) {
    stream.write_all(b"}").unwrap();
    let mut stream = BufReader::new(stream);
    let (line, head) = read_head(&mut stream).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let (body, complete) = read_body(&mut stream, &head, false);
    assert!(complete);
    (
        status,
        head,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

fn field<'h>(head: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let found = head.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| &**value)
}

#[test]
fn what_came_into_force_while_a_body_came_is_not_passed_by() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let slow = begin(&router, "slow");
    sleep(Duration::from_millis(1200));
    // The same policy again changes nothing.
    let again = begin(&router, "again");
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.json()["result"], "unchanged");
    sleep(Duration::from_millis(1200));
    assert_eq!(end(again).0, 201);

    router.hold_everything();
    let (status, head, problem) = end(slow);
    assert_eq!(status, 503, "{problem}");
    assert_eq!(problem["type"], "urn:domicile:problem:policy-changed");
    assert_eq!(field(&head, "retry-after"), Some("5"));
    assert!(backends.reached_by("slow").is_empty());
    let decision = problem["decision"].as_str().unwrap();
    let entry = &entries_of(router.admin, decision)[0];
    assert_eq!(entry["problem"], "policy-changed", "{entry}");
}

#[test]
fn a_request_is_decided_when_its_body_has_come() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let at = |id: &str| -> Timestamp {
        let (status, head, _) = end(begin(&router, id));
        assert_eq!(status, 201);
        decided_at(&router, &head)
    };
    let quick = at("quick");
    let slow = begin(&router, "slow");
    sleep(Duration::from_secs(2));
    let between = at("between");
    let (status, head, _) = end(slow);
    assert_eq!(status, 201);
    let slow = decided_at(&router, &head);
    assert!(
        quick < between && between < slow,
        "{quick} {between} {slow}"
    );
}

/// When the permit was given.
fn decided_at(router: &Router, head: &[(String, String)]) -> Timestamp {
    let decision = field(head, "domicile-decision").unwrap();
    let entry = &entries_of(router.admin, decision)[0];
    entry["at"].as_str().unwrap().parse().unwrap()
}
