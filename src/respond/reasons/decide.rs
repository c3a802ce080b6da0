//! What law, policy or the caller's own batch forbids.

use http::StatusCode as S;

use super::Facts;
use crate::respond::Forbidden;

pub fn forbidden(forbidden: &Forbidden) -> Facts<'_> {
    let (name, title) = if forbidden.conflict {
        (
            "conflict-of-laws",
            "two laws each demand what the other forbids",
        )
    } else if forbidden.held {
        ("legal-hold", "the record must be kept")
    } else if !forbidden.unlisted.is_empty() {
        (
            "unlisted-field",
            "the record has fields that the recipient may not get",
        )
    } else {
        ("transfer-forbidden", "law or policy forbids this transfer")
    };
    Facts {
        status: S::UNAVAILABLE_FOR_LEGAL_REASONS,
        name,
        title,
        detail: forbidden.detail.as_str().into(),
    }
}

pub fn atomic_batch(status: S) -> Facts<'static> {
    Facts {
        status,
        name: "atomic-batch-refused",
        title: "an item of the atomic batch is refused, so nothing was sent",
        detail: "the items tell which and why".into(),
    }
}

pub fn policy_changed(detail: &'static str) -> Facts<'static> {
    Facts {
        status: S::SERVICE_UNAVAILABLE,
        name: "policy-changed",
        title: "policy or settings changed since the request came",
        detail: detail.into(),
    }
}
