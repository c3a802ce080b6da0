//! The running router: its workers, its keeper, and how they start and stop. What they share, and the
//! reader of its files, is [`shared`](crate::shared)'s.

mod checks;
mod give_back;
pub mod keeper;
pub mod outlook;
pub mod running;
mod thresholds;
pub mod worker;

pub use running::{Running, StartError};
