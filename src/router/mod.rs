//! The running router: its shared state, its workers, its keeper, the reader of its files, and how they start and stop.

mod checks;
mod coalesce;
mod forewarn;
mod give_back;
pub mod keeper;
pub mod outlook;
pub mod reload;
pub mod reloads;
pub mod running;
pub mod shared;
pub mod snapshot;
mod sources;
mod thresholds;
mod watched;
pub mod worker;

pub use coalesce::Coalesce;
pub use running::{Running, StartError};
pub use shared::Shared;
pub use snapshot::{ReadyRecipient, ReadyRoute, Snapshot};
pub use watched::Watched;
pub use worker::Worker;
