//! Files that cannot be read: a pipe in the place of one, a device, a volume that does not answer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use domicile::router::Running;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::kit::http::{Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Setup, metrics};
use crate::kit::{eventually, problem};
use crate::tls::pki::Authority;
use crate::tls::secured;

fn pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// What `check` says of broken settings.
#[track_caller]
fn refused(config: &Path) -> String {
    let done = run_to_end(&["check", "--config", config.to_str().unwrap()], "");
    let text = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    assert_eq!(done.status.code(), Some(2), "{text}");
    text
}

/// Whoever opens it as a file waits for its writer.
#[test]
fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let (setup, _backends) = secured(&Authority::new("servers"));
    let config = setup.folder.path().join("domicile.toml");
    let mut router = setup.start();
    for name in [
        "policies/law/zz.toml",
        "policies/organisation.toml",
        "api.key",
        "api.pem",
        "domicile.toml",
    ] {
        let path = router.folder.path().join(name);
        let aside = router.folder.path().join("aside");
        let stood = fs::rename(&path, &aside).is_ok();
        pipe(&path);
        let reload = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(reload.status, 422, "{name}: {reload:?}");
        let told = String::from_utf8_lossy(&reload.body).into_owned();
        assert!(told.contains("this is a pipe"), "{name}: {told}");
        assert_eq!(get(router.admin, "/readyz").status, 200, "{name}");
        assert!(metrics(router.admin).contains("domicile_log_lost_total 0"));
        let told = refused(&config);
        assert!(told.contains("this is a pipe"), "{name}: {told}");
        fs::remove_file(&path).unwrap();
        if stood {
            fs::rename(&aside, &path).unwrap();
        }
        let reload = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(reload.status, 200, "{name}: {reload:?}");
    }
    let (status, _) = router.process.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn each_file_that_settings_name_is_one_with_an_end() {
    for (keys, file) in [
        (&["admin", "token_file"][..], "token"),
        (&["directory", "secret_file"], "secret"),
        (&["geoip", "database"], "geoip"),
        (&["regions", "eu", "ca_file"], "ca"),
        (&["jwt", "keys"], "jwks"),
        (&["organisation"], "organisation"),
    ] {
        let mut setup = Setup::new();
        setup.set(keys, file);
        if file == "ca" {
            let endpoints = toml::Value::Array(vec!["https://store.eu.internal:8443".into()]);
            setup.set(&["regions", "eu", "endpoints"], endpoints);
        }
        if file == "jwks" {
            setup.set(&["jwt", "algorithms"], vec!["ES256"]);
            setup.set(&["jwt", "issuer"], vec!["https://issuer.example"]);
        }
        let path = setup.folder.path().join(file);
        let config = setup.write();
        pipe(&path);
        let told = refused(&config);
        assert!(told.contains("this is a pipe"), "{file}: {told}");
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        let told = refused(&config);
        assert!(told.contains("this is a device"), "{file}: {told}");
    }
}

/// The thread that reads files holds `last_reload` while it does.
#[test]
fn a_volume_that_does_not_answer_holds_up_neither_probes_nor_the_end() {
    domicile::tls::install_provider();
    let (setup, _backends) = Setup::recording();
    let router = Running::start(&setup.write(), None).unwrap();
    let shared = Arc::clone(&router.shared);
    let hangs = shared.last_reload.lock().unwrap();
    let ask = || {
        let answer = Request::new("POST", "/-/reload").send(router.admin);
        let document = problem(&answer, 503);
        assert_eq!(document["type"], "urn:domicile:problem:reload-hangs");
    };
    ask();
    // The thread may have begun a moment after it was asked.
    eventually("`/readyz` tells it", || {
        let ready = get(router.admin, "/readyz");
        assert_eq!(ready.status, 200);
        (ready.json()["reload"] == "hangs").then_some(())
    });
    assert!(metrics(router.admin).contains("\ndomicile_reload_failing 1\n"));
    ask();
    router.stop().unwrap();
    drop(hangs);
}
