//! `policy explain`: from files and a question to an answer, in one call.

use std::{path::Path, sync::Arc};

use crate::{
    document::{Faults, Refused},
    domain::{Answer, Question, Regions},
    policy::{Checked, load},
};

use super::{answer::answer, evaluate::decide, resolve::QuestionFaults};

#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The files have mistakes: exit 2.
    #[error(transparent)]
    Policy(#[from] Refused),
    /// The question has: exit 2, HTTP 400.
    #[error(transparent)]
    Question(#[from] QuestionFaults),
}

/// Loads the policy and answers one question. Reads files; no clock.
pub fn explain(
    dir: &Path,
    organisation: &Path,
    question: &Question,
    regions: Option<&Regions>,
) -> Result<Answer, ExplainError> {
    let faults = Faults::new();
    let checked = load(dir, organisation, &faults);
    let checked = match (checked, regions) {
        (Some(checked), Some(regions)) => Some(checked.bind(regions, &faults)),
        (checked, _) => checked,
    };
    let Some(checked) = checked.filter(|_| !faults.has_errors()) else {
        return Err(Refused(faults.into_sorted()).into());
    };
    Ok(explain_with(&Arc::new(checked), question, regions)?)
}

/// Answers one question under a policy that is loaded already.
pub fn explain_with(
    checked: &Arc<Checked>,
    question: &Question,
    regions: Option<&Regions>,
) -> Result<Answer, QuestionFaults> {
    let policy = checked.compile(question.at);
    let query = policy.resolve(question)?;
    let verdict = decide(&policy, &query);
    Ok(answer(&policy, &query, &verdict, regions))
}
