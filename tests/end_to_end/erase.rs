//! Erasure: every holder, until it has confirmed; and what keeps or overtakes one.

use std::fs;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply, Seen};
use crate::kit::http::{Answer, Request, get};
use crate::kit::setup::{Backends, Router, Setup, metrics};
use crate::kit::{all_entries, contains, decision, entries_of, eventually, problem};

/// A good answer of which only the beginning comes.
pub(super) const HALF: u16 = 1;

/// A region whose answer to DELETE can be changed; 0 is a connection that breaks.
pub(super) struct Region {
    pub(super) backend: Backend,
    answer: Arc<AtomicU16>,
}

impl Region {
    pub(super) fn new(answer: u16) -> Self {
        let answer = Arc::new(AtomicU16::new(answer));
        let says = Arc::clone(&answer);
        let backend = Backend::scripted(move |seen| match says.load(Ordering::SeqCst) {
            _ if seen.method != "DELETE" => Reply::status(201),
            0 => Reply::Reset(Vec::new()),
            HALF => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}".to_vec()),
            status => Reply::status(status),
        });
        Self { backend, answer }
    }

    pub(super) fn says(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
    }

    pub(super) fn seen(&self, path: &str) -> Vec<String> {
        let seen = self.backend.requests().into_iter();
        let seen = seen.filter(|s| s.path == path);
        seen.map(|s| s.method).collect()
    }

    /// Waits for a DELETE that is answered with what it says now.
    pub(super) fn wait_deletes(&self, path: &str, more_than: usize) {
        eventually("the holder is asked again", || {
            (self.deletes(path) > more_than).then_some(())
        });
    }

    pub(super) fn deletes(&self, path: &str) -> usize {
        self.seen(path).iter().filter(|m| *m == "DELETE").count()
    }
}

/// The demo's policy, with a copy region of our own.
pub(super) fn world(copy: u16) -> (Setup, Backends, Region) {
    let (mut setup, backends) = Setup::recording();
    let sg = Region::new(copy);
    setup.region("sg", sg.backend.address);
    (setup, backends, sg)
}

pub(super) fn german(id: &str) -> Request {
    person(id, "DE")
}

