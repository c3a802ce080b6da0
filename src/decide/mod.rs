//! The decision: pure, total, deterministic. Without its [`Permit`] no region can be called.

mod permit;

pub use permit::Permit;
