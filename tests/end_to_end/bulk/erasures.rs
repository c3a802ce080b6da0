//! Deletes that some holder does not confirm: tried again, overtaken, held, and what ends with them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{Regions, bulk, items, send, setup, statuses};
pub(super) use crate::erase::wait_none_open;
use crate::kit::backend::{Backend, Reply};
use crate::kit::elastic;
use crate::kit::gate::Gate;
use crate::kit::http::{Request, get, reset};
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{all_entries, contains, eventually};

/// Said of each `delete` item by itself, the request as a whole being fine.
const ITEMS_429: u16 = 1;
pub(super) const ITEMS_403: u16 = 2;
const NO_INDEX: u16 = 3;

/// A region whose answer to deletes can be changed; 0 is a connection that breaks.
pub(super) struct Region {
    backend: Backend,
    answer: Arc<AtomicU16>,
}

impl Region {
    fn new(answer: u16) -> Self {
        let answer = Arc::new(AtomicU16::new(answer));
        let says = Arc::clone(&answer);
        let backend = Backend::scripted(move |seen| {
            let said = elastic::answer(seen);
            let answer = |said: Value| Reply::Answer {
                status: 200,
                media: "application/json",
                body: said.to_string().into_bytes(),
            };
            match says.load(Ordering::SeqCst) {
                _ if !contains(&seen.body, b"{\"delete\"") => answer(said),
                0 => Reply::Reset(Vec::new()),
                200 => answer(said),
                ITEMS_429 => answer(rejected(said, 429, "es_rejected_execution_exception")),
                ITEMS_403 => answer(rejected(said, 403, "security_exception")),
                NO_INDEX => answer(rejected(said, 404, "index_not_found_exception")),
                status => Reply::status(status),
            }
        });
        Self { backend, answer }
    }

    pub(super) fn says(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        let seen = self.backend.requests().into_iter();
        seen.map(|s| String::from_utf8(s.body).unwrap()).collect()
    }

    /// Waits for one more delete of this id.
    fn wait_delete(&self, id: &str) {
        let count = || {
            let bodies = self.bodies();
            let own = bodies
                .iter()
                .filter(|b| b.contains("delete") && b.contains(id));
            own.count()
        };
        let before = count();
        eventually("the holder is asked again", || {
            (count() > before).then_some(())
        });
    }
}

fn rejected(mut answer: Value, status: u16, kind: &str) -> Value {
    for item in answer["items"].as_array_mut().unwrap() {
        if let Some(delete) = item.get_mut("delete") {
            delete.as_object_mut().unwrap().remove("result");
            delete["status"] = json!(status);
            delete["error"] = json!({ "type": kind, "reason": "no" });
        }
    }
    answer["errors"] = json!(true);
    answer
}

/// `eu` is the home, `sg` has the copies.
pub(super) fn world(eu: u16, sg: u16) -> (Setup, Regions, Region, Region) {
    let (mut setup, regions) = setup();
    let (eu, sg) = (Region::new(eu), Region::new(sg));
    setup.region("eu", eu.backend.address);
    setup.region("sg", sg.backend.address);
    (setup, regions, eu, sg)
}

