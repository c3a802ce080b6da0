//! Raw heads, accepted or refused, and with which status.

use crate::admit::http1::{
    HeadFault as F,
    harness::{Read, read},
};

/// The only reading of the bytes.
pub(super) fn one(raw: &[u8]) -> Read {
    let mut found = read([raw]);
    assert_eq!(
        found.len(),
        1,
        "{:?}: {found:?}",
        String::from_utf8_lossy(raw)
    );
    found.remove(0)
}

#[track_caller]
pub(super) fn accepted(raw: impl AsRef<[u8]>) {
    let raw = raw.as_ref();
    let found = one(raw);
    assert!(
        matches!(found, Read::Request(_)),
        "{:?}: {found:?}",
        String::from_utf8_lossy(raw)
    );
}

#[track_caller]
pub(super) fn refused(raw: impl AsRef<[u8]>, fault: F) {
    let raw = raw.as_ref();
    let text = String::from_utf8_lossy(raw);
    assert_eq!(one(raw), Read::RefusedHead(fault), "{text:?}");
    // Nothing that stands before it is served, and nothing after it is looked at.
    let before = [b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", raw].concat();
    let after = [raw, b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let found = read([before.as_slice()]);
    assert_eq!(found.last(), Some(&Read::RefusedHead(fault)), "{text:?}");
    assert_eq!(found.len(), 2, "{text:?}");
    // A head that the end of the bytes cut off goes on with what follows.
    if read([after.as_slice()]).len() != 1 {
        panic!("{text:?}: something after it was served");
    }
}

/// A sound head but for this request line.
pub(super) fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

/// A sound head but for these lines, each with its line end.
pub(super) fn with(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST /p HTTP/1.1\r\nHost: a\r\n", lines.as_ref(), b"\r\n"].concat()
}

fn host(value: &str) -> String {
    format!("GET /p HTTP/1.1\r\nHost: {value}\r\n\r\n")
}

#[test]
fn request_lines_are_three_words_and_single_spaces() {
    for text in [
        "GET / HTTP/1.1",
        "GET /p HTTP/1.0",
        "M-SEARCH /p HTTP/1.1",
        "!#$%&'*+-.^_`|~09azAZ /p HTTP/1.1",
        "get /p HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /p HTTP/1.1",
        "GET http://a/p HTTP/1.1",
        "GET HTTP://A/p?q HTTP/1.1",
        "GET https://a HTTP/1.1",
        "GET http://a?q HTTP/1.1",
    ] {
        accepted(line(text));
    }
    for text in [
        "GET  /p HTTP/1.1",
        "GET /p  HTTP/1.1",
        "GET /p HTTP/1.1 ",
        "GET /p",
        "GET  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET ",
    ] {
        refused(line(text), F::RequestLine);
    }
    refused(line("GET /p "), F::VersionSyntax);
    // Its CR is no character of a method.
    refused(line("GET"), F::Method);
    refused(line("/p HTTP/1.1"), F::Method);
    for text in [
        " GET /p HTTP/1.1",
        "\tGET /p HTTP/1.1",
        "GET\t/p HTTP/1.1",
        "G\0T /p HTTP/1.1",
        "G(T /p HTTP/1.1",
        "GET, /p HTTP/1.1",
        "\"GET\" /p HTTP/1.1",
        "G\u{e9}T /p HTTP/1.1",
        "GE\rT /p HTTP/1.1",
        "GET:/p HTTP/1.1",
        "{}",
        "\u{16}\u{3}\u{1}",
    ] {
        refused(line(text), F::Method);
    }
    accepted(line(&format!("{} /p HTTP/1.1", "M".repeat(32))));
    refused(
        line(&format!("{} /p HTTP/1.1", "M".repeat(33))),
        F::LongMethod,
    );
}

#[test]
fn versions_are_one_of_two() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        refused(line(&format!("GET /p {version}")), F::Version);
    }
    for version in [
        "http/1.1",
        "Http/1.1",
        "HTTP/1.1.",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP1.1",
        "HTTP 1.1",
        "HTTPS/1.1",
        "HTTP/1,1",
        "HTTP/a.b",
        "FTP/1.1",
        "HTTP/1.1\t",
        "HTTP/1.1\0",
        "\u{ff28}TTP/1.1",
    ] {
        let fault = match version {
            "HTTP 1.1" => F::RequestLine,
            _ => F::VersionSyntax,
        };
        refused(line(&format!("GET /p {version}")), fault);
    }
    refused(b"GET /p HTTP/1.1\r\r\nHost: a\r\n\r\n", F::BareReturn);
}