fn person(id: &str, country: &str) -> Request {
    Request::new("PUT", format!("/people/{id}"))
        .json(format!(r#"{{"id":"{id}","country":"{country}"}}"#))
}

fn to_singapore(request: Request, operation: &str) -> Request {
    request
        .header("domicile-operation", operation)
        .header("domicile-target", "sg")
}

/// A German with a copy in Singapore.
#[track_caller]
pub(super) fn with_copy(router: &Router, id: &str) {
    for request in [german(id), to_singapore(german(id), "replicate")] {
        let answer = request.send(router.router);
        assert!(answer.is_success(), "{answer:?}");
    }
}

pub(super) fn delete(router: &Router, id: &str) -> Answer {
    Request::new("DELETE", format!("/people/{id}")).send(router.router)
}

/// What `/v1/erasures` lists.
pub(super) fn open(router: &Router) -> Vec<Value> {
    let answer = get(router.admin, "/v1/erasures");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["erasures"].as_array().unwrap().clone()
}

/// Nor in the log, which a thread of its own writes: a router that is killed before lists what is
/// closed once more.
pub(super) fn wait_none_open(router: &Router) {
    eventually("nothing is open", || open(router).is_empty().then_some(()));
    let log = router.folder.path().join("directory/erasures.log");
    eventually("the log is empty", || {
        let log = fs::metadata(&log).unwrap();
        (log.len() == 0).then_some(())
    });
}

#[track_caller]
pub(super) fn incomplete(answer: &Answer, region: &str) {
    let document = problem(answer, answer.status);
    assert!(answer.status >= 500, "{answer:?}");
    assert_eq!(document["type"], "urn:domicile:problem:erasure-incomplete");
    assert_eq!(document["unreached"], json!([region]));
}

#[test]
fn a_holder_that_comes_back_erases_without_the_caller() {
    let (setup, _backends, sg) = world(0);
    let router = setup.start();
    with_copy(&router, "late@example.com");
    let answer = delete(&router, "late@example.com");
    incomplete(&answer, "sg");

    let listed = open(&router);
    let first = decision(&answer);
    let entry = &entries_of(router.admin, first)[0];
    assert_eq!(listed.len(), 1, "{listed:?}");
    let row = &listed[0];
    assert_eq!(row["state"], "retrying");
    assert_eq!(
        (&row["region"], &row["decision"]),
        (&json!("sg"), &json!(first))
    );
    assert_eq!(
        (&row["subject"], &row["route"]),
        (&entry["subject"], &entry["route"])
    );
    assert!(row["since"].is_string());
    assert!(metrics(router.admin).contains("domicile_erasures_open 1"));
    // The id stands nowhere: neither in the list nor on the disk.
    let log = fs::read(router.folder.path().join("directory/erasures.log")).unwrap();
    assert!(contains(&log, b"\"sg\""));
    assert!(!contains(&log, b"late") && !listed[0].to_string().contains("late"));

    let asked = sg.deletes("/people/late@example.com");
    sg.wait_deletes("/people/late@example.com", asked);
    sg.says(204);
    wait_none_open(&router);
    assert!(metrics(router.admin).contains("domicile_erasures_open 0"));
    // Every try has a decision of its own, and the entries of one.
    let tries: Vec<Value> = all_entries(router.admin)
        .into_iter()
        .filter(|e| e["operation"] == "erase" && e["region"] == "sg")
        .collect();
    assert!(tries.len() >= 2, "{tries:?}");
    let last = tries.last().unwrap();
    assert_eq!(last["outcome"], "permit");
    assert_ne!(last["decision"], json!(first));
    let outcome = eventually("the outcome stands", || {
        let of_try = entries_of(router.admin, last["decision"].as_str().unwrap());
        of_try.into_iter().find(|e| e["kind"] == "outcome")
    });
    assert_eq!(outcome["status"], 204);
    let seen = sg.backend.requests();
    let told = seen.last().unwrap().header("domicile-decision");
    assert_eq!(told, last["decision"].as_str());
}

#[test]
fn a_home_that_is_down_is_asked_again_too() {
    let (mut setup, _backends) = Setup::recording();
    let eu = Region::new(503);
    setup.region("eu", eu.backend.address);
    let router = setup.start();
    assert!(german("solo").send(router.router).is_success());
    incomplete(&delete(&router, "solo"), "eu");
    eu.says(404);
    // Not there is as good as gone.
    wait_none_open(&router);
    assert!(eu.deletes("/people/solo") >= 2);
}

#[test]
fn after_a_restart_the_caller_repeats_what_is_open() {
    let (setup, _backends, sg) = world(503);
    let mut router = setup.start();
    with_copy(&router, "lost");
    let answer = delete(&router, "lost");
    incomplete(&answer, "sg");
    let before = open(&router);
    router.restart();
    let after = open(&router);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["state"], "repeat");
    for member in ["subject", "region", "route", "since", "decision"] {
        assert_eq!(after[0][member], before[0][member], "{member}");
    }
    sg.says(204);
    assert!(delete(&router, "lost").is_success());
    assert!(open(&router).is_empty());
    wait_none_open(&router);
    router.restart();
    assert!(open(&router).is_empty(), "closed once and for all");
}

#[test]
fn a_newer_record_overtakes_the_erasure_of_its_own_place_alone() {
    let (mut setup, _backends) = Setup::recording();
    let eu = Region::new(503);
    setup.region("eu", eu.backend.address);
    let mut router = setup.start();
    for id in ["again", "lines", "other"] {
        assert!(german(id).send(router.router).is_success());
        incomplete(&delete(&router, id), "eu");
    }
    assert!(german("again").send(router.router).is_success());
    let batch = r#"{"id":"lines","country":"DE"}"#;
    let answer = Request::new("POST", "/people")
        .ndjson(batch)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    let left = open(&router);
    assert_eq!(left.len(), 1, "{left:?}");
    let tried = eu.deletes("/people/other");
    eu.says(204);
    // Of one region all that is due has its turn together, and these were due before.
    eu.wait_deletes("/people/other", tried);
    wait_none_open(&router);
    let again = eu.seen("/people/again");
    assert_eq!(again.last().unwrap(), "PUT", "{again:?}");
    let written = eu.backend.requests();
    let at = written.iter().rposition(|s| s.path == "/people").unwrap();
    let erased_after = |s: &&Seen| s.method == "DELETE" && s.path == "/people/lines";
    assert_eq!(written[at..].iter().filter(erased_after).count(), 0);
    router.restart();
    assert!(open(&router).is_empty());
}

/// The try is at the region when the newer record comes: the record waits.
#[test]
fn a_record_waits_for_a_try_that_is_under_way() {
    struct Gate {
        /// DELETEs that have come, PUTs that have come since the second of them began.
        state: Mutex<(usize, usize)>,
        change: Condvar,
    }
    let gate = Arc::new(Gate {
        state: Mutex::new((0, 0)),
        change: Condvar::new(),
    });
    let overtook = Arc::new(Mutex::new(Vec::new()));
    let (inner, found) = (Arc::clone(&gate), Arc::clone(&overtook));
    let eu = Backend::scripted(move |seen| {
        let mut state = inner.state.lock().unwrap();
        if seen.method != "DELETE" {
            state.1 += usize::from(state.0 == 2);
            inner.change.notify_all();
            return Reply::status(201);
        }
        state.0 += 1;
        inner.change.notify_all();
        if state.0 == 1 {
            return Reply::status(503);
        }
        // Long enough for a record that does not wait.
        let patience = Duration::from_millis(700);
        let (state, _) = inner
            .change
            .wait_timeout_while(state, patience, |s| s.1 == 0)
            .unwrap();
        found.lock().unwrap().push(state.1);
        Reply::status(204)
    });
    let (mut setup, _backends) = Setup::recording();
    setup.region("eu", eu.address);
    let router = setup.start();
    assert!(german("racer").send(router.router).is_success());
    incomplete(&delete(&router, "racer"), "eu");
    {
        let state = gate.state.lock().unwrap();
        let waited = gate
            .change
            .wait_timeout_while(state, crate::kit::PATIENCE, |s| s.0 < 2)
            .unwrap();
        assert!(!waited.1.timed_out(), "a second try");
    }
    let address = router.router;
    let writer = thread::spawn(move || german("racer").send(address));
    let answer = writer.join().unwrap();
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(
        *overtook.lock().unwrap(),
        [0],
        "the record came during the try"
    );
    let methods: Vec<String> = eu.requests().into_iter().map(|s| s.method).collect();
    assert_eq!(methods, ["PUT", "DELETE", "DELETE", "PUT"]);
    assert!(open(&router).is_empty());
}

#[test]
fn a_hold_that_comes_later_stops_the_tries() {
    let (setup, _backends, sg) = world(503);
    let router = setup.start();
    with_copy(&router, "evidence");
    incomplete(&delete(&router, "evidence"), "sg");
    router.hold_everything();
    let row = eventually("the next try is refused", || {
        open(&router)
            .into_iter()
            .find(|row| row["state"] == "repeat")
    });
    assert_eq!(row["refused"], "case-7");
    let refusal = all_entries(router.admin)
        .into_iter()
        .find(|e| e["problem"] == "legal-hold")
        .expect("its entry");
    assert_eq!(refusal["rules"], json!(["case-7"]));
    assert_eq!(refusal["subject"], row["subject"]);
    assert_eq!(refusal["outcome"], "refuse");

    sg.says(204);
    let asked = sg.deletes("/people/evidence");
    let document = problem(&delete(&router, "evidence"), 451);
    assert_eq!(document["rule"], "case-7");
    assert_eq!(document["citation"], "order 7 of an invented court");
    assert_eq!(sg.deletes("/people/evidence"), asked);
    assert_eq!(
        open(&router).len(),
        1,
        "what a hold keeps is still to be erased"
    );
}

pub(super) fn accounts(setup: &mut Setup) {
    setup.set_route("record", "erase", "subject");
}

pub(super) fn lives_in(router: &Router, id: &str) -> String {
    let answer = get(router.router, &format!("/people/{id}"));
    answer.header("domicile-region").unwrap().to_owned()
}

#[test]
fn an_answer_that_breaks_off_moves_nobody() {
    let (mut setup, _backends) = Setup::recording();
    let sg = Backend::scripted(|_| {
        Reply::Raw(b"HTTP/1.1 201 Created\r\nContent-Length: 20\r\n\r\n{}".to_vec())
    });
    setup.region("sg", sg.address);
    let router = setup.start();
    assert!(german("stays").send(router.router).is_success());
    let answer = to_singapore(german("stays"), "relocate").send(router.router);
    problem(&answer, 502);
    let outcome = eventually("its outcome", || {
        let entries = entries_of(router.admin, decision(&answer)).into_iter();
        entries.rev().find(|e| e["kind"] == "outcome")
    });
    assert_eq!(outcome["status"], 0, "{outcome}");
    assert_eq!(lives_in(&router, "stays"), "eu");
}

/// Whatever is open of others meanwhile.
#[test]
fn a_move_is_a_copy_once_and_then_a_move() {
    let (setup, _backends, _sg) = world(503);
    let router = setup.start();
    with_copy(&router, "other");
    incomplete(&delete(&router, "other"), "sg");
    assert!(german("mover").send(router.router).is_success());
    let answer = to_singapore(german("mover"), "relocate").send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    let entries = entries_of(router.admin, decision(&answer));
    let pins: Vec<&str> = entries.iter().filter_map(|e| e["pin"].as_str()).collect();
    assert_eq!(pins, ["copy", "move"], "{entries:?}");
    assert_eq!(lives_in(&router, "mover"), "sg");
}

#[test]
fn a_cancelled_account_may_begin_anew_elsewhere() {
    let (mut setup, _backends, _sg) = world(204);
    accounts(&mut setup);
    let mut router = setup.start();
    with_copy(&router, "mover");
    problem(&person("mover", "IN").send(router.router), 409);
    let answer = delete(&router, "mover");
    assert!(answer.is_success(), "{answer:?}");
    let dropped = entries_of(router.admin, decision(&answer))
        .into_iter()
        .find(|e| e["pin"] == "drop")
        .expect("the entry that removes the pin");
    assert_eq!(dropped["pin_region"], "eu");
    assert_eq!(dropped["operation"], "erase");
    // At once, on every worker.
    for _ in 0..4 {
        problem(&get(router.router, "/people/mover"), 404);
    }
    for _ in 0..3 {
        let answer = person("mover", "IN").send(router.router);
        assert_eq!(answer.header("domicile-region"), Some("in"), "{answer:?}");
        router.restart();
        problem(&german("mover").send(router.router), 409);
    }
}

#[test]
fn an_account_ends_when_its_last_copy_does() {
    let (mut setup, _backends, sg) = world(503);
    accounts(&mut setup);
    let mut router = setup.start();
    for id in ["gone", "stays"] {
        with_copy(&router, id);
        incomplete(&delete(&router, id), "sg");
        // Proof and pin stand until then.
        assert_eq!(lives_in(&router, id), "eu");
    }
    // Who writes again keeps the account.
    assert!(german("stays").send(router.router).is_success());
    sg.says(204);
    wait_none_open(&router);
    let dropped = eventually("the pin goes", || {
        let mut entries = all_entries(router.admin).into_iter();
        entries.find(|e| e["pin"] == "drop")
    });
    problem(&get(router.router, "/people/gone"), 404);
    let ends = all_entries(router.admin);
    let ends = ends.iter().filter(|e| e["pin"] == "drop");
    assert_eq!(ends.count(), 1, "{dropped}");
    assert_eq!(lives_in(&router, "stays"), "eu");
    router.restart();
    problem(&get(router.router, "/people/gone"), 404);
    assert_eq!(lives_in(&router, "stays"), "eu");
    assert!(person("gone", "IN").send(router.router).is_success());
}

#[test]
fn an_account_whose_end_was_cut_short_is_repeated() {
    let (mut setup, _backends, sg) = world(503);
    accounts(&mut setup);
    let mut router = setup.start();
    with_copy(&router, "cut");
    incomplete(&delete(&router, "cut"), "sg");
    router.restart();
    assert_eq!(lives_in(&router, "cut"), "eu");
    // The home's row waited for the copy's: both are to be repeated.
    assert_eq!(open(&router).len(), 2);
    sg.says(204);
    assert!(delete(&router, "cut").is_success());
    assert!(open(&router).is_empty());
    problem(&get(router.router, "/people/cut"), 404);
}

/// The law wants the primary copy first: a home that was only claimed has none.
#[test]
fn a_home_counts_as_holding_the_primary_once_it_has_a_record() {
    let status = Arc::new(AtomicU16::new(503));
    let says = Arc::clone(&status);
    let ru = Backend::scripted(move |_| Reply::status(says.load(Ordering::SeqCst)));
    let sg = Backend::recording();
    let mut setup = Setup::of_example("smart-devices");
    setup.region("ru", ru.address);
    setup.region("sg", sg.address);
    let mut router = setup.start();
    let record = |id: &str| {
        Request::new("PUT", format!("/people/{id}"))
            .json(format!(r#"{{"email":"{id}@example.com","country":"RU"}}"#))
    };
    assert_eq!(record("ivan").send(router.router).status, 503);
    let copy = || to_singapore(record("ivan"), "replicate");
    let refused = problem(&copy().send(router.router), 451);
    assert_eq!(refused["rule"], "ru-localisation", "{refused}");
    assert!(sg.requests().is_empty());
    router.restart();
    problem(&copy().send(router.router), 451);
    status.store(201, Ordering::SeqCst);
    assert_eq!(record("ivan").send(router.router).status, 201);
    // The next request knows it, and every start after it.
    assert_eq!(copy().send(router.router).status, 201);
    router.process.terminate();
    router.restart();
    assert_eq!(copy().send(router.router).status, 201);
}

#[test]
fn each_part_of_a_batch_is_told_its_own_last_day() {
    let (setup, backends) = Setup::recording();
    let file = setup.folder.path().join("policies/organisation.toml");
    let mut policy = fs::read_to_string(&file).unwrap();
    policy.push_str(
        "\n[[retention]]\nid = \"mail\"\ncategories = [\"user.contact.email\"]\nkeep = \"30 days\"\n",
    );
    fs::write(&file, policy).unwrap();
    let router = setup.start();
    let batch = "{\"id\":\"a\",\"country\":\"DE\"}\n\
                 {\"id\":\"b\",\"country\":\"DE\",\"email\":\"b@example.com\"}\n\
                 {\"id\":\"c\",\"country\":\"DE\"}\n";
    let answer = Request::new("POST", "/people")
        .ndjson(batch)
        .send(router.router);
    assert_eq!(answer.items().len(), 3, "{answer:?}");
    assert!(answer.items().iter().all(|i| i["status"] == 201));
    let parts = backends.of("eu").seen();
    assert_eq!(parts.len(), 2, "{parts:?}");
    for part in parts {
        let has_mail = contains(&part.body, b"@example.com");
        let lines = part.body.iter().filter(|b| **b == b'\n').count();
        let told = part.header("domicile-retain-until").is_some();
        assert_eq!((told, lines), (has_mail, if has_mail { 1 } else { 2 }));
    }
}

/// Whatever is killed when: a holder that was asked is listed, unless the pin went with the last
/// of them, and then its entry stands.
#[test]
fn a_router_killed_during_a_cancellation_leaves_pin_or_proof() {
    let (mut setup, backends, sg) = world(204);
    accounts(&mut setup);
    let mut router = setup.start();
    for (number, milliseconds) in [0, 1, 2, 3, 5, 8, 13].into_iter().enumerate() {
        let id = format!("killed-{number}");
        let path = format!("/people/{id}");
        with_copy(&router, &id);
        let address = router.router;
        let request = Request::new("DELETE", path.clone());
        let caller = thread::spawn(move || {
            let mut client = crate::kit::http::Client::new(address);
            let _ = client.send(&request);
        });
        // Not to wait for anything: to be killed at different moments.
        thread::sleep(Duration::from_millis(milliseconds));
        router.restart();
        caller.join().unwrap();
        let home = backends.of("eu").requests();
        let at_home = home.iter().any(|s| s.method == "DELETE" && s.path == path);
        let asked = at_home || sg.deletes(&path) > 0;
        let ends = all_entries(router.admin);
        let subject = ends.iter().rev().find(|e| e["pin"] == "claim").unwrap()["subject"].clone();
        let dropped = ends
            .iter()
            .any(|e| e["pin"] == "drop" && e["subject"] == subject);
        let listed = open(&router);
        let listed = listed
            .iter()
            .filter(|row| row["subject"] == subject)
            .count();
        let answer = get(router.router, &path);
        if dropped {
            problem(&answer, 404);
            assert_eq!(listed, 0, "{id}");
        } else {
            assert_eq!(answer.header("domicile-region"), Some("eu"), "{id}");
            assert!(listed > 0 || !asked, "{id}");
        }
        // Either way the caller can bring it to its end.
        let answer = delete(&router, &id);
        assert!(answer.is_success() || answer.status == 404, "{answer:?}");
        problem(&get(router.router, &path), 404);
        assert!(open(&router).is_empty());
    }
}

/// Where only weak evidence pins, a copy abroad pins too: else nobody would find it again.
#[test]
fn a_copy_of_somebody_who_is_not_pinned_is_found_again() {
    let (mut setup, _backends, sg) = world(204);
    setup.set_route("record", "pin", "weak");
    let router = setup.start();
    let abroad = german("traveller").header("domicile-target", "sg");
    assert!(abroad.send(router.router).is_success());
    assert!(delete(&router, "traveller").is_success());
    assert_eq!(sg.deletes("/people/traveller"), 1);
    assert!(german("settled").send(router.router).is_success());
    problem(&get(router.router, "/people/settled"), 404);
}
