use proptest::prelude::*;

use super::*;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[..], &[kind, flags], &stream, payload].concat()
}

/// Literals that are kept, each with its name.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

fn outcomes(frames: &[Vec<u8>]) -> Vec<(u32, Result<Scheme, Unseen>)> {
    let sent = [BEGINNING, &frames.concat()].concat();
    let whole = served(&sent, sent.len());
    for size in [1, 3, 10] {
        assert_eq!(served(&sent, size), whole, "{size}");
    }
    whole
}

#[test]
fn requests_are_known_again_however_they_are_written() {
    let first = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/p?q"),
        ("x", "1"),
        ("cookie", "a"),
        ("x", "2"),
        ("cookie", "b"),
        ("te", "trailers"),
    ];
    let last = END_HEADERS | END_STREAM;
    // By index: the newest first.
    let again = [69, 68, 67, 65, 66, 64, 63, 62].map(|i: u8| 0x80 | i);
    assert_eq!(
        outcomes(&[
            frame(HEADERS, last, 1, &literals(&first)),
            frame(HEADERS, END_STREAM, 3, &again[..4]),
            frame(CONTINUATION, END_HEADERS, 3, &again[4..]),
            frame(
                HEADERS,
                last,
                5,
                &literals(&[(":method", "CONNECT"), (":authority", "a:1")])
            ),
            frame(
                HEADERS,
                last,
                7,
                &literals(&[
                    (":method", "PUT"),
                    (":scheme", "ftp"),
                    (":authority", "a"),
                    (":path", "*"),
                ])
            ),
        ]),
        [
            (1, Ok(Scheme::Https)),
            (3, Ok(Scheme::Https)),
            (5, Ok(Scheme::None)),
            (7, Ok(Scheme::Other)),
        ]
    );
}

#[test]
fn what_h2_takes_off_is_told() {
    let get = |path| {
        literals(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", path),
        ])
    };
    let post = frame(HEADERS, END_HEADERS, 3, &get("/"));
    let pseudo = literals(&[("x", "1"), (":path", "/other")]);
    for frames in [
        [
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/p#fragment")),
            frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/#")),
        ],
        [
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/?x#")),
            frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/p?#x#")),
        ],
    ] {
        let found = outcomes(&frames);
        assert_eq!(
            found,
            [(1, Err(Unseen::Fragment)), (3, Err(Unseen::Fragment))]
        );
    }
    for trailers in [
        literals(&[(":path", "/other")]),
        literals(&[(":status", "200")]),
        literals(&[(":method", "GET")]),
    ] {
        assert_eq!(
            outcomes(&[
                post.clone(),
                frame(HEADERS, END_HEADERS | END_STREAM, 3, &trailers)
            ]),
            [(3, Ok(Scheme::Http)), (3, Err(Unseen::Malformed))]
        );
    }
    // This h2 sees for itself.
    let sent = outcomes(&[
        post.clone(),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, &pseudo),
    ]);
    assert_eq!(sent, [(3, Ok(Scheme::Http))]);
    // Sound ones pass.
    let sound = literals(&[("x-checksum", "1"), ("x-checksum", "2")]);
    assert_eq!(
        outcomes(&[
            post,
            frame(DATA, 0, 3, b"content"),
            frame(HEADERS, END_HEADERS | END_STREAM, 3, &sound),
        ]),
        [(3, Ok(Scheme::Http)), (3, Ok(Scheme::None))]
    );
}

#[test]
fn what_h2_forgets_where_a_frame_ends_within_a_line_is_told() {
    let get = literals(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ]);
    for wrong in [
        (":authority", "b"),
        (":path", "/other"),
        (":status", "200"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
    ] {
        let head = [get.clone(), literals(&[wrong]), vec![0x00]].concat();
        let found = outcomes(&[
            frame(HEADERS, END_STREAM, 1, &head),
            frame(CONTINUATION, END_HEADERS, 1, b"\x01x\x01y"),
        ]);
        let handed_over = found.iter().filter(|(_, outcome)| outcome.is_ok());
        assert_eq!(handed_over.count(), 0, "{wrong:?}");
    }
}

#[test]
fn nothing_is_handed_over_from_a_fault_on() {
    let get = [0x82, 0x86, 0x84, 0x01, 0x01, b'a'];
    let last = END_HEADERS | END_STREAM;
    let dependent = [&[0, 0, 0, 3, 0][..], &get].concat();
    assert_eq!(
        outcomes(&[
            frame(HEADERS, last, 1, &get),
            frame(HEADERS, last | 0x20, 3, &dependent),
            frame(HEADERS, last, 5, &get),
        ]),
        [(1, Ok(Scheme::Http))]
    );
}

