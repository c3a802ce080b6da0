use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::backend::{Kind, PLAIN, SecureBackend, TWO};
use super::pki::{self, Authority};
use crate::kit::http::Request;
use crate::kit::problem;
use crate::kit::setup::Setup;

/// The `eu` region at this server, known by this authority and identity.
fn eu(server: &SecureBackend, ca: &Authority, identity: Option<&str>) -> Setup {
    let (mut setup, _) = Setup::recording();
    region(&mut setup, "eu", server, ca, identity);
    setup
}

fn region(
    setup: &mut Setup,
    name: &str,
    server: &SecureBackend,
    ca: &Authority,
    identity: Option<&str>,
) {
    let file = format!("{name}-ca.pem");
    pki::write(setup.folder.path(), &file, &ca.pem);
    setup.set(&["regions", name, "endpoints"], vec![server.url()]);
    setup.set(&["regions", name, "ca_file"], file);
    if let Some(identity) = identity {
        setup.set(&["regions", name, "identity"], vec![identity]);
    }
}

/// Two files with one authority are one authority.
#[test]
fn regions_of_one_identity_are_refused_though_the_authority_was_copied() {
    let ca = Authority::new("acme");
    let pair = ca.sign(&["spiffe://acme/store"]);
    let start = || SecureBackend::start(Some(pair.server(None, &[])), PLAIN);
    let (server, india) = (start(), start());
    let mut setup = eu(&server, &ca, Some("spiffe://acme/store"));
    region(&mut setup, "in", &india, &ca, Some("spiffe://acme/store"));
    let config = setup.write();
    let check = ["check", "--config", config.to_str().unwrap()];
    let refused = crate::kit::process::run_to_end(&check, "");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(
        said.contains("would both be `spiffe://acme/store`"),
        "{said}"
    );

    // Of another authority the name is another's.
    let other = Authority::new("other");
    region(
        &mut setup,
        "in",
        &india,
        &other,
        Some("spiffe://acme/store"),
    );
    setup.write();
    let sound = crate::kit::process::run_to_end(&check, "");
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
}

const GERMAN: &str = r#"{"country":"DE"}"#;

#[test]
fn another_regions_server_gets_nothing_though_the_same_authority_signed_it() {
    let ca = Authority::new("acme");
    let india = ca.sign(&["spiffe://acme/in/store", "ip:127.0.0.1"]);
    let mixed_up = SecureBackend::start(Some(india.server(None, &[])), PLAIN);
    let mut setup = eu(&mixed_up, &ca, Some("spiffe://acme/eu/store"));
    setup.set(&["log", "level"], "warn");
    let router = setup.start();
    for _ in 0..3 {
        let answer = router.put("p", GERMAN);
        let told = problem(&answer, 503);
        let detail = told["detail"].as_str().unwrap();
        for part in [
            "`eu`",
            "`spiffe://acme/eu/store`",
            "`spiffe://acme/in/store`",
        ] {
            assert!(detail.contains(part), "{detail}");
        }
    }
    assert!(mixed_up.connections() > 0, "it was tried");
    assert_eq!(mixed_up.sessions(), 0, "no handshake went through");
    assert!(mixed_up.seen().is_empty());
    crate::kit::eventually("the log tells of it", || {
        let log = router.process.text();
        log.contains("nothing was sent").then_some(())
    });

    // The right server at the same address is welcome at once.
    let right = ca.sign(&["spiffe://acme/eu/store"]);
    mixed_up.become_(right.server(None, &[]));
    crate::kit::eventually("the region is back", || {
        router.put("p", GERMAN).is_success().then_some(())
    });
    assert_eq!(mixed_up.seen().len(), 1);
}

