//! Deletes that are asked for once more while they are open.

use super::erasures::{ITEMS_403, delete, open, wait_none_open, with_copy, world};
use super::{items, send, statuses};

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
