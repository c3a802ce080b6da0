//! Locate: whose home is where.
//!
//! A person is known here only as a [`SubjectKey`](crate::domain::SubjectKey), a keyed hash; the
//! directory maps it to a home region and the regions that hold copies. Goals, in this order:
//!
//! 1. *One home*: no subject ever has two, whatever is killed when. A new home is claimed in
//!    memory, stands in the ledger (the write-ahead log of pins), and only then in the directory.
//! 2. *No ids*: neither the directory file nor anything else here holds what a key was made from.
//! 3. *No lock for the known*: a subject that a worker has met is answered by its own
//!    [`PinCache`]; locks are for new subjects and for moves.

mod cache;
mod claims;
mod directory;
mod encoding;
mod glance;
mod import;
mod pin;
mod secret;
mod store;
mod subject;

pub use cache::{PinCache, PinNumber};
pub use claims::{Claim, Claimed};
pub(crate) use directory::Room;
pub use directory::{Directory, DirectoryError, DirectoryStatus};
pub use glance::{Glance, Unseen};
pub use import::{ImportError, ImportReport, import_ids, keys_of_one, print_keys};
pub use pin::{Pin, PinChange};
pub use secret::{SecretError, load_or_create_secret};
pub use subject::SubjectHasher;

#[cfg(test)]
mod tests;