#[test]
fn targets_hold_what_rfc_3986_has_a_place_for() {
    for target in [
        "/",
        "//",
        "//p",
        "/a//b",
        "/p?",
        "/p?a=b&c=%20",
        "/%41%c3%bc",
        "/a;b=c,d",
        "/~a-b_c.d",
        "/a:b@c!$&'()*+",
        "/p?/?:@",
        "/p?f[a]=b|c^d`e{g}",
        "/p?q=http://a/b",
        "/a%2fb",
    ] {
        accepted(line(&format!("GET {target} HTTP/1.1")));
    }
    for target in [
        "/p#f", "/p?q#f", "/a\tb", "/a\0b", "/a\x7fb", "/a\x01b", "/\u{e9}", "/a\"b", "/a<b",
        "/a>b", "/a\\b", "/a^b", "/a`b", "/a{b", "/a|b", "/a[b", "/p?\"", "/p?<", "/p?\\", "/%",
        "/%4", "/%4g", "/%g4", "/p?%", "/p?a%zz", "/%u00e9", "#", "\\p", "<p",
    ] {
        refused(line(&format!("GET {target} HTTP/1.1")), F::TargetCharacter);
    }
    refused(
        b"GET /a\xffb HTTP/1.1\r\nHost: a\r\n\r\n",
        F::TargetCharacter,
    );
    refused(line("GET /a\rb HTTP/1.1"), F::BareReturn);
}

#[test]
fn targets_have_the_form_of_their_method() {
    for text in [
        "GET p HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "GET *p HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ftp://a/p HTTP/1.1",
        "GET file:///p HTTP/1.1",
        "GET http:/p HTTP/1.1",
        "GET http:a HTTP/1.1",
        "GET ?q HTTP/1.1",
        "GET ../p HTTP/1.1",
    ] {
        refused(line(text), F::TargetForm);
    }
    for text in [
        "GET http:// HTTP/1.1",
        "GET http:///p HTTP/1.1",
        "GET http://u@a/p HTTP/1.1",
        "GET http://u:p@a/p HTTP/1.1",
        "GET http://a:x/p HTTP/1.1",
        "GET http://a,b/p HTTP/1.1",
        "GET http://a%2e/p HTTP/1.1",
        "CONNECT /p HTTP/1.1",
        "CONNECT http://a/ HTTP/1.1",
        "CONNECT * HTTP/1.1",
        "CONNECT u@a:80 HTTP/1.1",
        "CONNECT a:99999 HTTP/1.1",
    ] {
        refused(line(text), F::Host);
    }
    refused(line("CONNECT a HTTP/1.1"), F::TargetForm);
    refused(line("CONNECT a: HTTP/1.1"), F::TargetForm);
    accepted("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    refused(
        "CONNECT a:80 HTTP/1.1\r\nHost: b:80\r\n\r\n",
        F::HostConflict,
    );
}

