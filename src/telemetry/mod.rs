//! What the operator sees: clock, logs, metrics. Nothing here may hold personal data.

pub mod clock;
mod handles;
pub mod log;
pub mod metrics;

pub use handles::Handles;
pub use metrics::Metrics;
