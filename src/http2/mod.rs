//! A second and strict reader of what comes over HTTP/2 (RFC 9113), beside h2 and before it.
//!
//! h2 reads frames and field sections, and hands on what it made of them. What it takes off on the
//! way nobody behind it can refuse any more: pseudo-fields in trailers, the fragment of a `:path`,
//! a `:scheme` without `:authority`, informational answers of a region; and what it found wrong with a
//! field section, if a frame ends within a field line after it (0.4.20). So
//! [`Guarded`] stands between the socket and h2, lets the bytes pass as they are, and reads along:
//! frames ([`frames`]), field sections ([`hpack`]), and what they say ([`requests`], [`answers`]).
//! It changes nothing of what h2 gets, but for what follows a fault, which h2 does not get at all.
//!
//! Both read the same bytes with decoders that share no code. Each request that h2 hands over has to
//! be the one that was seen here; where they disagree, the connection ends.
//!
//! A fault that h2 would find by itself, and end the connection for at once, is found here first where that is
//! simple: so what is at work beside it is still answered.
//!
//! Left to h2 alone: streams and their states but for their end, flow control, floods.

mod answers;
mod field;
mod frames;
mod guarded;
pub mod harness;
mod hpack;
mod huffman;
mod requests;
mod table;
mod target;

pub use answers::Answers;
pub use guarded::Guarded;
pub use requests::{Requests, Scheme, Seen, Undocumented, Unseen};
