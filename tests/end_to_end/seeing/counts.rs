//! What the metrics of decisions count, and that nothing a caller sends becomes a label.

use std::fs;

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Request, get};
use crate::kit::problem;
use crate::kit::setup::{Router, Setup, metrics};

/// The value of one series, written as a scrape writes it.
#[track_caller]
fn value(router: &Router, series: &str) -> f64 {
    let scrape = metrics(router.admin);
    let line = scrape
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {series} in\n{scrape}"));
    value.parse().unwrap()
}

#[test]
fn flows_across_borders_are_counted_by_their_ends_and_papers() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let stored = router.put("erika", r#"{"id":"erika","country":"DE"}"#);
    assert!(stored.is_success(), "{stored:?}");
    for _ in 0..2 {
        assert!(get(router.router, "/people/erika").is_success());
    }
    let home = r#"domicile_transfers_total{from="SG",operation="store",outcome="permit",to="DE"}"#;
    assert_eq!(value(&router, home), 1.0);
    let read = r#"domicile_transfers_total{from="DE",operation="read",outcome="permit",to="SG"}"#;
    assert_eq!(value(&router, read), 2.0);
    // A flow home leans on no paper, a read from abroad does.
    let scrape = metrics(router.admin);
    let papers = "domicile_instrument_uses_total{";
    let uses: Vec<&str> = scrape.lines().filter(|l| l.starts_with(papers)).collect();
    let wanted = r#"domicile_instrument_uses_total{from="DE",instrument="eu-sg-2024",mechanism="scc",module="2",to="SG"} 2"#;
    assert_eq!(uses, [wanted]);

    // What stays at home crosses nothing.
    let stored = router.put("mei", r#"{"id":"mei","country":"SG"}"#);
    assert!(stored.is_success(), "{stored:?}");
    let scrape = metrics(router.admin);
    assert!(!scrape.contains(r#"from="SG",operation="store",outcome="permit",to="SG""#));
}

#[test]
fn refusals_are_counted_by_rule_and_problem() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let refused = Request::new("PUT", "/people/ivan")
        .header("domicile-target", "eu")
        .json(r#"{"id":"ivan","country":"RU"}"#)
        .send(router.router);
    let document = problem(&refused, 451);
    let rule = document["rule"].as_str().unwrap();
    let by_rule = |outcome: &str, problem: &str, rule: &str| {
        let labels = format!(
            r#"{{operation="store",outcome="{outcome}",problem="{problem}",rule="{rule}"}}"#
        );
        value(&router, &format!("domicile_refusals_total{labels}"))
    };
    assert_eq!(by_rule("refuse", "transfer-forbidden", rule), 1.0);
    problem(&router.put("nobody", r#"{"id":"nobody"}"#), 422);
    assert_eq!(by_rule("refuse", "no-evidence", "none"), 1.0);
    assert_eq!(value(&router, "domicile_unclassified_total"), 1.0);

    // Items of a batch count as records do.
    let items = "{\"id\":\"no1\"}\n{\"id\":\"no2\"}\n{\"id\":\"mei\",\"country\":\"SG\"}\n";
    let answer = Request::new("POST", "/people")
        .ndjson(items)
        .send(router.router);
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(by_rule("refuse", "no-evidence", "none"), 3.0);
    assert_eq!(value(&router, "domicile_unclassified_total"), 3.0);
    assert_eq!(backends.touched(), ["sg"]);
    let forbidden =
        r#"domicile_transfers_total{from="RU",operation="store",outcome="refuse",to="DE"}"#;
    assert_eq!(value(&router, forbidden), 1.0);
}

#[test]
fn what_observe_mode_lets_pass_is_told_from_what_is_refused() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let router = setup.start();
    let passed = Request::new("PUT", "/people/ivan")
        .header("domicile-target", "eu")
        .json(r#"{"id":"ivan","country":"RU"}"#)
        .send(router.router);
    assert!(passed.is_success(), "{passed:?}");
    assert_eq!(backends.touched(), ["sg"]);
    let scrape = metrics(router.admin);
    let told = r#"domicile_refusals_total{operation="store",outcome="observe",problem="transfer-forbidden",rule="ru-localisation"} 1"#;
    assert!(scrape.lines().any(|line| line == told), "{scrape}");
    assert!(!scrape.contains(r#"domicile_refusals_total{operation="store",outcome="refuse""#));
    // The permit that would have leaned on a paper did not take place.
    assert!(
        !scrape.contains("domicile_instrument_uses_total{"),
        "{scrape}"
    );
}

#[test]
fn a_records_country_that_only_a_default_gives_counts_as_unclassified() {
    let (mut setup, backends) = Setup::recording();
    for route in setup.settings["routes"].as_array_mut().unwrap() {
        let route = route.as_table_mut().unwrap();
        if route["format"].as_str() == Some("record") {
            route.insert("unknown_home".into(), "sg".into());
        }
    }
    let router = setup.start();
    let stored = router.put("nobody", r#"{"id":"nobody"}"#);
    assert!(stored.is_success(), "{stored:?}");
    assert_eq!(backends.touched(), ["sg"]);
    assert_eq!(value(&router, "domicile_unclassified_total"), 1.0);
    assert!(
        router
            .put("mei", r#"{"id":"mei","country":"SG"}"#)
            .is_success()
    );
    assert_eq!(value(&router, "domicile_unclassified_total"), 1.0);
}

#[test]
fn a_regions_own_errors_are_told_from_its_answers() {
    let (mut setup, _backends) = Setup::recording();
    let broken = Backend::scripted(|_| Reply::status(500));
    setup.region("eu", broken.address);
    let router = setup.start();
    assert_eq!(
        router
            .put("erika", r#"{"id":"erika","country":"DE"}"#)
            .status,
        500
    );
    assert!(
        router
            .put("mei", r#"{"id":"mei","country":"SG"}"#)
            .is_success()
    );
    let calls = |region: &str, outcome: &str| {
        let labels = format!(r#"{{outcome="{outcome}",region="{region}"}}"#);
        value(
            &router,
            &format!("domicile_upstream_requests_total{labels}"),
        )
    };
    assert_eq!(calls("eu", "server-error"), 1.0);
    assert_eq!(calls("sg", "answered"), 1.0);
}

#[test]
fn each_edge_of_a_rule_is_told_with_its_own_share() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let share = |limit: &str| {
        let edge = format!(
            r#"domicile_threshold_share{{counter="cn.ordinary",law="CN",limit="{limit}",rule="cn-small-volume"}}"#
        );
        value(&router, &edge)
    };
    assert_eq!(share("100000"), 0.0);
}

#[test]
fn an_instrument_ends_with_the_review_of_its_assessment() {
    let series = "domicile_instrument_expiry_seconds{instrument=\"eu-sg-2024\"}";
    let left = |review: Option<&str>| {
        let setup = Setup::new();
        let organisation = setup.folder.path().join("policies/organisation.toml");
        let text = fs::read_to_string(&organisation).unwrap();
        let lines = text.lines();
        let reviewed: Vec<_> = lines
            .map(|line| match (line.starts_with("review_by = "), review) {
                (true, Some(other)) => other,
                _ => line,
            })
            .collect();
        let text = reviewed.join("\n");
        fs::write(&organisation, text).unwrap();
        let router = setup.start();
        let register = get(router.admin, "/v1/instruments").json();
        (value(&router, series), register.to_string())
    };
    // The demo's instrument lasts for 900 days, its assessment for 700.
    let (by_itself, _) = left(Some("review_by = 2099-06-30"));
    let (without, register) = left(Some(""));
    assert!((by_itself - without).abs() < 60.0, "{by_itself} {without}");
    assert!(register.contains("\"review_by\":null"), "{register}");
    let (by_review, register) = left(None);
    let days = ((by_itself - by_review) / 86_400.0).round();
    assert!((days - 200.0).abs() < 0.5, "{days}");
    assert!(register.contains("\"review_by\":\"20"), "{register}");
}
