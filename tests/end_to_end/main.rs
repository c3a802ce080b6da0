//! The one end-to-end test binary: real sockets, real files, no network beyond loopback.
//!
//! `support` is the harness (its own tests stand in `support_tests`), `kit` that of the black-box
//! tests; every other module is one part of what a user can see.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "all of this binary is tests, whose failures are to be loud"
)]

mod alike;
mod auditor;
mod batch;
mod beginnings;
mod broken_files;
mod bulk;
mod circumstances;
mod clock;
mod confirmed;
mod crash;
mod decided_by;
mod demo;
mod discovery;
mod erase;
mod erase_again;
mod failure;
mod forms;
mod hold_ups;
mod hung_files;
mod kit;
mod kubelet;
mod landing;
mod late;
mod listeners;
mod lost_state;
mod memory;
mod mixed;
mod newcomer;
mod observe_rule;
mod observing;
mod orders;
mod output;
mod parts;
mod pins;
mod policy_tools;
mod privacy;
mod raw_http1;
mod raw_http2;
mod reading_back;
mod readings;
mod refused_as;
mod reports;
mod resilience;
mod review;
mod scan;
mod scenarios;
mod seeing;
mod side_by_side;
mod slow_bodies;
mod state;
mod store;
mod support;
mod support_tests;
mod telling;
mod tls;
mod traces;
mod unread;
