//! The tools that make a policy worth trusting: cases, the matrix, differences, proofs, mutants.
//!
//! All of them ask the same [`crate::decide`] that the router asks; none decides anything itself.
//! They run on a desk or in a pipeline, never in the router, so they may allocate and take their
//! time; what they promise is completeness over a stated space, and output a person can read.

pub mod cases;
