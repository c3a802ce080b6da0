//! Requests that are malformed in ways that h2 passes over.

use super::*;

const PROTOCOL_ERROR: u32 = 1;

#[test]
fn a_target_with_a_fragment_is_refused() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for path in [
        "/people/p#",
        "/people/p#x",
        "/people/p?x=1#y",
        "/#",
        "/people/p?#?",
    ] {
        let mut connection = connect(&router, &[]);
        connection
            .write_all(&request(1, &put(&[(":path", path)])))
            .unwrap();
        let refused = outcome(&mut connection, 1);
        assert!(refused.body.contains("bad-target"), "{path}: {refused:?}");
        assert!(backends.touched().is_empty(), "{path}");
        // The connection goes on.
        connection
            .write_all(&request(3, &put(&[(":path", "/nowhere")])))
            .unwrap();
        let next = outcome(&mut connection, 3);
        assert!(next.body.contains("no-such-route"), "{next:?}");
    }
}

/// Of a request that has `Host` for `:authority`, h2 makes one of `/`.
#[test]
fn a_request_without_a_path_is_malformed() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let fields = [(":method", "GET"), (":scheme", "http"), ("host", "a")];
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
    let refused = say(&router, &head);
    assert_eq!(refused.error, Some(PROTOCOL_ERROR), "{refused:?}");
    assert!(!refused.answered && backends.touched().is_empty());
}

/// h2 forgets what it found in front of a field line in which a frame ends.
#[test]
fn what_is_malformed_is_so_however_its_frames_are_cut() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for wrong in [
        (":authority", "b"),
        (":path", "/people/other"),
        (":method", "DELETE"),
        ("connection", "content-type"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
    ] {
        let mut fields = put(&[]);
        fields.insert(4, wrong);
        let whole = block(&fields);
        for cut in 1..whole.len() {
            let (first, second) = whole.split_at(cut);
            let bytes = [
                frame(HEADERS, 0, 1, first),
                frame(CONTINUATION, END_HEADERS, 1, second),
                frame(DATA, END_STREAM, 1, GERMAN.as_bytes()),
            ]
            .concat();
            let refused = say(&router, &bytes);
            assert!(
                refused.error.is_some() && !refused.answered,
                "{wrong:?} at {cut}"
            );
        }
        assert!(backends.touched().is_empty(), "{wrong:?}");
    }
    // And sound ones pass, cut within any line.
    let fields = block(&put(&[]));
    for cut in 0..fields.len() {
        let (first, second) = fields.split_at(cut);
        let bytes = [
            frame(HEADERS, 0, 1, first),
            frame(CONTINUATION, END_HEADERS, 1, second),
            frame(DATA, END_STREAM, 1, GERMAN.as_bytes()),
        ]
        .concat();
        let answered = say(&router, &bytes);
        assert!(
            answered.answered && answered.error.is_none(),
            "{cut}: {answered:?}"
        );
    }
}

#[test]
fn https_without_tls_is_for_gateways_that_ended_it() {
    for (proxies, proto, wanted) in [
        (&[][..], "https", false),
        (&["127.0.0.0/8"], "http", false),
        (&["127.0.0.0/8"], "https", true),
    ] {
        let (mut setup, backends) = Setup::recording();
        setup.set(&["data_plane", "proxies"], proxies.to_vec());
        let router = setup.start();
        for has_authority in [true, false] {
            let mut fields = put(&[(":scheme", "https"), ("x-forwarded-proto", proto)]);
            if !has_authority {
                fields.remove(2);
                fields.push(("host", "a"));
            }
            let answered = say(&router, &request(1, &fields));
            assert!(answered.answered, "{answered:?}");
            let is_served = !answered.body.contains("not-secured");
            assert_eq!(is_served, wanted, "{proxies:?} {proto} {answered:?}");
            assert_eq!(!backends.touched().is_empty(), wanted);
        }
        // Other schemes are for nobody, without an authority too.
        let mut fields = put(&[(":scheme", "ftp")]);
        fields.remove(2);
        fields.push(("host", "a"));
        let refused = say(&router, &request(1, &fields));
        assert!(refused.body.contains("bad-target"), "{refused:?}");
    }
}

