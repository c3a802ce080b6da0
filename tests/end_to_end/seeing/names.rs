//! Every metric that a panel, a rule or a page names is one that a router gives, and the other way
//! round. Asked of a router that has seen all there is to count.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{markdown, text, words};
use crate::kit::http::Request;
use crate::kit::problem;
use crate::kit::setup::{Setup, metrics};
use crate::tls::client::Caller;
use crate::tls::pki::Authority;
use crate::tls::{secured, shared};

/// How names of ours begin, and those that other conventions give.
const OURS: [&str; 4] = ["domicile_", "domicile:", "http_server_", "process_"];

/// In `docs/bulk.md`: Elasticsearch wants its own form of an error's type.
const NO_METRICS: [&str; 3] = [
    "domicile_erasure_incomplete",
    "domicile_region_refused",
    "domicile_transfer_forbidden",
];

/// The names of a scrape of a router that did a little of everything.
fn scrape() -> String {
    let ca = Authority::new("servers");
    let (setup, _backends): (Setup, _) = secured(&ca);
    let organisation = setup.folder.path().join("policies/law/eu.toml");
    let law = fs::read_to_string(&organisation).unwrap();
    let observed = "\n[[forbid]]\nid = \"eu-tried\"\ncitation = \"tried out\"\noperations = [\"read\"]\nobserve = true\n";
    fs::write(&organisation, law + observed).unwrap();
    let router = setup.start();
    let config = shared(ca.client(None, &["http/1.1"]));
    let mut caller = Caller::connect(router.router, &config, "api.test").unwrap();
    let mut put = |id: &str, fields: &str, body: &str| caller.put(id, fields, body).unwrap();
    let stored = put("erika", "", r#"{"country":"DE","name":"Erika"}"#);
    assert!(stored.is_success(), "{stored:?}");
    let refused = put("ivan", "domicile-target: eu\r\n", r#"{"country":"RU"}"#);
    problem(&refused, 451);
    problem(&put("nobody", "", r#"{"name":"No Trace"}"#), 422);
    let read = caller.get("/people/erika", "").unwrap();
    let mechanism = read.header("domicile-mechanism").unwrap_or_default();
    assert!(mechanism.starts_with("scc"), "{read:?}");
    let broken = caller.put("x", "transfer-encoding: x\r\n", "{}").unwrap();
    assert!(!broken.is_success(), "{broken:?}");
    let reload = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(reload.status, 200, "{reload:?}");
    metrics(router.admin)
}

/// What can be asked for: a histogram has three series for its one name.
fn series(scrape: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in scrape.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        match kind {
            "histogram" => {
                all.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
            }
            _ => drop(all.insert(name.to_owned())),
        }
    }
    all
}

/// All PromQL of the dashboard: panels, variables, annotations.
fn queries(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text)
                    if ["expr", "definition"].contains(&name.as_str())
                        || (name == "query" && text.contains('(')) =>
                {
                    vec![text.clone()]
                }
                _ => queries(value),
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_dashboard_rules_and_pages_name_stands_in_a_real_scrape() {
    let scrape = scrape();
    let given = series(&scrape);
    let recorded = words(&text("deploy/prometheus/rules.yaml"), &["domicile:"])
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let known = |name: &str| given.contains(name) || recorded.iter().any(|r| r == name);

    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/domicile.json")).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() > 50, "{} queries", queries.len());
    for query in &queries {
        // Whatever stands before `{` is asked for, however it is called.
        for (before, _) in query.match_indices('{').map(|(at, _)| query.split_at(at)) {
            let asked = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let asked = asked.into_iter().next().unwrap_or_default();
            assert!(known(asked), "the dashboard asks for `{asked}` in {query}");
        }
        for name in words(query, &OURS) {
            assert!(known(name), "the dashboard asks for `{name}` in {query}");
        }
    }
    for file in ["rules.yaml", "rules.test.yaml"] {
        let rules = text(&format!("deploy/prometheus/{file}"));
        let names = words(&rules, &OURS);
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            assert!(known(name), "`{name}` in {file}");
        }
    }

    // Pages name histograms as wholes.
    let types: BTreeSet<&str> = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for page in markdown() {
        let text = fs::read_to_string(&page).unwrap();
        for name in words(&text, &OURS) {
            // An image and its tag, and not a recorded series.
            let tag = name.strip_prefix("domicile:").unwrap_or_default();
            if tag.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            assert!(
                types.contains(name) || known(name) || NO_METRICS.contains(&name),
                "`{name}` in {}",
                page.display()
            );
        }
    }
    let page = text("docs/metrics.md");
    let explained = words(&page, &OURS);
    for name in types {
        assert!(explained.contains(&name), "docs/metrics.md lacks `{name}`");
    }
}

#[test]
fn every_metric_is_on_some_panel_or_in_some_alert() {
    let dashboard = text("deploy/grafana/domicile.json");
    let rules = text("deploy/prometheus/rules.yaml");
    for name in words(&text("docs/metrics.md"), &["domicile_"]) {
        // What only somebody who tunes the program looks at.
        let inner = ["domicile_worker_parks_total", "domicile_worker_tasks"];
        let inner = inner.contains(&name) || name == "domicile_worker_queued_tasks";
        assert!(
            inner || dashboard.contains(name) || rules.contains(name),
            "`{name}` is on no panel and in no alert"
        );
    }
}
