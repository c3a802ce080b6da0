//! Every reason to refuse, and the one place that turns reasons into answers.
//!
//! Problem documents follow RFC 9457, `Proxy-Status` RFC 9209, the 451 RFC 7725. No personal data
//! stands in any of them: details speak of places, rules and limits, never of values.

mod headers;
mod problem;

use std::sync::Arc;

use http::{Method, StatusCode};

pub use problem::Problem;

use crate::{
    admit::{
        body::BodyFault,
        fold::FoldFault,
        hops::PASSED,
        http1::{FramingFault, HeadFault},
        path::PathFault,
    },
    classify::bulk::BulkFault,
    domain::{FlowEnd, Missing},
};

/// Why a request, or one item of a batch, is not carried out.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The head of an HTTP/1 request.
    Head(HeadFault),
    Path(PathFault),
    /// Another path to a server that folds it.
    Folded(FoldFault),
    /// More than one `Host` (RFC 9112 §3.2).
    Host,
    NoRoute,
    MethodNotAllowed(Vec<Method>),
    /// The media types that the path takes.
    MediaType(Vec<String>),
    /// A compressed body cannot be classified.
    ContentEncoding,
    /// Nor can a part of a record (`Content-Range`, RFC 9110 §14.5).
    Part,
    /// The request came here before.
    Circle,
    Tunnel,
    /// TRACE, or an OPTIONS that may go no further (RFC 9110 §7.6.2, §9.3.8).
    LastHop,
    /// Callers must have a certificate, and this one has none that holds.
    CallerCertificate,
    MethodOverride,
    /// The target is another one to a backend that goes by `X-Original-URL` or its like.
    TargetOverride,
    Body(BodyFault),
    TooManyItems(usize),
    /// An item of a batch; a record by itself is [`BodyFault::TooLong`].
    RecordTooLong(usize),
    /// Not one strict JSON object; says where, never what.
    Malformed(String),
    /// A steering header of a trusted caller that makes no sense.
    Steering(String),
    Token(String),
    NoSubject,
    /// A country field that holds something else than a country.
    UnreadableEvidence(String),
    /// An age or a day of birth that is none.
    UnreadableAge,
    NoEvidence,
    EvidenceDisagrees,
    UnknownField(String),
    UnknownSubject,
    PinContradicted {
        region: String,
    },
    NoPin,
    /// No region can be the home, though the country is known.
    NoHome(String),
    Forbidden(Arc<Forbidden>),
    /// The batch was atomic, and an item of it was refused.
    AtomicBatch {
        status: StatusCode,
    },
    BackendUnreachable {
        region: String,
        detail: String,
    },
    BackendTimeout {
        region: String,
        detail: String,
    },
    BackendBroken {
        region: String,
        detail: String,
    },
    RegionBusy {
        region: String,
    },
    /// These holders did not erase, or may not have; the others did.
    ErasureOpen {
        /// Of the first that failed.
        status: StatusCode,
        unreached: Vec<String>,
        /// All of them are tried again while the router runs.
        retried: bool,
    },
    /// The recipient of a disclosure gave no answer that can be passed on.
    Recipient {
        recipient: String,
        failure: RecipientFailure,
        detail: String,
    },
    Ledger(String),
    Directory(String),
    Overloaded,
    /// What was in force when the request came is not any more.
    PolicyChanged(&'static str),
    Internal(&'static str),
    /// What is wrong with a bulk request, or with one item of it.
    Bulk(BulkFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientFailure {
    Unreachable,
    Timeout,
    Broken,
    Busy,
}

/// What law, promise or a lack of instruments forbids.
#[derive(Clone, Debug, Default)]
pub struct Forbidden {
    pub rule: Option<String>,
    pub citation: Option<String>,
    pub detail: String,
    pub from: Option<FlowEnd>,
    pub to: Option<FlowEnd>,
    pub missing: Vec<Missing>,
    pub conflict: bool,
    /// In a disclosure: the pointers of what the recipient may not get.
    pub unlisted: Vec<String>,
    /// A legal hold forbids the erasure.
    pub held: bool,
}

impl Refused {
    /// Whether a region's answer began and did not come to its end.
    pub fn is_of_the_answer(&self) -> bool {
        matches!(
            self,
            Self::BackendBroken { .. } | Self::BackendTimeout { .. }
        )
    }

    /// Status, problem name, title, and detail.
    fn facts(&self) -> (StatusCode, &'static str, &'static str, String) {
        use StatusCode as S;
        let t = str::to_owned;
        match self {
            Self::Head(fault) => {
                let (status, name, title) = fault.facts();
                (status, name, title, fault.to_string())
            }
            Self::Path(fault) => (
                S::BAD_REQUEST,
                "bad-path",
                "the path can be read in two ways",
                fault.to_string(),
            ),
            Self::Folded(fault) => (
                S::BAD_REQUEST,
                "bad-path",
                "the path can be read in two ways",
                fault.to_string(),
            ),
            Self::Host => (
                S::BAD_REQUEST,
                "bad-host",
                "the request names no host, or two",
                t("send one Host; with two, another server could take another route"),
            ),
            Self::NoRoute => (
                S::NOT_FOUND,
                "no-such-route",
                "no route takes this host and path",
                t("the settings name no route for this host and path; see [[routes]]"),
            ),
            Self::MethodNotAllowed(_) => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "the route does not take this method",
                t("the methods it takes stand in the Allow header"),
            ),
            Self::MediaType(wanted) => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body's media type is not one that this route reads",
                format!("send Content-Type: {}", wanted.join(" or ")),
            ),
            Self::ContentEncoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "compressed-body",
                "a compressed record cannot be classified",
                t("send the body without Content-Encoding"),
            ),
            Self::Part => (
                S::BAD_REQUEST,
                "partial-record",
                "a part of a record cannot be classified",
                t("send the record whole, without Content-Range"),
            ),
            Self::Circle => (
                S::LOOP_DETECTED,
                "loop",
                "the request goes in a circle",
                format!(
                    "the request has passed routers of this kind {PASSED} times (`Via`); see that no region's endpoint leads back to one of them"
                ),
            ),
            Self::MethodOverride => (
                S::BAD_REQUEST,
                "method-override",
                "the request asks to be taken for one of another method",
                t(
                    "send the method that is meant, without X-HTTP-Method-Override or `_method` in the query",
                ),
            ),
            Self::TargetOverride => (
                S::BAD_REQUEST,
                "target-override",
                "the request asks to be taken for one of another target",
                t("send the target that is meant, without X-Original-URL and X-Rewrite-URL"),
            ),
            Self::Tunnel => (
                S::BAD_REQUEST,
                "no-tunnels",
                "CONNECT is not passed on",
                t("what goes through a tunnel could not be classified"),
            ),
            Self::LastHop => (
                S::NOT_IMPLEMENTED,
                "last-hop",
                "the request is not passed on, and nobody here answers it",
                t("TRACE is not served, and OPTIONS with Max-Forwards 0 goes no further"),
            ),
            Self::CallerCertificate => (
                S::FORBIDDEN,
                "caller-certificate",
                "callers must have a certificate, and this connection has none that holds",
                t(
                    "it has ended, or its authority is believed no more; connect again with a new one",
                ),
            ),
            Self::Body(fault) => match fault {
                BodyFault::TooLong { .. } => (
                    S::PAYLOAD_TOO_LARGE,
                    "body-too-large",
                    "the body is longer than the limit",
                    fault.to_string(),
                ),
                BodyFault::Stalled(_) | BodyFault::Slow => (
                    S::REQUEST_TIMEOUT,
                    "body-stalled",
                    "the body made no progress",
                    fault.to_string(),
                ),
                BodyFault::Framing(FramingFault::LongTrailer) => (
                    S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "trailers-too-large",
                    "the trailer fields are longer than the limit",
                    fault.to_string(),
                ),
                BodyFault::NoRoom => (
                    S::SERVICE_UNAVAILABLE,
                    "overloaded",
                    "the router holds as many bytes as it may",
                    t("the body was not read; try again later"),
                ),
                BodyFault::Broken | BodyFault::Framing(_) => (
                    S::BAD_REQUEST,
                    "broken-body",
                    "the body is not whole",
                    fault.to_string(),
                ),
            },
            Self::TooManyItems(limit) => (
                S::PAYLOAD_TOO_LARGE,
                "too-many-items",
                "the batch has more items than the limit",
                format!("at most {limit} items in one batch; send several batches"),
            ),
            Self::RecordTooLong(limit) => (
                S::PAYLOAD_TOO_LARGE,
                "record-too-large",
                "the record is longer than the limit",
                format!("at most {limit} bytes in one record, in a batch as by itself"),
            ),
            Self::Malformed(detail) => (
                S::BAD_REQUEST,
                "malformed-record",
                "the record is not one strict JSON object",
                detail.clone(),
            ),
            Self::Steering(detail) => (
                S::BAD_REQUEST,
                "bad-steering",
                "the steering headers cannot be followed",
                detail.clone(),
            ),
            Self::Token(detail) => (
                S::UNAUTHORIZED,
                "bad-token",
                "the token does not verify",
                detail.clone(),
            ),
            Self::NoSubject => (
                S::UNPROCESSABLE_ENTITY,
                "no-subject",
                "whose record this is cannot be told",
                t(
                    "the route's subject source holds no id in this request: a text that is not empty and holds no control characters, or a whole number of 64 bits in plain digits",
                ),
            ),
            Self::UnreadableEvidence(source) => (
                S::UNPROCESSABLE_ENTITY,
                "unreadable-evidence",
                "a country field holds something else than a country",
                format!(
                    "`{source}` must be an ISO 3166-1 code of letters, a telephone number or \
                     absent; weaker evidence is not taken instead, since it could store the record in the wrong country"
                ),
            ),
            Self::UnreadableAge => (
                S::UNPROCESSABLE_ENTITY,
                "unreadable-age",
                "a field of age or birth cannot be read",
                t(
                    "give an age in years, or a day of birth as YYYY-MM-DD, or leave the field out; a child must not pass for an adult",
                ),
            ),
            Self::NoEvidence => (
                S::UNPROCESSABLE_ENTITY,
                "no-evidence",
                "the person's country cannot be determined",
                t("none of the route's evidence sources says where the person lives"),
            ),
            Self::EvidenceDisagrees => (
                S::UNPROCESSABLE_ENTITY,
                "evidence-disagrees",
                "the evidence of the person's country disagrees",
                t(
                    "this route refuses disagreeing evidence: what it reads, a trusted caller's word included, must name one country, and of a known subject one that is known of it",
                ),
            ),
            Self::UnknownField(place) => (
                S::UNPROCESSABLE_ENTITY,
                "unknown-field",
                "the record has a field that the route's strict schema does not know",
                format!(
                    "an unknown field stands under `{place}`; add it to the schema with its category, or leave it out"
                ),
            ),
            Self::UnknownSubject => (
                S::NOT_FOUND,
                "unknown-subject",
                "nothing is known of this subject",
                t(
                    "no record of this subject was stored through this router, and no evidence says where it would be",
                ),
            ),
            Self::PinContradicted { region } => (
                S::CONFLICT,
                "home-contradicted",
                "the evidence contradicts the subject's home",
                format!(
                    "the subject's records live in `{region}`, and this request's evidence leads elsewhere; correct the evidence, or relocate the subject"
                ),
            ),
            Self::NoPin => (
                S::CONFLICT,
                "no-home-yet",
                "the subject has no home yet",
                t("replicate and relocate start from a home: store a record first"),
            ),
            Self::NoHome(detail) => (
                S::UNPROCESSABLE_ENTITY,
                "no-home",
                "no region can be this person's home",
                detail.clone(),
            ),
            Self::Forbidden(forbidden) => (
                S::UNAVAILABLE_FOR_LEGAL_REASONS,
                if forbidden.conflict {
                    "conflict-of-laws"
                } else if forbidden.held {
                    "legal-hold"
                } else if !forbidden.unlisted.is_empty() {
                    "unlisted-field"
                } else {
                    "transfer-forbidden"
                },
                if forbidden.conflict {
                    "two laws each demand what the other forbids"
                } else if forbidden.held {
                    "the record must be kept"
                } else if !forbidden.unlisted.is_empty() {
                    "the record has fields that the recipient may not get"
                } else {
                    "law or policy forbids this transfer"
                },
                forbidden.detail.clone(),
            ),
            Self::AtomicBatch { status } => (
                *status,
                "atomic-batch-refused",
                "an item of the atomic batch is refused, so nothing was sent",
                t("the items tell which and why"),
            ),
            Self::BackendUnreachable { detail, .. } => (
                S::SERVICE_UNAVAILABLE,
                "region-unavailable",
                "the home region cannot be reached",
                format!("{detail}; no other region is tried"),
            ),
            Self::BackendTimeout { detail, .. } => (
                S::GATEWAY_TIMEOUT,
                "region-timeout",
                "the region did not answer in time",
                format!("{detail}; no other region is tried"),
            ),
            Self::BackendBroken { detail, .. } => (
                S::BAD_GATEWAY,
                "region-bad-answer",
                "the region's answer cannot be used",
                format!("{detail}; no other region is tried"),
            ),
            Self::RegionBusy { .. } => (
                S::SERVICE_UNAVAILABLE,
                "region-busy",
                "too many requests wait for the region",
                t("try again later"),
            ),
            Self::ErasureOpen {
                status,
                unreached,
                retried,
            } => (
                *status,
                "erasure-incomplete",
                "not every region that holds the record erased it",
                format!(
                    "{}: {} could not be reached or refused; the others are done",
                    if *retried {
                        "the router tries again while it runs, and to repeat the request does no harm"
                    } else {
                        "repeat the request, which the router cannot do by itself"
                    },
                    unreached.join(", ")
                ),
            ),
            Self::Recipient {
                failure, detail, ..
            } => {
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
                (status, name, title, detail.clone())
            }
            Self::Ledger(detail) => (
                S::SERVICE_UNAVAILABLE,
                "ledger-unavailable",
                "the ledger cannot be written, so nothing may move",
                detail.clone(),
            ),
            Self::Directory(detail) => (
                S::SERVICE_UNAVAILABLE,
                "directory-unavailable",
                "the directory of homes cannot be used, so nothing may move",
                detail.clone(),
            ),
            Self::Overloaded => (
                S::SERVICE_UNAVAILABLE,
                "overloaded",
                "the router has too many requests at work",
                t("try again later"),
            ),
            Self::PolicyChanged(detail) => (
                S::SERVICE_UNAVAILABLE,
                "policy-changed",
                "policy or settings changed since the request came",
                t(detail),
            ),
            Self::Internal(detail) => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "a fault of the router",
                t(detail),
            ),
            Self::Bulk(fault) => (
                fault.status(),
                fault.name(),
                "the bulk request, or an item of it, cannot be carried out",
                fault.to_string(),
            ),
        }
    }

    pub fn status(&self) -> StatusCode {
        self.facts().0
    }

    /// The last part of the problem's `type`; stands in the ledger too.
    pub fn name(&self) -> &'static str {
        self.facts().1
    }

    fn region(&self) -> Option<&str> {
        match self {
            Self::BackendUnreachable { region, .. }
            | Self::BackendTimeout { region, .. }
            | Self::BackendBroken { region, .. }
            | Self::RegionBusy { region }
            | Self::PinContradicted { region } => Some(region),
            _ => None,
        }
    }
}
