//! Tables of raw heads and bodies, laws for arbitrary bytes, and whole connections in memory.

mod answers;
mod bodies;
mod connection;
mod differential;
mod edges;
mod framing;
mod heads;
mod laws;
mod remembered;
mod served;
