//! Raw frames of HTTP/2 over sockets: what a region's HTTP/1.1 could read otherwise goes nowhere,
//! and floods end with their connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::kit::PATIENCE;
use crate::kit::backend::{Backend, Reply};
use crate::kit::setup::{Router, Setup};

mod end;
mod faults;
mod late;
mod refusals;
mod regions;
mod requests;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const GERMAN: &str = r#"{"country":"DE"}"#;

type Fields<'a> = Vec<(&'a str, &'a str)>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals that nobody remembers (RFC 7541 §6.2.2), whatever is wrong with them.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 127, "longer ones need a longer form");
            bytes.extend(text.bytes());
        }
    }
    bytes
}

/// PUT of a German's record, with these fields in place of or after the usual ones.
fn put<'a>(others: &[(&'a str, &'a str)]) -> Fields<'a> {
    let mut fields = vec![
        (":method", "PUT"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/people/p"),
        ("content-type", "application/json"),
    ];
    for other in others {
        match fields
            .iter_mut()
            .find(|f| f.0 == other.0 && other.0.starts_with(':'))
        {
            Some(place) => *place = *other,
            None => fields.push(*other),
        }
    }
    fields
}

fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &block(fields));
    bytes.extend(frame(DATA, END_STREAM, stream, GERMAN.as_bytes()));
    bytes
}

fn connect(router: &Router, settings: &[u8]) -> TcpStream {
    let mut stream = preface(router);
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).unwrap();
    stream
}

/// A connection on which nothing stands but the preface.
fn preface(router: &Router) -> TcpStream {
    let mut stream = TcpStream::connect(router.router).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream
}

#[derive(Debug, Default)]
struct Outcome {
    answered: bool,
    body: String,
    /// Error of a RST_STREAM or GOAWAY.
    error: Option<u32>,
    /// The connection ended.
    ended: bool,
}

/// Reads until the stream, or the connection, is over.
fn outcome(connection: &mut TcpStream, stream: u32) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let mut head = [0; 9];
        match connection.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("{outcome:?}"),
            Err(_) => {
                outcome.ended = true;
                return outcome;
            }
        }
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if connection.read_exact(&mut payload).is_err() {
            outcome.ended = true;
            return outcome;
        }
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            GO_AWAY if number(4) != 0 => {
                outcome.error = Some(number(4));
                return outcome;
            }
            _ if u32::from_be_bytes(id) != stream => {}
            RESET => {
                outcome.error = Some(number(0));
                return outcome;
            }
            HEADERS | DATA => {
                outcome.answered = true;
                if kind == DATA {
                    outcome.body.push_str(&String::from_utf8_lossy(&payload));
                }
                if flags & END_STREAM != 0 {
                    return outcome;
                }
            }
            _ => {}
        }
    }
}

fn say(router: &Router, bytes: &[u8]) -> Outcome {
    let mut connection = connect(router, &[]);
    // A connection that is ended while it is written to is an outcome too.
    let _ = connection.write_all(bytes);
    outcome(&mut connection, 1)
}

