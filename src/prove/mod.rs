//! The tools that make a policy worth trusting: cases, the matrix, differences, proofs, mutants.
//!
//! All of them ask the same [`crate::decide`] that the router asks; none decides anything itself.
//! They run on a desk or in a pipeline, never in the router (but for the matrix, which the admin
//! listener shows, on a thread that gives way), so they may allocate and take their time; what they promise is completeness over a stated space, and output a person can read.

mod about;
mod asked;
mod axes;
pub mod cases;
mod categories;
mod cells;
mod classes;
mod composed;
mod counts;
mod days;
pub mod diff;
mod ends;
mod engine;
mod facts;
pub mod files;
pub mod judge;
mod lists;
pub mod matrix;
mod moved;
pub mod mutants;
mod papers;
mod parties;
mod parts;
mod promised;
pub mod property;
#[expect(
    clippy::module_inception,
    reason = "the command is called so, and its tools too"
)]
pub mod prove;
mod records;
mod scene;
mod stands;
mod stated;
mod ways;

#[cfg(test)]
mod tests;