#[test]
fn trailers_of_a_request_without_content_may_make_it_malformed() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for path in ["/people/p", "/files/p/letter"] {
        let fields = put(&[
            (":method", "GET"),
            (":path", path),
            ("domicile-country", "DE"),
        ]);
        let mut connection = connect(&router, &[]);
        let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
        connection.write_all(&head).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let trailers = block(&[(":path", "/people/other")]);
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
        connection.write_all(&trailers).unwrap();
        let refused = outcome(&mut connection, 1);
        let is_told = refused.body.contains("urn:domicile:problem:");
        assert!(is_told || refused.error.is_some(), "{path}: {refused:?}");
        assert!(backends.touched().is_empty(), "{path}");
    }
}

/// A request to this path, with content, an announced length or none, and these trailers.
fn with_trailers(
    path: &str,
    has_length: bool,
    content: &[u8],
    trailers: &[(&str, &str)],
) -> Vec<u8> {
    let length = content.len().to_string();
    let mut fields = put(&[(":path", path), ("domicile-country", "DE")]);
    if has_length {
        fields.push(("content-length", &length));
    }
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    if !content.is_empty() {
        bytes.extend(frame(DATA, 0, 1, content));
    }
    bytes.extend(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block(trailers),
    ));
    bytes
}

#[test]
fn trailers_with_pseudo_fields_make_a_request_malformed() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for path in ["/people/p", "/files/p/letter"] {
        for has_length in [true, false] {
            for trailer in [
                (":path", "/people/other"),
                (":method", "DELETE"),
                (":scheme", "http"),
                (":authority", "b"),
                (":status", "200"),
            ] {
                let content = GERMAN.as_bytes();
                for content in [content, &[]] {
                    let bytes = with_trailers(path, has_length, content, &[trailer]);
                    let refused = say(&router, &bytes);
                    let is_told = refused.body.contains("urn:domicile:problem:");
                    assert!(
                        is_told || refused.error.is_some(),
                        "{path} {has_length} {trailer:?}: {refused:?}"
                    );
                    assert!(
                        backends.touched().is_empty(),
                        "{path} {has_length} {trailer:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn trailers_of_connections_and_in_capitals_make_a_request_malformed() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for trailer in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
        ("X-Sum", "1"),
        ("x sum", "1"),
        ("x", "a\nb"),
        ("x", "a\0"),
        ("x", " a"),
        ("content-length", "16"),
    ] {
        for path in ["/people/p", "/files/p/letter"] {
            for has_length in [true, false] {
                let bytes = with_trailers(path, has_length, GERMAN.as_bytes(), &[trailer]);
                let refused = say(&router, &bytes);
                let is_told = refused.body.contains("urn:domicile:problem:");
                assert!(
                    is_told || refused.error.is_some(),
                    "{trailer:?}: {refused:?}"
                );
                assert!(backends.touched().is_empty(), "{trailer:?}");
            }
        }
    }
}

#[test]
fn sound_trailers_pass_whether_or_not_a_length_is_announced() {
    for has_length in [true, false] {
        let (setup, backends) = Setup::recording();
        let router = setup.start();
        let content = b"content of a letter";
        let bytes = with_trailers("/files/p/letter", has_length, content, &[("x-sum", "1")]);
        let answered = say(&router, &bytes);
        assert!(
            answered.answered && answered.error.is_none(),
            "{answered:?}"
        );
        let seen = backends.of("eu").seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].body, content);
    }
}

/// DATA that is all that was announced, and the end by itself.
#[test]
fn content_may_end_with_an_empty_frame() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let fields = put(&[
        (":path", "/files/p/letter"),
        ("domicile-country", "DE"),
        ("content-length", "4"),
    ]);
    let mut connection = connect(&router, &[]);
    let begun = [
        frame(HEADERS, END_HEADERS, 1, &block(&fields)),
        frame(DATA, 0, 1, b"ab"),
        frame(DATA, 0, 1, b"cd"),
        frame(DATA, 0, 1, b""),
    ];
    connection.write_all(&begun.concat()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(backends.touched().is_empty(), "before its end is known");
    connection
        .write_all(&frame(DATA, END_STREAM, 1, b""))
        .unwrap();
    let answered = outcome(&mut connection, 1);
    assert!(
        answered.answered && answered.error.is_none(),
        "{answered:?}"
    );
    assert_eq!(backends.of("eu").seen()[0].body, b"abcd");
}

#[test]
fn content_that_is_not_as_long_as_announced_goes_nowhere() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for (length, content) in [("3", &b"ab"[..]), ("1", b"ab"), ("0", b"a"), ("1", b"")] {
        for path in ["/people/p", "/files/p/letter"] {
            let fields = put(&[
                (":path", path),
                ("domicile-country", "DE"),
                ("content-length", length),
            ]);
            let bytes = match content {
                [] => frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)),
                _ => [
                    frame(HEADERS, END_HEADERS, 1, &block(&fields)),
                    frame(DATA, END_STREAM, 1, content),
                ]
                .concat(),
            };
            let refused = say(&router, &bytes);
            assert!(refused.error.is_some(), "{path} {length}: {refused:?}");
            assert!(backends.touched().is_empty(), "{path} {length}");
        }
    }
}

