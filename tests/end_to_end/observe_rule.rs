//! Single rules under observation: what they would have refused passes, both verdicts are told,
//! and a reload makes them bind.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::kit::http::{Answer, Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{all_entries, decision, entries_of, eventually, problem};

const FORBID: &str = r#"
[[forbid]]
id = "eu-no-reads-abroad"
citation = "a rule that is tried out"
operations = ["read"]
observe = true
"#;

fn policy_file(setup: &Setup, name: &str) -> PathBuf {
    setup.folder.path().join("policies").join(name)
}

fn edit(path: &PathBuf, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, change(text)).unwrap();
}

#[track_caller]
fn reload(router: &Router) {
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.json()["result"], "swapped", "{answer:?}");
}

fn disagreements(router: &Router, rule: &str) -> Option<String> {
    let text = metrics(router.admin);
    let wanted = format!("domicile_observed_disagreements_total{{rule=\"{rule}\"}} ");
    let found = text.lines().find_map(|l| l.strip_prefix(&wanted));
    found.map(str::to_owned)
}

/// The decision's own entry.
fn entry(router: &Router, answer: &Answer) -> Value {
    entries_of(router.admin, decision(answer))[0].clone()
}

#[test]
fn a_prohibition_under_observation_lets_pass_and_tells_until_it_is_lifted() {
    let (setup, backends) = Setup::recording();
    let law = policy_file(&setup, "law/eu.toml");
    edit(&law, |text| text + FORBID);
    let router = setup.start();
    let rule = "eu-no-reads-abroad";
    eventually("the rule is counted from 0", || {
        (disagreements(&router, rule).as_deref() == Some("0")).then_some(())
    });
    let home = router.put("anna", r#"{"id":"anna","country":"DE","name":"Anna"}"#);
    assert!(home.is_success(), "{home:?}");
    assert_eq!(entry(&router, &home).get("observed"), None);

    // The second one is judged from memory.
    for n in 1..=2 {
        let answer = get(router.router, "/people/anna");
        assert!(answer.is_success(), "{answer:?}");
        let mechanism = answer.header("domicile-mechanism").unwrap();
        assert!(mechanism.starts_with("scc; module=2"), "{mechanism}");
        let entry = entry(&router, &answer);
        assert_eq!(entry["outcome"], "permit");
        assert_eq!(
            entry["observed"],
            json!([{ "rule": rule, "outcome": "refuse" }])
        );
        assert!(!entry["rules"].as_array().unwrap().contains(&json!(rule)));
        assert_eq!(disagreements(&router, rule), Some(n.to_string()));
    }
    assert_eq!(backends.of("eu").seen().len(), 3);

    let folder = router.folder.path().join("ledger");
    let tail = |json: &[&str]| {
        let arguments = [&["ledger", "tail", folder.to_str().unwrap()], json].concat();
        let output = run_to_end(&arguments, "");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = tail(&["--json"]);
    assert!(
        told.contains(r#""observed":[{"rule":"eu-no-reads-abroad","outcome":"refuse"}]"#),
        "{told}"
    );
    assert!(tail(&[]).contains("observed=eu-no-reads-abroad:refuse"));
    let verified = run_to_end(&["ledger", "verify", folder.to_str().unwrap()], "");
    assert!(verified.status.success(), "{verified:?}");

    let question = json!({
        "at": "2026-11-21T12:00:00Z", "operation": "read",
        "subject": { "countries": ["DE"] }, "categories": ["user.name"],
        "from": { "country": "DE", "entity": "acme-eu" },
        "to": { "country": "SG", "entity": "acme-sg" },
    });
    let explain = || {
        let asked = Request::new("POST", "/v1/decisions:explain").json(question.to_string());
        asked.send(router.admin).json()
    };
    assert_eq!(
        explain()["observed"],
        json!([{ "rule": rule, "citation": "a rule that is tried out", "outcome": "refuse" }])
    );

    edit(&law, |text| text.replace("observe = true\n", ""));
    reload(&router);
    let refused = get(router.router, "/people/anna");
    let document = problem(&refused, 451);
    assert_eq!(document["rule"], rule);
    let entry = entry(&router, &refused);
    assert_eq!(entry["outcome"], "refuse");
    assert_eq!(entry["rules"][0], rule);
    assert_eq!(
        entry.get("observed"),
        None,
        "it binds, and is observed no more"
    );
    assert_eq!(explain().get("observed"), None);
    assert_eq!(disagreements(&router, rule).as_deref(), Some("2"));
    assert_eq!(backends.of("eu").seen().len(), 3, "nothing was read");
}

/// What is remembered of one person's flow says nothing of another's where only the observed rule
/// can tell them apart.
#[test]
fn an_observed_rule_that_asks_for_consent_tells_people_apart() {
    let (setup, _backends) = Setup::recording();
    let rule = r#"
[[forbid]]
id = "eu-reads-by-consent"
citation = "a rule that is tried out"
operations = ["read"]
unless = { consents = ["transfer"] }
observe = true
"#;
    edit(&policy_file(&setup, "law/eu.toml"), |text| text + rule);
    let router = setup.start();
    for (id, kind) in [("anna", "transfer"), ("bert", "special-category")] {
        let body = format!(r#"{{"id":"{id}","country":"DE","name":"x"}}"#);
        assert!(router.put(id, &body).is_success());
        let consent = json!({ "subject": id, "kind": kind, "given": "2026-01-02" });
        let recorded = Request::new("POST", "/v1/consents")
            .json(consent.to_string())
            .send(router.admin);
        assert_eq!(recorded.status, 201, "{recorded:?}");
    }
    let observed = json!([{ "rule": "eu-reads-by-consent", "outcome": "refuse" }]);
    for _ in 0..2 {
        let anna = entry(&router, &get(router.router, "/people/anna"));
        assert_eq!(
            (&anna["outcome"], anna.get("observed")),
            (&json!("permit"), None)
        );
        let bert = entry(&router, &get(router.router, "/people/bert"));
        assert_eq!(
            (&bert["outcome"], &bert["observed"]),
            (&json!("permit"), &observed)
        );
    }
    let counted = disagreements(&router, "eu-reads-by-consent");
    assert_eq!(counted.as_deref(), Some("2"));
}

/// A shipped rule and a promise, by the organisation's own file; for single records and batches.
#[test]
fn the_organisation_tries_out_what_it_did_not_write() {
    let (setup, backends) = Setup::recording();
    let organisation = policy_file(&setup, "organisation.toml");
    edit(&organisation, |text| {
        format!("observe = [\"ru-localisation\", \"india-stays\"]\n{text}")
    });
    let router = setup.start();
    let send = |target: Option<&str>, id: &str| {
        let mut request = Request::new("PUT", format!("/people/{id}"));
        if let Some(target) = target {
            request = request.header("domicile-target", target);
        }
        let body = format!(r#"{{"id":"{id}","country":"IN","name":"Asha"}}"#);
        request.json(body).send(router.router)
    };
    let answer = send(Some("sg"), "asha");
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(backends.reached_by("asha"), ["sg"]);
    let observed = json!([{ "rule": "india-stays", "outcome": "refuse" }]);
    assert_eq!(entry(&router, &answer)["observed"], observed);

    let line = |id: &str| format!("{{\"id\":\"{id}\",\"country\":\"IN\",\"name\":\"x\"}}\n");
    let batch = Request::new("POST", "/people")
        .header("domicile-target", "sg")
        .ndjson([line("b0"), line("b1")].concat())
        .send(router.router);
    assert_eq!(batch.status, 200, "{batch:?}");
    let said = |entries: &[Value]| entries.iter().filter(|e| e["observed"] == observed).count();
    eventually("an entry for each item", || {
        let entries = all_entries(router.admin);
        let permits: Vec<Value> = entries
            .into_iter()
            .filter(|e| e["kind"] == "decision" && e["to"]["country"] == "SG")
            .filter(|e| e["pin"] != "copy")
            .collect();
        (said(&permits) == 3).then_some(())
    });
    assert_eq!(disagreements(&router, "india-stays").as_deref(), Some("3"));
    // What is refused either way is no disagreement.
    assert_eq!(
        disagreements(&router, "ru-localisation").as_deref(),
        Some("0")
    );

    edit(&organisation, |text| {
        text.replace(", \"india-stays\"]", "]")
    });
    reload(&router);
    assert_eq!(
        problem(&send(Some("sg"), "asha2"), 451)["rule"],
        "india-stays"
    );
}

/// A mistyped name leaves the policy in force that was there before.
#[test]
fn a_rule_that_does_not_exist_cannot_be_observed() {
    let (setup, _backends) = Setup::recording();
    let organisation = policy_file(&setup, "organisation.toml");
    let router = setup.start();
    edit(&organisation, |text| {
        format!("observe = [\"india-stay\"]\n{text}")
    });
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.status, 422, "{answer:?}");
    let fault = &answer.json()["faults"][0];
    assert_eq!(fault["hint"], "did you mean `india-stays`?", "{fault}");
    let refused = Request::new("PUT", "/people/asha")
        .header("domicile-target", "sg")
        .json(r#"{"id":"asha","country":"IN"}"#)
        .send(router.router);
    assert_eq!(problem(&refused, 451)["rule"], "india-stays");
}
