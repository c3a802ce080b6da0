//! Records that cannot be read, and people of whom is not told who they are or where they live.

use http::StatusCode as S;

use super::{Facts, plain};
use crate::classify::bulk::BulkFault;

pub fn malformed(detail: &str) -> Facts<'_> {
    Facts {
        status: S::BAD_REQUEST,
        name: "malformed-record",
        title: "the record is not one strict JSON object",
        detail: detail.into(),
    }
}

pub fn malformed_form(detail: &str) -> Facts<'_> {
    Facts {
        status: S::BAD_REQUEST,
        name: "malformed-form",
        title: "the form is none, or readers of forms would not agree on it",
        detail: detail.into(),
    }
}

pub fn bulk(fault: &BulkFault) -> Facts<'static> {
    Facts {
        status: fault.status(),
        name: fault.name(),
        title: "the bulk request, or an item of it, cannot be carried out",
        detail: fault.to_string().into(),
    }
}

pub fn unknown_field(place: &str) -> Facts<'static> {
    Facts {
        status: S::UNPROCESSABLE_ENTITY,
        name: "unknown-field",
        title: "the record has a field that the route's strict schema does not know",
        detail: format!(
            "an unknown field stands under `{place}`; add it to the schema with its category, or leave it out"
        )
        .into(),
    }
}

pub fn token(detail: &str) -> Facts<'_> {
    Facts {
        status: S::UNAUTHORIZED,
        name: "bad-token",
        title: "the token does not verify",
        detail: detail.into(),
    }
}

pub const NO_SUBJECT: Facts<'_> = plain(
    S::UNPROCESSABLE_ENTITY,
    "no-subject",
    "whose record this is cannot be told",
    "the route's subject source holds no id in this request: a text that is not empty and holds no control characters, or a whole number of 64 bits in plain digits",
);

pub fn unreadable_evidence(source: &str) -> Facts<'static> {
    Facts {
        status: S::UNPROCESSABLE_ENTITY,
        name: "unreadable-evidence",
        title: "a country field holds something else than a country",
        detail: format!(
            "`{source}` must be an ISO 3166-1 code of letters, a telephone number or \
             absent; weaker evidence is not taken instead, since it could store the record in the wrong country"
        )
        .into(),
    }
}

pub const UNREADABLE_AGE: Facts<'_> = plain(
    S::UNPROCESSABLE_ENTITY,
    "unreadable-age",
    "a field of age or birth cannot be read",
    "give an age in years, or a day of birth as YYYY-MM-DD, or leave the field out; a child must not pass for an adult",
);

pub const NO_EVIDENCE: Facts<'_> = plain(
    S::UNPROCESSABLE_ENTITY,
    "no-evidence",
    "the person's country cannot be determined",
    "none of the route's evidence sources says where the person lives",
);

pub const EVIDENCE_DISAGREES: Facts<'_> = plain(
    S::UNPROCESSABLE_ENTITY,
    "evidence-disagrees",
    "the evidence of the person's country disagrees",
    "this route refuses disagreeing evidence: what it reads, a trusted caller's word included, must name one country, and of a known subject one that is known of it",
);
