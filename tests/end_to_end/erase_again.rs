//! Erasures that stay open while their records are written anew, or asked for once more.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bulk;
use crate::erase::{
    Region, delete, german, incomplete, lives_in, open, wait_none_open, with_copy, world,
};
use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Router, Setup};
use crate::kit::{PATIENCE, eventually, problem};

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

/// A home whose DELETEs wait, but for the first `free` of them: these answer 503, the others 204.
struct Slow {
    backend: Backend,
    /// DELETEs that have come, and whether the gate is open.
    gate: Arc<(Mutex<(usize, bool)>, Condvar)>,
}

impl Slow {
    fn new(free: usize) -> Self {
        let gate = Arc::new((Mutex::new((0, false)), Condvar::new()));
        let own = Arc::clone(&gate);
        let backend = Backend::scripted(move |seen| {
            if seen.method != "DELETE" {
                return Reply::status(201);
            }
            let (state, change) = &*own;
            let mut state = state.lock().unwrap();
            state.0 += 1;
            change.notify_all();
            if state.0 <= free {
                return Reply::status(503);
            }
            let passed = change.wait_timeout_while(state, PATIENCE, |s| !s.1);
            drop(passed.unwrap());
            Reply::status(204)
        });
        Self { backend, gate }
    }

    fn wait_deletes(&self, count: usize) {
        let (state, change) = &*self.gate;
        let state = state.lock().unwrap();
        let waited = change.wait_timeout_while(state, PATIENCE, |s| s.0 < count);
        assert!(!waited.unwrap().1.timed_out(), "{count} DELETEs");
    }

    fn open(&self) {
        let (state, change) = &*self.gate;
        state.lock().unwrap().1 = true;
        change.notify_all();
    }

    /// What came since the last DELETE.
    fn after_deletes(&self) -> Vec<String> {
        let seen = self.backend.requests().into_iter();
        let methods: Vec<String> = seen.map(|s| s.method).collect();
        let last = methods.iter().rposition(|m| m == "DELETE").unwrap();
        methods[last + 1..].to_vec()
    }
}

/// A German's erasure is tried again, and the try waits; a write comes, and `meanwhile` happens.
fn written_meanwhile(
    write: Request,
    meanwhile: impl FnOnce(&Router),
) -> (Answer, Vec<String>, Router) {
    let eu = Slow::new(1);
    let (mut setup, _regions) = bulk::setup();
    let sg = Region::new(204);
    setup.region("eu", eu.backend.address);
    setup.region("sg", sg.backend.address);
    let router = setup.start();
    assert!(german("racer").send(router.router).is_success());
    incomplete(&delete(&router, "racer"), "eu");
    eu.wait_deletes(2);
    let (address, began) = (router.router, Instant::now());
    let writer = thread::spawn(move || write.send(address));
    // Else what happens meanwhile may be there before it, where the machine has much to do.
    thread::sleep(Duration::from_millis(400));
    meanwhile(&router);
    // What took no second is decided by what was in force when it came.
    let second = Duration::from_millis(1300);
    thread::sleep(second.saturating_sub(began.elapsed()));
    assert!(!writer.is_finished(), "it waits for the try");
    eu.open();
    let answer = writer.join().unwrap();
    (answer, eu.after_deletes(), router)
}

fn lines() -> Request {
    Request::new("POST", "/people").ndjson(r#"{"id":"racer","country":"DE"}"#)
}

fn documents() -> Request {
    let line = r#"{"index":{"_index":"people","_id":"racer"}}"#;
    bulk::bulk(&[line, r#"{"country":"DE"}"#])
}

#[test]
fn a_write_that_waited_is_decided_by_what_is_in_force_then() {
    for write in [german("racer"), lines(), documents()] {
        let (answer, came, _router) = written_meanwhile(write, |router| router.hold_everything());
        let document = answer.json();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            document.to_string().contains("policy-changed"),
            "{document}"
        );
        assert_eq!(came, [] as [&str; 0], "nothing was sent");
    }
    // And passes where nothing changed.
    for (write, method) in [
        (german("racer"), "PUT"),
        (lines(), "POST"),
        (documents(), "POST"),
    ] {
        let (answer, came, router) = written_meanwhile(write, |_| ());
        assert!(answer.is_success(), "{answer:?}");
        assert_eq!(came, [method]);
        assert_eq!(open(&router), [] as [serde_json::Value; 0]);
    }
}

#[test]
fn a_write_that_waited_does_not_go_to_a_home_that_was_left() {
    for write in [german("racer"), lines()] {
        let (answer, came, router) = written_meanwhile(write, |router| {
            let moved = german("racer")
                .header("domicile-operation", "relocate")
                .header("domicile-target", "sg")
                .send(router.router);
            assert!(moved.is_success(), "{moved:?}");
        });
        let document = problem(&answer, 503);
        let detail = document["detail"].as_str().unwrap();
        assert!(detail.contains("home changed"), "{document}");
        assert_eq!(came, [] as [&str; 0], "nothing was sent");
        assert_eq!(lives_in(&router, "racer"), "sg");
    }
}

#[test]
fn a_hold_that_comes_while_the_home_erases_keeps_the_copy() {
    let eu = Slow::new(0);
    let (mut setup, _backends, sg) = world(204);
    setup.region("eu", eu.backend.address);
    let router = setup.start();
    with_copy(&router, "evidence");
    let path = "/people/evidence";
    let address = router.router;
    let began = Instant::now();
    let erasing = thread::spawn(move || Request::new("DELETE", path).send(address));
    eu.wait_deletes(1);
    router.hold_everything();
    let second = Duration::from_millis(1300);
    thread::sleep(second.saturating_sub(began.elapsed()));
    eu.open();
    let answer = erasing.join().unwrap();
    incomplete(&answer, "sg");
    assert_eq!(sg.deletes(path), 0);
    let row = eventually("the next try is refused", || {
        let rows = open(&router);
        rows.into_iter().find(|row| row["state"] == "repeat")
    });
    assert_eq!(
        (&row["region"], &row["refused"]),
        (&json!("sg"), &json!("case-7"))
    );
    assert_eq!(sg.deletes(path), 0);
}
