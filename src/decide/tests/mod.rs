//! Tests of the decision over the shipped laws.

mod cases;
mod demo;
mod facts;
mod faults;
mod held;
mod laws;
mod observation;
mod second;
mod west;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    document::Faults,
    domain::{Answer, Question},
    policy::{Checked, load},
};

pub(super) fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The shipped laws with one of the organisations under `policies/`.
pub(super) fn shipped(organisation: &str) -> Arc<Checked> {
    let dir = policies();
    let faults = Faults::new();
    let checked = load(&dir, &dir.join(organisation), &faults);
    let told: Vec<String> = faults
        .into_sorted()
        .iter()
        .map(|f| f.render(false))
        .collect();
    Arc::new(checked.unwrap_or_else(|| panic!("{}", told.join("\n"))))
}

pub(crate) fn demo() -> Arc<Checked> {
    shipped("examples/demo/organisation.toml")
}

pub(super) fn ask(checked: &Arc<Checked>, question: serde_json::Value) -> Answer {
    let question: Question = serde_json::from_value(question).expect("a question");
    super::explain_with(checked, &question, None).expect("a question that resolves")
}
