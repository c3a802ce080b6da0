//! What of a holder's answer to an erasure confirms it, and what a refusal ends.

use serde_json::json;

use crate::erase::{
    HALF, Region, accounts, delete, incomplete, lives_in, open, wait_none_open, with_copy,
    world,
};
use crate::kit::http::{Request, get};
use crate::kit::problem;
use crate::kit::setup::{Backends, Setup};

/// `eu` is the home, `sg` has the copies.
fn two(eu: u16, sg: u16) -> (Setup, Backends, Region, Region) {
    let (mut setup, backends, sg) = world(sg);
    let eu = Region::new(eu);
    setup.region("eu", eu.backend.address);
    (setup, backends, eu, sg)
}

/// RFC 9112 §8.
#[test]
fn an_answer_that_breaks_off_confirms_no_erasure() {
    let (mut setup, _backends, sg) = world(HALF);
    let eu = Region::new(HALF);
    setup.region("eu", eu.backend.address);
    let router = setup.start();
    with_copy(&router, "half");
    let answer = delete(&router, "half");
    let document = problem(&answer, 502);
    assert_eq!(document["unreached"], json!(["eu", "sg"]), "{document}");
    assert_eq!(open(&router).len(), 2);
    // Nor do the tries in the background.
    for region in [&eu, &sg] {
        region.wait_deletes("/people/half", 2);
    }
    assert_eq!(open(&router).len(), 2);
    eu.says(204);
    sg.says(204);
    wait_none_open(&router);
}

#[test]
fn what_a_holder_refuses_is_left_to_the_caller() {
    let (setup, _backends, sg) = world(403);
    let router = setup.start();
    with_copy(&router, "denied");
    incomplete(&delete(&router, "denied"), "sg");
    assert_eq!(open(&router)[0]["state"], "repeat");
    sg.says(204);
    assert!(delete(&router, "denied").is_success());
    assert!(open(&router).is_empty());
    assert_eq!(sg.deletes("/people/denied"), 2);
}

/// A caller without the right to erase, or one whose precondition fails, neither erases copies nor
/// fills the list.
#[test]
fn a_home_that_refuses_keeps_the_copies_too() {
    for (refusal, copy) in [(412, 204), (403, 403), (405, 0)] {
        let (mut setup, _backends, eu, sg) = two(refusal, copy);
        accounts(&mut setup);
        let router = setup.start();
        with_copy(&router, "kept");
        let answer = Request::new("DELETE", "/people/kept")
            .header("if-match", "\"1\"")
            .send(router.router);
        assert_eq!(answer.status, refusal, "{answer:?}");
        assert_eq!(answer.header("domicile-region"), Some("eu"));
        assert_eq!(sg.deletes("/people/kept"), 0, "the copy is not asked");
        assert!(open(&router).is_empty());
        assert_eq!(lives_in(&router, "kept"), "eu");
        eu.says(204);
        sg.says(204);
        assert!(delete(&router, "kept").is_success());
        assert_eq!(sg.deletes("/people/kept"), 1, "it is still known");
        problem(&get(router.router, "/people/kept"), 404);
    }
}

