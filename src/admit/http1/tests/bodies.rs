//! Raw bodies.

use crate::admit::http1::{
    FramingFault as F,
    harness::{Read, Request, read},
};

const CHUNKED: &str = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunked(body: &str) -> Vec<Read> {
    read([format!("{CHUNKED}{body}").as_bytes()])
}

#[track_caller]
fn request(found: &[Read]) -> &Request {
    match found {
        [Read::Request(request)] => request,
        _ => panic!("{found:?}"),
    }
}

#[test]
fn chunks_are_joined() {
    for (body, content) in [
        ("0\r\n\r\n", ""),
        ("1\r\na\r\n0\r\n\r\n", "a"),
        ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
        ("0000000000000002\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
    ] {
        let found = chunked(body);
        assert_eq!(request(&found).body, content.as_bytes(), "{body:?}");
    }
}

#[test]
fn chunks_that_can_be_read_in_two_ways_are_refused() {
    for size in [
        "",
        "g",
        "-1",
        "+1",
        "0x1",
        "1_0",
        "1.",
        ".1",
        " 1",
        "1 ",
        "1\t",
        "\t1",
        "\"1\"",
        "one",
        "00000000000000001",
        "8000000000000000",
        "ffffffffffffffff",
        "10000000000000000",
        "1,",
        "1\0",
        "\u{661}",
        "1\x0b",
        "0 ",
        "00000000000000000",
        "0x0",
    ] {
        let found = chunked(&format!("{size}\r\na\r\n0\r\n\r\n"));
        assert_eq!(found, [Read::RefusedBody(F::ChunkSize)], "{size:?}");
    }
    for size in ["1;", "1;a", "1;a=b", "1;a=\"b\"", "1;\n", "0;a", "1;a\r\nb"] {
        let found = chunked(&format!("{size}\r\na\r\n0\r\n\r\n"));
        assert_eq!(found, [Read::RefusedBody(F::ChunkExtension)], "{size:?}");
    }
    for body in [
        "1\na\r\n0\r\n\r\n",
        "1\ra\r\n0\r\n\r\n",
        "1\r\r\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\r\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\r\n",
    ] {
        assert_eq!(chunked(body), [Read::RefusedBody(F::ChunkEnd)], "{body:?}");
    }
    for body in ["0\r\n\n", "0\r\nX: a\n\r\n", "0\r\nX: a\r\n\n"] {
        assert_eq!(chunked(body), [Read::RefusedBody(F::Trailer)], "{body:?}");
    }
}

#[test]
fn nothing_is_a_request_before_its_body_has_come() {
    for body in [
        "",
        "1",
        "1\r",
        "1\r\n",
        "1\r\na",
        "1\r\na\r",
        "1\r\na\r\n0",
        "0\r\n",
        "0\r\n\r",
        "0\r\nX: a\r\n",
    ] {
        assert!(chunked(body).is_empty(), "{body:?}");
    }
    let short = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab";
    assert!(read([short.as_bytes()]).is_empty());
}

#[test]
fn trailers_are_fields_that_change_nothing() {
    let found = chunked("0\r\nX-Checksum: 1\r\nX-Note:\r\n\r\n");
    let trailers = request(&found).trailers.clone().expect("trailers came");
    assert_eq!(trailers["x-checksum"], "1");
    assert_eq!(trailers.len(), 2);
    for line in [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: b",
        "Authorization: x",
        "TE: trailers",
        "Cookie: a=b",
        "Content-Type: a/b",
        "Content-Encoding: gzip",
        "Connection: close",
        "Domicile-Country: CN",
        "X-Forwarded-For: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "Expect: x",
        "Trailer: x",
        "Cache-Control: no-store",
        "If-Match: *",
        "X-HTTP-Method-Override: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /people/b",
        "X-Rewrite-Url: /people/b",
        "X_Original_URL: /people/b",
        "Keep-Alive: a",
        "Proxy-Connection: a",
        "Via: 1.1 a",
        "Range: bytes=0-1",
        "Content_Length: 1",
        "Traceparent: 00-0-0-00",
    ] {
        let found = chunked(&format!("0\r\nX: a\r\n{line}\r\n\r\n"));
        assert_eq!(found, [Read::RefusedBody(F::ForbiddenTrailer)], "{line:?}");
    }
    for line in [
        "X : a",
        " X: a",
        "X",
        ": a",
        "X: a\r\n b",
        "X: \0",
        "X: a\rb",
        "X Y: a",
        "GET / HTTP/1.1",
    ] {
        let found = chunked(&format!("0\r\n{line}\r\n\r\n"));
        assert_eq!(found, [Read::RefusedBody(F::Trailer)], "{line:?}");
    }
}

#[test]
fn trailers_have_limits() {
    let many = |count: usize| -> String { (0..count).map(|n| format!("X{n}: a\r\n")).collect() };
    request(&chunked(&format!("0\r\n{}\r\n", many(32))));
    let long = [Read::RefusedBody(F::LongTrailer)];
    assert_eq!(chunked(&format!("0\r\n{}\r\n", many(33))), long);
    assert_eq!(
        chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(8 << 10))),
        long
    );
    assert_eq!(chunked(&format!("0\r\nX: {}", "a".repeat(8 << 10))), long);
}

#[test]
fn what_follows_a_body_is_the_next_request() {
    let next = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    for first in [
        format!("{CHUNKED}1\r\na\r\n0\r\n\r\n"),
        "PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "GET /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET".to_owned(),
        "GET /p HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let text = format!("{first}{next}");
        let found = read([text.as_bytes()]);
        let [Read::Request(_), Read::Request(second)] = found.as_slice() else {
            panic!("{text:?}: {found:?}");
        };
        assert_eq!((second.target.as_str(), second.body.len()), ("/b", 0));
    }
}

#[test]
fn after_a_broken_body_nothing_is_a_request() {
    let next = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    for body in ["x\r\n", "1\r\nab\r\n0\r\n\r\n", "0\r\nHost: a\r\n\r\n"] {
        let found = chunked(&format!("{body}{next}"));
        assert!(
            matches!(found.as_slice(), [Read::RefusedBody(_)]),
            "{body:?}: {found:?}"
        );
    }
    let closing = format!("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{next}");
    assert_eq!(read([closing.as_bytes()]).len(), 1);
}
