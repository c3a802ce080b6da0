//! From evidence to whose record this is: subject, laws, categories. Pure: no clock, and no I/O
//! but loading the files that settings name (key set, GeoIP database).
//!
//! [`bulk`] finds the items of a bulk request, [`json`] reads a body once, [`schema`] says what a route looks for in it, [`phone`],
//! [`network`] and [`token`] turn values into countries, and [`evidence`] weighs them.

mod age;
mod alpha3;
mod source;
mod weak;

pub mod bulk;
pub mod discover;
pub mod evidence;
pub mod form;
pub mod json;
pub mod network;
pub mod phone;
pub mod schema;
pub mod token;

pub use age::{Age, Unreadable};
pub use source::{ValueSource, ValueSourceError, is_pointer};
