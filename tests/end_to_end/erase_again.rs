//! Erasures that stay open while their records are written anew, or asked for once more.

use serde_json::json;

use crate::erase::{Region, delete, german, incomplete, open, wait_none_open, with_copy, world};
use crate::kit::backend::{Backend, Reply};
use crate::kit::http::Request;
use crate::kit::setup::Setup;

/// The batch goes to another path than its records, each of which has a request of its own.
#[test]
fn a_batch_of_single_requests_overtakes_by_their_paths() {
    let (mut setup, _backends) = Setup::recording();
    setup.set_route("ndjson", "path", "/import");
    let each = toml::toml! { each = "PUT /people/{subject}" };
    setup.set_route("ndjson", "upstream", each);
    let eu = Region::new(503);
    setup.region("eu", eu.backend.address);
    let router = setup.start();
    for id in ["lines", "other"] {
        assert!(german(id).send(router.router).is_success());
        incomplete(&delete(&router, id), "eu");
    }
    let answer = Request::new("POST", "/import")
        .ndjson(r#"{"id":"lines","country":"DE"}"#)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    let left = open(&router);
    assert_eq!(left.len(), 1, "{left:?}");
    let tried = eu.deletes("/people/other");
    eu.says(204);
    // What was due before has its turn together.
    eu.wait_deletes("/people/other", tried);
    wait_none_open(&router);
    let lines = eu.seen("/people/lines");
    assert_eq!(lines.last(), Some(&"PUT".to_owned()), "{lines:?}");
    assert_eq!(json!(open(&router)), json!([]));
}

/// The region answers by the query which of two records of one path it erases.
#[test]
fn a_record_that_its_query_tells_is_erased_by_itself() {
    let eu = Backend::scripted(|seen| match seen.path.ends_with("v=1") {
        _ if seen.method != "DELETE" => Reply::status(201),
        true => Reply::status(503),
        false => Reply::status(204),
    });
    let (mut setup, _backends) = Setup::recording();
    setup.region("eu", eu.address);
    let router = setup.start();
    assert!(german("orders").send(router.router).is_success());
    incomplete(&delete(&router, "orders?v=1"), "eu");
    assert!(delete(&router, "orders?v=2").is_success());
    let left = open(&router);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["state"], "retrying");
    // It may be the record, or another one.
    assert!(german("orders").send(router.router).is_success());
    let left = open(&router);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["state"], "repeat");
}

/// Whoever repeats it without the right to erase must not make the router forget it.
#[test]
fn a_home_that_refuses_a_repeated_request_leaves_the_first_one_open() {
    let (mut setup, _backends, sg) = world(503);
    let eu = Region::new(204);
    setup.region("eu", eu.backend.address);
    let router = setup.start();
    with_copy(&router, "copied");
    incomplete(&delete(&router, "copied"), "sg");
    let before = open(&router);
    eu.says(412);
    assert_eq!(delete(&router, "copied").status, 412);
    assert_eq!(open(&router), before);
    sg.says(204);
    wait_none_open(&router);
    assert!(sg.deletes("/people/copied") >= 2);
}
