//! What callers of HTTP/2 are told when the router stops before their requests are answered.

use super::*;

/// RFC 9113 §7: what became of the request is not known.
const INTERNAL_ERROR: u32 = 2;

#[test]
fn streams_that_a_stop_leaves_are_reset() {
    let (mut setup, _backends) = Setup::recording();
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    let silent = Backend::scripted(move |seen| match seen.path.contains("begun") {
        true => Reply::Stall(begun.clone()),
        false => Reply::Stall(Vec::new()),
    });
    setup.region("eu", silent.address);
    setup.set(&["data_plane", "drain"], "1s");
    let mut router = setup.start();
    let mut connection = connect(&router, &[]);
    let file = |path| {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", path),
            ("domicile-country", "DE"),
        ];
        block(&fields)
    };
    let get = END_HEADERS | END_STREAM;
    let both = [
        frame(HEADERS, get, 1, &file("/files/p/letter")),
        frame(HEADERS, get, 3, &file("/files/p/begun")),
    ];
    connection.write_all(&both.concat()).unwrap();
    crate::kit::eventually("both are asked for", || {
        (silent.seen().len() == 2).then_some(())
    });
    router.process.signal("TERM");
    let mut all = Vec::new();
    connection.read_to_end(&mut all).unwrap();
    for stream in [1, 3] {
        let reset = frame(RESET, 0, stream, &INTERNAL_ERROR.to_be_bytes());
        let is_told = all.windows(reset.len()).any(|w| w == reset);
        assert!(is_told, "{stream}: {all:?}");
    }
    assert_eq!(router.process.wait().code(), Some(0));
}

#[test]
fn a_caller_that_waits_for_nothing_and_says_nothing_does_not_hold_up_a_stop() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["data_plane", "drain"], "60s");
    setup.set(&["limits", "header_read"], "60s");
    let mut router = setup.start();
    // No ping of the router's is ever answered.
    let mut connection = connect(&router, &[]);
    router.process.signal("TERM");
    let begun = std::time::Instant::now();
    connection.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(router.process.wait().code(), Some(0));
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}
