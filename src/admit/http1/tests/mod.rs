//! Tables of raw heads and bodies, laws for arbitrary bytes, and whole connections in memory.

mod bodies;
mod connection;
mod heads;
mod laws;
