//! The example policies over real HTTP: what each promise lets through, what it stops, and what
//! the ledger then says.

mod devices;
mod fitness;
mod platform;
