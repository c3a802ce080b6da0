//! Promises in `policy diff` and `policy matrix`, and what neither asks.

use std::sync::Arc;

use super::{LAW, ORGANISATION, policy};
use crate::{
    domain::Operation,
    policy::Checked,
    prove::{
        diff::{Differences, diff, diff_files},
        files::Files,
        matrix::{Cell, matrix},
    },
};

fn files(law: &str, more: &str) -> Files {
    policy(law, &format!("{ORGANISATION}{more}")).1
}

fn with(more: &str) -> Arc<Checked> {
    files(LAW, more).check().unwrap()
}

fn compared(old: &str, new: &str) -> Differences {
    diff(&with(old), &with(new))
}

#[test]
fn recipients_of_a_promise_that_change_are_told() {
    let recipients = r#"
[[recipients]]
id = "a"
entity = "there"
categories = ["user"]
[[recipients]]
id = "b"
entity = "there"
categories = ["user"]
"#;
    let only =
        |id: &str| format!("{recipients}[[promises]]\nid = \"p\"\nrecipients_only = [\"{id}\"]\n");
    let found = compared(&only("a"), &only("b"));
    assert_eq!(found.changes.len(), 2, "{found:?}");
    for (change, recipient) in found.changes.iter().zip(["a", "b"]) {
        assert_eq!(change.on["operation"], ["disclose"]);
        assert_eq!(change.on["recipient"], [recipient]);
    }
}

#[test]
fn parts_of_countries_in_promises_are_told() {
    let people = |place: &str| {
        format!("[[promises]]\nid = \"p\"\nsubjects = [\"{place}\"]\nnever_to = [\"SG\"]\n")
    };
    let found = compared(&people("US-TX"), &people("US-CA"));
    let whose: Vec<_> = found
        .changes
        .iter()
        .map(|c| c.on["person"].clone())
        .collect();
    assert_eq!(whose, [["US-CA"], ["US-TX"]], "{found:?}");
    let never = |place: &str| format!("[[promises]]\nid = \"p\"\nnever_to = [\"{place}\"]\n");
    let found = compared(&never("CA-QC"), &never("CA-BC"));
    let where_to: Vec<_> = found
        .changes
        .iter()
        .map(|c| c.on["destination"].clone())
        .collect();
    assert_eq!(where_to, [["CA-BC"], ["CA-QC"]], "{found:?}");
}

#[test]
fn another_time_zone_is_told() {
    let there = LAW.replace("Asia/Singapore", "Asia/Tokyo");
    let [old, new] = [LAW, &there].map(|law| files(law, "").check().unwrap());
    let found = diff(&old, &new);
    assert_eq!(
        found.notes,
        [
            "law `SG` changed: timezone = \"Asia/Singapore\" -> \"Asia/Tokyo\"; territory_timezone = \"Asia/Singapore\" -> \"Asia/Tokyo\""
        ]
    );
    assert!(!found.is_empty());
}

/// What is not compared flow by flow must not pass for the same.
#[test]
fn files_that_differ_are_never_told_as_the_same() {
    let promise = "[[promises]]\nid = \"p\"\nnever_to = [\"BR\"]\n";
    let old = files(LAW, promise);
    let unmoved = |law: &str, more: &str| {
        let found = diff_files(&old, &files(law, more)).unwrap();
        assert!(
            found.changes.is_empty() && found.notes.is_empty(),
            "{found:?}"
        );
        assert_eq!(found.is_empty(), found.unmoved.is_empty());
        found.unmoved
    };
    assert!(unmoved(&format!("# again\n{LAW}"), promise).is_empty());
    let duty = LAW.replace(
        "citation = \"s. 4\"",
        "citation = \"s. 4\"\nduties = [\"tell\"]",
    );
    assert_eq!(unmoved(&duty, promise), ["law SG: permit[asked].duties"]);
    assert_eq!(
        unmoved(
            LAW,
            &promise.replace("never_to = [\"BR\"]", "never_to = [\"BR\", \"BR\"]")
        ),
        ["organisation.toml: promises[p].never_to"]
    );
}

/// The cell of a destination, for a law of several countries.
fn cell(promise: &str, to: &str) -> Cell {
    let law = LAW.replace("[\"SG\"]\ntime", "[\"SG\", \"MY\"]\ntime");
    let checked = files(&law, promise).check().unwrap();
    let compiled = checked.compile("2021-06-01T00:00:00Z".parse().unwrap());
    let rows = matrix(&compiled, Operation::Store, &["user".into()]);
    let mut cells = rows.into_iter().flat_map(|r| r.cells);
    let found = cells.find(|c| c.destinations.iter().any(|d| d == to));
    found.expect("the destination")
}

#[test]
fn a_promise_to_some_of_a_laws_people_is_told_with_whom() {
    let to = |people: &str| {
        let text =
            format!("[[promises]]\nid = \"p\"\nsubjects = [{people}]\nnever_to = [\"BR\"]\n");
        let cell = cell(&text, "BR");
        let whose = cell.promised_to.into_iter().map(|p| p.people.join(" "));
        (cell.promises, whose.collect::<Vec<_>>())
    };
    let told = |whose: &[&str]| {
        (
            vec!["p".to_owned()],
            whose.iter().map(|w| (*w).to_owned()).collect(),
        )
    };
    assert_eq!(to("\"SG\""), told(&["SG"]));
    assert_eq!(to("\"MY\""), told(&["MY"]));
    assert_eq!(to("\"MY-10\""), told(&["MY-10"]));
    assert_eq!(to("\"SG\", \"MY\""), told(&[]));
    assert_eq!(to("\"JP\""), (vec![], vec![]));
}

/// A class of destinations is one to the law, and not to the promise.
#[test]
fn a_promise_is_told_of_the_destinations_that_it_names() {
    let never = "[[promises]]\nid = \"p\"\nnever_to = [\"PE\", \"CA-QC\"]\n";
    for (to, promised) in [("PE", true), ("EC", false), ("CA-QC", true), ("CA", false)] {
        assert_eq!(!cell(never, to).promises.is_empty(), promised, "{to}");
    }
}
