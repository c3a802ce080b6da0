//! Files that change while connections stand.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::backend::{PLAIN, SecureBackend};
use super::client::Caller;
use super::pki::{self, Authority};
use super::{mutual, secured, shared};
use crate::kit::http::{Request, get};
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::volume::Volume;
use crate::kit::{eventually, problem};

const SINGAPORE: &str = r#"{"country":"SG"}"#;

/// Waits until so many exchanges with this result are counted.
fn exchanged(router: &Router, result: &str, count: usize) {
    let line = format!("domicile_tls_reloads_total{{result=\"{result}\"}} {count}\n");
    eventually(&line, || {
        metrics(router.admin).contains(&line).then_some(())
    });
}

fn failing(router: &Router) -> bool {
    metrics(router.admin).contains("\ndomicile_tls_reload_failing 1\n")
}

#[test]
fn a_certificate_is_exchanged_under_open_connections_and_a_broken_one_is_not() {
    let ca = Authority::new("servers");
    let (setup, _backends) = secured(&ca);
    let router = setup.start();
    let folder = router.folder.path().to_owned();
    let config = shared(ca.client(None, &["http/1.1"]));
    let mut old = Caller::connect(router.router, &config, "api.test").unwrap();
    assert_eq!(old.put("p", "", SINGAPORE).unwrap().status, 201);

    let next = ca.sign_until(&["dns:api.test"], 2098);
    next.write(&folder, "api");
    exchanged(&router, "swapped", 1);
    assert_eq!(
        old.put("p", "", SINGAPORE).unwrap().status,
        201,
        "it stands"
    );
    let mut new = Caller::connect(router.router, &config, "api.test").unwrap();
    assert!(new.shown() == next.der());
    assert!(!new.is_resumed(), "tickets of the old certificate are over");
    assert_eq!(new.put("p", "", SINGAPORE).unwrap().status, 201);
    let again = Caller::connect(router.router, &config, "api.test").unwrap();
    assert!(again.is_resumed(), "those of the new one are not");
    let text = metrics(router.admin);
    let expiry = text.lines().find_map(|line| {
        let rest = line.strip_prefix("domicile_certificate_expiry_seconds{file=")?;
        assert!(rest.contains("api.pem"), "{rest}");
        rest.split_once("} ")?.1.parse::<f64>().ok()
    });
    assert!(expiry.is_some_and(|seconds| seconds > 1e9), "{text}");

    // A key that does not fit: what is in force stays so, and says why.
    let stray = ca.sign(&["dns:api.test"]);
    pki::write(&folder, "api.key", &stray.key);
    exchanged(&router, "refused", 1);
    assert!(failing(&router));
    let ready = get(router.admin, "/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["files_behind"][0], "data_plane.tls");
    // A reload that is asked for names it too, each time, though the policy is in force.
    for _ in 0..2 {
        let answer = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(answer.status, 422, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["result"], "unchanged", "{told}");
        let faults = told["faults"].as_array().unwrap();
        let fault = faults.iter().find(|f| f["severity"] == "error").unwrap();
        let message = fault["message"].as_str().unwrap();
        assert!(message.contains("is not the key"), "{told}");
        assert!(fault["line"].is_number(), "{told}");
    }
    assert!(
        router
            .process
            .text()
            .contains("is not the key of the certificate")
    );
    for caller in [&mut old, &mut new] {
        assert_eq!(caller.put("p", "", SINGAPORE).unwrap().status, 201);
    }
    let fresh = shared(ca.client(None, &["http/1.1"]));
    let fresh = Caller::connect(router.router, &fresh, "api.test").unwrap();
    assert!(fresh.shown() == next.der());
    stray.write(&folder, "api");
    exchanged(&router, "swapped", 2);
    assert!(!failing(&router));
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn authorities_that_are_believed_no_more_let_nobody_back_in() {
    let ca = Authority::new("servers");
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let (setup, backends) = mutual(&ca, &before, "required");
    let router = setup.start();
    let config = shared(ca.client(Some(&before.sign(&["dns:app.test"])), &["http/1.1"]));
    let mut open = Caller::connect(router.router, &config, "api.test").unwrap();
    assert_eq!(open.put("p", "", SINGAPORE).unwrap().status, 201);
    let mut resumed = Caller::connect(router.router, &config, "api.test").unwrap();
    assert!(resumed.is_resumed(), "resumption works");
    assert_eq!(resumed.put("p", "", SINGAPORE).unwrap().status, 201);

    pki::write(router.folder.path(), "callers.pem", &after.pem);
    exchanged(&router, "swapped", 1);
    let seen = backends.of("sg").seen().len();
    // The connections were not cut, but what they rest on is gone.
    for caller in [&mut open, &mut resumed] {
        let told = problem(&caller.put("p", "", SINGAPORE).unwrap(), 403);
        assert_eq!(told["type"], "urn:domicile:problem:caller-certificate");
    }
    let tried = Caller::connect(router.router, &config, "api.test")
        .and_then(|mut caller| caller.put("p", "", SINGAPORE));
    assert!(tried.is_err(), "a ticket is no way round: {tried:?}");
    assert_eq!(backends.of("sg").seen().len(), seen);
    let config = shared(ca.client(Some(&after.sign(&["dns:app.test"])), &["http/1.1"]));
    let mut caller = Caller::connect(router.router, &config, "api.test").unwrap();
    assert_eq!(caller.put("p", "", SINGAPORE).unwrap().status, 201);
}

#[test]
fn a_regions_authorities_are_exchanged_and_older_connections_not_used_again() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let identity = "spiffe://acme/sg/store";
    let server = SecureBackend::start(Some(before.sign(&[identity]).server(None, &[])), PLAIN);
    let (mut setup, _) = Setup::recording();
    pki::write(setup.folder.path(), "sg-ca.pem", &before.pem);
    setup.set(&["regions", "sg", "endpoints"], vec![server.url()]);
    setup.set(&["regions", "sg", "ca_file"], "sg-ca.pem");
    setup.set(&["regions", "sg", "identity"], vec![identity]);
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    for _ in 0..2 {
        assert_eq!(router.put("p", SINGAPORE).status, 200);
    }
    assert_eq!(server.connections(), 1, "it is kept");

    pki::write(router.folder.path(), "sg-ca.pem", &after.pem);
    exchanged(&router, "swapped", 1);
    problem(&router.put("p", SINGAPORE), 503);
    assert_eq!(server.seen().len(), 2);
    server.become_(after.sign(&[identity]).server(None, &[]));
    eventually("the region is believed again", || {
        router.put("p", SINGAPORE).is_success().then_some(())
    });
}

/// With one identity for two regions, only their authorities tell them apart.
#[test]
fn a_region_is_given_no_authority_by_which_it_would_be_another() {
    let (europe, india) = (Authority::new("europe"), Authority::new("india"));
    let store = "spiffe://acme/store";
    let start =
        |ca: &Authority| SecureBackend::start(Some(ca.sign(&[store]).server(None, &[])), PLAIN);
    let (eu, other) = (start(&europe), start(&india));
    let (mut setup, _) = Setup::recording();
    for (name, server, ca) in [("eu", &eu, &europe), ("in", &other, &india)] {
        let file = format!("{name}-ca.pem");
        pki::write(setup.folder.path(), &file, &ca.pem);
        setup.set(&["regions", name, "endpoints"], vec![server.url()]);
        setup.set(&["regions", name, "ca_file"], file);
        setup.set(&["regions", name, "identity"], vec![store]);
    }
    let router = setup.start();
    let put = || router.put("p", r#"{"country":"DE"}"#).status;
    assert_eq!(put(), 200);
    pki::write(
        router.folder.path(),
        "eu-ca.pem",
        &format!("{}{}", europe.pem, india.pem),
    );
    exchanged(&router, "refused", 1);
    assert!(failing(&router));
    assert!(
        router
            .process
            .text()
            .contains("would both be `spiffe://acme/store`")
    );
    // India's server in Europe's place.
    eu.become_(india.sign(&[store]).server(None, &[]));
    pki::write(
        router.folder.path(),
        "eu-ca.pem",
        &format!("# anew\n{}", europe.pem),
    );
    exchanged(&router, "swapped", 1);
    assert_eq!(put(), 503);
}

#[test]
fn a_key_that_every_user_can_read_is_told_with_each_exchange() {
    let ca = Authority::new("servers");
    let (setup, _backends) = secured(&ca);
    let key = setup.folder.path().join("api.key");
    let allow = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
    allow(0o600);
    let router = setup.start();
    let told = || {
        let log = router.process.text();
        log.contains("every user can read the private key")
    };
    for (count, mode) in [(1, 0o600), (2, 0o644)] {
        allow(mode);
        let next = ca.sign(&["dns:api.test"]);
        next.write(router.folder.path(), "api");
        exchanged(&router, "swapped", count);
        assert_eq!(told(), mode == 0o644);
    }
}

/// Certificate and key of a Secret, exchanged by the kubelet in one rename; a broken one stays out.
#[test]
fn a_mounted_secret_is_exchanged_as_a_whole() {
    let ca = Authority::new("servers");
    let (mut setup, _backends) = secured(&ca);
    let first = ca.sign(&["dns:api.test"]);
    let path = setup.folder.path().join("secret");
    let mut secret = Volume::new(path, &[("tls.crt", &first.chain), ("tls.key", &first.key)]);
    let pair: toml::Table = [("chain", "tls.crt"), ("key", "tls.key")]
        .map(|(name, file)| {
            (
                name.to_owned(),
                secret.file(file).display().to_string().into(),
            )
        })
        .into_iter()
        .collect();
    setup.set(&["data_plane", "tls", "certificates"], vec![pair]);
    let router = setup.start();
    let shown = || {
        let config = shared(ca.client(None, &["http/1.1"]));
        let mut caller = Caller::connect(router.router, &config, "api.test").unwrap();
        assert_eq!(caller.put("p", "", SINGAPORE).unwrap().status, 201);
        caller.shown()
    };
    assert!(shown() == first.der());
    let next = ca.sign(&["dns:api.test"]);
    secret.exchange(&[("tls.crt", &next.chain), ("tls.key", &next.key)]);
    exchanged(&router, "swapped", 1);
    assert!(shown() == next.der());
    secret.exchange(&[("tls.crt", &next.chain), ("tls.key", &first.key)]);
    exchanged(&router, "refused", 1);
    assert!(failing(&router));
    assert!(shown() == next.der());
}