/// Those that nobody gets a document of, too.
#[test]
fn requests_that_are_reset_are_counted_by_reason() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["limits", "header_bytes"], "4KiB");
    let router = setup.start();
    let mut twice = put(&[]);
    twice.push(twice[1]);
    let mut pathless = put(&[]);
    pathless.remove(3);
    let mut authority = put(&[]);
    authority[2].1 = "a/b";
    let mut path = put(&[]);
    path[3].1 = "/people/p x";
    let mut scheme = put(&[]);
    scheme[1].1 = "ht tp";
    let connect_with_path = [(":method", "CONNECT"), (":authority", "a"), (":path", "/")];
    let malformed: Vec<Vec<u8>> = [
        twice,
        pathless,
        authority,
        path,
        scheme,
        connect_with_path.to_vec(),
        put(&[("te", "gzip")]),
        put(&[("connection", "close")]),
        put(&[("content-length", "+16")]),
        put(&[("content-length", "16"), ("content-length", "17")]),
        // The connection ends.
        put(&[("X-A", "b")]),
        put(&[("x", "a\nb")]),
    ]
    .iter()
    .map(|fields| request(1, fields))
    .collect();
    let announced = block(&put(&[("content-length", "16")]));
    let others = [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &announced),
        frame(PING, 0, 0, &[0; 7]),
    ];
    let all: Vec<&Vec<u8>> = malformed.iter().chain(&others).collect();
    for bytes in &all {
        let ended = say(&router, bytes);
        assert!(ended.error.is_some() && !ended.answered, "{ended:?}");
    }
    let long = "y".repeat(100);
    let large = block(&put(&[("x", &*long); 60]));
    let continued = [
        frame(HEADERS, 0, 1, &block(&put(&[]))),
        frame(CONTINUATION, 0, 1, &[]).repeat(6),
    ];
    say(
        &router,
        &frame(HEADERS, END_HEADERS | END_STREAM, 1, &large),
    );
    say(&router, &continued.concat());
    // One that is told by a document counts as ever, and a sound one not at all.
    say(&router, &request(1, &put(&[("host", "b")])));
    assert!(backends.touched().is_empty());
    assert!(say(&router, &request(1, &put(&[]))).answered);
    let metrics = crate::kit::setup::metrics(router.admin);
    let counted: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("domicile_refused_heads_total{reason="))
        .collect();
    let malformed = format!("\"bad-request\"}} {}", all.len());
    let wanted = ["\"bad-host\"} 1", &malformed, "\"head-too-large\"} 2"];
    assert_eq!(counted, wanted, "{metrics}");
}

#[test]
fn a_head_that_comes_too_slowly_is_counted() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["limits", "header_read"], "3s");
    let router = setup.start();
    say(&router, &frame(HEADERS, 0, 1, &block(&put(&[]))));
    let metrics = crate::kit::setup::metrics(router.admin);
    let counted = "\ndomicile_refused_heads_total{reason=\"head-too-slow\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}
