//! What the operator sees: clock, logs, metrics. Nothing here may hold personal data.

pub mod clock;
pub mod log;
pub mod metrics;

pub use metrics::Metrics;
