//! What raw heads say of the body and of the connection.

use super::heads::{accepted, line, one, refused, with};
use crate::admit::http1::{
    HeadFault as F,
    harness::{HEADER_BYTES, Read},
};

#[test]
fn a_length_is_one_number() {
    for value in ["0", "00", "0000000000000000000", " 0 ", "\t0"] {
        accepted(with(format!("Content-Length: {value}\r\n")));
    }
    for value in [
        "",
        " ",
        "-0",
        "+0",
        "-1",
        "+1",
        "1 ",
        "0x0",
        "0x10",
        "1_0",
        "1,0",
        "0,0",
        "0, 0",
        "1.0",
        "1e1",
        "1 0",
        "one",
        "\u{661}",
        "9223372036854775808000",
        "00000000000000000000",
        "18446744073709551616",
        "99999999999999999999",
        "\"0\"",
        "0;",
        "0\u{a0}",
        "0 0",
        ",0",
        "0,",
    ] {
        if value.trim() == "1" {
            continue;
        }
        refused(
            with(format!("Content-Length: {value}\r\n")),
            F::ContentLength,
        );
    }
    for lines in [
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\ncontent-length: 5\r\n",
        "Content-Length: 0\r\nX: a\r\nCONTENT-LENGTH:\r\n",
    ] {
        refused(with(lines), F::ManyLengths);
    }
}

#[test]
fn the_only_transfer_coding_is_chunked_once() {
    for value in ["chunked", "Chunked", "CHUNKED", " chunked ", "\tchunked"] {
        let head = with(format!("Transfer-Encoding: {value}\r\n"));
        accepted([head.as_slice(), b"0\r\n\r\n"].concat());
    }
    for value in [
        "",
        "identity",
        "chunked, identity",
        "chunked,chunked",
        "chunked, chunked",
        "chunked;q=1",
        "chunked ;",
        "xchunked",
        "chunkedx",
        "chunk",
        "\"chunked\"",
        "chunked, gzip",
        "gzip",
        "x",
        "identity, chunked, chunked",
        "chunked,",
        ",chunked",
        ", chunked",
        "chunked\u{a0}",
        "\u{a0}chunked",
        "chun ked",
        "chunked chunked",
        "cow",
        "chunked\tx",
        "[chunked]",
        "gzip;q=1, chunked",
    ] {
        refused(
            with(format!("Transfer-Encoding: {value}\r\n")),
            F::TransferEncoding,
        );
    }
    for value in [
        "gzip, chunked",
        "deflate,chunked",
        "identity, chunked",
        "x, y, Chunked",
    ] {
        refused(
            with(format!("Transfer-Encoding: {value}\r\n")),
            F::TransferCoding,
        );
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
    ] {
        refused(with(lines), F::TransferEncoding);
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: x\r\nTransfer-Encoding: x\r\n",
        "Content-Length:\r\nTransfer-Encoding:\r\n",
    ] {
        refused(with(lines), F::TwoFramings);
    }
    refused(with("Transfer-Encoding : chunked\r\n"), F::SpaceAroundName);
    refused(with("Transfer-Encoding:\x0bchunked\r\n"), F::FieldValue);
    refused(with("Transfer-Encoding:\r\n chunked\r\n"), F::Folded);
    let old = "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(old, F::OldTransferEncoding);
}

#[test]
fn connection_names_only_what_is_the_connections() {
    for value in [
        "close",
        "keep-alive",
        "Keep-Alive, TE",
        "upgrade, HTTP2-Settings",
        "te",
        "",
        ",",
        "close,",
        "x-private",
        "Trailer",
    ] {
        accepted(with(format!("Connection: {value}\r\n")));
    }
    for value in [
        "host",
        "Host",
        "close, host",
        "content-length",
        "Transfer-Encoding",
        "authorization",
        "Cookie",
        "content-type",
        "Forwarded",
        "X-Forwarded-For",
        "domicile-country",
        "Domicile-Target, close",
        "expect",
        "via",
        "x-http-method-override",
        "a b",
        "a/b",
        "\"close\"",
        "close;x",
        "clo\u{e9}se",
    ] {
        refused(with(format!("Connection: {value}\r\n")), F::Connection);
    }
    refused(
        with("Connection: close\r\nConnection: host\r\n"),
        F::Connection,
    );
}

#[test]
fn connections_are_kept_as_their_version_says() {
    for (version, lines, keeps) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive, close\r\n", false),
    ] {
        let text = format!("GET /p HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let Read::Request(request) = one(text.as_bytes()) else {
            panic!("{text:?}");
        };
        assert_eq!(request.keeps_alive, keeps, "{text:?}");
    }
}

#[test]
fn expectations_are_one() {
    for value in ["100-continue", "100-Continue"] {
        accepted(with(format!("Expect: {value}\r\n")));
    }
    for value in [
        "",
        "200-ok",
        "100-continue, 100-continue",
        "100",
        "100-continue; a=b",
        "x",
    ] {
        refused(with(format!("Expect: {value}\r\n")), F::Expectation);
    }
    refused(
        with("Expect: 100-continue\r\nExpect: 100-continue\r\n"),
        F::Expectation,
    );
}

#[test]
fn heads_have_limits() {
    let fields = |count: usize| -> String { (0..count).map(|n| format!("X{n}: a\r\n")).collect() };
    accepted(with(fields(99)));
    refused(with(fields(100)), F::TooMany);
    let room = HEADER_BYTES - with("X: \r\n").len();
    accepted(with(format!("X: {}\r\n", "a".repeat(room))));
    refused(
        with(format!("X: {}\r\n", "a".repeat(room + 1))),
        F::TooLarge,
    );
    refused(with(format!("X: {}", "a".repeat(3 * room))), F::TooLarge);
    let room = HEADER_BYTES - line("GET / HTTP/1.1").len();
    accepted(line(&format!("GET /{} HTTP/1.1", "a".repeat(room))));
    refused(
        line(&format!("GET /{} HTTP/1.1", "a".repeat(HEADER_BYTES))),
        F::LongTarget,
    );
    let text = "a".repeat(HEADER_BYTES + 1);
    refused(text, F::LongMethod);
}
