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
    // What is unread at the end would make it a reset: the router's own settings follow ours.
    connection.read_exact(&mut [0; 9]).unwrap();
    router.process.signal("TERM");
    let begun = std::time::Instant::now();
    connection.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(router.process.wait().code(), Some(0));
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

/// After a fault nothing is read, so that no ping is answered: neither the one of before the stop
/// nor the one after it says that the caller is gone.
#[test]
fn what_was_whole_before_a_fault_is_answered_through_pings_and_a_stop() {
    let (mut setup, _backends) = Setup::recording();
    let (arrives, arrived) = std::sync::mpsc::channel();
    let slow = Backend::scripted(move |seen| {
        if seen.path.starts_with("/people") {
            arrives.send(()).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_secs(5));
        Reply::status(201)
    });
    setup.region("eu", slow.address);
    setup.set(&["data_plane", "drain"], "30s");
    setup.set(&["limits", "idle"], "1s");
    let mut router = setup.start();
    let mut connection = connect(&router, &[]);
    connection.write_all(&request(1, &put(&[]))).unwrap();
    arrived.recv_timeout(PATIENCE).unwrap();
    // No stream is 0.
    connection
        .write_all(&frame(DATA, END_STREAM, 0, b"x"))
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    router.process.signal("TERM");
    let outcome = outcome(&mut connection, 1);
    assert!(outcome.answered, "{outcome:?}");
    assert_eq!(router.process.wait().code(), Some(0));
}
