//! One TOML file and the environment, checked as a whole: what the router is told by its operator.
//!
//! [`model`] is the real shape that the program uses; it can only come from `read`, which reports
//! every mistake at once with file, line, column and a hint.

mod model;

pub use model::*;
