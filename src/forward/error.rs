use std::{fmt, io, sync::Arc};

use super::AnswerError;
use crate::{admit::body::BodyFault, domain::Destination, tls::Imposter};

/// Why a region gave no answer. Facts only: which status the caller sees is `respond`'s business.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// A call without any cleared permit, or with permits of several regions: a fault of ours.
    #[error("a region can be called only with cleared permits of that one region")]
    NotCleared,
    /// The permit's region or recipient is not one of this snapshot: a fault of ours.
    #[error("the permit names a region or recipient that this snapshot does not have")]
    Unknown(Destination),
    /// Path prefix and path do not make a valid request target.
    #[error("the path cannot be sent to region `{region}`")]
    BadTarget { region: Arc<str> },
    /// Too many requests are at work in the region already. Nothing was sent.
    #[error("region `{region}` has too many requests at work, try again later")]
    Busy { region: Arc<str> },
    /// No endpoint took a connection. Nothing was sent.
    #[error("region `{region}` cannot be reached: {why}")]
    Unreachable { region: Arc<str>, why: Unreachable },
    /// Earlier requests of the same batch failed in a row, so this one was not tried.
    #[error("region `{region}` failed the records before this one, so it was not sent")]
    GivenUp { region: Arc<str> },
    /// The endpoint took the connection but gave no answer in time.
    #[error("region `{region}` did not answer in time")]
    Timeout { region: Arc<str>, sent: Sent },
    /// The connection broke before the head of an answer was whole.
    #[error("region `{region}` broke the connection before it answered")]
    Reset { region: Arc<str>, sent: Sent },
    /// Each endpoint that was asked refused the request before it began with it (RFC 9113 §8.7):
    /// nothing was done.
    #[error("region `{region}` refused the request before it began with it, so nothing was done")]
    Refused { region: Arc<str> },
    /// What came is no HTTP answer, or one that two readers could read differently.
    #[error("region `{region}` gave an answer that cannot be understood")]
    BadAnswer { region: Arc<str> },
    /// The caller's own body broke off or stood still, so the request to the region was broken too.
    #[error("the caller's body broke off on the way to region `{region}`")]
    CallerBody {
        region: Arc<str>,
        sent: Sent,
        fault: BodyFault,
    },
}

/// Whether the region may have got some of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No byte was handed to the operating system.
    Nothing,
    /// Bytes were handed over; how many arrived is unknown.
    Perhaps,
}

/// Why no endpoint of a region took a connection: the last endpoint's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    Refused,
    TimedOut,
    /// The host's name has no address.
    Unresolved,
    /// Its server has a sound certificate, but of somebody else.
    Imposter(Imposter),
    /// The handshake failed otherwise.
    Handshake(Arc<str>),
    /// The settings ask for HTTP/2, and the server did not agree to it (ALPN).
    NoHttp2,
    /// This process or machine has no file descriptor left.
    NoDescriptors,
    Other(io::ErrorKind),
}

impl ForwardError {
    /// The region concerned; `None` for calls that could name none.
    pub fn region(&self) -> Option<&Arc<str>> {
        match self {
            Self::NotCleared | Self::Unknown(_) => None,
            Self::BadTarget { region }
            | Self::Busy { region }
            | Self::Unreachable { region, .. }
            | Self::GivenUp { region }
            | Self::Timeout { region, .. }
            | Self::Reset { region, .. }
            | Self::Refused { region }
            | Self::BadAnswer { region }
            | Self::CallerBody { region, .. } => Some(region),
        }
    }

    /// Whether some of the request may have reached the region, so that its effect is unknown.
    pub fn sent(&self) -> Sent {
        match self {
            Self::NotCleared
            | Self::Unknown(_)
            | Self::BadTarget { .. }
            | Self::Busy { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::GivenUp { .. } => Sent::Nothing,
            Self::Timeout { sent, .. }
            | Self::Reset { sent, .. }
            | Self::CallerBody { sent, .. } => *sent,
            Self::BadAnswer { .. } => Sent::Perhaps,
        }
    }
}

/// Of an answer that has to be whole: as if its head had not come.
impl From<AnswerError> for ForwardError {
    fn from(AnswerError { region, fault }: AnswerError) -> Self {
        match fault.is_late() {
            true => Self::Timeout {
                region,
                sent: Sent::Perhaps,
            },
            false => Self::BadAnswer { region },
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("no connection in time"),
            Self::Unresolved => f.write_str("its host name has no address"),
            Self::Imposter(imposter) => imposter.fmt(f),
            Self::Handshake(why) => write!(f, "the TLS handshake failed: {why}"),
            Self::NoHttp2 => f.write_str("its server does not speak HTTP/2"),
            Self::NoDescriptors => f.write_str("the router has no file descriptor left"),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

impl From<io::Error> for Unreachable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if crate::admit::descriptors::is_exhausted(&error) => Self::NoDescriptors,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            kind => Self::Other(kind),
        }
    }
}
