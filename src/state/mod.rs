//! State: what decisions need to know beside the record and the policy. How many people a legal
//! threshold has seen ([`Counters`]), what each person has consented to ([`Consents`]), and what is
//! still to be erased ([`Erasures`]).
//!
//! Goals, in this order:
//!
//! 1. *Exact*: a count is the number of distinct people, over restarts and crashes. The ledger is
//!    the write-ahead log of the counters, as it is of the pins.
//! 2. *No ids*: people are [`SubjectKey`](crate::domain::SubjectKey)s here too.
//! 3. *Free for most*: a flow that no counter concerns, of a person without a consent, takes no
//!    lock and reads no file here.

mod consents;
mod counters;
mod erasures;
mod supposed;

pub use consents::{ConsentRecord, Consents, Filter, NewConsent, Withdrawal, Withdrawn};
pub use counters::{CountGuard, Counters, CountersStatus, Tally, TallyName};
pub use erasures::{
    Address, Begun, Ending, Erasures, NewErasure, OpenErasure, Room, RowId, Settled, Trying,
    WriteGuard,
};
pub use supposed::Supposed;

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("`{0}` is in use by another process: stop that router or choose another path")]
    InUse(PathBuf),
    #[error(transparent)]
    CannotOpen(crate::disk::CannotOpen),
    #[error("the file cannot be used: {0}")]
    Store(#[source] Box<redb::Error>),
    #[error("the folder cannot be used: {0}")]
    Io(#[source] std::io::Error),
    #[error("a consent in the register cannot be read: restore the file from a backup")]
    Damaged,
    #[error(
        "a person who stands in the ledger could not be counted: restart, so that it is replayed"
    )]
    Broken,
    #[error(
        "{}: look at the disk that `directory.path` is on",
        crate::disk::unconfirmed(*.0)
    )]
    Hangs(std::time::Duration),
    #[error("the thread that writes has ended: restart the router")]
    Gone,
    #[error("the counters cannot keep up: {waiting} changes wait to be stored")]
    Behind { waiting: usize },
    #[error("a person can have at most {0} consents on the register")]
    TooMany(usize),
    #[error(
        "line {line} of `erasures.log` cannot be read: restore the file, or move it away and repeat the erasures that `/v1/ledger` shows without a good outcome"
    )]
    DamagedLog { line: usize },
    #[error(
        "{0} erasures are open, more than are kept: bring back the regions that `/v1/erasures` lists, or repeat those requests"
    )]
    ErasuresFull(usize),
}

impl<E: Into<redb::Error>> From<E> for StateError {
    fn from(error: E) -> Self {
        Self::Store(Box::new(error.into()))
    }
}

impl StateError {
    /// Whether the disk failed under a database file, of which the file itself has told the log.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self, Self::Store(error) if crate::disk::is_io(error))
    }
}

/// Opens or creates a database file.
fn open_file(
    file: &std::path::Path,
    words: crate::disk::Words,
) -> Result<crate::disk::Healing, StateError> {
    crate::disk::Healing::open(file, 32 << 20, words).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StateError::InUse(file.to_owned()),
        other => StateError::CannotOpen(crate::disk::CannotOpen::new(file, other)),
    })
}
