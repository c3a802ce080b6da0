//! The listeners of `[admin]` and `[probes]`: what they tell whom, and how little they take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::kit::http::{Client, Request, get};
use crate::kit::setup::Setup;
use crate::kit::{eventually, free_address, problem};

/// More than a listener serves at once.
const MANY: usize = 200;

#[test]
fn connections_that_ask_nothing_are_few_and_end() {
    let (mut setup, _backends) = Setup::recording();
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    setup.set(&["limits", "header_read"], "1s");
    let router = setup.start();
    for listener in [probes, router.admin] {
        let mut working = Client::new(listener);
        let ask = Request::new("GET", "/readyz");
        assert_eq!(working.send(&ask).unwrap().status, 200);
        let mut idle: Vec<_> = (0..MANY)
            .map(|n| {
                let mut stream = TcpStream::connect(listener).unwrap();
                let _ = match n % 3 {
                    0 => stream.write_all(b"GET /live"),
                    1 => stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"),
                    _ => Ok(()),
                };
                stream
            })
            .collect();
        assert_eq!(get(listener, "/readyz").status, 200);
        // Those that were pushed out have ended at once, the rest when their time is over.
        let begun = Instant::now();
        for (n, stream) in idle.iter_mut().enumerate() {
            let patience = Duration::from_secs(20);
            stream.set_read_timeout(Some(patience)).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            assert!(begun.elapsed() < patience, "number {n} is open still");
        }
    }
}

#[test]
fn the_descriptors_of_callers_are_not_used_up_beside_them() {
    let (mut setup, _backends) = Setup::recording();
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    let router = setup.start();
    let descriptors = || {
        let folder = format!("/proc/{}/fd", router.process.id());
        std::fs::read_dir(folder).unwrap().count()
    };
    let before = descriptors();
    let _idle: Vec<_> = [probes, router.admin]
        .into_iter()
        .flat_map(|listener| (0..MANY).map(move |_| TcpStream::connect(listener).unwrap()))
        .collect();
    assert_eq!(get(probes, "/readyz").status, 200);
    assert_eq!(get(router.admin, "/readyz").status, 200);
    eventually("those that were pushed out are closed", || {
        (descriptors() <= before + 2 * 64 + 2).then_some(())
    });
    assert!(router.put("anna", r#"{"country":"IN"}"#).is_success());
}

#[test]
fn a_web_page_of_others_is_refused_and_the_own_one_is_not() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let own = format!("http://{}", router.admin);
    let sent = |headers: &[(&str, &str)]| {
        let body = r#"{"subject":"anna","kind":"transfer"}"#;
        let mut request = Request::new("POST", "/v1/consents").json(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send(router.admin)
    };
    for headers in [
        &[("origin", "https://shop.example")][..],
        &[("origin", "null")],
        &[("origin", "http://localhost:3000")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://shop.example"),
        ],
    ] {
        let told = problem(&sent(headers), 403);
        assert_eq!(told["type"], "urn:domicile:problem:admin-origin");
    }
    for headers in [
        &[][..],
        &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        assert_eq!(sent(headers).status, 201, "{headers:?}");
    }
    // A link in another page changes nothing; a frame of it or a script is refused.
    for (mode, dest, status) in [
        ("navigate", "document", 200),
        ("navigate", "iframe", 403),
        ("no-cors", "script", 403),
    ] {
        let asked = Request::new("GET", "/v1/regions")
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-dest", dest);
        assert_eq!(asked.send(router.admin).status, status, "{mode} {dest}");
    }
    let posted = sent(&[
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ]);
    problem(&posted, 403);
}

#[test]
fn probes_tell_whether_and_not_why() {
    let (mut setup, _backends) = Setup::recording();
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    setup.set(&["data_plane", "drain_delay"], "20s");
    let router = setup.start();
    let told = get(probes, "/readyz");
    assert_eq!(told.status, 200);
    assert_eq!(told.json(), serde_json::json!({ "ready": true }));
    assert!(get(router.admin, "/readyz").json()["policy"].is_string());
    router.process.signal("TERM");
    eventually("it stops", || {
        let told = get(probes, "/readyz");
        (told.status == 503).then(|| {
            assert_eq!(told.json(), serde_json::json!({ "ready": false }));
        })
    });
}

#[test]
fn a_withdrawal_for_one_destination_tells_of_consents_to_any() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let post = |path: &str, body: &str| Request::new("POST", path).json(body).send(router.admin);
    let any = r#"{"subject":"anna","kind":"transfer"}"#;
    assert_eq!(post("/v1/consents", any).status, 201);
    let one = r#"{"subject":"anna","kind":"transfer","to":["US"]}"#;
    assert_eq!(post("/v1/consents", one).status, 201);
    let end = r#"{"subject":"anna","kind":"transfer","to":"US"}"#;
    let done = post("/v1/consents:withdraw", end).json();
    assert_eq!(done["withdrawn"][0]["id"], "c2");
    assert_eq!(done["still_standing"][0]["id"], "c1");
    let end = r#"{"subject":"anna","kind":"transfer","to":"IN"}"#;
    let told = problem(&post("/v1/consents:withdraw", end), 404);
    assert_eq!(told["still_standing"][0]["id"], "c1");
}