#[test]
fn another_request_than_was_seen_is_none() {
    let seen = Rc::new(Seen::default());
    let mut frames = Frames::new(
        Requests::new(Rc::clone(&seen), LIMIT as usize),
        LIMIT as usize,
    );
    let get = frame(
        HEADERS,
        END_HEADERS,
        1,
        &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'],
    );
    let sent = [BEGINNING, &get].concat();
    assert_eq!(frames.read(&sent), Ok(()));
    let request = |uri: &str| Request::builder().uri(uri).body(()).unwrap();
    let head = |stream, uri| {
        let request = request(uri);
        seen.head(stream, request.method(), request.uri(), request.headers())
    };
    assert_eq!(seen.fault(), None);
    assert_eq!(head(1, "http://b/"), Err(Unseen::Otherwise));
    assert_eq!(seen.fault(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(head(1, "http://a/"), Err(Unseen::Otherwise), "told already");
    assert_eq!(head(3, "http://a/"), Err(Unseen::Otherwise));
    let no_fields = http::HeaderMap::new();
    assert_eq!(seen.trailers(1, &no_fields), Err(Unseen::Otherwise));
}

/// Field blocks of which most can be read: indices, literals, and some of neither.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::sample::select(vec![
        ":path",
        ":method",
        ":scheme",
        ":authority",
        ":status",
        "GET",
        "http",
        "https",
        "/",
        "/#",
        "*",
        "a",
        "a:1",
        "x",
        "te",
        "trailers",
        "host",
        "content-length",
        "0",
        "3",
        "cookie",
        "",
    ]);
    let literal = (
        prop::sample::select(vec![0x40u8, 0, 0x10]),
        text.clone(),
        text.clone(),
    )
        .prop_map(|(how, name, value)| {
            let mut line = literals(&[(name, value)]);
            line[0] = how;
            line
        });
    let named = (1u8..63, text).prop_map(|(index, value)| {
        let mut line = vec![0x40 | index];
        line.push(u8::try_from(value.len()).unwrap());
        line.extend(value.bytes());
        line
    });
    let line = prop_oneof![
        4 => (1u8..70).prop_map(|index| vec![0x80 | index]),
        4 => literal,
        2 => named,
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    let usual = prop_oneof![
        4 => Just(vec![0x82, 0x86, 0x84, 0x01, 0x01, b'a']),
        1 => Just(vec![]),
    ];
    (usual, prop::collection::vec(line, 0..5))
        .prop_map(|(usual, lines)| [usual, lines.concat()].concat())
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let section =
        (block(), 0u32..10, any::<u8>(), 0usize..20).prop_map(|(block, stream, flags, cut)| {
            let stream = stream | 1;
            let (first, second) = block.split_at(cut.min(block.len()));
            let last = flags & END_STREAM;
            match flags & 0x10 {
                0 => frame(HEADERS, END_HEADERS | last, stream, &block),
                _ => [
                    frame(HEADERS, last, stream, first),
                    frame(CONTINUATION, END_HEADERS, stream, second),
                ]
                .concat(),
            }
        });
    let other = (
        0u8..11,
        any::<u8>(),
        0u32..10,
        prop::collection::vec(any::<u8>(), 0..9),
    )
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    let all = prop_oneof![6 => section, 1 => other];
    prop::collection::vec(all, 0..8).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10000))]

    #[test]
    fn both_readers_make_the_same_of_it(frames in frames(), size in any::<u8>()) {
        try_bytes(&[&[size][..], &frames].concat());
    }

    /// h2 tells nobody of a request that it resets by itself.
    #[test]
    fn what_h2_does_not_hand_over_is_counted(block in block(), is_last in any::<bool>()) {
        let last = END_HEADERS | u8::from(is_last);
        let sound = [0x82, 0x86, 0x84, 0x01, 0x01, b'a'];
        let sent = [
            BEGINNING,
            &frame(HEADERS, last, 1, &block),
            &frame(HEADERS, END_HEADERS | END_STREAM, 3, &sound),
        ]
        .concat();
        let (outcomes, counted) = told(&sent, sent.len());
        let is_served = |stream| {
            let mut served = outcomes.iter().filter(|(_, o)| *o != Err(Unseen::Malformed));
            served.any(|(s, _)| *s == stream)
        };
        // After a fault nothing is.
        if is_served(3) {
            prop_assert_eq!(is_served(1), counted == Undocumented::default(), "{:?}", counted);
        } else {
            prop_assert_ne!(counted, Undocumented::default());
        }
    }
}
