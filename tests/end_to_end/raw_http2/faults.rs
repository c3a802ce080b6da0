//! Frames and field sections for which RFC 9113 and RFC 7541 want the connection's end, with the
//! error that they want.

use super::*;

const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn head() -> Vec<u8> {
    block(&put(&[]))
}

/// A record's head, with these octets of HPACK after it.
fn headers(rest: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &[&head()[..], rest].concat())
}

/// A record's head that is not whole, and what comes after.
fn begun(next: Vec<u8>) -> Vec<u8> {
    [frame(HEADERS, 0, 1, &head()), next].concat()
}

type Case = (&'static str, Vec<u8>, u32);

fn case(name: &'static str, bytes: Vec<u8>, code: u32) -> Case {
    (name, bytes, code)
}

fn frames() -> Vec<Case> {
    let padded = |padding: u8| {
        let payload = [&[padding][..], &head()].concat();
        frame(HEADERS, END_HEADERS | PADDED, 1, &payload)
    };
    let length = u8::try_from(head().len()).unwrap();
    let dependent = [&[0, 0, 0, 1, 0][..], &head()].concat();
    let open = || frame(HEADERS, END_HEADERS, 1, &head());
    vec![
        // RFC 9113 §4.2.
        case(
            "too long",
            frame(0xbb, 0, 0, &[0; 16_385]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "long DATA",
            [open(), frame(DATA, 0, 1, &[0; 16_385])].concat(),
            FRAME_SIZE_ERROR,
        ),
        // §5.1: streams that do not exist, or are over.
        case(
            "DATA on an idle stream",
            frame(DATA, END_STREAM, 1, b"x"),
            PROTOCOL_ERROR,
        ),
        case(
            "WINDOW_UPDATE on one",
            frame(WINDOW, 0, 1, &[0, 0, 0, 1]),
            PROTOCOL_ERROR,
        ),
        case(
            "RST_STREAM on one",
            frame(RESET, 0, 1, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        // §5.1.1: numbers of streams.
        case(
            "an even stream",
            frame(HEADERS, END_HEADERS, 2, &head()),
            PROTOCOL_ERROR,
        ),
        case(
            "stream 0",
            frame(HEADERS, END_HEADERS, 0, &head()),
            PROTOCOL_ERROR,
        ),
        case(
            "an older stream",
            [
                frame(HEADERS, END_HEADERS, 5, &head()),
                frame(HEADERS, END_HEADERS, 3, &head()),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        // §6.1.
        case("DATA on stream 0", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        case(
            "DATA without its padding's length",
            frame(DATA, PADDED, 1, &[]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "padding of all",
            [open(), frame(DATA, PADDED, 1, &[3, 0, 0])].concat(),
            PROTOCOL_ERROR,
        ),
        // §6.2.
        case(
            "HEADERS without its padding's length",
            frame(HEADERS, PADDED, 1, &[]),
            FRAME_SIZE_ERROR,
        ),
        case("padding beyond the end", padded(length + 1), PROTOCOL_ERROR),
        case(
            "a priority that is cut",
            frame(HEADERS, WITH_PRIORITY, 1, &[0; 4]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "a stream that depends on itself",
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &dependent),
            PROTOCOL_ERROR,
        ),
        // §6.3 and §6.4.
        case(
            "PRIORITY of 4",
            frame(PRIORITY, 0, 1, &[0; 4]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "PRIORITY of stream 0",
            frame(PRIORITY, 0, 0, &[0; 5]),
            PROTOCOL_ERROR,
        ),
        case(
            "RST_STREAM of 3",
            [open(), frame(RESET, 0, 1, &[0; 3])].concat(),
            FRAME_SIZE_ERROR,
        ),
        case(
            "RST_STREAM of stream 0",
            frame(RESET, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        // §6.5.
        case(
            "SETTINGS of a stream",
            frame(SETTINGS, 0, 1, &[]),
            PROTOCOL_ERROR,
        ),
        case(
            "SETTINGS of 5",
            frame(SETTINGS, 0, 0, &[0; 5]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "a confirmation with content",
            frame(SETTINGS, 1, 0, &[0; 6]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "leave to push: 2",
            frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]),
            PROTOCOL_ERROR,
        ),
        case(
            "a window of 2^31",
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            FLOW_CONTROL_ERROR,
        ),
        case(
            "frames of 16383",
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]),
            PROTOCOL_ERROR,
        ),
        case(
            "frames of 2^24",
            frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]),
            PROTOCOL_ERROR,
        ),
        // §6.6 to §6.9.
        case(
            "PUSH_PROMISE",
            [
                open(),
                frame(PUSH, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &head()].concat()),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        case("PING of 7", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        case(
            "PING of a stream",
            frame(PING, 0, 1, &[0; 8]),
            PROTOCOL_ERROR,
        ),
        case(
            "GOAWAY of a stream",
            frame(GO_AWAY, 0, 1, &[0; 8]),
            PROTOCOL_ERROR,
        ),
        case(
            "GOAWAY of 7",
            frame(GO_AWAY, 0, 0, &[0; 7]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "WINDOW_UPDATE of 3",
            frame(WINDOW, 0, 0, &[0; 3]),
            FRAME_SIZE_ERROR,
        ),
        case(
            "WINDOW_UPDATE by 0",
            frame(WINDOW, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        case(
            "WINDOW_UPDATE beyond 2^31-1",
            frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            FLOW_CONTROL_ERROR,
        ),
        // §6.10.
        case(
            "a lone CONTINUATION",
            frame(CONTINUATION, END_HEADERS, 1, &head()),
            PROTOCOL_ERROR,
        ),
        case(
            "one after the end",
            [open(), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
            PROTOCOL_ERROR,
        ),
        case(
            "one of another stream",
            begun(frame(CONTINUATION, END_HEADERS, 3, &[])),
            PROTOCOL_ERROR,
        ),
        case(
            "DATA within a section",
            begun(frame(DATA, 0, 1, b"x")),
            PROTOCOL_ERROR,
        ),
        case(
            "RST_STREAM of its stream within a section",
            begun(
                [
                    frame(RESET, 0, 1, &[0, 0, 0, 8]),
                    frame(CONTINUATION, END_HEADERS, 1, &[]),
                ]
                .concat(),
            ),
            PROTOCOL_ERROR,
        ),
        case(
            "PING within a section",
            begun(frame(PING, 0, 0, &[0; 8])),
            PROTOCOL_ERROR,
        ),
        case(
            "an unknown frame within one",
            begun(frame(0xbb, 0, 1, &[])),
            PROTOCOL_ERROR,
        ),
        case(
            "HEADERS within one",
            begun(frame(HEADERS, END_HEADERS, 1, &[])),
            PROTOCOL_ERROR,
        ),
    ]
}

fn sections() -> Vec<Case> {
    let huffman = |coded: &[u8]| {
        let length = 0x80 | u8::try_from(coded.len()).unwrap();
        headers(&[&[0x00, 0x01, b'x', length][..], coded].concat())
    };
    // An entry of the table, and a section that names it again and again: 400 KiB.
    let big = [&[0x40, 0x01, b'x', 0x7f, 0x81, 0x1e][..], &[b'y'; 3968]].concat();
    let bomb = [&big[..], &[0xbe; 100]].concat();
    vec![
        case("index 0", headers(&[0x80]), COMPRESSION_ERROR),
        case(
            "an index without an entry",
            headers(&[0xbe]),
            COMPRESSION_ERROR,
        ),
        case(
            "a name without an entry",
            headers(&[0x7f, 0x00, 0x01, b'a']),
            COMPRESSION_ERROR,
        ),
        case(
            "an integer that overflows",
            headers(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            COMPRESSION_ERROR,
        ),
        case(
            "a long integer of 0",
            headers(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            COMPRESSION_ERROR,
        ),
        case(
            "padding of zeros",
            huffman(&[0b0001_1000]),
            COMPRESSION_ERROR,
        ),
        case(
            "padding of an octet",
            huffman(&[0b0001_1111, 0xff]),
            COMPRESSION_ERROR,
        ),
        case(
            "the end's symbol",
            huffman(&[0xff, 0xff, 0xff, 0xff]),
            COMPRESSION_ERROR,
        ),
        case(
            "a line that is cut",
            headers(&[0x00, 0x01, b'x', 0x05, b'y']),
            COMPRESSION_ERROR,
        ),
        case(
            "a string without end",
            headers(&[0x00, 0x7f]),
            COMPRESSION_ERROR,
        ),
        case(
            "a table of 4097",
            frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xe2, 0x1f]),
            COMPRESSION_ERROR,
        ),
        case(
            "a table that changes late",
            headers(&[0x20]),
            COMPRESSION_ERROR,
        ),
        case(
            "a table that changes in a CONTINUATION",
            begun(frame(CONTINUATION, END_HEADERS, 1, &[0x20])),
            COMPRESSION_ERROR,
        ),
        case(
            "no name",
            headers(&[0x00, 0x00, 0x01, b'a']),
            PROTOCOL_ERROR,
        ),
        case(
            "no name, where a frame ends",
            begun(
                [
                    frame(CONTINUATION, 0, 1, &[0x40, 0x00, 0x01, b'a']),
                    frame(CONTINUATION, END_HEADERS, 1, &[]),
                ]
                .concat(),
            ),
            PROTOCOL_ERROR,
        ),
        case("much of little", headers(&bomb), ENHANCE_YOUR_CALM),
    ]
}

#[test]
fn each_ends_the_connection_by_its_name() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for (name, bytes, code) in frames().into_iter().chain(sections()) {
        let mut connection = connect(&router, &[]);
        // Its end may come while it is written to.
        let _ = connection.write_all(&bytes);
        // What would complete a request that should not be one.
        let _ = connection.write_all(&frame(DATA, END_STREAM, 1, GERMAN.as_bytes()));
        let ended = outcome(&mut connection, 1);
        assert_eq!(ended.error, Some(code), "{name}: {ended:?}");
        assert!(backends.touched().is_empty(), "{name}");
    }
}

/// h2 ends these with its own error, or the stream alone (RFC 9113 §5.1 wants STREAM_CLOSED).
#[test]
fn frames_on_streams_that_are_over_are_refused() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let whole = request(1, &put(&[]));
    for after in [
        frame(DATA, END_STREAM, 1, b"more"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")])),
        request(1, &put(&[])),
    ] {
        let mut connection = connect(&router, &[]);
        connection
            .write_all(&[whole.clone(), after].concat())
            .unwrap();
        // The first may be answered before.
        let mut code = outcome(&mut connection, 1).error;
        if code.is_none() {
            code = outcome(&mut connection, 1).error;
        }
        let code = code.unwrap();
        assert!([PROTOCOL_ERROR, STREAM_CLOSED].contains(&code), "{code}");
    }
    let seen = backends.of("eu").seen().len();
    assert!(seen <= 3, "{seen}");
}

#[test]
fn settings_come_first() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for first in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 1, 0, &[]),
        frame(WINDOW, 0, 0, &[0, 0, 0, 1]),
        frame(0xbb, 0, 0, &[]),
        request(1, &put(&[])),
    ] {
        let mut connection = preface(&router);
        connection.write_all(&first).unwrap();
        let ended = outcome(&mut connection, 1);
        assert_eq!(ended.error, Some(PROTOCOL_ERROR), "{first:?}");
        assert!(!ended.answered && backends.touched().is_empty());
    }
}

#[test]
fn what_stood_before_a_fault_is_told_apart_from_what_came_after() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let mut connection = connect(&router, &[]);
    connection.write_all(&request(1, &put(&[]))).unwrap();
    assert!(outcome(&mut connection, 1).answered);
    let fault = frame(PING, 0, 0, &[0; 7]);
    let after = request(3, &put(&[(":path", "/people/after")]));
    connection.write_all(&[fault, after].concat()).unwrap();
    let mut all = Vec::new();
    connection.read_to_end(&mut all).unwrap();
    // GOAWAY: the last stream that was looked at, and the error.
    let told = [0, 0, 0, 1, 0, 0, 0, 6];
    assert!(all.windows(8).any(|w| w == told), "{all:?}");
    let seen = backends.of("eu").seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/people/p");
}
