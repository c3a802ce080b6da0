//! Our own reading of JSON: strict, in one pass, without building a tree.
//!
//! Goals, in this order: two readers never see two different records; hostile text costs no more
//! than its length; the fields a route asks for are found on the way. So the whole text is
//! checked (RFC 8259, UTF-8, no duplicate keys, bounded nesting) even when the wanted field
//! stands first: stopping early would let a second `country` after the first route the record
//! one way here and another way at the backend.
//!
//! Trade-offs: numbers are checked, not evaluated; values under pointers come as slices of the
//! text; nothing is reported about the text in a fault but the place.

mod bytes;
mod cursor;
mod edit;
mod fault;
mod keys;
mod pull;
mod scan;
mod shape;
mod split;
mod value;
mod watch;

pub mod harness;
#[cfg(test)]
mod tests;

pub use edit::{Edit, Spotted, edit};
pub use fault::{JsonFault, JsonFaultKind};
pub use pull::{Open, Pull, check};
pub use scan::{MAX_DEPTH, Sink, scan, scan_object};
pub use shape::Shape;
pub use split::{Item, SplitFault, SplitFaultKind, line_feed, split_array, split_ndjson};
pub use value::{RawNumber, RawString, Value};
pub use watch::{KnownPart, Reach, Watch, WatchError};
