//! As what a request is entered that was refused before its way was clear.

use std::collections::BTreeSet;

use crate::kit::http::Request;
use crate::kit::setup::{Setup, metrics};
use crate::kit::{all_entries, decision, entries_now, problem};

#[test]
fn refused_writes_and_erasures_are_entered_as_such() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let steered = |method: &'static str, name: &'static str, value: &str| {
        Request::new(method, "/people/mei")
            .header(name, value)
            .json(if method == "PUT" {
                r#"{"country":"SG"}"#
            } else {
                ""
            })
            .send(router.router)
    };
    let plain = |method: &'static str, path: &str| Request::new(method, path).send(router.router);
    let cases = [
        (steered("PUT", "domicile-operation", "nope"), 400, "store"),
        (steered("DELETE", "domicile-target", "nope"), 400, "erase"),
        (steered("GET", "domicile-target", "nope"), 400, "read"),
        (plain("PUT", "/people/a%2fb"), 400, "store"),
        (plain("DELETE", "/nowhere"), 404, "erase"),
        (plain("OPTIONS", "/nowhere"), 404, "read"),
    ];
    for (answer, status, operation) in cases {
        let document = problem(&answer, status);
        let entry = &entries_now(router.admin, decision(&answer))[0];
        assert_eq!(entry["operation"], operation, "{document}: {entry}");
    }
    let scrape = metrics(router.admin);
    let told = r#"domicile_refusals_total{operation="store",outcome="refuse",problem="bad-steering",rule="none"} 1"#;
    assert!(scrape.lines().any(|line| line == told), "{scrape}");
    assert!(backends.touched().is_empty());

    // Times are as long as each other, so that their order as texts is that of time.
    let entries = all_entries(router.admin);
    let times: Vec<&str> = entries.iter().map(|e| e["at"].as_str().unwrap()).collect();
    let lengths: BTreeSet<usize> = times.iter().map(|at| at.len()).collect();
    assert_eq!(lengths, BTreeSet::from([27]), "{times:?}");
}
