//! Heads and bodies as bytes alone: what they are read as, however they are cut.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{
    decode::{Decoder, Piece},
    head::{self, Head, NoAnswer, Scan},
};
use crate::message::Earlier;

/// Finds and parses a head that comes in pieces of `step` bytes.
fn read(text: &[u8], step: usize, to_head: bool) -> Result<Option<(Head, usize)>, NoAnswer> {
    let (mut scan, mut earlier) = (Scan::default(), Earlier::default());
    let mut bytes = BytesMut::new();
    for piece in text.chunks(step) {
        bytes.extend_from_slice(piece);
        let before = bytes.len();
        if let Some(head) = head::take(&mut scan, &mut earlier, &mut bytes, to_head)? {
            let left = bytes.len();
            let taken = text.len().min(before) - left;
            return Ok(Some((head, taken)));
        }
    }
    Ok(None)
}

/// Status, how the body ends, and whether the connection is kept; `None` for 1xx.
fn framing(text: &str, to_head: bool) -> Option<(u16, Decoder, bool)> {
    let (head, length) = read(text.as_bytes(), 1, to_head).unwrap().unwrap();
    assert_eq!(length, text.len());
    match head {
        Head::Interim => None,
        Head::Final {
            told,
            decoder,
            keeps_alive,
            ..
        } => Some((told.status.as_u16(), decoder, keeps_alive)),
    }
}

#[test]
fn sound_heads_say_where_the_body_ends() {
    let chunked = Decoder::chunked();
    for (head, to_head, wanted) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            false,
            (200, Decoder::Length(7), true),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            true,
            (200, Decoder::Done, true),
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            false,
            (304, Decoder::Done, true),
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            false,
            (204, Decoder::Done, true),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            false,
            (200, Decoder::Done, true),
        ),
        (
            "HTTP/1.1 200\r\ncontent-length:0 \t\r\n\r\n",
            false,
            (200, Decoder::Done, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            false,
            (200, chunked, true),
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            false,
            (200, Decoder::UntilClose, false),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
            false,
            (200, Decoder::Length(1), false),
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
            false,
            (200, Decoder::Length(1), true),
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n",
            false,
            (200, Decoder::Length(1), false),
        ),
        (
            "HTTP/1.1 599 \u{e9}\r\ncontent-length: 0\r\n\r\n",
            false,
            (599, Decoder::Done, true),
        ),
    ] {
        assert_eq!(framing(head, to_head), Some(wanted), "{head}");
    }
    assert_eq!(
        framing("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", false),
        None
    );
}

