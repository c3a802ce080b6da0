//! The harness: scripted backends, clients down to the byte, worlds to run the program in.
//!
//! Plain threads and blocking sockets, so that a test reads top to bottom and can misbehave at
//! will. Whatever waits has [`PATIENCE`]: a hang becomes a failure, never a stuck build.

#![allow(
    dead_code,
    unused_imports,
    reason = "a harness offers more than the tests of the day use"
)]

mod backend;
mod client;
mod message;
mod process;
mod script;
mod search;
mod world;

use std::time::Duration;

pub use backend::{Recorded, RecordingBackend};
pub use client::{Answer, HttpClient, RawClient, request, request_h2};
pub use process::Running;
pub use script::{Gate, Reply};
pub use search::{Hit, search_bytes};
pub use world::{TempWorld, free_port};

/// How long anything may take before the test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
