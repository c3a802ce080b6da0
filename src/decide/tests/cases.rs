//! Runs the cases under `policies/tests`.

use std::collections::BTreeSet;

use super::policies;
use crate::prove::cases;

#[test]
fn every_case_comes_out_as_its_source_says() {
    let dir = policies();
    let files = cases::read_folder(&dir.join("tests")).expect("files of cases");
    let results = cases::run(&dir, None, &files, None).expect("a policy");
    let names: BTreeSet<&str> = results.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names.len(), results.len(), "a name stands twice");
    assert!(results.len() >= 250, "{}", results.len());
    let wrong: Vec<String> = results
        .iter()
        .filter(|r| !r.passed)
        .map(|r| format!("{} ({}): {:?}", r.name, r.source, r.differences))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
