//! Logs for operators, to standard error. Never values from traffic: the ledger is the record.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::Log;

/// Starts logging for the life of the process; a second call changes nothing.
pub fn start(log: &Log) {
    let level = std::env::var("RUST_LOG").ok().or_else(|| log.level.clone());
    let filter = EnvFilter::try_new(level.as_deref().unwrap_or("info,hyper=warn,h2=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // Another subscriber, such as a test's, may already be in place.
    let _ = if log.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}
