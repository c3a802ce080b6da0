//! A permit allocates nothing: the data plane decides per record, and a batch holds a hundred
//! thousand of them.
//!
//! A binary of its own, since an allocator that counts is one for the whole process; one test, so
//! that nothing else runs beside it.

#![allow(
    clippy::expect_used,
    reason = "all of this binary is tests, whose failures are to be loud"
)]

use std::{
    alloc::System,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use domicile::{
    decide::{Query, decide},
    document::Faults,
    domain::Outcome,
    policy::{Compiled, load},
    prove::cases,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The tables of each instant that the cases ask about, with the questions resolved.
fn permits(
    organisation: &Path,
    questions: &[domicile::domain::Question],
) -> Vec<(Arc<Compiled>, Query)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let checked = Arc::new(load(&dir, organisation, &Faults::new()).expect("a sound policy"));
    let mut instants: BTreeMap<jiff::Timestamp, Arc<Compiled>> = BTreeMap::new();
    let mut all = Vec::new();
    for question in questions {
        let policy = instants.entry(question.at);
        let policy = policy.or_insert_with(|| Arc::new(checked.compile(question.at)));
        let query = policy.resolve(question).expect("a question that resolves");
        if decide(policy, &query).outcome() == Outcome::Permit {
            all.push((Arc::clone(policy), query));
        }
    }
    all
}

#[test]
fn no_permit_of_the_shipped_cases_allocates() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/tests");
    let mut by_organisation: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
    for file in cases::read_folder(&tests).expect("the shipped cases") {
        let questions = file.cases.into_iter().map(|c| c.question);
        // Tables for one instant cost more than all decisions: the ordinary day is enough.
        let today = questions.filter(|q| q.at.to_string() == "2026-11-21T12:00:00Z");
        let organisation = file.organisation.expect("an organisation");
        by_organisation
            .entry(organisation)
            .or_default()
            .extend(today);
    }
    let mut decided = 0;
    for (organisation, questions) in &by_organisation {
        for (policy, query) in permits(organisation, questions) {
            // Up to four laws stand in the verdict itself; no shipped flow meets more.
            let region = Region::new(COUNTED);
            let verdict = decide(&policy, &query);
            let change = region.change();
            assert!(verdict.is_permit());
            assert_eq!(
                (change.allocations, change.reallocations),
                (0, 0),
                "{:?} of a person of {:?} under {}",
                query.operation,
                query.subject.countries,
                organisation.display()
            );
            decided += 1;
        }
    }
    assert!(decided > 300, "{decided} permits");
}
