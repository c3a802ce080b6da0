//! Raw HTTP/1.1 over sockets: what is refused reaches no region, whatever stands behind it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use socket2::SockRef;

use crate::kit::backend::{Backend, Reply};
use crate::kit::setup::{Backends, Router, Setup};
use crate::kit::{PATIENCE, all_entries, eventually};

/// A request for a person that no test sends as its own: whoever reads it was tricked.
const SMUGGLED: &str = "PUT /people/smuggled HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                        Content-Length: 16\r\n\r\n{\"country\":\"DE\"}";

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything until the router ends the connection; a reset counts as an end.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&bytes)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads on until `end` has come.
fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let read = stream.read(&mut byte).unwrap();
        assert_eq!(read, 1, "ended: {}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_a_backend_could_take_for_another_record_is_refused() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for (fields, status) in [
        ("Content-Range: bytes 0-15/99\r\n", "400"),
        ("X-Original-URL: /people/b\r\n", "400"),
        ("X-Rewrite-URL: /people/b\r\n", "400"),
        ("X_Original_URL: /people/b\r\n", "400"),
        ("Content-Type: application/json; charset=utf-7\r\n", "415"),
        ("Content-Type: application/x-www-form-urlencoded\r\n", "415"),
        ("Content-Type: multipart/form-data; boundary=x\r\n", "415"),
        (
            "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
            "415",
        ),
    ] {
        let body = r#"{"country":"DE"}"#;
        let answers = say(
            &router,
            format!(
                "PUT /people/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert_eq!(statuses(&answers), [status], "{fields}: {answers}");
    }
    assert!(backends.touched().is_empty(), "{:?}", backends.touched());
}

#[test]
fn content_that_turns_out_empty_is_none() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    assert_eq!(router.put("a", r#"{"country":"DE"}"#).status, 201);
    let get = |body: &str| {
        say(
            &router,
            format!(
                "GET /people/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"
            ),
        )
    };
    let answers = get("");
    assert_eq!(
        statuses(&answers),
        ["201"],
        "what the region says: {answers}"
    );
    let before = backends.of("eu").seen().len();
    let answers = get("1\r\nx\r\n");
    assert_eq!(statuses(&answers), ["400"], "{answers}");
    assert_eq!(backends.of("eu").seen().len(), before);
}

#[test]
fn a_route_of_all_methods_names_them_where_one_means_nothing() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let answers = say(
        &router,
        "PURGE /files/a/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(statuses(&answers), ["405"], "{answers}");
    let allow = "\r\nallow: DELETE, GET, HEAD, PATCH, POST, PUT\r\n";
    assert!(
        answers
            .to_ascii_lowercase()
            .contains(&allow.to_ascii_lowercase()),
        "{answers}"
    );
}

pub fn statuses(answers: &str) -> Vec<&str> {
    let lines = answers.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.get(..3).unwrap()).collect()
}

/// Sends the bytes on a connection of their own and gives all that comes back.
pub fn say(router: &Router, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(router.router);
    stream.write_all(bytes.as_ref()).unwrap();
    rest(&mut stream)
}

fn start() -> (Router, Backends) {
    let (setup, backends) = Setup::recording();
    (setup.start(), backends)
}

/// Refused as a whole: one problem document, the end, and nothing of it anywhere.
#[track_caller]
fn refused(router: &Router, backends: &Backends, bytes: &[u8], status: &str) {
    let bytes = [bytes, SMUGGLED.as_bytes()].concat();
    let text = String::from_utf8_lossy(&bytes);
    let answer = say(router, &bytes);
    assert_eq!(statuses(&answer), [status], "{text:?}\n{answer}");
    assert!(
        answer.contains("\r\ncontent-type: application/problem+json\r\n")
            && answer.contains("\r\nconnection: close\r\n")
            && answer.contains("\r\ncache-control: no-store\r\n")
            && answer.contains("urn:domicile:problem:"),
        "{text:?}\n{answer}"
    );
    assert!(backends.touched().is_empty(), "{text:?}");
}

#[test]
fn heads_that_can_be_read_in_two_ways_go_nowhere() {
    let (router, backends) = start();
    let put = |lines: &str| {
        format!(
            "PUT /people/p HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}\r\n\r\n"
        )
    };
    let length = SMUGGLED.len();
    let heads: Vec<(String, &str)> = vec![
        (
            put("Content-Length: 16\r\nTransfer-Encoding: chunked"),
            "400",
        ),
        (
            put("Transfer-Encoding: chunked\r\nContent-Length: 16"),
            "400",
        ),
        (put("Content-Length: 16\r\nContent-Length: 16"), "400"),
        (
            put(&format!("Content-Length: 16\r\nContent-Length: {length}")),
            "400",
        ),
        (put("Content-Length: 16, 16"), "400"),
        (put("Content-Length: +16"), "400"),
        (put("Content-Length: 16a"), "400"),
        (put("Content-Length: 0x10"), "400"),
        (put("Content-Length: -1"), "400"),
        (put("Content-Length: 18446744073709551632"), "400"),
        (put("Content-Length : 16"), "400"),
        (put("Content_Length: 16"), "400"),
        (
            put("Content-Length: 16\r\n Transfer-Encoding: chunked"),
            "400",
        ),
        (put("Transfer-Encoding : chunked"), "400"),
        (put("Transfer-Encoding: xchunked"), "400"),
        (put("Transfer-Encoding: chunked, identity"), "400"),
        (
            put("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            "400",
        ),
        (
            put("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
            "400",
        ),
        (put("Transfer-Encoding:\x0bchunked"), "400"),
        (put("Transfer-Encoding: \"chunked\""), "400"),
        (put("Transfer-Encoding:\n chunked"), "400"),
        (put("Transfer-Encoding: gzip, chunked"), "501"),
        (put("X: a\nTransfer-Encoding: chunked"), "400"),
        (put("X: a\rTransfer-Encoding: chunked"), "400"),
        (put("X: a\0b"), "400"),
        (put("Host: b"), "400"),
        (put("Transfer-Encoding: chunked,"), "400"),
        (put("Transfer-Encoding: chunked;q=1"), "400"),
        (put("Transfer-Encoding:"), "400"),
        (put("Transfer-Encoding: chunked\r\n\tx"), "400"),
        (put("Transfer-Encoding\0: chunked"), "400"),
        (put("X: y\n\rTransfer-Encoding: chunked"), "400"),
        (put("X: y\r\r\nTransfer-Encoding: chunked"), "400"),
        (put("Content-Length: 1_6"), "400"),
        (put("Content-Length: \"16\""), "400"),
        (put("Content-Length:\x0b16"), "400"),
        (put("Expect: y 100-continue"), "417"),
        (put("Connection: content-length"), "400"),
        (put("Connection: close, host"), "400"),
        (put("Connection: domicile-target"), "400"),
        (put("Expect: 200-ok"), "417"),
        ("PUT /people/p HTTP/1.1\r\nHost: a,b\r\n\r\n".into(), "400"),
        ("PUT /people/p HTTP/1.1\r\nHost: u@a\r\n\r\n".into(), "400"),
        ("PUT /people/p HTTP/1.1\r\n\r\n".into(), "400"),
        (
            "PUT http://b/people/p HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "400",
        ),
        (
            "PUT https://a/people/p HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "421",
        ),
        (
            "PUT /people/p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            "400",
        ),
        ("PUT /people/p HTTP/1.2\r\nHost: a\r\n\r\n".into(), "505"),
        ("PUT /people/p http/1.1\r\nHost: a\r\n\r\n".into(), "400"),
        ("PUT /people/p\r\nHost: a\r\n\r\n".into(), "400"),
        ("PUT  /people/p HTTP/1.1\r\nHost: a\r\n\r\n".into(), "400"),
        ("PUT /people/p#x HTTP/1.1\r\nHost: a\r\n\r\n".into(), "400"),
        ("PUT * HTTP/1.1\r\nHost: a\r\n\r\n".into(), "400"),
        (
            "CONNECT /people/p HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "400",
        ),
        (
            "\r\n\r\nPUT /people/p HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "400",
        ),
        ("\0\r\n\r\n".into(), "400"),
        (
            format!("PUT /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000)),
            "414",
        ),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(100)),
            "501",
        ),
        (put(&"X: a\r\n".repeat(200)), "431"),
        (put(&format!("X: {}", "a".repeat(70_000))), "431"),
    ];
    for (head, status) in heads {
        refused(&router, &backends, head.as_bytes(), status);
    }
}

#[test]
fn broken_bodies_go_nowhere() {
    let (router, backends) = start();
    let head = "PUT /people/p HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    for body in [
        "10;a=b\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "0x10\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "10\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}0\r\n\r\n",
        "1 0\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "+10\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "10000000000000010\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "fffffffffffffff0\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nContent-Length: 5\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nHost: b\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nDomicile-Target: cn\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nX : a\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nX-Real-IP: 192.0.2.1\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nX_Forwarded_For: 192.0.2.1\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\nX: a\r\n b\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0;x\r\n\r\n",
        "10\r\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\n0\r\n\r\n",
        "f\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "11\r\n{\"country\":\"DE\"}\r\n0\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n-\r\n\r\n",
        "10\r\n{\"country\":\"DE\"}\r\n0\r\n\n",
    ] {
        refused(
            &router,
            &backends,
            format!("{head}{body}").as_bytes(),
            "400",
        );
    }
}

#[test]
fn a_body_that_is_not_read_is_not_the_next_request() {
    let (router, backends) = start();
    let length = SMUGGLED.len();
    // Refused before its body is read, which is a request to whoever forgets that.
    let mut stream = connect(router.router);
    for _ in 0..3 {
        write!(
            stream,
            "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
        )
        .unwrap();
        let head = until(&mut stream, "\r\n\r\n");
        assert_eq!(statuses(&head), ["404"], "{head}");
        let size = head.split("content-length: ").nth(1).unwrap();
        let size = size.split("\r\n").next().unwrap().parse().unwrap();
        stream.read_exact(&mut vec![0; size]).unwrap();
    }
    let chunked = format!(
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    );
    write!(
        stream,
        "{chunked}GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    assert_eq!(statuses(&rest(&mut stream)), ["404", "404"]);
    // GET and DELETE have no body here, but one that comes has an end.
    for method in ["GET", "DELETE", "HEAD", "OPTIONS", "TRACE"] {
        let answers = say(
            &router,
            format!(
                "{method} /people/p HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{SMUGGLED}"
            ),
        );
        assert_eq!(statuses(&answers).len(), 1, "{method}: {answers}");
    }
    let connect = format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n{SMUGGLED}");
    assert_eq!(statuses(&say(&router, connect)), ["400"]);
    assert!(backends.touched().is_empty());
}

#[test]
fn a_smuggled_request_stays_the_content_that_it_is() {
    let (router, backends) = start();
    let length = SMUGGLED.len();
    let head = "PUT /files/p/letter?country=DE HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\nDomicile-Subject: p\r\nConnection: close\r\n";
    for framed in [
        format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Transfer-Encoding: Chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
    ] {
        let answers = say(&router, format!("{head}{framed}"));
        assert_eq!(statuses(&answers), ["201"], "{answers}");
    }
    let seen = backends.of("eu").seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(
            (seen.path.as_str(), seen.body),
            ("/files/p/letter?country=DE", SMUGGLED.into())
        );
    }
    assert_eq!(backends.touched(), ["eu"]);
}

/// PUT of a German's record, with these lines in its head.
fn put(id: &str, lines: &str) -> String {
    format!(
        "PUT /people/{id} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}Content-Length: 16\r\n\r\n{{\"country\":\"DE\"}}"
    )
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (router, backends) = start();
    let mut text = String::new();
    for id in 0..50 {
        text.push_str(&put(&format!("p{id}"), ""));
    }
    write!(
        text,
        "\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{SMUGGLED}"
    )
    .unwrap();
    let answers = say(&router, text);
    let mut wanted = vec!["201"; 50];
    wanted.push("404");
    assert_eq!(statuses(&answers), wanted);
    let paths: Vec<String> = backends
        .of("eu")
        .seen()
        .into_iter()
        .map(|s| s.path)
        .collect();
    let wanted: Vec<String> = (0..50).map(|id| format!("/people/p{id}")).collect();
    assert_eq!(paths, wanted);
}

#[test]
fn every_cut_between_two_writes_gives_the_same_answer() {
    let (router, backends) = start();
    let text = put("cut", "Connection: keep-alive\r\n");
    let mut stream = connect(router.router);
    let cuts = (1..text.len()).step_by(3);
    let count = cuts.clone().count();
    for cut in cuts {
        let (first, second) = text.split_at(cut);
        stream.write_all(first.as_bytes()).unwrap();
        stream.write_all(second.as_bytes()).unwrap();
        let answer = until(&mut stream, "\r\n\r\n");
        assert_eq!(statuses(&answer), ["201"], "{cut}: {answer}");
        assert!(answer.contains("content-length: 0"), "{answer}");
    }
    assert_eq!(backends.of("eu").seen().len(), count);
}

#[test]
fn a_body_is_asked_for_only_when_it_is_wanted() {
    let (router, backends) = start();
    let mut stream = connect(router.router);
    let text = put("asked", "Expect: 100-continue\r\n");
    let (head, body) = text.split_at(text.len() - 16);
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(
        until(&mut stream, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    assert!(backends.touched().is_empty());
    stream.write_all(body.as_bytes()).unwrap();
    assert_eq!(statuses(&until(&mut stream, "\r\n\r\n")), ["201"]);
    // No route: no 100, and the connection does not wait for the body.
    let head = head.replace("/people/asked", "/nowhere");
    stream.write_all(head.as_bytes()).unwrap();
    let answer = rest(&mut stream);
    assert_eq!(statuses(&answer), ["404"], "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn a_long_body_that_is_refused_does_not_cost_the_answer() {
    let (router, backends) = start();
    let mut stream = connect(router.router);
    let length = 8 << 20;
    write!(
        stream,
        "PUT /people/p HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    // All of it is sent before the answer is looked at.
    stream.write_all(&vec![b' '; length]).unwrap();
    let answer = rest(&mut stream);
    assert_eq!(statuses(&answer), ["413"], "{answer}");
    assert!(backends.touched().is_empty());
}

#[test]
fn a_caller_that_has_said_all_gets_its_answer() {
    let (router, _backends) = start();
    let mut stream = connect(router.router);
    stream.write_all(put("half", "").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(statuses(&rest(&mut stream)), ["201"]);
    let mut stream = connect(router.router);
    stream.write_all(b"PUT /people/p HTTP/1.1\r\nHo").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(&mut stream);
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    let mut stream = connect(router.router);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn a_caller_that_breaks_off_ends_its_requests_work() {
    let (mut setup, _backends) = Setup::recording();
    let hanging = Backend::scripted(|_| Reply::Stall(Vec::new()));
    setup.region("eu", hanging.address);
    let router = setup.start();
    let mut stream = connect(router.router);
    stream.write_all(put("gone", "").as_bytes()).unwrap();
    eventually("the region has the request", || {
        (!hanging.seen().is_empty()).then_some(())
    });
    let before = crate::kit::setup::metrics(router.admin);
    assert!(before.contains("\ndomicile_connections 1\n"), "{before}");
    SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(stream);
    eventually("the connection is forgotten", || {
        crate::kit::setup::metrics(router.admin)
            .contains("\ndomicile_connections 0\n")
            .then_some(())
    });
    // What may have left stands in the ledger.
    assert!(!all_entries(router.admin).is_empty());
}

#[test]
fn slow_heads_and_bodies_are_told() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["limits", "header_read"], "1s");
    setup.set(&["limits", "body_stall"], "1s");
    let router = setup.start();
    let text = put("slow", "");
    for end in [10, text.len() - 30, text.len() - 5] {
        let answer = say(&router, &text[..end]);
        assert_eq!(statuses(&answer), ["408"], "{end}: {answer}");
        assert!(answer.contains("urn:domicile:problem:"), "{answer}");
    }
    // Of a streamed body the region has the beginning by then, and never an end.
    let opaque = "PUT /files/p/letter HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\n";
    for framing in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let answer = say(&router, format!("{opaque}{framing}"));
        assert_eq!(statuses(&answer), ["408"], "{framing}: {answer}");
        let name = "urn:domicile:problem:body-stalled";
        assert!(answer.contains(name), "{answer}");
    }
    assert!(backends.touched().is_empty());
}

#[test]
fn options_and_trace_go_no_further() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let ask = |method: &str, hops: &str| {
        let answers = say(
            &router,
            format!(
                "{method} /files/p/letter HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\n\
                 Connection: close\r\n{hops}\r\n"
            ),
        );
        statuses(&answers).join(" ")
    };
    assert_eq!(ask("TRACE", ""), "501");
    assert_eq!(ask("OPTIONS", "Max-Forwards: 0\r\n"), "501");
    assert_eq!(ask("OPTIONS", "Max-Forwards: -1\r\n"), "400");
    assert_eq!(ask("OPTIONS", "Max-Forwards: 3\r\n"), "405");
    assert!(backends.touched().is_empty());
}

#[test]
fn an_id_that_a_container_would_cut_off_is_refused() {
    let (router, backends) = start();
    for (path, status) in [
        ("/people/a;x", "400"),
        ("/files/a;jsessionid=1/b", "400"),
        ("/people/a%3Bx", "404"),
        ("/files/a/b;v=1", "404"),
    ] {
        let answer = say(
            &router,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
        assert_eq!(answer.contains("bad-path"), status == "400", "{answer}");
    }
    assert!(backends.touched().is_empty());
}

#[test]
fn a_request_that_goes_in_a_circle_comes_to_an_end() {
    let (router, backends) = start();
    let ask = |times: usize| {
        let passed = vec!["1.1 domicile"; times].join(", ");
        say(
            &router,
            format!(
                "GET /files/p/letter HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\n\
                 Connection: close\r\nVia: {passed}\r\n\r\n"
            ),
        )
    };
    let answer = ask(8);
    assert_eq!(statuses(&answer), ["508"], "{answer}");
    assert!(answer.contains("urn:domicile:problem:loop"), "{answer}");
    assert!(answer.contains(" 8 times (`Via`)"), "{answer}");
    assert!(backends.touched().is_empty());
    ask(7);
    assert!(!backends.touched().is_empty());
}

/// RFC 9110 §10.1.4.
#[test]
fn trailers_are_taken_with_their_connection_option() {
    let (mut setup, _backends) = Setup::recording();
    let eu = Backend::recording();
    setup.region("eu", eu.address);
    let router = setup.start();
    let ask = |fields: &str| {
        say(
            &router,
            format!(
                "GET /files/p/letter HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\n{fields}\r\n\r\n"
            ),
        )
    };
    ask("TE: trailers\r\nConnection: TE, close");
    ask("Connection: close");
    let seen = eu.seen();
    let said: Vec<_> = seen
        .iter()
        .map(|seen| (seen.header("te"), seen.header("connection")))
        .collect();
    assert_eq!(said, [(Some("trailers"), Some("te")), (None, None)]);
}

#[test]
fn refused_heads_are_counted_by_reason() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    for bytes in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
    ] {
        say(&router, bytes);
    }
    let metrics = crate::kit::setup::metrics(router.admin);
    for counted in [
        r#"domicile_refused_heads_total{reason="bad-host"} 2"#,
        r#"domicile_refused_heads_total{reason="version-not-supported"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{counted} in\n{metrics}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_by_callers_of_http_1_0() {
    let (mut setup, _backends) = Setup::recording();
    let broken = Backend::scripted(|_| {
        Reply::Reset(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec(),
        )
    });
    setup.region("sg", broken.address);
    let router = setup.start();
    let mut stream = connect(router.router);
    stream
        .write_all(b"GET /people/p HTTP/1.0\r\nDomicile-Country: SG\r\n\r\n")
        .unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    // Either the failure came before anything was sent, or the end is not an orderly one.
    assert!(
        ended.is_err() || text.starts_with("HTTP/1.1 502 "),
        "{text}"
    );
}

#[test]
fn answers_of_a_region_cannot_add_to_the_head() {
    let (mut setup, _backends) = Setup::recording();
    let sly = Backend::scripted(|_| {
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nconnection: x-a\r\nx-a: 1\r\ntransfer-encoding: chunked\r\nkeep-alive: timeout=9\r\n\
              upgrade: h2c\r\ndomicile-region: eu\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .to_vec(),
        )
    });
    setup.region("sg", sly.address);
    let router = setup.start();
    assert!(router.put("p", r#"{"country":"SG"}"#).is_success());
    let answer = say(
        &router,
        "GET /people/p HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(statuses(&answer), ["200"], "{answer}");
    for field in ["x-a", "keep-alive", "upgrade", "domicile-region: eu"] {
        assert!(!answer.contains(&format!("\r\n{field}")), "{answer}");
    }
    assert_eq!(
        answer.matches("\r\nconnection: close\r\n").count(),
        1,
        "{answer}"
    );
    assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{answer}");
}

#[test]
fn a_trailer_that_steers_by_a_name_of_the_settings_breaks_the_request() {
    let (mut setup, backends) = Setup::recording();
    setup.set_route("opaque", "target", "header:x-target-region");
    let router = setup.start();
    let put = |trailer: &str| {
        let answers = say(
            &router,
            format!(
                "PUT /files/p/letter HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\nConnection: close\r\n\
                 Trailer: {trailer}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailer}: cn\r\n\r\n"
            ),
        );
        statuses(&answers).join(" ")
    };
    assert_eq!(put("X-Target-Region"), "400");
    assert_eq!(put("X_Target-Region"), "400");
    assert!(backends.touched().is_empty());
    assert_eq!(put("X-Checksum"), "201");
    assert_eq!(backends.touched(), ["eu"]);
}
