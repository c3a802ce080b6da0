//! Regions whose answers in HTTP/2 say what no answer may.

use super::*;
use crate::kit::http::{Client, Request};

/// `:status` as a literal, and these fields.
fn head(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    [block(&[(":status", status)]), block(fields)].concat()
}

fn headers(flags: u8, status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &head(status, fields))
}

/// Status and document of the answer to a read that a region answers so, and whether it is whole.
fn asked(frames: Vec<u8>) -> (u16, String, bool) {
    let (setup, _backends) = Setup::recording();
    let router = beside(setup, frames);
    let request = Request::new("GET", "/files/p/letter").header("domicile-country", "SG");
    match Client::new(router.router).send(&request) {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            (answer.status, text, answer.complete)
        }
        Err(_) => (0, String::new(), false),
    }
}

/// A router of which one region answers so.
fn beside(mut setup: Setup, frames: Vec<u8>) -> Router {
    setup.region("sg", answering(frames));
    setup.set(&["regions", "sg", "http"], "2");
    setup.start()
}

/// What the one record of a batch is told when its region answers so.
fn item(frames: Vec<u8>, each: bool) -> u64 {
    let (mut setup, _backends) = Setup::recording();
    if each {
        let upstream = toml::toml! { each = "PUT /people/{subject}" };
        setup.set_route("ndjson", "upstream", upstream);
    }
    let router = beside(setup, frames);
    let request = Request::new("POST", "/people").ndjson(r#"{"id":"p","country":"SG"}"#);
    let answer = request.send(router.router);
    answer.items()[0]["status"].as_u64().unwrap()
}

#[test]
fn answers_that_http2_has_not_are_none() {
    let hints = |count| headers(0, "103", &[]).repeat(count);
    let fine = || headers(END_STREAM, "200", &[]);
    let split = [
        frame(
            HEADERS,
            END_STREAM,
            1,
            &[head("200", &[("connection", "close")]), vec![0x00]].concat(),
        ),
        frame(CONTINUATION, END_HEADERS, 1, b"\x01x\x01y"),
    ];
    for (name, frames) in [
        ("101", headers(0, "101", &[])),
        (
            "101 and an answer",
            [headers(0, "101", &[]), fine()].concat(),
        ),
        ("17 informational", [hints(17), fine()].concat()),
        ("an informational end", headers(END_STREAM, "103", &[])),
        (
            "two equal lengths",
            [
                headers(
                    0,
                    "200",
                    &[("content-length", "4"), ("content-length", "4")],
                ),
                frame(DATA, END_STREAM, 1, b"text"),
            ]
            .concat(),
        ),
        (
            "two other lengths",
            [
                headers(
                    0,
                    "200",
                    &[("content-length", "4"), ("content-length", "5")],
                ),
                frame(DATA, END_STREAM, 1, b"text"),
            ]
            .concat(),
        ),
        (
            "a length of more",
            headers(END_STREAM, "200", &[("content-length", "4")]),
        ),
        (
            "no status",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")])),
        ),
        (
            "a request's path",
            headers(END_STREAM, "200", &[(":path", "/")]),
        ),
        (
            "two statuses",
            headers(END_STREAM, "200", &[(":status", "200")]),
        ),
        (
            "Connection",
            headers(END_STREAM, "200", &[("connection", "close")]),
        ),
        (
            "Connection, where a frame ends within a line",
            split.concat(),
        ),
        ("a capital", headers(END_STREAM, "200", &[("X-a", "b")])),
        (
            "index 0",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88, 0x80]),
        ),
        (
            "a space at a value's edge",
            headers(END_STREAM, "200", &[("x-a", " b")]),
        ),
        (
            "a length of nothing",
            headers(END_STREAM, "200", &[("content-length", "")]),
        ),
        (
            "a length of nothing, and content",
            [
                headers(0, "200", &[("content-length", "")]),
                frame(DATA, END_STREAM, 1, b"text"),
            ]
            .concat(),
        ),
        ("600", headers(END_STREAM, "600", &[])),
        ("999", headers(END_STREAM, "999", &[])),
        ("a push", frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
        ("leave to push", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1])),
    ] {
        let (status, text, _) = asked(frames);
        assert_eq!(status, 502, "{name}: {text}");
        assert!(text.contains("region-bad-answer"), "{name}: {text}");
    }
    let (status, text, complete) = asked([hints(16), headers(END_STREAM, "200", &[])].concat());
    assert_eq!((status, complete), (200, true), "{text}");
}

#[test]
fn trailers_with_pseudo_fields_break_an_answer() {
    for (trailers, is_whole) in [
        (&[("x-sum", "1")][..], true),
        (&[(":status", "200")], false),
        (&[(":path", "/")], false),
        (&[("connection", "close")], false),
    ] {
        let frames = [
            headers(0, "200", &[]),
            frame(DATA, 0, 1, b"text"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)),
        ];
        let (status, text, complete) = asked(frames.concat());
        let is_complete = status == 200 && complete && text == "text";
        assert_eq!(is_complete, is_whole, "{trailers:?} {status} {text}");
    }
}

#[test]
fn an_answer_that_has_no_content_gets_none() {
    for (status, padded) in [("204", false), ("304", false), ("204", true)] {
        let data = match padded {
            true => frame(DATA, END_STREAM | 0x8, 1, &[1, b'x', b'y', 0]),
            false => frame(DATA, END_STREAM, 1, b"smuggled"),
        };
        let frames = [headers(0, status, &[]), data].concat();
        assert_eq!(item(frames.clone(), false), 502, "{status} {padded}");
        assert_eq!(item(frames.clone(), true), 502, "{status} {padded}");
        let (got, text, _) = asked(frames);
        assert_eq!(got, 502, "{status} {padded}");
        assert!(!text.contains("smuggled"), "{text}");
    }
    // An end without content is none.
    let ends = [headers(0, "204", &[]), frame(DATA, END_STREAM, 1, b"")].concat();
    assert_eq!(item(ends.clone(), true), 204);
    assert_eq!(asked(ends).0, 204);
}

/// RFC 9113 §8.1: what is told of a record hangs on the whole answer.
#[test]
fn a_record_of_a_batch_is_told_by_whole_answers_alone() {
    let two = |then: Vec<u8>| [headers(0, "200", &[]), frame(DATA, 0, 1, b"{}"), then].concat();
    let trailers = |fields| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    for (name, frames, status) in [
        ("whole", two(frame(DATA, END_STREAM, 1, b"\n")), 200),
        ("trailers", two(trailers(&[("x-sum", "1")])), 200),
        ("a reset", two(frame(RESET, 0, 1, &[0, 0, 0, 2])), 502),
        (
            "a reset without error",
            two(frame(RESET, 0, 1, &[0; 4])),
            502,
        ),
        ("pseudo-fields", two(trailers(&[(":status", "200")])), 502),
        ("long padding", two(frame(DATA, 0x8, 1, &[9, b'x'])), 502),
        (
            "another length",
            [
                headers(0, "200", &[("content-length", "4")]),
                frame(DATA, END_STREAM, 1, b"{}"),
            ]
            .concat(),
            502,
        ),
    ] {
        assert_eq!(item(frames.clone(), true), status, "each: {name}");
        assert_eq!(item(frames, false), status, "ndjson: {name}");
    }
}
