//! Domicile, a data residency router: it stores each personal-data record in its subject's home
//! region, refuses the transfers that law or the operator's own promise forbids, and keeps
//! evidence of each transfer that is allowed.

pub mod admin;
pub mod admit;
pub mod attest;
pub mod classify;
pub mod cli;
pub mod clock;
pub mod decide;
mod disk;
pub mod document;
pub mod domain;
pub mod forward;
mod http1;
pub mod http2;
pub mod locate;
pub mod message;
pub mod pipeline;
pub mod policy;
pub mod problem;
pub mod prove;
pub mod report;
pub mod respond;
pub mod router;
pub mod scan;
pub mod settings;
pub mod shared;
pub mod state;
pub mod store;
pub mod telemetry;
pub mod tlog;
pub mod tls;
