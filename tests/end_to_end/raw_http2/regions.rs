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
    let (mut setup, _backends) = Setup::recording();
    setup.region("sg", answering(frames));
    setup.set(&["regions", "sg", "http"], "2");
    let router = setup.start();
    let request = Request::new("GET", "/files/p/letter").header("domicile-country", "SG");
    match Client::new(router.router).send(&request) {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            (answer.status, text, answer.complete)
        }
        Err(_) => (0, String::new(), false),
    }
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
        let (got, text, _) = asked([headers(0, status, &[]), data].concat());
        assert_eq!(text, "", "{status} {padded}: {got}");
    }
}
