//! Active health checks over TLS and HTTP/2: what they find, and that nothing holds them up.

use std::net::TcpListener;

use super::backend::{Kind, PLAIN, SecureBackend, TWO};
use super::pki::{self, Authority};
use crate::kit::eventually;
use crate::kit::http::get;
use crate::kit::setup::{Router, Setup};

const STORE: &str = "spiffe://acme/eu/store";

/// A router whose region `eu` is at `url` and checked every now and then.
fn checked(url: String, ca: Option<&Authority>, http: &str) -> Router {
    let (mut setup, _) = Setup::recording();
    let region = ["regions", "eu"];
    let mut set = |keys: &[&str], value: toml::Value| {
        setup.set(&[&region, keys].concat(), value);
    };
    set(&["endpoints"], vec![url].into());
    set(&["http"], http.into());
    set(&["health", "path"], "/healthz".into());
    set(&["health", "interval"], "20ms".into());
    set(&["health", "timeout"], "200ms".into());
    if let Some(ca) = ca {
        set(&["ca_file"], "ca.pem".into());
        set(&["identity"], vec![STORE].into());
        pki::write(setup.folder.path(), "ca.pem", &ca.pem);
    }
    setup.start()
}

/// Waits until the checks of `eu` say this.
fn until(router: &Router, wanted: &str) {
    eventually(wanted, || {
        let all = get(router.admin, "/v1/regions").json();
        let regions = all["regions"].as_array().unwrap();
        let eu = regions.iter().find(|r| r["name"] == "eu").unwrap();
        (eu["health"][0]["checks"] == wanted).then_some(())
    });
}

#[test]
fn a_check_asks_only_the_regions_own_server_in_its_own_protocol() {
    let ca = Authority::new("acme");
    let server = |names: &[&str], alpn: &[&str]| ca.sign(names).server(None, alpn);
    for (http, tls, kind, wanted) in [
        ("1.1", server(&[STORE], &["http/1.1"]), PLAIN, "passing"),
        ("2", server(&[STORE], &["h2"]), TWO, "passing"),
        ("2", server(&[STORE], &["http/1.1"]), PLAIN, "failing"),
        (
            "1.1",
            server(&["spiffe://acme/in/store"], &[]),
            PLAIN,
            "failing",
        ),
    ] {
        let server = SecureBackend::start(Some(tls), kind);
        let router = checked(server.url(), Some(&ca), http);
        until(&router, wanted);
        assert!(server.connections() > 0);
        let seen = server.seen();
        assert_eq!(seen.is_empty(), wanted == "failing", "{http} {seen:?}");
        for request in seen {
            assert_eq!((request.method.as_str(), request.body.len()), ("GET", 0));
            assert!(request.uri.ends_with("/healthz"), "{request:?}");
            assert!(!request.headers.contains_key("domicile-decision"));
        }
    }
}

#[test]
fn a_server_that_keeps_a_check_waiting_fails_it() {
    let ca = Authority::new("acme");
    let server = |alpn: &[&str]| Some(ca.sign(&[STORE]).server(None, alpn));
    let hold = |kind| Kind {
        holds: true,
        ..kind
    };
    // No answer: over TLS, over HTTP/2 in TLS, and over HTTP/2 by prior knowledge.
    for (http, tls, kind) in [
        ("1.1", server(&[]), hold(PLAIN)),
        ("2", server(&["h2"]), hold(TWO)),
        ("2", None, hold(TWO)),
    ] {
        let authority = tls.is_some().then_some(&ca);
        let server = SecureBackend::start(tls, kind);
        let router = checked(server.url(), authority, http);
        until(&router, "failing");
        assert!(!server.seen().is_empty(), "{http}: it was asked");
        // As soon as it answers, it passes.
        server.release(1000);
        until(&router, "passing");
    }
    // No handshake, and no HTTP/2 preface.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let router = checked(format!("https://{address}"), Some(&ca), "1.1");
    until(&router, "failing");
    let router = checked(format!("http://{address}"), None, "2");
    until(&router, "failing");
}
