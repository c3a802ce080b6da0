//! How sure the fact behind a rule is.

use super::read;
use crate::document::Fields;

/// How sure the fact behind a rule is, and whether it waits for review.
pub(super) fn read_certainty(f: &Fields<'_>) -> (Option<&'static str>, Option<bool>) {
    let faults = f.faults();
    let confidence = f.maybe("confidence").and_then(|n| {
        let table = ["high", "medium", "low"].map(|c| (c, c));
        read::pick(n, "confidence", &table, faults)
    });
    (
        confidence,
        f.maybe("review").and_then(|n| n.boolean(faults)),
    )
}

pub(super) fn tell_unsure(
    id: &str,
    confidence: Option<&str>,
    review: Option<bool>,
    f: &Fields<'_>,
) {
    if confidence.is_some_and(|c| c != "high") && review.is_none() {
        f.faults().error_hint(
            f.at,
            format!("rule `{id}` is not sure, and does not say whether it wants review"),
            "write `review = true`, or `review = false` with a comment that says why",
        );
    }
}