fn index(id: &str) -> [String; 2] {
    let action = format!(r#"{{"index":{{"_index":"people","_id":"{id}"}}}}"#);
    [action, r#"{"country":"DE"}"#.to_owned()]
}

pub(super) fn delete(id: &str) -> String {
    format!(r#"{{"delete":{{"_index":"people","_id":"{id}"}}}}"#)
}

#[track_caller]
fn store(router: &Router, id: &str) {
    let lines = index(id);
    let stored = items(&send(router, &[&lines[0], &lines[1]]));
    assert_eq!(statuses(&stored), [201], "{stored:?}");
}

/// A German with a copy in Singapore.
#[track_caller]
pub(super) fn with_copy(router: &Router, id: &str) {
    store(router, id);
    let lines = index(id);
    let copied = bulk(&[&lines[0], &lines[1]])
        .header("domicile-operation", "replicate")
        .header("domicile-target", "sg")
        .send(router.router);
    let copied = items(&copied);
    assert_eq!(statuses(&copied), [201], "{copied:?}");
}

pub(super) fn open(router: &Router) -> Vec<Value> {
    let answer = get(router.admin, "/v1/erasures");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["erasures"].as_array().unwrap().clone()
}

fn pins(router: &Router) -> u64 {
    let scrape = metrics(router.admin);
    let line = scrape
        .lines()
        .find_map(|l| l.strip_prefix("domicile_directory_pins "));
    line.unwrap().parse().unwrap()
}

/// The one item, which says that these regions have not erased.
#[track_caller]
fn incomplete(found: &[(String, Value)], regions: &[&str], retried: bool) -> Value {
    let (action, item) = &found[0];
    assert_eq!(action, "delete");
    assert!(item["status"].as_u64().unwrap() >= 400, "{item}");
    let error = &item["error"];
    assert_eq!(error["type"], "domicile_erasure_incomplete", "{item}");
    assert_eq!(error["unreached"], json!(regions));
    let reason = error["reason"].as_str().unwrap();
    assert_eq!(
        reason.contains("the router tries again"),
        retried,
        "{reason}"
    );
    item.clone()
}

#[test]
fn a_copy_that_comes_back_is_erased_without_the_caller() {
    let (setup, _regions, eu, sg) = world(200, 0);
    let router = setup.start();
    with_copy(&router, "late-7");
    let line = delete("late-7");
    let found = items(&send(&router, &[&line]));
    let item = incomplete(&found, &["sg"], true);
    let listed = open(&router);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let row = &listed[0];
    assert_eq!(row["state"], "retrying");
    assert_eq!(row["region"], "sg");
    assert_eq!(row["route"], "people-bulk");
    assert_eq!(row["decision"], item["domicile"]["decision"]);
    let log = fs::read(router.folder.path().join("directory/erasures.log")).unwrap();
    assert!(contains(&log, b"\"sg\""));
    assert!(!contains(&log, b"late-7") && !row.to_string().contains("late-7"));

    sg.wait_delete("late-7");
    sg.says(200);
    wait_none_open(&router);
    assert_eq!(sg.bodies().last().unwrap(), &format!("{line}\n"));
    assert_eq!(eu.bodies().len(), 2, "the home has confirmed already");
    let tries: Vec<Value> = all_entries(router.admin)
        .into_iter()
        .filter(|e| e["operation"] == "erase" && e["region"] == "sg")
        .collect();
    assert!(tries.len() >= 2, "{tries:?}");
    assert_ne!(tries.last().unwrap()["decision"], row["decision"]);
}

#[test]
fn a_home_that_is_down_is_asked_again_for_its_items_alone() {
    let (setup, _regions, eu, _sg) = world(0, 200);
    let router = setup.start();
    for id in ["one", "two"] {
        store(&router, id);
    }
    let found = items(&send(&router, &[&delete("one"), &delete("two")]));
    incomplete(&found, &["eu"], true);
    incomplete(&found[1..], &["eu"], true);
    assert_eq!(open(&router).len(), 2);
    eu.says(200);
    wait_none_open(&router);
    let bodies = eu.bodies();
    for id in ["one", "two"] {
        assert!(bodies.contains(&format!("{}\n", delete(id))), "{bodies:?}");
    }
}

#[test]
fn what_a_region_says_of_an_item_is_told_and_tried_again_all_the_same() {
    let (setup, _regions, eu, _sg) = world(ITEMS_429, 200);
    let router = setup.start();
    store(&router, "busy");
    let found = items(&send(&router, &[&delete("busy")]));
    assert_eq!(statuses(&found), [429], "{found:?}");
    assert_eq!(
        found[0].1["error"]["type"],
        "es_rejected_execution_exception"
    );
    assert_eq!(open(&router)[0]["state"], "retrying");
    eu.wait_delete("busy");
    eu.says(200);
    wait_none_open(&router);
}

#[test]
fn what_a_holder_refuses_is_left_to_the_caller() {
    let (setup, _regions, _eu, sg) = world(200, 403);
    let router = setup.start();
    with_copy(&router, "denied");
    let line = delete("denied");
    incomplete(&items(&send(&router, &[&line])), &["sg"], false);
    assert_eq!(open(&router)[0]["state"], "repeat");
    sg.says(200);
    assert_eq!(statuses(&items(&send(&router, &[&line]))), [200]);
    assert!(open(&router).is_empty());
}

/// An ingress without a backend says 404 to `/_bulk` itself, a server of an index that it does not
/// have to the item.
#[test]
fn a_404_that_is_not_of_the_document_confirms_no_erasure() {
    let (part, index) = ("domicile_region_refused", "index_not_found_exception");
    for (says, status, kind) in [(404, 404, part), (410, 410, part), (NO_INDEX, 404, index)] {
        let (mut setup, _regions, eu, sg) = world(says, says);
        setup.set_route("bulk", "erase", "subject");
        let router = setup.start();
        with_copy(&router, "both");
        store(&router, "home");
        eventually("they are known", || (pins(&router) == 2).then_some(()));
        let found = items(&send(&router, &[&delete("home"), &delete("both")]));
        // The home's own word is told, a copy's is not.
        assert_eq!(statuses(&found)[0], status, "{found:?}");
        assert_eq!(found[0].1["error"]["type"], kind);
        incomplete(&found[1..], &["eu", "sg"], true);
        // No 404, which is not an error to clients.
        assert_eq!(statuses(&found)[1], 502);
        // Nor does it at a further try.
        for region in [&eu, &sg] {
            region.wait_delete("both");
        }
        let states = open(&router);
        assert_eq!(states.len(), 3, "{states:?}");
        let is_retried = |r: &Value| r["state"] == "retrying";
        assert!(states.iter().all(is_retried), "{states:?}");
        assert_eq!(pins(&router), 2);
        eu.says(200);
        sg.says(200);
        wait_none_open(&router);
        eventually("the accounts end", || (pins(&router) == 0).then_some(()));
    }
}

/// A caller without the right to erase neither erases copies nor fills the list.
#[test]
fn a_home_that_refuses_keeps_the_copies_too() {
    for (says, status) in [(ITEMS_403, 403), (401, 401)] {
        let (mut setup, _regions, eu, sg) = world(says, 200);
        setup.set_route("bulk", "erase", "subject");
        let router = setup.start();
        with_copy(&router, "kept");
        let (line, stored, before) = (delete("kept"), index("new"), sg.bodies().len());
        let found = items(&send(&router, &[&line, &stored[0], &stored[1]]));
        assert_eq!(statuses(&found)[0], status, "{found:?}");
        assert_ne!(found[0].1["error"]["type"], "domicile_erasure_incomplete");
        assert_eq!(sg.bodies().len(), before, "the copy is not asked");
        assert!(open(&router).is_empty());
        eu.says(200);
        assert_eq!(statuses(&items(&send(&router, &[&line]))), [200]);
        assert_eq!(sg.bodies().last().unwrap(), &format!("{line}\n"));
        let dropped = all_entries(router.admin).into_iter();
        assert_eq!(dropped.filter(|e| e["pin"] == "drop").count(), 1);
    }
}

/// A copy that is erased and written anew is so in this order, though its home is asked first.
#[test]
fn what_comes_after_a_delete_comes_after_it_at_the_copy() {
    let (setup, _regions, _eu, sg) = world(200, 200);
    let router = setup.start();
    with_copy(&router, "twice");
    let (line, again) = (delete("twice"), index("twice"));
    let found = bulk(&[&line, &again[0], &again[1]])
        .header("domicile-operation", "replicate")
        .header("domicile-target", "sg")
        .send(router.router);
    // A `delete` reaches every holder and takes no target: it is refused, and the rest is done.
    assert_eq!(statuses(&items(&found)), [400, 201]);
    let found = items(&send(
        &router,
        &[&again[0], &again[1], &line, &again[0], &again[1]],
    ));
    assert_eq!(statuses(&found), [201, 200, 201], "{found:?}");
    assert_eq!(sg.bodies().last().unwrap(), &format!("{line}\n"));
    assert!(open(&router).is_empty());
}

#[test]
fn an_account_ends_though_the_caller_has_gone() {
    let (mut setup, _regions, _eu, _sg) = world(200, 200);
    let gate = Arc::new(Gate::default());
    let own = Arc::clone(&gate);
    let sg = Backend::scripted(move |seen| {
        if contains(&seen.body, b"{\"delete\"") {
            own.pass();
        }
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: elastic::answer(seen).to_string().into_bytes(),
        }
    });
    setup.region("sg", sg.address);
    setup.set_route("bulk", "erase", "subject");
    let router = setup.start();
    store(&router, "home");
    with_copy(&router, "both");
    eventually("they are known", || (pins(&router) == 2).then_some(()));
    gate.close();
    let hurried = bulk(&[&delete("home"), &delete("both")]).begin(router.router);
    // The copies are asked after the homes have answered.
    gate.is_met();
    reset(hurried);
    eventually("one account ends", || (pins(&router) == 1).then_some(()));
    gate.open();
    wait_none_open(&router);
    eventually("the other, too", || (pins(&router) == 0).then_some(()));
}

/// The request is decided, and waits; then a region takes a copy: it is decided again.
#[test]
fn a_copy_that_was_taken_meanwhile_is_erased_too() {
    let (mut setup, _regions, _eu, sg) = world(200, 200);
    let gate = Arc::new(Gate::default());
    let (own, tries) = (Arc::clone(&gate), AtomicU16::new(0));
    let eu = Backend::scripted(move |seen| {
        if contains(&seen.body, b"\"_id\":\"other\"") && contains(&seen.body, b"{\"delete\"") {
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => return Reply::status(503),
                _ => own.pass(),
            }
        }
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: elastic::answer(seen).to_string().into_bytes(),
        }
    });
    setup.region("eu", eu.address);
    setup.set_route("bulk", "erase", "subject");
    let router = setup.start();
    store(&router, "copied");
    store(&router, "other");
    gate.close();
    assert_eq!(statuses(&items(&send(&router, &[&delete("other")]))), [503]);
    gate.is_met();
    // A write of the other waits for the try that is under way, and with it the whole request.
    let before = erasures_decided(&router);
    let (address, other) = (router.router, index("other"));
    let asked =
        thread::spawn(move || bulk(&[&delete("copied"), &other[0], &other[1]]).send(address));
    eventually("it is decided", || {
        (erasures_decided(&router) > before).then_some(())
    });
    with_copy(&router, "copied");
    gate.open();
    assert_eq!(statuses(&items(&asked.join().unwrap())), [200, 201]);
    let asked = |region: &Region| {
        let bodies = region.bodies().into_iter();
        bodies.filter(|b| b.contains(&delete("copied"))).count()
    };
    let ends = || {
        let entries = all_entries(router.admin).into_iter();
        entries.filter(|e| e["pin"] == "drop").count()
    };
    assert_eq!((asked(&sg), ends()), (1, 1));
    assert!(open(&router).is_empty());
}

