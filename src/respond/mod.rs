//! Every reason to refuse, and the one place that turns reasons into answers.
//!
//! Problem documents follow RFC 9457, `Proxy-Status` RFC 9209, the 451 RFC 7725. No personal data
//! stands in any of them: details speak of places, rules and limits, never of values.

mod headers;
mod problem;
mod reasons;

use std::sync::Arc;

use http::{Method, StatusCode};

use crate::{
    admit::{body::BodyFault, fold::FoldFault, http1::HeadFault, path::PathFault},
    classify::bulk::BulkFault,
    domain::{FlowEnd, Missing},
};

/// Why a request, or one item of a batch, is not carried out, by the station that finds it. What each
/// tells the caller stands in `reasons`.
#[derive(Clone, Debug)]
pub enum Refused {
    // admit
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
    /// A steering header of a trusted caller that makes no sense.
    Steering(String),
    Body(BodyFault),
    TooManyItems(usize),
    /// An item of a batch; a record by itself is [`BodyFault::TooLong`].
    RecordTooLong(usize),

    // classify
    /// Not one strict JSON object; says where, never what.
    Malformed(String),
    /// Of the format `form`.
    MalformedForm(String),
    /// What is wrong with a bulk request, or with one item of it.
    Bulk(BulkFault),
    UnknownField(String),
    Token(String),
    NoSubject,
    /// A country field that holds something else than a country.
    UnreadableEvidence(String),
    /// An age or a day of birth that is none.
    UnreadableAge,
    NoEvidence,
    EvidenceDisagrees,

    // locate
    UnknownSubject,
    PinContradicted {
        region: String,
    },
    NoPin,
    /// No region can be the home, though the country is known.
    NoHome(String),
    Directory(String),

    // decide
    Forbidden(Arc<Forbidden>),
    /// The batch was atomic, and an item of it was refused.
    AtomicBatch {
        status: StatusCode,
    },
    /// What was in force when the request came is not any more.
    PolicyChanged(&'static str),

    // forward
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

    // the router itself
    Overloaded,
    Ledger(String),
    Internal(&'static str),
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

    pub fn status(&self) -> StatusCode {
        self.facts().status
    }

    /// The last part of the problem's `type`; stands in the ledger too.
    pub fn name(&self) -> &'static str {
        self.facts().name
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
