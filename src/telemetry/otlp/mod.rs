//! Traces: one span for each request of a caller, one for each exchange with a region, over
//! OTLP/HTTP (`docs/traces.md`). Compiled with the feature `otlp`; without it the types here have
//! no values, and what asks for one costs nothing.
//!
//! Goals, in this order:
//!
//! 1. *No personal data*: no path, query, address, id or field of a request stands in a span; the
//!    decision id leads to the ledger, which has its own rules.
//! 2. *No worker waits*: spans go through a bounded queue to a thread of their own; what that
//!    cannot take is counted as dropped. A worker does not even wake the thread, which looks for
//!    itself.
//! 3. *One trace*: a caller's sound `traceparent` is continued and its choice whether to tell the
//!    trace is followed (W3C Trace Context); what a region gets names the span of the exchange.
//!
//! Trade-off: what is sent are OpenTelemetry's own types, but queue and thread are ours: its SDK has
//! no count of what it drops, and its exporter brings an HTTP client of its own.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod context;
#[cfg(feature = "otlp")]
mod encode;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod post;
#[cfg(feature = "otlp")]
mod trace;

use std::sync::Arc;

use http::StatusCode;

#[cfg(not(feature = "otlp"))]
pub use absent::{ClientSpan, Otlp, ServerSpan, Trace};
#[cfg(feature = "otlp")]
pub use export::Otlp;
#[cfg(feature = "otlp")]
pub use trace::{ClientSpan, ServerSpan, Trace};

/// How a trace's first span begins.
pub struct Begin<'f> {
    /// The one `traceparent` of the request, sound or not.
    pub parent: Option<&'f [u8]>,
    /// The wall clock at `started`.
    pub at: jiff::Timestamp,
    pub started: tokio::time::Instant,
    pub decision: crate::domain::DecisionId,
    pub method: &'static str,
    /// Distinct for each trace; the lower half for its first span.
    pub random: [u128; 2],
}

/// What is said of an answer to a caller.
pub struct AnswerAttributes {
    pub route: Option<Arc<str>>,
    pub status: StatusCode,
    pub region: Option<Box<str>>,
    pub mechanism: Option<Box<str>>,
    /// The name of the refusal.
    pub problem: Option<&'static str>,
    pub version: http::Version,
    /// The caller came by TLS.
    pub secure: bool,
}