/// Who resumes a session shows no certificate, so what shares the keys of tickets would do as well.
#[test]
fn a_server_shows_its_certificate_to_every_connection_unless_it_may_resume() {
    for resumes in [false, true] {
        let ca = Authority::new("acme");
        let europe = ca.sign(&["spiffe://acme/eu/store"]).server(None, &[]);
        let mut india = ca.sign(&["spiffe://acme/in/store"]).server(None, &[]);
        india.session_storage = Arc::clone(&europe.session_storage);
        let kind = Kind {
            holds: true,
            ..PLAIN
        };
        let server = SecureBackend::start(Some(europe), kind);
        let mut setup = eu(&server, &ca, Some("spiffe://acme/eu/store"));
        setup.set(&["regions", "eu", "resume"], resumes);
        // Each worker has connections of its own, and another's would have one to spare.
        setup.set(&["data_plane", "workers"], 1);
        let router = setup.start();
        server.release(1);
        assert_eq!(router.put("p", GERMAN).status, 200);

        // Every connection has a request in hand, so the next one needs another.
        std::thread::scope(|scope| {
            let held: Vec<_> = (2..4)
                .map(|count| {
                    let held = scope.spawn(|| router.put("p", GERMAN));
                    crate::kit::eventually("the request is there", || {
                        (server.seen().len() == count).then_some(())
                    });
                    held
                })
                .collect();
            server.become_(india);
            let next = scope.spawn(|| router.put("q", GERMAN));
            if resumes {
                crate::kit::eventually("the session is resumed", || {
                    (server.seen().len() == 4).then_some(())
                });
                server.release(3);
                assert_eq!(next.join().unwrap().status, 200);
            } else {
                problem(&next.join().unwrap(), 503);
                assert_eq!(server.seen().len(), 3);
                server.release(2);
            }
            for held in held {
                assert_eq!(held.join().unwrap().status, 200);
            }
        });
    }
}

#[test]
fn a_server_must_be_signed_by_its_own_regions_authority_and_valid_now() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let identity = "spiffe://acme/eu/store";
    let cases = [
        (theirs.sign(&[identity]), "authority"),
        (ours.sign_until(&[identity], 2021), "time"),
        (ours.sign(&["dns:localhost"]), "name"),
    ];
    for (pair, what) in cases {
        let server = SecureBackend::start(Some(pair.server(None, &[])), PLAIN);
        let router = eu(&server, &ours, Some(identity)).start();
        problem(&router.put("p", GERMAN), 503);
        assert_eq!((server.sessions(), server.seen().len()), (0, 0), "{what}");
    }
}

#[test]
fn without_an_identity_the_endpoints_own_host_counts() {
    let ca = Authority::new("acme");
    for (names, status) in [(["ip:127.0.0.1"], 200), (["ip:127.0.0.2"], 503)] {
        let server = SecureBackend::start(Some(ca.sign(&names).server(None, &[])), PLAIN);
        let router = eu(&server, &ca, None).start();
        assert_eq!(router.put("p", GERMAN).status, status, "{names:?}");
    }
}

#[test]
fn the_routers_own_certificate_is_shown_to_servers_that_ask() {
    let (ca, routers) = (Authority::new("acme"), Authority::new("routers"));
    let identity = "spiffe://acme/eu/store";
    let asks = ca.sign(&[identity]).server(Some(&routers), &[]);
    let server = SecureBackend::start(Some(asks), PLAIN);
    let mut setup = eu(&server, &ca, Some(identity));
    let own = routers.sign(&["spiffe://acme/sg/router"]);
    let table = own.write(setup.folder.path(), "router");
    setup.set(&["regions", "eu", "tls"], table);
    let router = setup.start();
    assert_eq!(router.put("p", GERMAN).status, 200);
    assert!(server.client() == Some(own.der()));
    drop(router);
    let router = eu(&server, &ca, Some(identity)).start();
    assert!(!router.put("p", GERMAN).is_success(), "it has none to show");
}

/// In TLS 1.3 the server says so when the handshake is over for us, and the request is out.
#[test]
fn a_server_that_refuses_our_certificate_has_read_nothing() {
    let (ca, routers) = (Authority::new("acme"), Authority::new("routers"));
    let identity = "spiffe://acme/eu/store";
    for (http, alpn, kind) in [("1.1", "http/1.1", PLAIN), ("2", "h2", TWO)] {
        let asks = ca.sign(&[identity]).server(Some(&routers), &[alpn]);
        let server = SecureBackend::start(Some(asks), kind);
        let mut setup = eu(&server, &ca, Some(identity));
        setup.set(&["regions", "eu", "http"], http);
        let router = setup.start();
        // What may be done once alone is as safe as any other.
        for method in ["PUT", "PATCH"] {
            let before = server.connections();
            let request = Request::new(method, "/people/p").json(GERMAN);
            let told = problem(&request.send(router.router), 503);
            assert_eq!(told["type"], "urn:domicile:problem:region-unavailable");
            let detail = told["detail"].as_str().unwrap();
            assert!(
                detail.contains("it refused us: CertificateRequired"),
                "{detail}"
            );
            assert_eq!(server.connections(), before + 1, "HTTP/{http} {method}");
        }
        assert!(server.seen().is_empty());
    }
}

