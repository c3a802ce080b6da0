//! Laws that hold for any bytes.

use proptest::prelude::*;

use crate::admit::http1::harness::{Read, read, try_bytes, try_connection};

/// Pieces of which sound and broken requests are made.
const PARTS: [&str; 40] = [
    "GET /a HTTP/1.1\r\n",
    "POST /b HTTP/1.1\r\n",
    "PUT http://a/c HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET /d HTTP/1.0\r\n",
    "Host: a\r\n",
    "Host: b\r\n",
    "host:\ta \r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 03\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: Chunked \r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "X: \u{e9}\r\n",
    "X:\r\n",
    "X_Y: a\r\n",
    " folded\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "3\r\nabc\r\n",
    "abc",
    "0\r\n",
    "0\r\n\r\n",
    "0\r\nX: a\r\n\r\n",
    "a;b=c\r\n",
    "ffffffffffffffff\r\n",
    "\0",
    ":",
    " ",
    "\t",
    ",",
    "GET ",
    " HTTP/1.1",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// Heads that are sound but for what the lists hold, with a body that fits them.
pub(super) fn nearly_sound() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(&PARTS[..5]);
    let fields = prop::collection::vec(prop::sample::select(&PARTS[7..21]), 0..4);
    let body = prop::collection::vec(prop::sample::select(&PARTS[25..32]), 0..3);
    (line, fields, body).prop_map(|(line, fields, body)| {
        let mut text = format!("{line}Host: a\r\n");
        text.extend(fields);
        text.push_str("\r\n");
        text.extend(body);
        text.into_bytes()
    })
}

pub(super) fn stitched() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::sample::select(PARTS.as_slice());
    prop::collection::vec(parts, 0..14).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_bytes(&bytes);
    }

    #[test]
    fn arbitrary_parts(bytes in stitched()) {
        try_bytes(&bytes);
    }

    #[test]
    fn requests_that_are_nearly_sound(
        requests in prop::collection::vec(nearly_sound(), 1..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
    ) {
        let mut bytes = requests.concat();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        try_bytes(&bytes);
    }

    #[test]
    fn connections_hand_on_what_is_read(
        choice: u8,
        requests in prop::collection::vec(nearly_sound(), 1..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
    ) {
        let mut bytes = vec![choice];
        bytes.extend(requests.concat());
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        try_connection(&bytes);
    }

    #[test]
    fn cuts_change_nothing(bytes in stitched(), cuts in prop::collection::vec(0usize..200, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.sort_unstable();
        let (mut pieces, mut start) = (Vec::new(), 0);
        for cut in cuts {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        pieces.push(&bytes[start..]);
        prop_assert_eq!(read(pieces), read([bytes.as_slice()]));
    }
}

#[test]
fn the_fuzzing_corpus_passes() {
    let corpus = |name: &str| {
        let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).expect("a corpus");
        files.map(|file| std::fs::read(file.expect("a file").path()).expect("readable"))
    };
    let (mut whole, mut broken) = (0, 0);
    for bytes in corpus("http1") {
        try_bytes(&bytes);
        match read([bytes.as_slice()]).last() {
            Some(Read::Request(_)) => whole += 1,
            Some(Read::RefusedHead(_) | Read::RefusedBody(_)) => broken += 1,
            None => {}
        }
    }
    assert!(whole >= 20 && broken >= 20, "{whole} and {broken}");
    assert!(corpus("connection").map(|b| try_connection(&b)).count() >= 60);
}

#[test]
fn long_lines_are_refused_alike_however_they_come() {
    for head in [
        format!("GET /{} HTTP/1.1\nHost: a\r\n\r\n", "a".repeat(20_000)),
        format!("GET /p HTTP/1.1\r\nX: {}\n", "a".repeat(3000)),
        format!("\r\nGET /{}", "a".repeat(3000)),
        format!("{} / HTTP/1.1", "A".repeat(3000)),
        "\r\n".repeat(50),
        "\r".repeat(50),
    ] {
        try_bytes(head.as_bytes());
        assert_eq!(read([head.as_bytes()]).len(), 1, "{:?}", head.get(..40));
    }
}