#[test]
fn an_absolute_target_agrees_with_host() {
    for (target, host) in [
        ("http://a/p", "a"),
        ("http://A/p", "a"),
        ("https://a:443/p", "A:443"),
        ("http://[::1]:80/p", "[::1]:80"),
    ] {
        accepted(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    for (target, host) in [
        ("http://a/p", "b"),
        ("http://a/p", "a:80"),
        ("http://a:80/p", "a"),
        ("http://a/p", "a."),
        ("http://[::1]/p", "[::2]"),
        ("http://a.b/p", "b"),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refused(text, F::HostConflict);
    }
    accepted("GET http://a/p HTTP/1.0\r\n\r\n");
}

/// RFC 9112 §3.2.1.
#[test]
fn an_absolute_target_without_a_path_is_of_the_root() {
    for (target, path) in [
        ("http://a", "/"),
        ("http://a?b=/c?d", "/?b=/c?d"),
        ("http://a:80?b", "/?b"),
        ("http://a/?b", "/?b"),
        ("http://a/b?c", "/b?c"),
    ] {
        let (uri, form) =
            crate::admit::http1::target::parse(target.as_bytes(), &http::Method::GET).unwrap();
        assert_eq!(form, crate::admit::http1::target::Target::Absolute);
        assert_eq!(uri.path_and_query().unwrap().as_str(), path, "{target}");
    }
}

#[test]
fn there_is_one_sound_host() {
    for value in [
        "a",
        "a.example",
        "A.EXAMPLE",
        "a-b_c~d",
        "xn--bcher-kva.example",
        "a:80",
        "a:",
        "a:0",
        "a:65535",
        "192.0.2.1",
        "192.0.2.1:8080",
        "[::1]",
        "[2001:db8::1]:443",
        "a.",
        "[::ffff:192.0.2.1]",
        " a ",
        "\ta\t",
        "127.1",
    ] {
        accepted(host(value));
    }
    for value in [
        "",
        " ",
        ":80",
        "u@a",
        "u:p@a",
        "a@",
        "@a",
        "a:b",
        "a:80:80",
        "a:-1",
        "a:+80",
        "a:65536",
        "a:000080",
        "a:8o",
        "a: 80",
        "a :80",
        "a b",
        "a,b",
        "a, a",
        "a;b",
        "a/b",
        "a/",
        "/",
        "http://a",
        "a?b",
        "a#b",
        "a%2eb",
        "a\\b",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:x",
        "[v1.a]",
        "[::1%25eth0]",
        "[]",
        "[a]",
        "a\u{e9}",
        "a\"",
        "\"a\"",
        "<a>",
        "a|b",
        "*",
        "a*b",
        "a=b",
    ] {
        refused(host(value), F::Host);
    }
    refused(b"GET /p HTTP/1.1\r\n\r\n", F::NoHost);
    refused(b"GET /p HTTP/1.1\r\nHosts: a\r\n\r\n", F::NoHost);
    refused(b"GET http://a/p HTTP/1.1\r\n\r\n", F::NoHost);
    accepted(b"GET /p HTTP/1.0\r\n\r\n");
    refused(b"GET /p HTTP/1.0\r\nHost: a,b\r\n\r\n", F::Host);
    for two in [
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "HOST:\r\nHost: a\r\n",
    ] {
        refused(format!("GET /p HTTP/1.1\r\n{two}\r\n"), F::ManyHosts);
        refused(format!("GET /p HTTP/1.0\r\n{two}\r\n"), F::ManyHosts);
    }
}

#[test]
fn lines_end_in_cr_lf() {
    for raw in [
        "GET /p HTTP/1.1\nHost: a\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\n\n",
        "GET /p HTTP/1.1\nHost: a\n\n",
        "\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\nX: \n\r\n\r\n",
    ] {
        refused(raw, F::BareLineFeed);
    }
    for raw in [
        "GET /p HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\nX: \rb\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\nX\rY: b\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n",
        "GET /p\rX HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        refused(raw, F::BareReturn);
    }
    refused("GET /p HTTP/1.1\rHost: a\r\n\r\n", F::RequestLine);
}

#[test]
fn one_empty_line_may_stand_first() {
    accepted("\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n");
    let twice = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(read([twice.as_bytes()]).len(), 2);
    refused("\r\n\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n", F::EmptyLines);
    refused("\rGET /p HTTP/1.1\r\nHost: a\r\n\r\n", F::Method);
    assert!(read([b"\r\n".as_slice()]).is_empty());
}

#[test]
fn field_names_are_tokens_right_before_their_colon() {
    for lines in [
        "X:\r\n",
        "X: \r\n",
        "X:a\r\n",
        "x-!#$%&'*+.^_`|~9: a\r\n",
        "X_Y: a\r\n",
        "X: a:b\r\n",
    ] {
        accepted(with(lines));
    }
    for lines in [
        "X : a\r\n",
        "X\t: a\r\n",
        "Host : a\r\n",
        "Content-Length : 1\r\n",
    ] {
        refused(with(lines), F::SpaceAroundName);
    }
    for lines in [
        " X: a\r\n",
        "\tX: a\r\n",
        " \r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X: a\r\n \r\n",
        " chunked\r\n",
    ] {
        refused(with(lines), F::Folded);
    }
    refused("GET /p HTTP/1.1\r\n Host: a\r\n\r\n", F::Folded);
    for lines in [
        ": a\r\n",
        "X\r\n",
        "X a\r\n",
        "X Y: a\r\n",
        "X(: a\r\n",
        "X,Y: a\r\n",
        "\"X\": a\r\n",
        "X/Y: a\r\n",
        "X\0: a\r\n",
        "X\x7f: a\r\n",
        "X\u{e9}: a\r\n",
        "X@: a\r\n",
        "X[]: a\r\n",
        "X{}: a\r\n",
        "X;Y: a\r\n",
        "X=Y: a\r\n",
        "<X>: a\r\n",
        "X\\: a\r\n",
        "X?: a\r\n",
    ] {
        refused(with(lines), F::FieldName);
    }
    refused(with("Transfer-Encoding\x0b: chunked\r\n"), F::FieldName);
}

#[test]
fn every_byte_of_a_name_and_of_a_value_is_judged_as_the_rfc_says() {
    for byte in 0..=255u8 {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = [b"X".as_slice(), &[byte], b"Y: a\r\n"].concat();
        let value = [b"X: a".as_slice(), &[byte], b"b\r\n"].concat();
        // A colon ends the name, a line feed the line.
        if byte != b':' && byte != b'\n' {
            let is_request = matches!(one(&with(name)), Read::Request(_));
            assert_eq!(is_request, is_token, "{byte:#x} in a name");
        }
        let may_stand = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        let is_request = matches!(one(&with(value)), Read::Request(_));
        assert_eq!(is_request, may_stand, "{byte:#x} in a value");
    }
}

#[test]
fn values_hold_no_controls() {
    for value in [
        "\0", "a\0b", "\x01", "a\x0bb", "a\x0cb", "\x1b[0m", "\x7f", "a\x08",
    ] {
        refused(with(format!("X: {value}\r\n")), F::FieldValue);
    }
    accepted(with(b"X: \xff\xfe\x80\r\n"));
    accepted(with("X: J\u{fc}rgen\r\n"));
    accepted(with("X: a\tb\r\n"));
    refused(with("Host\r\n"), F::FieldName);
}

#[test]
fn names_that_read_like_others_behind_a_gateway_are_refused() {
    for name in [
        "Content_Length",
        "content_length",
        "TRANSFER_ENCODING",
        "Transfer_Encoding",
        "X_Forwarded_For",
        "X-Forwarded_For",
        "Domicile_Country",
        "domicile_target",
        "X_HTTP_Method_Override",
        "Content_Type",
        "Content_Range",
        "True_Client_IP",
        "CF_Connecting-IP",
        "X_Forwarded_Client_Cert",
    ] {
        refused(with(format!("{name}: 1\r\n")), F::Underscore);
    }
    accepted(with("X_Trace_Id: 1\r\n"));
}

#[test]
fn each_fault_has_its_status() {
    for (fault, status) in [
        (F::BareLineFeed, 400),
        (F::RequestLine, 400),
        (F::LongMethod, 501),
        (F::LongTarget, 414),
        (F::Version, 505),
        (F::VersionSyntax, 400),
        (F::TooLarge, 431),
        (F::TooMany, 431),
        (F::Folded, 400),
        (F::ManyHosts, 400),
        (F::TwoFramings, 400),
        (F::TransferEncoding, 400),
        (F::TransferCoding, 501),
        (F::Expectation, 417),
        (F::TooSlow, 408),
    ] {
        assert_eq!(fault.facts().0, status, "{fault:?}");
    }
}