#[test]
fn a_server_that_does_not_agree_to_http2_is_no_server_of_such_a_region() {
    let ca = Authority::new("acme");
    let identity = "spiffe://acme/eu/store";
    let pair = ca.sign(&[identity]);
    for (alpn, kind, status) in [
        (&["h2"][..], TWO, 200),
        (&["http/1.1"][..], PLAIN, 503),
        (&[][..], Kind { ..PLAIN }, 503),
    ] {
        let server = SecureBackend::start(Some(pair.server(None, alpn)), kind);
        let mut setup = eu(&server, &ca, Some(identity));
        setup.set(&["regions", "eu", "http"], "2");
        let router = setup.start();
        let answer = router.put("p", GERMAN);
        assert_eq!(answer.status, status, "{alpn:?} {answer:?}");
        if status == 200 {
            let seen = &server.seen()[0];
            assert_eq!(seen.version, http::Version::HTTP_2);
            assert_eq!(seen.uri, format!("{}/people/p", server.url()));
            assert_eq!(seen.body, GERMAN);
            assert!(!seen.headers.contains_key("host"));
        } else {
            assert!(server.seen().is_empty());
        }
    }
}

#[test]
fn a_recipient_is_known_by_its_certificate_as_a_region_is() {
    let ca = Authority::new("acme");
    let mut setup = Setup::of_example("smart-devices");
    let name = setup.settings["recipients"]
        .as_table()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let file = pki::write(setup.folder.path(), "maps.pem", "no certificate at all");
    let keys = ["recipients", name.as_str()];
    setup.set(
        &[keys[0], keys[1], "endpoints"],
        vec!["https://maps.test:1"],
    );
    setup.set(&[keys[0], keys[1], "ca_file"], "maps.pem");
    let config = setup.write();
    let check = || {
        let config = config.to_str().unwrap();
        let checked = crate::kit::process::run_to_end(&["check", "--config", config], "");
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        (checked.status.code(), text)
    };
    let (code, text) = check();
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("holds no certificate") && text.contains("ca_file"),
        "{text}"
    );
    std::fs::write(file, &ca.pem).unwrap();
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
}

/// A server's certificate is judged anew with each request, as callers' are: a connection that was
/// made with it serves none past its end.
#[test]
fn a_kept_connection_is_worth_no_more_than_its_servers_certificate() {
    let ca = Authority::new("acme");
    let identity = "spiffe://acme/eu/store";
    for (kind, http, alpn) in [(PLAIN, "1.1", "http/1.1"), (TWO, "2", "h2")] {
        let lasting = ca.sign(&[identity]).server(None, &[alpn]);
        let server = SecureBackend::start(Some(lasting.clone()), kind);
        let mut setup = eu(&server, &ca, Some(identity));
        setup.set(&["regions", "eu", "http"], http);
        let router = setup.start();
        let since_1970 = || SystemTime::UNIX_EPOCH.elapsed().unwrap();
        // A busy machine may need longer than the first of these lasts.
        let ends = [3, 30, 300].into_iter().find_map(|seconds| {
            let last = since_1970().as_secs() + seconds;
            let short = ca.sign_until_second(&[identity], last);
            server.become_(short.server(None, &[alpn]));
            (router.put("p", GERMAN).status == 200).then(|| Duration::from_secs(last + 1))
        });
        let seen = server.seen().len();
        std::thread::sleep(ends.unwrap().saturating_sub(since_1970()));
        let told = problem(&router.put("p", GERMAN), 503);
        assert!(
            told["detail"].as_str().unwrap().contains("xpired"),
            "{told}"
        );
        assert_eq!(server.seen().len(), seen);
        server.become_(lasting);
        assert_eq!(router.put("p", GERMAN).status, 200, "HTTP/{http}");
    }
}
