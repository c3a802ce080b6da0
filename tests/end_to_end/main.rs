//! End to end over real sockets: the binary is started and judged by what it answers, stores,
//! writes and prints, never by its insides.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod kit;

mod batch;
mod crash;
mod demo;
mod failure;
mod memory;
mod mixed;
mod pins;
mod privacy;
