//! Letting requests in: listeners, connections, routes, who is calling, limits, reading bodies.
//!
//! One worker per core, each with its own accept queue (`SO_REUSEPORT`), runtime and pools; a
//! connection lives and dies in the worker that accepted it.

mod ahead;
pub mod body;
pub mod caller;
pub mod connection;
pub mod descriptors;
pub mod farewell;
pub mod fold;
pub mod gunzip;
pub mod handshake;
pub mod headers;
pub mod hops;
pub mod http1;
mod http2;
pub mod listener;
pub mod memory;
pub mod outgoing;
pub mod pace;
pub mod path;
mod refusal;
pub mod route;
pub mod streams;
pub mod unsent;