fn erasures_decided(router: &Router) -> u64 {
    let scrape = metrics(router.admin);
    let lines = scrape.lines();
    let erasures = lines.filter(|l| {
        l.starts_with("domicile_decisions_total{") && l.contains("operation=\"erase\"")
    });
    let counts = erasures.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn a_newer_record_is_not_erased() {
    let (setup, _regions, eu, _sg) = world(503, 200);
    let router = setup.start();
    for id in ["again", "other"] {
        store(&router, id);
        let found = items(&send(&router, &[&delete(id)]));
        assert_eq!(statuses(&found), [503], "{found:?}");
    }
    // By another path, with the index in it: the same document.
    let body = "{\"index\":{\"_id\":\"again\"}}\n{\"country\":\"DE\"}\n";
    let written = Request::new("POST", "/people/_bulk")
        .ndjson(body)
        .send(router.router);
    assert_eq!(statuses(&items(&written)), [201]);
    let left = open(&router);
    assert_eq!(left.len(), 1, "{left:?}");
    // Deleted and brought back within one request, the first of which fails.
    eu.says(ITEMS_429);
    store(&router, "both");
    let lines = index("both");
    let found = items(&send(&router, &[&delete("both"), &lines[0], &lines[1]]));
    assert_eq!(statuses(&found), [429, 201], "{found:?}");
    assert_eq!(open(&router).len(), 1);
    // The other way round it is to be erased.
    let found = items(&send(&router, &[&lines[0], &lines[1], &delete("both")]));
    assert_eq!(statuses(&found), [201, 429], "{found:?}");
    assert_eq!(open(&router).len(), 2);
    eu.says(200);
    wait_none_open(&router);
    let bodies = eu.bodies();
    let last = bodies.iter().rposition(|b| b == body).unwrap();
    let deletes = bodies[last..]
        .iter()
        .filter(|b| b.contains(&delete("again")));
    assert_eq!(deletes.count(), 0, "{bodies:?}");
}

#[test]
fn a_legal_hold_keeps_a_document_and_stops_the_tries() {
    let (setup, _regions, _eu, sg) = world(200, 503);
    let router = setup.start();
    with_copy(&router, "evidence");
    with_copy(&router, "kept");
    incomplete(
        &items(&send(&router, &[&delete("evidence")])),
        &["sg"],
        true,
    );
    router.hold_everything();
    let row = eventually("the next try is refused", || {
        let mut open = open(&router).into_iter();
        open.find(|row| row["state"] == "repeat")
    });
    assert_eq!(row["refused"], "case-7");
    let before = sg.bodies().len();
    let found = items(&send(&router, &[&delete("kept")]));
    assert_eq!(statuses(&found), [451], "{found:?}");
    assert_eq!(found[0].1["error"]["rule"], "case-7");
    assert_eq!(sg.bodies().len(), before, "nothing was sent");
    assert_eq!(open(&router).len(), 1);
}

#[test]
fn after_a_restart_the_caller_repeats_what_is_open() {
    let (setup, _regions, _eu, sg) = world(200, 503);
    let mut router = setup.start();
    with_copy(&router, "lost");
    let line = delete("lost");
    incomplete(&items(&send(&router, &[&line])), &["sg"], true);
    router.restart();
    let after = open(&router);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["state"], "repeat");
    sg.says(200);
    assert_eq!(statuses(&items(&send(&router, &[&line]))), [200]);
    wait_none_open(&router);
    router.restart();
    assert!(open(&router).is_empty());
}

