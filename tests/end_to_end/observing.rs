//! The mode `observe` says of everybody what the mode `enforce` would have done, and where the
//! record went all the same.

use std::fs;

use serde_json::Value;

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Router, Setup};
use crate::kit::{decision, entries_of, eventually};

fn observing() -> (Setup, crate::kit::setup::Backends) {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    (setup, backends)
}

/// The decision's entry, whatever the region answered.
fn sent(router: &Router, method: &'static str, path: &str) -> Value {
    let answer = Request::new(method, path).send(router.router);
    entries_of(router.admin, decision(&answer))[0].clone()
}

#[test]
fn who_was_stored_while_observing_is_known_to_later_requests() {
    let (setup, backends) = observing();
    let mut router = setup.start();
    for (id, country) in [("mei", "CN"), ("erika", "DE")] {
        let body = format!(r#"{{"id":"{id}","country":"{country}"}}"#);
        assert!(router.put(id, &body).is_success());
    }
    let batch = "{\"id\":\"b1\",\"country\":\"IN\"}\n";
    let answer = Request::new("POST", "/people")
        .ndjson(batch)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");

    let read = sent(&router, "GET", "/people/mei");
    assert_eq!(read["problem"], "transfer-forbidden", "{read}");
    assert_eq!(read["region"], "cn");
    assert_eq!(read["evidence"], serde_json::json!(["pinned"]));
    let read = sent(&router, "GET", "/people/erika");
    assert_eq!(read["mechanism"], "scc", "{read}");
    assert_eq!(read["problem"], Value::Null);
    // Told from where it went: all of it to one region.
    assert_eq!(read["region"], "eu");
    assert_eq!(read["reached"], "sg");
    let read = sent(&router, "GET", "/people/b1");
    assert_eq!(read["region"], "in", "{read}");
    let erased = sent(&router, "DELETE", "/people/erika");
    assert_eq!(erased["operation"], "erase");
    assert_eq!(erased["region"], "eu", "{erased}");
    // The record goes, its subject stays known.
    let read = sent(&router, "GET", "/people/erika");
    assert_eq!(read["region"], "eu", "{read}");
    let read = sent(&router, "GET", "/people/stranger");
    assert_eq!(read["problem"], "unknown-subject", "{read}");
    assert_eq!(backends.touched(), ["sg"]);

    // Nothing of it is a pin: a start begins anew.
    router.restart();
    let read = sent(&router, "GET", "/people/mei");
    assert_eq!(read["problem"], "unknown-subject", "{read}");
}

/// While the router enforced in between, people may have got homes.
#[test]
fn what_was_supposed_ends_with_the_mode() {
    let (setup, _backends) = observing();
    let router = setup.start();
    assert!(router.put("mei", r#"{"country":"CN"}"#).is_success());
    let file = router.folder.path().join("domicile.toml");
    let observing = fs::read_to_string(&file).unwrap();
    let enforcing = observing
        .replace("mode = \"observe\"\n", "")
        .replace("observe_to = \"sg\"\n", "");
    for settings in [enforcing, observing] {
        fs::write(&file, settings).unwrap();
        let answer = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(answer.json()["result"], "swapped", "{answer:?}");
    }
    let read = sent(&router, "GET", "/people/mei");
    assert_eq!(read["problem"], "unknown-subject", "{read}");
}

#[test]
fn whose_erasure_ends_a_pin_is_known_no_more() {
    let (mut setup, _backends) = observing();
    setup.set_route("record", "erase", "subject");
    let router = setup.start();
    assert!(router.put("erika", r#"{"country":"DE"}"#).is_success());
    sent(&router, "DELETE", "/people/erika");
    let read = sent(&router, "GET", "/people/erika");
    assert_eq!(read["problem"], "unknown-subject", "{read}");
}

#[test]
fn an_erasure_that_a_hold_would_have_refused_says_so() {
    let (setup, backends) = observing();
    let router = setup.start();
    assert!(router.put("erika", r#"{"country":"DE"}"#).is_success());
    router.hold_everything();
    let erased = sent(&router, "DELETE", "/people/erika");
    assert_eq!(erased["outcome"], "observe", "{erased}");
    assert_eq!(erased["problem"], "legal-hold", "{erased}");
    assert_eq!(erased["rules"], serde_json::json!(["case-7"]), "{erased}");
    // What happens is what happened before.
    let sent = backends.of("sg").seen();
    assert!(sent.iter().any(|seen| seen.method == "DELETE"), "{sent:?}");
}

/// What contradicts is told as it would have been refused.
#[test]
fn evidence_against_a_home_that_would_have_been_is_told() {
    let (setup, _backends) = observing();
    let router = setup.start();
    assert!(router.put("mei", r#"{"country":"CN"}"#).is_success());
    let answer = router.put("mei", r#"{"country":"DE"}"#);
    assert!(answer.is_success(), "{answer:?}");
    let entry = &entries_of(router.admin, decision(&answer))[0];
    assert_eq!(entry["problem"], "home-contradicted", "{entry}");
}

/// Its items are not idempotent, though it be a PUT.
#[test]
fn a_bulk_request_is_not_sent_twice() {
    let (mut setup, _regions) = crate::bulk::setup();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let sg = Backend::scripted(|_| Reply::Reset(Vec::new()));
    setup.region("sg", sg.address);
    let router = setup.start();
    let lines = "{\"index\":{\"_index\":\"people\",\"_id\":\"e1\"}}\n{\"country\":\"DE\"}\n";
    let answer = Request::new("PUT", "/_bulk")
        .ndjson(lines)
        .send(router.router);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(sg.requests().len(), 1);
    // A record's PUT is.
    assert_eq!(router.put("erika", r#"{"country":"DE"}"#).status, 502);
    assert_eq!(sg.requests().len(), 4);
}

#[test]
fn an_entry_names_where_its_flow_went() {
    let (setup, _backends) = observing();
    let router = setup.start();
    let answer = router.put("erika", r#"{"country":"DE"}"#);
    let entry = &entries_of(router.admin, decision(&answer))[0];
    assert_eq!(entry["region"], "eu", "{entry}");
    assert_eq!(entry["reached"], "sg", "{entry}");
    let answer = router.put("nobody", "{}");
    let entry = &entries_of(router.admin, decision(&answer))[0];
    assert_eq!(entry["reached"], "sg", "{entry}");
}

#[test]
fn pins_that_observing_does_not_follow_are_warned_of_at_start_and_reload() {
    let (mut setup, _backends) = Setup::recording();
    let config = setup.write();
    let import = |region: &str, ids: &str| {
        let config = config.to_str().unwrap();
        let arguments = [
            "directory",
            "import",
            "--config",
            config,
            "--region",
            region,
        ];
        let output = run_to_end(&arguments, ids);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    import("eu", "erika\nanna\n");
    import("sg", "tan\n");
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let said = "people have a home already";
    let mut router = setup.start();
    eventually("the start warns", || {
        router.process.text().contains(said).then_some(())
    });
    assert!(
        router.process.text().contains("pins=3"),
        "{}",
        router.process.text()
    );

    let file = router.folder.path().join("domicile.toml");
    let mut settings: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    settings.insert("mode".to_owned(), "enforce".into());
    settings.remove("observe_to");
    fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
    router.restart();
    assert!(!router.process.text().contains(said));
    settings.insert("mode".to_owned(), "observe".into());
    settings.insert("observe_to".to_owned(), "sg".into());
    fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
    for _ in 0..2 {
        let answer = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    eventually("the reload warns", || {
        router.process.text().contains(said).then_some(())
    });
    assert_eq!(router.process.text().matches(said).count(), 1, "once");
    assert_eq!(get(router.admin, "/livez").status, 200);
}
