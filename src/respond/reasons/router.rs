//! What the router itself is not able to do.

use http::StatusCode as S;

use super::{Facts, plain};

pub const OVERLOADED: Facts<'_> = plain(
    S::SERVICE_UNAVAILABLE,
    "overloaded",
    "the router has too many requests at work",
    "try again later",
);

pub fn ledger(detail: &str) -> Facts<'_> {
    Facts {
        status: S::SERVICE_UNAVAILABLE,
        name: "ledger-unavailable",
        title: "the ledger cannot be written, so nothing may move",
        detail: detail.into(),
    }
}

pub fn internal(detail: &'static str) -> Facts<'static> {
    Facts {
        status: S::INTERNAL_SERVER_ERROR,
        name: "internal",
        title: "a fault of the router",
        detail: detail.into(),
    }
}
