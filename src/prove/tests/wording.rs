//! How `policy diff` words what its changes turn on.

use super::{LAW, ORGANISATION, policy};
use crate::prove::diff::{Change, diff};

const FREE: &str = r#"
[[permit]]
id = "free"
to = ["BR"]
mechanism = "consent"
citation = "s. 7"
"#;

const RESCUE: &str = r#"
[[permit]]
id = "rescue"
to = ["BR"]
mechanism = "consent"
requires = ["ground:vital-interest"]
citation = "s. 6"
"#;

fn changes(old: &str, new: &str, organisation: &str) -> Vec<Change> {
    let (_a, old) = policy(old, organisation);
    let (_b, new) = policy(new, organisation);
    let found = diff(&old.check().unwrap(), &new.check().unwrap());
    assert!(found.untrue.is_empty(), "{:?}", found.untrue);
    found.changes
}

/// Who asserts the ground is permitted before and after: only flows without it change.
#[test]
fn a_change_that_turns_on_an_absent_ground_says_which() {
    let old = format!("{LAW}{RESCUE}");
    let found = changes(&old, &format!("{old}{FREE}"), ORGANISATION);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].on["ground"], ["no vital-interest"]);
}

/// Two new destinations that no rule tells apart are one line, also where somebody sits in each.
#[test]
fn destinations_that_are_alike_are_told_once() {
    let organisation = ORGANISATION.replace(
        "[homes]",
        "brazilian = { country = \"BR\", role = \"controller\" }\nargentine = { country = \"AR\", role = \"controller\" }\n[homes]",
    );
    let new = LAW.replace("[\"US\", \"IN\"]", "[\"US\", \"IN\", \"BR\", \"AR\"]");
    let found = changes(LAW, &new, &organisation);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].on["destination"], ["AR=BR"]);
}
