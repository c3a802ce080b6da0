//! Heads that do not come to their end, and what becomes of requests beside a fault.

use std::time::{Duration, Instant};

use super::*;

const STREAM_CLOSED: u32 = 5;
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn a_head_that_is_not_whole_in_time_ends_the_connection() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["limits", "header_read"], "1s");
    setup.set(&["limits", "idle"], "60s");
    let router = setup.start();
    let head = block(&put(&[]));
    let mut cut = frame(HEADERS, END_HEADERS, 1, &head);
    cut.truncate(30);
    let cases: [(&str, bool, Vec<u8>, Vec<u8>); 5] = [
        ("a preface alone", false, Vec::new(), Vec::new()),
        ("half of a frame's head", true, vec![0, 0], Vec::new()),
        (
            "a section without its end",
            true,
            frame(HEADERS, 0, 1, &head),
            Vec::new(),
        ),
        ("half of a frame", true, cut.clone(), Vec::new()),
        ("a payload that drips", true, cut, head),
    ];
    std::thread::scope(|scope| {
        for (name, settled, bytes, mut drip) in cases {
            let router = &router;
            scope.spawn(move || {
                let begun = Instant::now();
                let mut connection = match settled {
                    true => connect(router, &[]),
                    false => preface(router),
                };
                connection.write_all(&bytes).unwrap();
                let mut writer = connection.try_clone().unwrap();
                let dripping = std::thread::spawn(move || {
                    drip.truncate(30);
                    for octet in drip {
                        std::thread::sleep(Duration::from_millis(200));
                        if writer.write_all(&[octet]).is_err() {
                            return;
                        }
                    }
                });
                let ended = outcome(&mut connection, 1);
                let lasted = begun.elapsed();
                assert_eq!(ended.error, Some(ENHANCE_YOUR_CALM), "{name}: {ended:?}");
                let bounds = Duration::from_millis(900)..Duration::from_secs(5);
                assert!(bounds.contains(&lasted), "{name}: {lasted:?}");
                drop(connection);
                dripping.join().unwrap();
            });
        }
    });
    assert!(backends.touched().is_empty());
}

/// Requests that are whole are answered, though their caller is not listened to any more.
#[test]
fn what_is_at_work_beside_a_fault_is_answered_first() {
    let (mut setup, _backends) = Setup::recording();
    let slow = Backend::scripted(|_| {
        std::thread::sleep(Duration::from_millis(500));
        Reply::status(201)
    });
    setup.region("eu", slow.address);
    let router = setup.start();
    let whole = request(1, &put(&[]));
    let faults = [
        (
            "DATA after the end",
            frame(DATA, END_STREAM, 1, b"more"),
            STREAM_CLOSED,
        ),
        (
            "HEADERS after the end",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")])),
            STREAM_CLOSED,
        ),
        (
            "an upper-case name",
            request(3, &put(&[("X-Up", "1")])),
            PROTOCOL_ERROR,
        ),
        (
            "a control character",
            request(3, &put(&[("x", "a\nb")])),
            PROTOCOL_ERROR,
        ),
        (
            "an unknown pseudo-field",
            request(3, &put(&[(":x", "y")])),
            PROTOCOL_ERROR,
        ),
        (
            "RST_STREAM within a section",
            [
                frame(HEADERS, 0, 3, &block(&put(&[]))),
                frame(RESET, 0, 3, &[0, 0, 0, 8]),
                frame(CONTINUATION, END_HEADERS, 3, &[]),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        (
            "more CONTINUATION frames than are read",
            [
                frame(HEADERS, 0, 3, &block(&put(&[]))),
                frame(CONTINUATION, 0, 3, &[]).repeat(6),
            ]
            .concat(),
            ENHANCE_YOUR_CALM,
        ),
        (
            "a ping of 7",
            [
                frame(HEADERS, END_HEADERS, 3, &block(&put(&[]))),
                frame(PING, 0, 0, &[0; 7]),
            ]
            .concat(),
            6,
        ),
    ];
    for (number, (name, fault, code)) in faults.into_iter().enumerate() {
        let mut connection = connect(&router, &[]);
        let bytes = [whole.clone(), fault, request(5, &put(&[]))].concat();
        connection.write_all(&bytes).unwrap();
        let first = outcome(&mut connection, 1);
        assert!(first.answered, "{name}: {first:?}");
        let ended = outcome(&mut connection, 9);
        assert_eq!(ended.error, Some(code), "{name}: {ended:?}");
        let stored = slow.seen().iter().filter(|s| !s.body.is_empty()).count();
        assert_eq!(stored, number + 1, "{name}");
    }
}
