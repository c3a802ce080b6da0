//! Deletes that are asked for once more while they are open, or forbidden while they are under way.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::erasures::{ITEMS_403, delete, open, wait_none_open, with_copy, world};
use super::{bulk, items, send, statuses};
use crate::kit::backend::{Backend, Reply};
use crate::kit::gate::Gate;
use crate::kit::{contains, elastic, eventually};

/// Whoever repeats it without the right to erase must not make the router forget it.
#[test]
fn a_home_that_refuses_a_repeated_delete_leaves_the_first_one_open() {
    let (setup, _regions, eu, sg) = world(200, 503);
    let router = setup.start();
    with_copy(&router, "copied");
    let line = delete("copied");
    send(&router, &[&line]);
    let before = open(&router);
    assert_eq!(before.len(), 1, "{before:?}");
    eu.says(ITEMS_403);
    assert_eq!(statuses(&items(&send(&router, &[&line]))), [403]);
    assert_eq!(open(&router), before);
    let asked = sg.bodies().len();
    sg.says(200);
    wait_none_open(&router);
    assert!(sg.bodies().len() > asked);
}

#[test]
fn a_hold_that_comes_while_the_home_erases_keeps_the_copy() {
    let (mut setup, _regions, _eu, sg) = world(200, 200);
    let gate = Arc::new(Gate::default());
    let own = Arc::clone(&gate);
    let eu = Backend::scripted(move |seen| {
        if contains(&seen.body, b"{\"delete\"") {
            own.pass();
        }
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: elastic::answer(seen).to_string().into_bytes(),
        }
    });
    setup.region("eu", eu.address);
    let router = setup.start();
    with_copy(&router, "evidence");
    gate.close();
    let (address, began) = (router.router, Instant::now());
    let erasing = thread::spawn(move || bulk(&[&delete("evidence")]).send(address));
    gate.is_met();
    router.hold_everything();
    // What took no second is decided by what was in force when it came.
    let second = Duration::from_millis(1300);
    thread::sleep(second.saturating_sub(began.elapsed()));
    gate.open();
    let found = items(&erasing.join().unwrap());
    let error = &found[0].1["error"];
    assert_eq!(error["type"], "domicile_erasure_incomplete", "{found:?}");
    let row = eventually("the next try is refused", || {
        let rows = open(&router);
        rows.into_iter().find(|row| row["state"] == "repeat")
    });
    assert_eq!(
        (&row["region"], &row["refused"]),
        (&json!("sg"), &json!("case-7"))
    );
    let asked = sg.bodies();
    assert!(!asked.iter().any(|body| body.contains("delete")));
}
