//! By which settings was decided: told by every entry, and wherever the policy's digest is.

use std::fs;

use serde_json::{Value, json};

use crate::kit::http::{Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{decision, entries_of, eventually};

/// The digests of policy and settings.
type Both = (String, String);

fn both(told: &Value) -> Both {
    let text = |name: &str| {
        let digest = told[name].as_str();
        let digest = digest.unwrap_or_else(|| panic!("no `{name}` in {told}"));
        assert!(
            digest.starts_with("sha256:") && digest.len() == 71,
            "{told}"
        );
        digest.to_owned()
    };
    (text("policy"), text("settings"))
}

fn in_force(router: &Router) -> Both {
    both(&get(router.admin, "/version").json())
}

/// What stands in the entry of a new decision.
fn decided(router: &Router, id: &str) -> Both {
    let answer = router.put(id, r#"{"country":"IN","name":"Asha"}"#);
    assert!(answer.is_success(), "{answer:?}");
    both(&entries_of(router.admin, decision(&answer))[0])
}

/// Rewrites the settings of a running router and has them loaded.
fn reload(router: &Router, change: impl FnOnce(&mut toml::Table)) -> Value {
    let file = router.folder.path().join("domicile.toml");
    let mut settings: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    change(&mut settings);
    fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn table<'t>(settings: &'t mut toml::Table, path: &[&str]) -> &'t mut toml::Table {
    path.iter().fold(settings, |table, name| {
        let entry = table.entry(*name);
        let inner = entry.or_insert_with(|| toml::Value::Table(toml::Table::new()));
        inner.as_table_mut().unwrap()
    })
}

#[test]
fn both_digests_are_told_wherever_one_is() {
    let (setup, _backends) = Setup::recording();
    let config = setup.write();
    let config = config.to_str().unwrap();
    let output = run_to_end(&["check", "--config", config, "--json"], "");
    let checked = both(&serde_json::from_slice(&output.stdout).unwrap());
    let output = run_to_end(&["check", "--config", config], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let (policy, settings) = &checked;
    assert!(
        text.ends_with(&format!("policy {policy}\nsettings {settings}\n")),
        "{text}"
    );

    let router = setup.start();
    assert_eq!(in_force(&router), checked);
    assert_eq!(both(&get(router.admin, "/readyz").json()), checked);
    assert_eq!(decided(&router, "asha"), checked);
    for (of, digest) in [("policy", policy), ("settings", settings)] {
        let line = format!("domicile_{of}_info{{digest=\"{digest}\"}} 1\n");
        assert!(metrics(router.admin).contains(&line), "{line}");
    }
    eventually("the log tells", || {
        let log = router.process.text();
        (log.contains(policy) && log.contains(settings)).then_some(())
    });
    // Refusals that nothing was judged for have it, too.
    let refused = router.put("nobody", r#"{"name":"x"}"#);
    assert_eq!(refused.status, 422);
    let told = &entries_of(router.admin, decision(&refused))[0];
    assert_eq!(both(told), checked);

    // Elsewhere on other ports and disks, the same is decided.
    let (other, _backends) = Setup::recording();
    assert_eq!(in_force(&other.start()), checked);
}

#[test]
fn a_reload_that_changes_what_is_decided_makes_another_digest_and_no_other_does() {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    let first = decided(&router, "asha-1");

    let report = reload(&router, |settings| {
        table(settings, &["limits"]).insert("idle".to_owned(), "70s".into());
        settings.insert("operator_uri".to_owned(), "https://example.com/why".into());
        let endpoint = json!(["http://127.0.0.1:9"]);
        table(settings, &["regions", "sg"]).insert(
            "endpoints".to_owned(),
            toml::Value::try_from(endpoint).unwrap(),
        );
    });
    assert_eq!(report["result"], "swapped");
    assert_eq!(both(&report), first, "nothing of it decides");
    assert_eq!(decided(&router, "asha-2"), first);

    let report = reload(&router, |settings| {
        table(settings, &["regions", "eu"]).insert("country".to_owned(), "FR".into());
    });
    let second = both(&report);
    assert_eq!(report["result"], "swapped");
    assert_eq!(second.0, first.0, "the policy is the same");
    assert_ne!(second.1, first.1, "a region lies elsewhere");
    assert_eq!(in_force(&router), second);
    // What a worker remembers of the settings before is gone.
    assert_eq!(decided(&router, "asha-3"), second);

    let report = reload(&router, |settings| {
        let callers = toml::Value::Array(vec!["127.0.0.1/32".into(), "10.0.0.0/8".into()]);
        table(settings, &["data_plane"]).insert("trusted".to_owned(), callers);
    });
    let third = both(&report);
    assert!(third.1 != first.1 && third.1 != second.1, "others steer");

    // Back, and over a restart: the same settings have the same digest.
    let report = reload(&router, |settings| {
        table(settings, &["regions", "eu"]).insert("country".to_owned(), "DE".into());
        let callers = toml::Value::Array(vec!["10.0.0.0/8".into(), "127.0.0.1/32".into()]);
        table(settings, &["data_plane"]).insert("trusted".to_owned(), callers);
    });
    let fourth = both(&report);
    assert_ne!(fourth, first, "the network is still trusted");
    router.restart();
    assert_eq!(decided(&router, "asha-4"), fourth);

    router.process.terminate();
    let ledger = router.folder.path().join("ledger");
    let ledger = ledger.to_str().unwrap();
    let verified = run_to_end(&["ledger", "verify", "--json", ledger], "");
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let told = report["report"]["decided_by"].as_array().unwrap();
    let pairs: Vec<Both> = told.iter().map(both).collect();
    assert_eq!(pairs, [first, second, fourth.clone()], "each that decided");
    assert_eq!(told[0]["entries"], 2);
    let tail = run_to_end(&["ledger", "tail", "--json", ledger], "");
    let tail = String::from_utf8(tail.stdout).unwrap();
    let last = tail.lines().rev().find(|l| l.contains("\"policy\""));
    assert_eq!(both(&serde_json::from_str(last.unwrap()).unwrap()), fourth);
    let text = run_to_end(&["ledger", "verify", ledger], "");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains(&format!("settings {}", fourth.1)),
        "verify: {text}"
    );
}

/// A key more for tokens is evidence that did not count before; a secret is in no digest.
#[test]
fn keys_that_verify_tokens_count_by_what_anybody_may_know() {
    let (mut setup, _backends) = Setup::recording();
    let keys = setup.folder.path().join("jwks.json");
    let secret = |byte: &str| json!({ "kty": "oct", "kid": "a", "k": byte.repeat(11) });
    let write = |all: &[Value]| fs::write(&keys, json!({ "keys": all }).to_string()).unwrap();
    write(&[secret("YWFh")]);
    setup.set(&["jwt", "keys"], "jwks.json");
    let algorithms = toml::Value::Array(vec!["HS256".into(), "EdDSA".into()]);
    setup.set(&["jwt", "algorithms"], algorithms);
    setup.set(&["jwt", "audience"], toml::Value::Array(vec!["x".into()]));
    let router = setup.start();
    let first = in_force(&router);

    write(&[secret("YmJi")]);
    assert_eq!(both(&reload(&router, |_| {})), first);
    let key = json!({ "kty": "OKP", "kid": "b", "crv": "Ed25519",
                      "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    write(&[secret("YWFh"), key]);
    let report = reload(&router, |_| {});
    assert_eq!(report["result"], "swapped");
    let second = both(&report);
    assert_eq!(second.0, first.0);
    assert_ne!(second.1, first.1);
}
