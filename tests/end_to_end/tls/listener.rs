use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{NamedGroup, ProtocolVersion};

use super::client::Caller;
use super::pki::Authority;
use super::{mutual, secured, shared};
use crate::kit::setup::metrics;
use crate::kit::{decision, entries_of, eventually, problem};

#[test]
fn both_versions_are_spoken_and_the_strongest_key_exchange_is_preferred() {
    let ca = Authority::new("servers");
    let (setup, backends) = secured(&ca);
    let router = setup.start();
    let versions = [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ];
    for (offered, spoken) in versions {
        let config = shared(ca.client_of(None, &["http/1.1"], &[offered]));
        let mut caller = Caller::connect(router.router, &config, "api.test").unwrap();
        let answer = caller.put("p", "", r#"{"country":"SG"}"#).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        let sticks = answer.header("strict-transport-security");
        assert_eq!(sticks, Some("max-age=31536000"));
        assert_eq!(caller.session().protocol_version(), Some(spoken));
        let absolute = caller.get("https://api.test/people/p", "").unwrap();
        assert_eq!(absolute.status, 201, "{absolute:?}");
    }
    let config = shared(ca.client(None, &[]));
    let caller = Caller::connect(router.router, &config, "api.test").unwrap();
    let group = caller.session().negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    let seen = &backends.of("sg").seen()[0];
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert!(seen.header("forwarded").unwrap().contains("proto=https"));
}

#[test]
fn alpn_alone_chooses_the_version_of_http() {
    let ca = Authority::new("servers");
    let (setup, backends) = secured(&ca);
    let router = setup.start();
    let offers: [(&[&str], Option<&str>); 4] = [
        (&["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["h2"], Some("h2")),
        (&[], None),
    ];
    for (offered, agreed) in offers {
        let config = shared(ca.client(None, offered));
        let caller = Caller::connect(router.router, &config, "api.test").unwrap();
        assert_eq!(caller.alpn().as_deref(), agreed, "{offered:?}");
    }
    let config = shared(ca.client(None, &["smtp"]));
    assert!(Caller::connect(router.router, &config, "api.test").is_err());

    // HTTP/2's preface without its ALPN is no HTTP/2.
    let config = shared(ca.client(None, &["http/1.1"]));
    let tcp = TcpStream::connect(router.router).unwrap();
    let name = ServerName::try_from("api.test").unwrap();
    let session = rustls::ClientConnection::new(config, name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, tcp);
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(&[0, 0]), "a SETTINGS frame: {answer:?}");

    let status = h2_put(&router.router, ca.client(None, &["h2"]));
    assert_eq!(status, 201);
    assert_eq!(backends.of("sg").seen().len(), 1);
}

fn h2_put(to: &std::net::SocketAddr, config: rustls::ClientConfig) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(to).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(shared(config));
        let name = ServerName::try_from("api.test").unwrap();
        let stream = connector.connect(name, tcp).await.unwrap();
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = http::Request::put("https://api.test/people/p")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(br#"{"country":"SG"}"#)))
            .unwrap();
        sender
            .send_request(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    })
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let ca = Authority::new("servers");
    let (mut setup, _backends) = secured(&ca);
    let folder = setup.folder.path().to_owned();
    let pairs = [
        ("first", ca.sign(&["dns:api.test", "dns:other.test"])),
        ("second", ca.sign(&["dns:eu.test"])),
        ("wild", ca.sign(&["dns:*.wild.test"])),
    ];
    let written: Vec<_> = pairs.iter().map(|(n, p)| p.write(&folder, n)).collect();
    setup.set(&["data_plane", "tls", "certificates"], written);
    let router = setup.start();
    let config = shared(ca.client(None, &[]));
    for (name, number) in [
        ("api.test", 0),
        ("eu.test", 1),
        ("EU.test", 1),
        ("a.wild.test", 2),
    ] {
        let caller = Caller::connect(router.router, &config, name).unwrap();
        assert!(caller.shown() == pairs[number].1.der(), "{name}");
    }
    for name in ["b.a.wild.test", "wild.test", "unknown.test"] {
        // It gets the first, which is not for this name.
        assert!(
            Caller::connect(router.router, &config, name).is_err(),
            "{name}"
        );
    }
}

#[test]
fn callers_without_the_certificate_that_is_required_do_not_get_in() {
    let (ca, callers, strangers) = (
        Authority::new("servers"),
        Authority::new("callers"),
        Authority::new("strangers"),
    );
    let (mut setup, backends) = mutual(&ca, &callers, "required");
    setup.set(&["log", "level"], "debug");
    let router = setup.start();
    let mine = callers.sign(&["spiffe://acme/sg/app"]);
    let ended = callers.sign_until(&["spiffe://acme/sg/app"], 2021);
    let foreign = strangers.sign(&["spiffe://acme/sg/app"]);
    let put = |own: Option<&super::pki::Pair>| {
        let config = shared(ca.client(own, &["http/1.1"]));
        let mut caller = Caller::connect(router.router, &config, "api.test")?;
        caller.put("p", "", r#"{"country":"SG"}"#)
    };
    // With TLS 1.3 the client learns of it when it first reads.
    for refused in [None, Some(&ended), Some(&foreign)] {
        assert!(put(refused).is_err());
    }
    assert!(backends.touched().is_empty());
    assert_eq!(put(Some(&mine)).unwrap().status, 201);
    // Those three, and the harness's own look whether the port is open.
    let text = metrics(router.admin);
    for (result, count) in [
        ("no-certificate", 1),
        ("bad-certificate", 2),
        ("broken-off", 1),
    ] {
        let failed = format!("domicile_tls_handshakes_total{{result=\"{result}\"}} {count}\n");
        assert!(text.contains(&failed), "{failed}{text}");
    }
    // Why, and not who.
    let log = router.process.text();
    for why in ["UnknownIssuer", "certificate expired"] {
        assert!(log.contains(why), "{log}");
    }
    assert!(!log.contains("spiffe://acme/sg/app"), "{log}");
}

#[test]
fn a_trusted_name_steers_and_attests_and_no_other_does() {
    let (ca, callers) = (Authority::new("servers"), Authority::new("callers"));
    let strangers = Authority::new("strangers");
    let (mut setup, backends) = mutual(&ca, &callers, "optional");
    let trusted = vec!["spiffe://acme/sg/app", "dns:batch.sg.test"];
    setup.set(&["data_plane", "trusted"], trusted);
    let router = setup.start();
    let put = |id: &str, own: Option<&super::pki::Pair>| {
        let config = shared(ca.client(own, &["http/1.1"]));
        let mut caller = Caller::connect(router.router, &config, "api.test")?;
        caller.put(id, "domicile-country: IN\r\n", "{}")
    };
    for (id, names) in [
        ("a", &["spiffe://acme/sg/app"][..]),
        ("b", &["dns:x.test", "dns:batch.sg.test"]),
    ] {
        let answer = put(id, Some(&callers.sign(names))).unwrap();
        assert_eq!(answer.header("domicile-region"), Some("in"), "{answer:?}");
        let entry = &entries_of(router.admin, decision(&answer))[0];
        assert!(entry.to_string().contains("attested"), "{entry}");
    }
    // Sound certificates, but of others; and none at all.
    let others = [
        Some(callers.sign(&["spiffe://acme/sg/app2"])),
        Some(callers.sign(&["spiffe://acme/sg/app", "spiffe://acme/sg/too"])),
        Some(callers.sign(&["dns:spiffe.acme.sg.app"])),
        None,
    ];
    for other in &others {
        problem(&put("c", other.as_ref()).unwrap(), 422);
    }
    let forged = strangers.sign(&["spiffe://acme/sg/app"]);
    assert!(put("d", Some(&forged)).is_err());
    assert_eq!(backends.touched(), ["in"]);
    assert_eq!(backends.of("in").seen().len(), 2);
}

#[test]
fn who_speaks_without_tls_is_told_and_nothing_is_passed_on() {
    let ca = Authority::new("servers");
    let (setup, backends) = secured(&ca);
    let router = setup.start();
    let mut plain = TcpStream::connect(router.router).unwrap();
    plain
        .write_all(
            b"PUT /people/p HTTP/1.1\r\nhost: a\r\ncontent-length: 16\r\n\r\n{\"country\":\"SG\"}",
        )
        .unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("urn:domicile:problem:not-tls"), "{answer}");
    let mut noise = TcpStream::connect(router.router).unwrap();
    noise.write_all(&[0x80, 1, 2, 3]).unwrap();
    let mut answer = Vec::new();
    let _ = noise.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    assert!(backends.touched().is_empty());
}

#[test]
fn a_handshake_that_is_not_finished_is_ended_and_others_go_on() {
    let ca = Authority::new("servers");
    let (mut setup, _backends) = secured(&ca);
    setup.set(&["limits", "header_read"], "1s");
    let router = setup.start();
    // Silent ones, and ones that begin a record and never end it.
    let held: Vec<TcpStream> = (0..64)
        .map(|i| {
            let mut stream = TcpStream::connect(router.router).unwrap();
            if i % 2 == 0 {
                stream.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
            }
            stream
        })
        .collect();
    let config = shared(ca.client(None, &["http/1.1"]));
    let mut caller = Caller::connect(router.router, &config, "api.test").unwrap();
    let answer = caller.put("p", "", r#"{"country":"SG"}"#).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    drop(caller);
    eventually("the idle handshakes are ended", || {
        let text = metrics(router.admin);
        (text.contains("\ndomicile_connections 0\n")
            && text.contains("domicile_tls_handshakes_total{result=\"late\"} 64"))
        .then_some(())
    });
    drop(held);
}

#[test]
fn check_reads_the_files_and_warns_of_an_open_key() {
    use std::os::unix::fs::PermissionsExt;
    let ca = Authority::new("servers");
    let (setup, _backends) = secured(&ca);
    let config = setup.write();
    let check = || {
        let config = config.to_str().unwrap();
        let checked = crate::kit::process::run_to_end(&["check", "--config", config], "");
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        (checked.status.code(), text)
    };
    let key = setup.folder.path().join("api.key");
    let mode = |mode| std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("every user can read the private key"),
        "{text}"
    );
    mode(0o600);
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("every user"), "{text}");
    // The key of another certificate, told where the settings name it.
    ca.sign(&["dns:api.test"])
        .write(setup.folder.path(), "other");
    std::fs::rename(setup.folder.path().join("other.key"), &key).unwrap();
    let (code, text) = check();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is not the key of the certificate"), "{text}");
    assert!(text.contains("domicile.toml:"), "{text}");
}
