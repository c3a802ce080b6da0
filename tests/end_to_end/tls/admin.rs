use std::net::SocketAddr;

use super::client::Caller;
use super::pki::{self, Authority};
use super::shared;
use crate::kit::eventually;
use crate::kit::http::Request;
use crate::kit::process::{Process, domicile};
use crate::kit::setup::Setup;

fn admin_address(setup: &Setup) -> SocketAddr {
    let listen = setup.settings["admin"]["listen"].as_str().unwrap();
    listen.parse().unwrap()
}

#[test]
fn operators_are_known_by_certificate() {
    let (ca, operators) = (Authority::new("servers"), Authority::new("operators"));
    let (mut setup, _backends) = Setup::recording();
    let folder = setup.folder.path().to_owned();
    let pair = ca.sign(&["dns:admin.test"]).write(&folder, "admin");
    pki::write(&folder, "operators.pem", &operators.pem);
    setup.set(&["admin", "tls", "certificates"], vec![pair]);
    setup.set(&["admin", "tls", "client_ca"], "operators.pem");
    let admin = admin_address(&setup);
    let config = setup.write();
    let _router = Process::spawn(domicile().arg("run").arg("--config").arg(config));
    let mine = shared(ca.client(
        Some(&operators.sign(&["dns:ops.test"])),
        &["h2", "http/1.1"],
    ));
    // Its own name in `Host`: with a certificate any will do.
    let answer = eventually("the admin listener answers", || {
        let mut caller = Caller::connect(admin, &mine, "admin.test").ok()?;
        assert_eq!(caller.alpn().as_deref(), Some("http/1.1"));
        caller.get("/metrics", "").ok()
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    // A browser shows the certificate for every page.
    let body = r#"{"subject":"anna","kind":"transfer"}"#;
    for (fields, status) in [
        ("", 201),
        (
            "origin: https://admin.test\r\nsec-fetch-site: same-origin\r\n",
            201,
        ),
        ("origin: https://shop.example\r\n", 403),
        (
            "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n",
            403,
        ),
    ] {
        let mut caller = Caller::connect(admin, &mine, "admin.test").unwrap();
        let answer = caller.post_to("admin.test", "/v1/consents", fields, body);
        let answer = answer.unwrap();
        assert_eq!(answer.status, status, "{fields}: {answer:?}");
        if status == 403 {
            let told = answer.json();
            assert_eq!(told["type"], "urn:domicile:problem:admin-origin");
        }
    }
    let none = shared(ca.client(None, &["http/1.1"]));
    let tried = Caller::connect(admin, &none, "admin.test").and_then(|mut c| c.get("/livez", ""));
    assert!(tried.is_err(), "{tried:?}");
}

#[test]
fn a_token_file_is_read_again_when_it_changes() {
    let (mut setup, _backends) = Setup::recording();
    let token = pki::write(setup.folder.path(), "token", "first-token-of-the-admin\n");
    setup.set(&["admin", "token_file"], "token");
    let router = setup.start();
    let status = |token: &str| {
        let request = Request::new("GET", "/version");
        let field = format!("Bearer {token}");
        let answer = request.header("authorization", &field).send(router.admin);
        answer.status
    };
    assert_eq!(status("first-token-of-the-admin"), 200);
    assert_eq!(status("second-token-of-the-admin"), 401);
    std::fs::write(token, "second-token-of-the-admin").unwrap();
    eventually("the new token counts", || {
        (status("second-token-of-the-admin") == 200).then_some(())
    });
    assert_eq!(status("first-token-of-the-admin"), 401);
}
