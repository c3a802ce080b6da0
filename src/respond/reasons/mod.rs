//! What each reason says, station by station. [`Refused::facts`] knows them all: the match has no
//! wildcard, so that a new reason does not compile until it says what the caller is told.

mod admit;
mod classify;
mod decide;
mod forward;
mod locate;
mod router;

use std::borrow::Cow;

use http::StatusCode;

use super::Refused;

/// What the caller is told.
#[derive(Debug)]
pub(super) struct Facts<'r> {
    pub status: StatusCode,
    /// The last part of the problem's `type`.
    pub name: &'static str,
    pub title: &'static str,
    pub detail: Cow<'r, str>,
}

/// What is told in the same words each time.
const fn plain(
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: &'static str,
) -> Facts<'static> {
    Facts {
        status,
        name,
        title,
        detail: Cow::Borrowed(detail),
    }
}

impl Refused {
    pub(super) fn facts(&self) -> Facts<'_> {
        match self {
            Self::Head(fault) => admit::head(fault),
            Self::Path(fault) => admit::path(fault),
            Self::Folded(fault) => admit::path(fault),
            Self::Host => admit::HOST,
            Self::NoRoute => admit::NO_ROUTE,
            Self::MethodNotAllowed(_) => admit::METHOD_NOT_ALLOWED,
            Self::MediaType(wanted) => admit::media_type(wanted),
            Self::ContentEncoding => admit::CONTENT_ENCODING,
            Self::Part => admit::PART,
            Self::Circle => admit::circle(),
            Self::Tunnel => admit::TUNNEL,
            Self::LastHop => admit::LAST_HOP,
            Self::CallerCertificate => admit::CALLER_CERTIFICATE,
            Self::MethodOverride => admit::METHOD_OVERRIDE,
            Self::TargetOverride => admit::TARGET_OVERRIDE,
            Self::Steering(detail) => admit::steering(detail),
            Self::Body(fault) => admit::body(*fault),
            Self::TooManyItems(limit) => admit::too_many_items(*limit),
            Self::RecordTooLong(limit) => admit::record_too_long(*limit),

            Self::Malformed(detail) => classify::malformed(detail),
            Self::MalformedForm(detail) => classify::malformed_form(detail),
            Self::Bulk(fault) => classify::bulk(fault),
            Self::UnknownField(place) => classify::unknown_field(place),
            Self::Token(detail) => classify::token(detail),
            Self::NoSubject => classify::NO_SUBJECT,
            Self::UnreadableEvidence(source) => classify::unreadable_evidence(source),
            Self::UnreadableAge => classify::UNREADABLE_AGE,
            Self::NoEvidence => classify::NO_EVIDENCE,
            Self::EvidenceDisagrees => classify::EVIDENCE_DISAGREES,

            Self::UnknownSubject => locate::UNKNOWN_SUBJECT,
            Self::PinContradicted { region } => locate::pin_contradicted(region),
            Self::NoPin => locate::NO_PIN,
            Self::NoHome(detail) => locate::no_home(detail),
            Self::Directory(detail) => locate::directory(detail),

            Self::Forbidden(forbidden) => decide::forbidden(forbidden),
            Self::AtomicBatch { status } => decide::atomic_batch(*status),
            Self::PolicyChanged(detail) => decide::policy_changed(detail),

            Self::BackendUnreachable { detail, .. } => forward::unreachable(detail),
            Self::BackendTimeout { detail, .. } => forward::timeout(detail),
            Self::BackendBroken { detail, .. } => forward::broken(detail),
            Self::RegionBusy { .. } => forward::BUSY,
            Self::ErasureOpen {
                status,
                unreached,
                retried,
            } => forward::erasure_open(*status, unreached, *retried),
            Self::Recipient {
                failure, detail, ..
            } => forward::recipient(*failure, detail),

            Self::Overloaded => router::OVERLOADED,
            Self::Ledger(detail) => router::ledger(detail),
            Self::Internal(detail) => router::internal(detail),
        }
    }
}
