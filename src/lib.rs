//! Domicile, a data residency router: it stores each personal-data record in its subject's home
//! region, refuses the transfers that law or the operator's own promise forbids, and keeps
//! evidence of each transfer that is allowed.

pub mod admit;
pub mod classify;
pub mod decide;
pub mod document;
pub mod domain;
pub mod settings;
pub mod store;
pub mod telemetry;
