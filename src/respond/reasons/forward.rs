//! Regions and recipients that gave no answer which can be passed on.

use http::StatusCode as S;

use super::{Facts, plain};
use crate::respond::RecipientFailure;

pub fn unreachable(detail: &str) -> Facts<'static> {
    of_region(
        S::SERVICE_UNAVAILABLE,
        "region-unavailable",
        "the home region cannot be reached",
        detail,
    )
}

pub fn timeout(detail: &str) -> Facts<'static> {
    of_region(
        S::GATEWAY_TIMEOUT,
        "region-timeout",
        "the region did not answer in time",
        detail,
    )
}

pub fn broken(detail: &str) -> Facts<'static> {
    of_region(
        S::BAD_GATEWAY,
        "region-bad-answer",
        "the region's answer cannot be used",
        detail,
    )
}

fn of_region(status: S, name: &'static str, title: &'static str, detail: &str) -> Facts<'static> {
    Facts {
        status,
        name,
        title,
        detail: format!("{detail}; no other region is tried").into(),
    }
}

pub const BUSY: Facts<'_> = plain(
    S::SERVICE_UNAVAILABLE,
    "region-busy",
    "too many requests wait for the region",
    "try again later",
);

pub fn erasure_open(status: S, unreached: &[String], retried: bool) -> Facts<'static> {
    let then = match retried {
        true => "the router tries again while it runs, and to repeat the request does no harm",
        false => "repeat the request, which the router cannot do by itself",
    };
    let unreached = unreached.join(", ");
    Facts {
        status,
        name: "erasure-incomplete",
        title: "not every region that holds the record erased it",
        detail: format!("{then}: {unreached} could not be reached or refused; the others are done")
            .into(),
    }
}

pub fn recipient(failure: RecipientFailure, detail: &str) -> Facts<'_> {
    let (status, name, title) = match failure {
        RecipientFailure::Unreachable => (
            S::SERVICE_UNAVAILABLE,
            "recipient-unavailable",
            "the recipient cannot be reached",
        ),
        RecipientFailure::Timeout => (
            S::GATEWAY_TIMEOUT,
            "recipient-timeout",
            "the recipient did not answer in time",
        ),
        RecipientFailure::Broken => (
            S::BAD_GATEWAY,
            "recipient-bad-answer",
            "the recipient's answer cannot be used",
        ),
        RecipientFailure::Busy => (
            S::SERVICE_UNAVAILABLE,
            "recipient-busy",
            "too many requests wait for the recipient",
        ),
    };
    Facts {
        status,
        name,
        title,
        detail: detail.into(),
    }
}
