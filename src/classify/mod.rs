//! From evidence to whose record this is: subject, laws, categories. Pure: no I/O, no clock.

mod source;

pub use source::{ValueSource, ValueSourceError, is_pointer};
