use serde::Serialize;
use std::{fmt, io, path::PathBuf};

use crate::{locate::DirectoryError, state::StateError};

/// The ledger cannot be written, so nothing may be permitted: 503 with `Retry-After`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("the ledger cannot be written: {0}")]
    Disk(String),
    #[error("the ledger is closed")]
    Closed,
    #[error("the ledger cannot keep up: {waiting} entries wait")]
    Behind { waiting: usize },
    /// What waits may come to stand all the same when the disk goes on; nothing was sent for it.
    #[error(
        "the ledger's disk has not confirmed a write for {seconds} seconds: look at the disk that `ledger.path` is on"
    )]
    Stuck { seconds: u64 },
    #[error(
        "the clock is {seconds} seconds behind the ledger's entries: set it; if it is right and was wrong before, start with --clock-is-right"
    )]
    Clock { seconds: i64 },
    /// No further pin may change, since the directory does not come after.
    #[error("{0}")]
    Directory(String),
    #[error("one batch may have at most {most} bytes of entries, this one has {size}")]
    TooLarge { size: usize, most: usize },
    #[error("an entry that changes a pin names its subject")]
    NoSubject,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger `{}` is in use by {by}: stop it or choose another path", folder.display())]
    InUse { folder: PathBuf, by: String },
    #[error("the ledger's file `{}` cannot be used: {error}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("{0}")]
    Damaged(#[from] Damage),
    #[error("the directory cannot take what the ledger replays: {0}")]
    Directory(#[from] DirectoryError),
    #[error("the counters: {0}")]
    Counters(#[from] StateError),
    #[error("`{}` holds no ledger", folder.display())]
    NoLedger { folder: PathBuf },
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Where a ledger is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    pub file: PathBuf,
    /// Bytes from the start of the file to where the damage begins, at the earliest.
    pub offset: u64,
    /// Number of the first entry that cannot be trusted.
    pub entry: u64,
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the ledger is damaged at `{}`, byte {}, entry {}: {}",
            self.file.display(),
            self.offset,
            self.entry,
            self.what
        )
    }
}

impl std::error::Error for Damage {}

impl LedgerError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}
