//! What the operator sees: clock, logs, metrics. Nothing here may hold personal data.

pub mod clock;
