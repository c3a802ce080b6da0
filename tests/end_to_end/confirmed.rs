//! What of a holder's answer to an erasure confirms it, and what a refusal ends.

use std::fs;

use serde_json::json;

use crate::erase::{
    HALF, Region, accounts, delete, german, incomplete, lives_in, open, wait_none_open, with_copy,
    world,
};
use crate::kit::http::{Request, get};
use crate::kit::setup::{Backends, Setup};
use crate::kit::{all_entries, problem};

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

/// RFC 9110 §15.3.3: the request might or might not be acted upon. RFC 4918 §9.6.1: a 207 tells of
/// what was not deleted.
#[test]
fn what_is_only_accepted_is_not_erased_yet() {
    for status in [202, 207] {
        let (mut setup, _backends, eu, sg) = two(status, 204);
        accounts(&mut setup);
        let router = setup.start();
        with_copy(&router, "queued");
        let answer = delete(&router, "queued");
        assert_eq!(answer.status, status, "the home's own word: {answer:?}");
        let listed = open(&router);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(
            (&listed[0]["region"], &listed[0]["state"]),
            (&json!("eu"), &json!("retrying"))
        );
        assert_eq!(lives_in(&router, "queued"), "eu");
        eu.wait_deletes("/people/queued", 1);
        assert_eq!(open(&router).len(), 1, "nor is it at a further try");
        eu.says(404);
        wait_none_open(&router);
        crate::kit::eventually("the account ends", || {
            (get(router.router, "/people/queued").status == 404).then_some(())
        });
        // Of a copy the caller gets no answer.
        eu.says(204);
        sg.says(status);
        with_copy(&router, "copied");
        incomplete(&delete(&router, "copied"), "sg");
        sg.says(404);
        wait_none_open(&router);
    }
}

/// RFC 7240 §4.1.
#[test]
fn no_holder_is_asked_to_erase_later() {
    let (setup, backends, sg) = world(204);
    let router = setup.start();
    let prefers = |request: Request| {
        let request = request.header("prefer", "return=minimal, respond-async");
        assert!(request.send(router.router).is_success());
    };
    prefers(german("hasty"));
    let copy = german("hasty").header("domicile-operation", "replicate");
    prefers(copy.header("domicile-target", "sg"));
    prefers(Request::new("DELETE", "/people/hasty"));
    let eu = backends.of("eu").requests();
    for seen in eu.iter().chain(&sg.backend.requests()) {
        let erases = seen.method == "DELETE";
        assert_eq!(seen.header("prefer").is_none(), erases, "{seen:?}");
    }
}

/// A category's number is its place in the vocabulary, which a reload may change.
#[test]
fn a_try_under_another_vocabulary_is_of_the_same_categories() {
    let (setup, _backends, sg) = world(503);
    let router = setup.start();
    with_copy(&router, "moved");
    incomplete(&delete(&router, "moved"), "sg");
    let row = open(&router).remove(0);
    let tried = || {
        let entries = all_entries(router.admin).into_iter();
        let tries = entries.filter(|e| {
            e["kind"] == "decision" && e["operation"] == "erase" && e["subject"] == row["subject"]
        });
        tries.map(|e| e["categories"].clone()).collect::<Vec<_>>()
    };
    let asked = tried()[0].clone();
    assert!(!asked.as_array().unwrap().is_empty());
    let file = router.folder.path().join("policies/vocabulary.toml");
    let words = fs::read_to_string(&file).unwrap();
    let first = "categories = [\n    \"system\",";
    assert_eq!(words.matches(first).count(), 1);
    let added = "categories = [\n    \"user.zodiac\", \"user.hobby\", \"system\",";
    fs::write(&file, words.replace(first, added)).unwrap();
    let before = sg.deletes("/people/moved");
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
    sg.wait_deletes("/people/moved", before + 1);
    let all = tried();
    assert!(all.len() > before + 1, "{all:?}");
    assert!(all.iter().all(|of| *of == asked), "{all:?}");
}