#[test]
fn what_would_read_otherwise_in_http_1_is_refused() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let many: Fields<'_> = vec![("x", "a"); 120];
    let method = "A".repeat(33);
    let mut cases: Vec<(Fields<'_>, &str)> = vec![
        (put(&[("host", "b")]), "bad-host"),
        (put(&[("host", "a:80")]), "bad-host"),
        (put(&[("host", "")]), "bad-host"),
        (put(&[("host", "a"), ("host", "a")]), "bad-host"),
        (put(&[("x\"y", "a")]), "bad-field"),
        (put(&[("content_length", "5")]), "bad-field"),
        (put(&[("transfer_encoding", "chunked")]), "bad-field"),
        (put(&[("domicile_country", "CN")]), "bad-field"),
        (put(&[("x", " a")]), "bad-field"),
        (put(&[("x", "a\t")]), "bad-field"),
        (
            put(&[("content-length", "16"), ("content-length", "16")]),
            "bad-framing",
        ),
        (put(&[("expect", "200-ok")]), "expectation-failed"),
        (put(&[(":scheme", "ftp")]), "bad-target"),
        (put(&[(":path", "*")]), "bad-target"),
        (put(&many), "head-too-large"),
        (put(&[(":method", &method)]), "method-unknown"),
    ];
    for authority in [
        "u@a", "@a", "a,b", "a:99999", "a:x", "a:+80", ":80", "[x]", "[::1]x", "a;b", "a'b", "a$b",
    ] {
        cases.push((put(&[(":authority", authority)]), "bad-host"));
    }
    for path in [
        "/people/p\"",
        "/people/{p}",
        "/people/p|",
        "/people/p^",
        "/people/p[",
        "/people/p?%g0",
        "/people/p?x=\\",
    ] {
        cases.push((put(&[(":path", path)]), "bad-target"));
    }
    for (fields, problem) in cases {
        // The connection goes on: what ended was one stream.
        let mut connection = connect(&router, &[]);
        connection.write_all(&request(1, &fields)).unwrap();
        let refused = outcome(&mut connection, 1);
        let wanted = format!("\"urn:domicile:problem:{problem}\"");
        assert!(refused.body.contains(&wanted), "{fields:?}\n{refused:?}");
        assert!(!refused.body.contains("\"decision\""), "{refused:?}");
        assert!(backends.touched().is_empty(), "{fields:?}");
        let nowhere = put(&[(":path", "/nowhere")]);
        connection.write_all(&request(3, &nowhere)).unwrap();
        let next = outcome(&mut connection, 3);
        assert!(next.body.contains("no-such-route"), "{fields:?}\n{next:?}");
    }
}

#[test]
fn malformed_requests_end_their_stream_and_go_nowhere() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let mut late = put(&[("x", "a")]);
    let path = late.remove(3);
    late.push(path);
    let mut cases: Vec<Fields<'_>> = vec![late];
    for at in 0..4 {
        let mut twice = put(&[]);
        twice.insert(at, twice[at]);
        cases.push(twice);
    }
    for at in [0, 1, 3] {
        let mut missing = put(&[]);
        missing.remove(at);
        cases.push(missing);
    }
    for other in [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("X-A", "a"),
        ("x y", "a"),
        ("x:y", "a"),
        ("x\r\ny", "a"),
        ("x\0", "a"),
        ("transfer-encoding\r", "chunked"),
        ("x", "a\r\nTransfer-Encoding: chunked"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("content-length", "15"),
        ("content-length", "17"),
        ("content-length", "+16"),
        ("content-length", "16,16"),
        (":status", "200"),
        (":path", ""),
        (":path", "/people/p HTTP/1.1\r\nX: y"),
        (":path", "/people/p x"),
        (":path", "/people/p\r\n"),
        (":method", "PUT /people/x HTTP/1.1\r\nX:"),
        (":authority", "a\r\nX: y"),
        (":authority", "a b"),
        (":scheme", "ht tp"),
    ] {
        cases.push(put(&[other]));
    }
    for fields in cases {
        let ended = say(&router, &request(1, &fields));
        assert!(
            ended.error.is_some() || ended.body.contains("urn:domicile:problem:"),
            "{fields:?}\n{ended:?}"
        );
        assert!(backends.touched().is_empty(), "{fields:?}");
    }
}

#[test]
fn trailers_that_steer_break_the_request() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let with_trailer = |name: &str| {
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&put(&[])));
        bytes.extend(frame(DATA, 0, 1, GERMAN.as_bytes()));
        let trailer = block(&[(name, "1")]);
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailer));
        say(&router, &bytes)
    };
    for name in [
        "content-length",
        "host",
        "authorization",
        "cookie",
        "content-type",
        "x-forwarded-for",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
        "content_length",
        "x\"y",
    ] {
        let refused = with_trailer(name);
        let is_told = refused.body.contains("broken-body");
        assert!(is_told, "{name}: {refused:?}");
        assert!(backends.touched().is_empty(), "{name}");
    }
    assert!(with_trailer("x-checksum").answered);
    assert_eq!(backends.touched(), ["eu"]);
}

