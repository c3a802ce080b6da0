//! `domicile probe`: what an image without a shell asks its own health with.

use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use crate::kit::backend::{Backend, Reply};
use crate::kit::free_address;
use crate::kit::process::run_to_end;
use crate::kit::setup::Setup;
use crate::tls::pki::{self, Authority};

fn probe(url: &str, more: &[&str]) -> Output {
    run_to_end(&[&["probe", url], more].concat(), "")
}

/// The exit code and what was complained.
fn told(output: &Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

fn address_url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

#[test]
fn a_router_is_well_until_it_is_not() {
    let mut setup = Setup::new();
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    let router = setup.start();
    for path in ["/livez", "/readyz"] {
        assert_eq!(
            told(&probe(&address_url(probes, path), &[])),
            (Some(0), String::new())
        );
    }
    let (code, said) = told(&probe(&address_url(probes, "/nothing"), &[]));
    assert_eq!(code, Some(1));
    assert!(said.contains("answered 404"), "{said}");
    drop(router);
    let (code, said) = told(&probe(&address_url(probes, "/livez"), &[]));
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot connect"), "{said}");
}

#[test]
fn every_other_answer_is_a_no_with_its_reason() {
    let replies = [
        (
            Reply::Raw(
                b"HTTP/1.1 302 Found\r\nlocation: /livez\r\ncontent-length: 0\r\n\r\n".to_vec(),
            ),
            "answered 302",
        ),
        (
            Reply::Raw(
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 15\r\n\r\n{\"ready\":false}"
                    .to_vec(),
            ),
            "answered 503 Service Unavailable: {\"ready\":false}",
        ),
        (
            Reply::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()),
            "no sound HTTP/1.1 answer",
        ),
        (Reply::Raw(Vec::new()), "no sound HTTP/1.1 answer"),
        (
            Reply::Reset(b"HTTP/1.1 2".to_vec()),
            "no sound HTTP/1.1 answer",
        ),
    ];
    for (reply, reason) in replies {
        let backend = Backend::scripted({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let (code, said) = told(&probe(&address_url(backend.address, "/"), &[]));
        assert_eq!(code, Some(1), "{reply:?}: {said}");
        assert!(said.contains(reason), "{reply:?}: {said}");
    }
}

#[test]
fn silence_is_a_no_when_its_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = address_url(listener.local_addr().unwrap(), "/");
    let (code, said) = told(&probe(&url, &["--timeout", "50ms"]));
    assert_eq!(code, Some(1));
    assert!(said.contains("no answer within 50ms"), "{said}");
}

#[test]
fn https_is_believed_by_the_named_authorities_alone() {
    let (ca, other) = (Authority::new("servers"), Authority::new("others"));
    let (mut setup, _backends) = Setup::recording();
    let folder = setup.folder.path().to_owned();
    let pair = ca.sign(&["ip:127.0.0.1"]).write(&folder, "api");
    setup.set(&["data_plane", "tls", "certificates"], vec![pair]);
    let good = pki::write(&folder, "ca.pem", &ca.pem);
    let bad = pki::write(&folder, "other.pem", &other.pem);
    let port = setup.settings["data_plane"]["listen"].as_str().unwrap();
    let port = port.rsplit(':').next().unwrap().to_owned();
    let router = setup.start();
    let by = |ca: &std::path::Path, host: &str, path: &str| {
        let url = format!("https://{host}:{port}{path}");
        told(&probe(&url, &["--ca", ca.to_str().unwrap()]))
    };
    let stored = by(&good, "127.0.0.1", "/people/nobody");
    assert_eq!(stored.0, Some(1), "{stored:?}");
    assert!(stored.1.contains("answered 404"), "{stored:?}");
    for (ca, host) in [(&bad, "127.0.0.1"), (&good, "localhost")] {
        let (code, said) = by(ca, host, "/people/nobody");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("TLS handshake failed"), "{said}");
    }
    drop(router);
}

#[test]
fn what_cannot_be_asked_is_wrong_usage() {
    for (url, more, reason) in [
        (
            "127.0.0.1:9091/readyz",
            &[][..],
            "http://127.0.0.1:9091/readyz",
        ),
        ("ftp://127.0.0.1/", &[], "neither http nor https"),
        ("https://127.0.0.1/", &[], "--ca FILE"),
        (
            "https://127.0.0.1/",
            &["--ca", "/nowhere/ca.pem"],
            "/nowhere/ca.pem",
        ),
        ("http://127.0.0.1/", &["--timeout", "soon"], "`3s`"),
    ] {
        let (code, said) = told(&probe(url, more));
        assert_eq!(code, Some(2), "{url}: {said}");
        assert!(said.contains(reason), "{url}: {said}");
    }
}
