//! Subjects without a home, or with another one than the request says.

use http::StatusCode as S;

use super::{Facts, plain};

pub const UNKNOWN_SUBJECT: Facts<'_> = plain(
    S::NOT_FOUND,
    "unknown-subject",
    "nothing is known of this subject",
    "no record of this subject was stored through this router, and no evidence says where it would be",
);

pub fn pin_contradicted(region: &str) -> Facts<'static> {
    Facts {
        status: S::CONFLICT,
        name: "home-contradicted",
        title: "the evidence contradicts the subject's home",
        detail: format!(
            "the subject's records live in `{region}`, and this request's evidence leads elsewhere; correct the evidence, or relocate the subject"
        )
        .into(),
    }
}

pub const NO_PIN: Facts<'_> = plain(
    S::CONFLICT,
    "no-home-yet",
    "the subject has no home yet",
    "replicate and relocate start from a home: store a record first",
);

pub fn no_home(detail: &str) -> Facts<'_> {
    Facts {
        status: S::UNPROCESSABLE_ENTITY,
        name: "no-home",
        title: "no region can be this person's home",
        detail: detail.into(),
    }
}

pub fn directory(detail: &str) -> Facts<'_> {
    Facts {
        status: S::SERVICE_UNAVAILABLE,
        name: "directory-unavailable",
        title: "the directory of homes cannot be used, so nothing may move",
        detail: detail.into(),
    }
}