#[test]
fn a_sound_request_arrives_as_it_was_meant() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let smuggled = "GET /people/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let fields = [
        (":method", "PUT"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/files/p/letter?x=[1]"),
        ("domicile-country", "DE"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("http2-settings", "AAMAAABk"),
    ];
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    bytes.extend(frame(DATA, END_STREAM, 1, smuggled.as_bytes()));
    assert!(say(&router, &bytes).answered);
    let seen = backends.of("eu").seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/files/p/letter?x=[1]");
    assert_eq!(seen[0].body, smuggled.as_bytes());
    // RFC 9113 §8.2.3.
    assert_eq!(seen[0].header("cookie"), Some("a=1; b=2"));
    assert_eq!(seen[0].header("http2-settings"), None);
}

#[test]
fn the_answer_to_head_has_no_content() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    for other in [(":path", "/nowhere"), (":authority", "u@a")] {
        let fields = put(&[(":method", "HEAD"), other]);
        let flags = END_HEADERS | END_STREAM;
        let refused = say(&router, &frame(HEADERS, flags, 1, &block(&fields)));
        assert!(refused.answered && refused.error.is_none(), "{refused:?}");
        assert_eq!(refused.body, "", "{other:?}");
    }
}

#[test]
fn floods_end_with_their_connection() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let get = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/people/p"),
    ];
    let streams = (1..20_000).step_by(2);
    let each = |then: &dyn Fn(u32) -> Vec<u8>| {
        let head = block(&get);
        let one = |id| {
            [
                frame(HEADERS, END_HEADERS | END_STREAM, id, &head),
                then(id),
            ]
            .concat()
        };
        streams.clone().flat_map(one).collect::<Vec<u8>>()
    };
    let continued = || {
        let mut bytes = frame(HEADERS, 0, 1, &block(&get));
        for _ in 0..20_000 {
            bytes.extend(frame(CONTINUATION, 0, 1, &block(&[("x", "a")])));
        }
        bytes
    };
    for (name, bytes) in [
        (
            "rapid reset",
            each(&|id| frame(RESET, 0, id, &[0, 0, 0, 8])),
        ),
        ("provoked reset", each(&|id| frame(WINDOW, 0, id, &[0; 4]))),
        ("continuations", continued()),
    ] {
        let mut connection = connect(&router, &[]);
        let _ = connection.write_all(&bytes);
        let mut sink = Vec::new();
        // To its end: it comes, or the read times out.
        if let Err(error) = connection.read_to_end(&mut sink) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name}");
        }
        assert!(backends.touched().is_empty(), "{name}");
    }
    assert!(say(&router, &request(1, &put(&[]))).answered);
    assert_eq!(backends.touched(), ["eu"]);
}

#[test]
fn a_window_that_stays_shut_ends_the_answer() {
    let (mut setup, _backends) = Setup::recording();
    let long = Backend::scripted(|_| Reply::Answer {
        status: 200,
        media: "text/plain",
        body: vec![b'z'; 1 << 20],
    });
    setup.region("eu", long.address);
    setup.set(&["limits", "body_stall"], "1s");
    let router = setup.start();
    // SETTINGS_INITIAL_WINDOW_SIZE of 0.
    let mut connection = connect(&router, &[0, 4, 0, 0, 0, 0]);
    connection.write_all(&request(1, &put(&[]))).unwrap();
    let cut = outcome(&mut connection, 1);
    // CANCEL, of the stream.
    assert_eq!((cut.ended, cut.error), (false, Some(8)), "{cut:?}");
    assert_eq!(cut.body, "");
}

