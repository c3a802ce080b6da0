//! Runs the cases under `policies/tests`.

use std::sync::Arc;

use serde::Deserialize;

use super::{policies, shipped};
use crate::{
    decide::explain_with,
    domain::{Outcome, Question},
    policy::Checked,
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
    let mut wrong = Vec::new();
    let (mut cases, mut names) = (0, std::collections::BTreeSet::new());
    let folder = std::fs::read_dir(policies().join("tests")).unwrap();
    for path in folder.map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let organisation = file.organisation.strip_prefix("../");
        let checked = shipped(organisation.expect("beside the tests"));
        cases += file.case.len();
        for case in &file.case {
            assert!(
                names.insert(case.name.clone()),
                "`{}` stands twice",
                case.name
            );
            wrong.extend(run(&checked, case));
        }
    }
    assert!(cases >= 250, "{cases}");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What is wrong about the answer, if anything.
fn run(checked: &Arc<Checked>, case: &Case) -> Option<String> {
    let answer = explain_with(checked, &case.question, None).expect(&case.name);
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
    (!good).then(|| {
        format!(
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
        )
    })
}
