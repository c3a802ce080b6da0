//! Runs the cases under `policies/tests`.

use serde::Deserialize;

use super::{policies, shipped};
use crate::{
    decide::explain_with,
    domain::{Outcome, Question},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    organisation: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    source: String,
    expect: Expect,
    question: Question,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    outcome: String,
    mechanism: Option<String>,
    rule: Option<String>,
    module: Option<u8>,
    instrument: Option<String>,
    duty: Option<String>,
}

#[test]
fn every_case_comes_out_as_its_source_says() {
    let folder = policies().join("tests");
    let entries = std::fs::read_dir(folder).expect("the folder stands");
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut wrong = Vec::new();
    for path in paths.iter().filter(|p| p.extension().is_some()) {
        let text = std::fs::read_to_string(path).unwrap();
        let file: File = toml::from_str(&text).expect("a file of cases");
        assert!(file.case.len() >= 40, "{}", path.display());
        wrong.extend(run(&file));
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The cases that come out otherwise, told.
fn run(file: &File) -> Vec<String> {
    let organisation = file
        .organisation
        .strip_prefix("../")
        .expect("beside the tests");
    let checked = shipped(organisation);
    let mut wrong = Vec::new();
    for case in &file.case {
        let answer = explain_with(&checked, &case.question, None).expect(&case.name);
        let e = &case.expect;
        let outcome = match answer.outcome {
            Outcome::Permit => "permit",
            Outcome::Refuse => "refuse",
        };
        let wanted = |want: &Option<String>, got: &Option<String>| want.is_none() || want == got;
        let good = e.outcome == outcome
            && wanted(&e.mechanism, &answer.mechanism)
            && wanted(&e.rule, &answer.rule)
            && (e.module.is_none() || e.module == answer.module)
            && wanted(&e.instrument, &answer.instrument)
            && e.duty.as_ref().is_none_or(|d| answer.duties.contains(d));
        if !good {
            wrong.push(format!(
                "{} ({}): wanted {} {:?} {:?}, got {outcome} {:?} {:?} module {:?}; missing {:?}",
                case.name,
                case.source,
                e.outcome,
                e.mechanism,
                e.rule,
                answer.mechanism,
                answer.rule,
                answer.module,
                answer.missing
            ));
        }
    }
    wrong
}