#[test]
fn a_stream_that_was_reset_is_never_a_whole_request() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let head = put(&[
        (":path", "/files/p/letter"),
        ("domicile-country", "DE"),
        ("content-type", "text/plain"),
    ]);
    let begun = [
        frame(HEADERS, END_HEADERS, 1, &block(&head)),
        frame(DATA, 0, 1, b"half of it"),
    ]
    .concat();
    // NO_ERROR and CANCEL, of the stream and of the connection; and its bare end.
    for end in [
        frame(RESET, 0, 1, &[0; 4]),
        frame(RESET, 0, 1, &[0, 0, 0, 8]),
        frame(GO_AWAY, 0, 0, &[0; 8]),
        Vec::new(),
    ] {
        let mut connection = connect(&router, &[]);
        connection.write_all(&begun).unwrap();
        connection.write_all(&end).unwrap();
        drop(connection);
        crate::kit::eventually("the connection is over", || {
            crate::kit::setup::metrics(router.admin)
                .contains("\ndomicile_connections 0\n")
                .then_some(())
        });
        assert!(backends.touched().is_empty(), "{end:?}");
    }
}

/// A region of HTTP/2 that answers its first request with these frames.
fn answering(frames: Vec<u8>) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let [a, b, c, kind, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            stream.read_exact(&mut payload).unwrap();
            if kind == HEADERS {
                break;
            }
        }
        stream.write_all(&frames).unwrap();
        // Until the router has seen it and goes.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

#[test]
fn an_answer_that_was_reset_is_whole_only_if_all_of_it_came() {
    let answer = |fields: &[(&str, &str)]| {
        // `:status: 200` of the static table.
        let head = [&[0x88][..], &block(fields)].concat();
        [
            frame(HEADERS, END_HEADERS, 1, &head),
            frame(DATA, 0, 1, b"half"),
            frame(RESET, 0, 1, &[0; 4]),
        ]
        .concat()
    };
    for (fields, is_whole) in [
        (&[][..], false),
        (&[("content-length", "8")], false),
        (&[("content-length", "4")], true),
    ] {
        let (mut setup, _backends) = Setup::recording();
        setup.region("sg", answering(answer(fields)));
        setup.set(&["regions", "sg", "http"], "2");
        let router = setup.start();
        let request = crate::kit::http::Request::new("GET", "/files/p/letter")
            .header("domicile-country", "SG");
        let answer = crate::kit::http::Client::new(router.router).send(&request);
        let is_complete = answer.is_ok_and(|a| a.status == 200 && a.complete);
        assert_eq!(is_complete, is_whole, "{fields:?}");
    }
}

#[test]
fn a_caller_that_waits_for_a_100_gets_it_when_its_content_is_wanted() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let head = |path| put(&[("expect", "100-continue"), (":path", path)]);
    let mut connection = connect(&router, &[]);
    let begun = frame(HEADERS, END_HEADERS, 1, &block(&head("/people/p")));
    connection.write_all(&begun).unwrap();
    let interim = loop {
        let mut start = [0; 9];
        connection.read_exact(&mut start).unwrap();
        let [a, b, c, kind, flags, ..] = start;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        connection.read_exact(&mut payload).unwrap();
        if kind == HEADERS {
            assert_eq!(flags & END_STREAM, 0);
            break payload;
        }
    };
    // `100`, plain or in Huffman's code (RFC 7541 app. B).
    let says = |text: &[u8]| interim.windows(3).any(|w| w == text);
    assert!(says(b"100") || says(&[0x82, 0x08, 0x01]), "{interim:?}");
    assert!(backends.touched().is_empty());
    let content = frame(DATA, END_STREAM, 1, GERMAN.as_bytes());
    connection.write_all(&content).unwrap();
    let answered = outcome(&mut connection, 1);
    assert!(
        answered.answered && answered.error.is_none(),
        "{answered:?}"
    );
    assert_eq!(backends.touched(), ["eu"]);
    // A refusal takes its place.
    let refused = say(
        &router,
        &frame(HEADERS, END_HEADERS, 1, &block(&head("/nowhere"))),
    );
    assert!(refused.body.contains("no-such-route"), "{refused:?}");
}