#[test]
fn an_account_ends_with_its_last_copy() {
    let (mut setup, regions, _eu, sg) = world(200, 503);
    setup.set_route("bulk", "erase", "subject");
    let router = setup.start();
    with_copy(&router, "mover");
    store(&router, "plain");
    store(&router, "stays");
    eventually("they are known", || (pins(&router) == 3).then_some(()));
    let lines = index("stays");
    let found = items(&send(
        &router,
        &[
            &delete("mover"),
            &delete("plain"),
            &delete("stays"),
            &lines[0],
            &lines[1],
        ],
    ));
    assert_eq!(statuses(&found)[1..], [200, 200, 201], "{found:?}");
    incomplete(&found, &["sg"], true);
    // Of three one has ended: another is open, and the third was brought again.
    eventually("one pin is gone", || (pins(&router) == 2).then_some(()));
    sg.says(200);
    wait_none_open(&router);
    eventually("the other is, too", || (pins(&router) == 1).then_some(()));
    let dropped = all_entries(router.admin).into_iter();
    assert_eq!(dropped.filter(|e| e["pin"] == "drop").count(), 2);
    // Who comes back may live elsewhere.
    let moved = [&index("mover")[0], r#"{"country":"IN"}"#];
    assert_eq!(statuses(&items(&send(&router, &moved))), [201]);
    assert_eq!(regions.reached_by("mover"), ["in"]);
}

/// As single records do ([`crate::landing`]).
#[test]
fn a_document_that_lands_after_its_account_ended_keeps_its_home() {
    let (mut setup, _regions) = setup();
    let gate = Arc::new(Gate::default());
    let own = Arc::clone(&gate);
    let eu = Backend::scripted(move |seen| {
        if !contains(&seen.body, b"{\"delete\"") {
            own.pass();
        }
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: elastic::answer(seen).to_string().into_bytes(),
        }
    });
    setup.region("eu", eu.address);
    setup.set_route("bulk", "erase", "subject");
    let router = setup.start();
    store(&router, "late");
    gate.close();
    let (address, lines) = (router.router, index("late"));
    let late = thread::spawn(move || bulk(&[&lines[0], &lines[1]]).send(address));
    gate.is_met();
    assert_eq!(statuses(&items(&send(&router, &[&delete("late")]))), [200]);
    eventually("the account ends", || (pins(&router) == 0).then_some(()));
    gate.open();
    assert_eq!(statuses(&items(&late.join().unwrap())), [201]);
    eventually("a pin tells of it", || (pins(&router) == 1).then_some(()));
    let elsewhere = [&index("late")[0], r#"{"country":"IN"}"#];
    assert_eq!(statuses(&items(&send(&router, &elsewhere))), [409]);
}

#[test]
fn many_are_noted_and_tried_together() {
    let (setup, _regions, eu, _sg) = world(503, 200);
    let router = setup.start();
    let ids: Vec<String> = (0..200).map(|i| format!("m{i}")).collect();
    let lines: Vec<String> = ids.iter().flat_map(|id| index(id)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(
        statuses(&items(&send(&router, &lines)))
            .iter()
            .all(|s| *s == 201)
    );
    let deletes: Vec<String> = ids.iter().map(|id| delete(id)).collect();
    let deletes: Vec<&str> = deletes.iter().map(String::as_str).collect();
    let found = items(&send(&router, &deletes));
    assert!(statuses(&found).iter().all(|s| *s == 503), "{found:?}");
    assert_eq!(open(&router).len(), 200);
    eu.says(200);
    wait_none_open(&router);
    let bodies = eu.bodies();
    for line in deletes {
        assert!(bodies.contains(&format!("{line}\n")), "{line}");
    }
}
