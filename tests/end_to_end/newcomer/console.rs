//! The console page at `/` of the admin listener.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use aws_lc_rs::digest::{SHA256, digest};

use crate::kit::http::{Answer, Request, get};
use crate::kit::setup::Setup;
use crate::kit::{free_address, problem};

const TOKEN: &str = "an-invented-token-of-32-characters";

fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body.clone()).unwrap()
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> &'t str {
    let (_, rest) = text.split_once(open).unwrap();
    rest.split_once(close).unwrap().0
}

/// RFC 4648 §4, of a digest of SHA-256.
fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|b| format!("{b:08b}")).collect();
    let whole: Vec<u8> = bits.bytes().collect();
    let digit = |part: &[u8]| {
        let part = format!("{:0<6}", std::str::from_utf8(part).unwrap());
        char::from(digits[usize::from_str_radix(&part, 2).unwrap()])
    };
    whole.chunks(6).map(digit).collect::<String>() + "="
}

#[test]
fn nothing_runs_in_the_console_but_what_its_head_names() {
    let router = Setup::new().start();
    let answer = get(router.admin, "/");
    let page = text(&answer);
    let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("x-frame-options"), "DENY");
    let allowed = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(allowed.contains(part), "`{part}` in {allowed}");
    }
    assert!(!allowed.contains("unsafe"), "{allowed}");
    for (kind, open, close) in [
        ("script-src", "<script>", "</script>"),
        ("style-src", "<style>", "</style>"),
    ] {
        let inline = between(&page, open, close);
        let hash = base64(digest(&SHA256, inline.as_bytes()).as_ref());
        let source = format!("{kind} 'sha256-{hash}';");
        assert!(allowed.contains(&source), "`{source}` in {allowed}");
        assert_eq!(page.matches(&open[..open.len() - 1]).count(), 1);
    }
}

#[test]
fn every_page_that_the_console_asks_for_is_there() {
    let router = Setup::new().start();
    let page = text(&get(router.admin, "/"));
    let script = between(&page, "<script>", "</script>");
    let mut asked = Vec::new();
    for quote in ['"', '`'] {
        for part in script.split(quote) {
            let is_path =
                part.starts_with("/v1/") || ["/readyz", "/version", "/metrics"].contains(&part);
            if is_path {
                asked.push(part.split(['?', '$']).next().unwrap().to_owned());
            }
        }
    }
    asked.sort();
    asked.dedup();
    assert!(asked.len() >= 8, "{asked:?}");
    for path in asked {
        let posts = path.contains(':');
        let answer = match posts {
            true => Request::new("POST", &path).json("{").send(router.admin),
            false => get(router.admin, &path),
        };
        assert_eq!(
            answer.status,
            if posts { 400 } else { 200 },
            "{path}: {answer:?}"
        );
    }
}

#[test]
fn with_a_token_the_page_alone_is_served_without_it() {
    let open = Setup::new().start();
    let page = text(&get(open.admin, "/"));
    let mut setup = Setup::new();
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    fs::write(setup.folder.path().join("token"), TOKEN).unwrap();
    setup.set(&["admin", "token_file"], "token");
    let router = setup.start();
    // The same for everybody: nothing of this router stands in it.
    assert!(text(&get(router.admin, "/")) == page);
    for path in ["/version", "/v1/ledger", "/v1/instruments", "/metrics"] {
        problem(&get(router.admin, path), 401);
    }
    let bearer = format!("Bearer {TOKEN}");
    let version = Request::new("GET", "/version").header("authorization", &bearer);
    let version = version.send(router.admin).json();
    assert_eq!(version["mode"], "enforce", "{version}");
    assert!(version["observe_to"].is_null(), "{version}");
    problem(&get(probes, "/"), 404);

    let mut setup = Setup::new();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let version = get(setup.start().admin, "/version").json();
    assert_eq!(
        (&version["mode"], &version["observe_to"]),
        (&"observe".into(), &"sg".into())
    );
}

#[test]
fn without_a_token_the_console_is_as_guarded_as_all_else() {
    let router = Setup::new().start();
    let sent = |headers: &[(&str, &str)]| {
        let request = Request::new("GET", "/");
        let request = headers
            .iter()
            .fold(request, |r, (name, value)| r.header(name, value));
        request.send(router.admin)
    };
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")][..],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-dest", "iframe"),
        ],
        &[("origin", "https://shop.example")],
    ] {
        let told = problem(&sent(headers), 403);
        assert_eq!(told["type"], "urn:domicile:problem:admin-origin");
    }
    // Typed in, or a link that somebody follows.
    text(&sent(&[("sec-fetch-site", "none")]));
    text(&sent(&[
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ]));
    let rebound = ask_as(router.admin, "shop.example");
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    assert!(rebound.contains("admin-host"), "{rebound}");
    let local = ask_as(router.admin, "localhost:9090");
    assert!(local.starts_with("HTTP/1.1 200"), "{local}");
}

fn ask_as(admin: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
