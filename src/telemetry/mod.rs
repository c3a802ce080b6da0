//! What the operator sees: logs, metrics. Nothing here may hold personal data.

pub mod access;
mod decided;
mod handles;
mod ledger;
mod lines;
pub mod log;
pub mod metrics;
mod otlp;
pub mod workers;

pub use handles::Handles;
pub use metrics::Metrics;
pub use otlp::{AnswerAttributes, Begin, ClientSpan, Otlp, ServerSpan, Trace};