#[test]
fn heads_with_no_one_meaning_are_no_answers() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(70_000));
    let endless = format!("HTTP/1.1 200 {}", "O".repeat(70_000));
    let mut hostile: Vec<String> = [
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 999 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\na: b\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ]
    .map(str::to_owned)
    .to_vec();
    hostile.extend([many, long, endless]);
    for fields in [
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1 1",
        "Content-Length: 1, 1",
        "Content-Length: 0x1",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Content-Length : 1",
        " Content-Length: 1",
        "a: b\r\n c",
        "a: b\r\n\tc",
        "no colon",
        ": no name",
        "a: b\rc: d",
        "a: b\0",
        "a\u{e9}: b",
        "Connection: ;",
    ] {
        hostile.push(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
    }
    hostile.push("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned());
    for head in hostile {
        for step in [1, 7, head.len()] {
            let outcome = read(head.as_bytes(), step, false);
            let shown = head.get(..60).unwrap_or(&head);
            assert_eq!(outcome.err(), Some(NoAnswer), "{shown:?} by {step}");
        }
    }
}

/// The content of a body, and what stands behind it.
fn decoded(mut decoder: Decoder, text: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bytes = BytesMut::new();
    let mut content = Vec::new();
    for piece in text.chunks(step) {
        bytes.extend_from_slice(piece);
        if decoder.is_done() {
            continue;
        }
        while let Piece::Data(data) = decoder.decode(&mut bytes).ok()? {
            content.extend_from_slice(&data);
        }
    }
    decoder.is_done().then(|| (content, bytes.to_vec()))
}

#[test]
fn chunked_bodies_end_where_they_say() {
    for (text, content, rest) in [
        ("0\r\n\r\n", "", ""),
        ("3\r\nabc\r\n0\r\n\r\nHTTP/1.1", "abc", "HTTP/1.1"),
        (
            "3;a=b\r\nabc\r\n2 ; c=\"d\"\r\nde\r\n0;x\r\n\r\n",
            "abcde",
            "",
        ),
        (
            "000a\r\n0123456789\r\n0\r\nx-sum: 7\r\nset-cookie: a\r\n\r\n.",
            "0123456789",
            ".",
        ),
    ] {
        for step in 1..=text.len() {
            let got = decoded(Decoder::chunked(), text.as_bytes(), step);
            let wanted = (content.as_bytes().to_vec(), rest.as_bytes().to_vec());
            assert_eq!(got, Some(wanted), "{text:?} by {step}");
        }
    }
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_no_body() {
    let flood = format!("1;{}\r\nx\r\n", "a".repeat(900)).repeat(20);
    let long = format!("1;{}", "a".repeat(2_000));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(40));
    for text in [
        "\r\n",
        "-1\r\n",
        "+1\r\nx",
        "0x1\r\nx",
        "1\nx\r\n",
        "1\rx",
        "g\r\n",
        " 1\r\nx",
        "1 2\r\nx",
        "1\r\nxy\r\n",
        "1\r\nx\n0\r\n\r\n",
        "11111111111111111\r\n",
        "ffffffffffffffff\r\n",
        "1;a\rb\r\nx",
        "1;a\nx",
        "1;a\0\r\nx",
        "0\r\nbad\r\n\r\n",
        "0\r\na: b\n\r\n",
        &flood,
        &long,
        &trailers,
    ] {
        for step in [1, 5, text.len()] {
            let mut decoder = Decoder::chunked();
            let mut bytes = BytesMut::new();
            let broke = text.as_bytes().chunks(step).any(|piece| {
                bytes.extend_from_slice(piece);
                loop {
                    match decoder.decode(&mut bytes) {
                        Err(_) => return true,
                        Ok(Piece::Data(_)) => {}
                        Ok(_) => return false,
                    }
                }
            });
            let shown = text.get(..40).unwrap_or(text);
            assert!(broke, "{shown:?} by {step}");
        }
    }
}

#[test]
fn what_may_not_stand_in_a_trailer_is_left_out() {
    let text = "0\r\nx-sum: 7\r\nset-cookie: a\r\ncontent-length: 3\r\n\r\n";
    let piece = Decoder::chunked().decode(&mut text.into());
    let Ok(Piece::Trailers(fields)) = piece else {
        panic!("{piece:?}");
    };
    assert_eq!((fields.len(), &fields["x-sum"]), (1, &"7".parse().unwrap()));
}

proptest! {
    #[test]
    fn heads_mean_the_same_however_they_are_cut(
        text in "(HTTP/1\\.[01] [0-9]{3}( [ -~]{0,5})?\r\n)?([a-zA-Z:, \r\n-]|Content-Length: [0-9]{1,3}\r\n|Transfer-Encoding: chunked\r\n){0,12}(\r\n)?",
        step in 1usize..9,
    ) {
        let whole = read(text.as_bytes(), text.len().max(1), false);
        let cut = read(text.as_bytes(), step, false);
        // A fault of a line that has not ended may show later, never another reading.
        match (whole, cut) {
            (Ok(Some((_, a))), Ok(Some((_, b)))) => prop_assert_eq!(a, b),
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{:?}", text),
        }
    }

    #[test]
    fn hostile_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = BytesMut::from(&bytes[..]);
        let mut decoder = Decoder::chunked();
        while let Ok(Piece::Data(_)) = decoder.decode(&mut bytes) {}
    }
}
