//! Runs the cases under `policies/tests`.

use super::policies;
use crate::prove::cases;

#[test]
fn every_case_comes_out_as_its_source_says() {
    let dir = policies();
    let files = cases::read_folder(&dir.join("tests")).expect("files of cases");
    let results = cases::run(&dir, None, &files, None).expect("a policy");
    assert!(results.len() >= 60);
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
