//! TOML files with places: every value knows the file, line and column it came from, and every
//! mistake in a set of files is told at once.
//!
//! `settings` and `policy` read through this module. serde would stop at the first mistake and
//! loses places in flattened and untagged types; here a file is parsed into [`Node`]s and walked
//! by [`Fields`], which reports unknown keys with a suggestion.

mod faults;
mod fields;
mod file;
mod meant;
mod node;
mod pointer;
mod shape;

pub use faults::{Fault, Faults, Severity, Source, Where, suggest};
pub use fields::Fields;
pub use file::{MOST_BYTES, Unread, is_missing, open_regular, read_input, read_text, read_whole};
pub use node::{Node, Refused, Value};
pub use pointer::{Located, escaped, locate};
pub use shape::{json_fault, place_of_word, read_items, read_json, read_json_with};
