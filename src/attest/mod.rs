//! Attest: the append-only, hash-chained record of decisions.
//!
//! Goals, in this order:
//!
//! 1. *Evidence first* (ARCHITECTURE, invariant 2): a permit becomes [`Cleared`], which forwarding
//!    demands, only when its entry is durable; a flow home alone may run up to 100 ms ahead.
//! 2. *Nothing can be changed unseen*: frames are chained by SHA-256, segments continue the chain,
//!    and the head says how far acknowledged entries go. `docs/ledger-format.md` gives the bytes.
//! 3. *Cheap*: one thread writes; concurrent requests share an fsync; what many entries have in
//!    common is a [`Profile`], written once a segment, so that an entry takes about 40 bytes.
//!
//! Entries hold no ids, addresses, names or values, only keyed hashes ([`SubjectKey`]).
//!
//! [`SubjectKey`]: crate::domain::SubjectKey

mod bundle;
mod codec;
mod commit;
mod disk;
mod entry;
mod error;
mod follow;
mod format;
mod groups;
mod head;
mod journal;
mod lazy;
mod model;
mod open;
mod pack;
mod porter;
mod profile;
mod queue;
mod read;
mod record;
mod segment;
mod verify;
mod writer;

pub use bundle::{Bundle, ClearedBundle, Like, Outcomes};
pub(crate) use disk::create_private_folder;
pub use entry::{Entry, Kind};
pub use error::{Damage, LedgerError, Unwritable};
pub use follow::Follow;
pub use head::HeadFlaw;
pub use journal::{Cleared, Clearing, Journal, JournalStatus, Opened, Options, WorkerJournal};
pub use model::{
    Asserted, Books, Draft, Observed, Ordered, OutcomeDraft, Party, Pinning, Profile,
    REFERENCE_MAX, Stated, Verdict,
};
pub use porter::Porter;
pub use read::{acknowledged, read, scan, tail, tail_until_damage};
pub use verify::{DecidedBy, Recovery, VerifyReport, verify, verify_each};

#[cfg(test)]
pub(crate) mod tests;
