use std::{path::Path, sync::Arc};

use super::{Draft, LedgerError, OutcomeDraft, Unwritable};
use crate::{decide::Permit, locate::Directory};

/// Handle to the one thread that writes the ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<()>,
}

/// One worker's door to the journal: flows home gather in a buffer of the worker's own, which
/// the journal's thread empties every 25 ms; no lock is shared between workers.
#[derive(Debug)]
pub struct WorkerJournal {
    journal: Journal,
}

/// Proof that the entry of this permit stands (or, for a flow home without a change of pin, is
/// queued to stand within 100 ms). Built only by the journal.
#[must_use]
#[derive(Debug)]
pub struct Cleared {
    permit: Permit,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// A segment that has reached this size is closed and the next begun.
    pub segment_bytes: u64,
    /// How much of the ledger's end is checked in full at the start; older segments are only
    /// checked to join.
    pub check_bytes: u64,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub entries: u64,
    /// Bytes of an unfinished last frame that were cut off; nobody had been told it stood.
    pub torn_bytes: u64,
    /// Acknowledged entries that are gone; a `recovered` entry says so.
    pub lost: u64,
    /// Changes of pins that were handed to the directory again.
    pub replayed: u64,
}

/// Plain counters for metrics and readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStatus {
    pub entries: u64,
    pub bytes: u64,
    pub segments: u64,
    pub commits: u64,
    /// Requests turned away because the ledger could not be written.
    pub refused: u64,
    /// Entries handed over and not yet durable.
    pub waiting: usize,
    /// How long the last commit took, fsync included.
    pub last_commit: std::time::Duration,
    /// Why the ledger cannot be written, while it cannot.
    pub error: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            check_bytes: 1 << 30,
        }
    }
}

impl Cleared {
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

impl Journal {
    /// Opens or creates the ledger in `folder`, repairs a torn tail, replays pins into the
    /// directory, and starts the writing thread.
    pub fn open(
        _folder: &Path,
        _options: Options,
        _directory: Directory,
    ) -> Result<(Self, Opened), LedgerError> {
        Ok((
            Self {
                inner: Arc::new(()),
            },
            Opened::default(),
        ))
    }

    /// A door for one worker.
    pub fn worker(&self) -> WorkerJournal {
        WorkerJournal {
            journal: self.clone(),
        }
    }

    /// Writes the entry of a permit.
    pub async fn clear(&self, permit: Permit, _draft: Draft) -> Result<Cleared, Unwritable> {
        drop(permit);
        Err(Unwritable::Closed)
    }

    /// Writes the entries of one batch.
    pub async fn clear_all(
        &self,
        _permits: Vec<(Permit, Draft)>,
        _refusals: Vec<Draft>,
    ) -> Result<Vec<Cleared>, Unwritable> {
        Err(Unwritable::Closed)
    }

    /// Writes the entry of a refusal.
    pub async fn refuse(&self, _draft: Draft) -> Result<(), Unwritable> {
        Err(Unwritable::Closed)
    }

    /// Queues what the backend answered.
    pub fn outcome(&self, _outcome: OutcomeDraft) {}

    pub async fn flush(&self) -> Result<(), Unwritable> {
        Err(Unwritable::Closed)
    }

    pub fn close(&self) -> Result<(), Unwritable> {
        Err(Unwritable::Closed)
    }

    pub fn status(&self) -> JournalStatus {
        JournalStatus::default()
    }
}

impl WorkerJournal {
    pub async fn clear(&self, permit: Permit, draft: Draft) -> Result<Cleared, Unwritable> {
        self.journal.clear(permit, draft).await
    }

    pub async fn clear_all(
        &self,
        permits: Vec<(Permit, Draft)>,
        refusals: Vec<Draft>,
    ) -> Result<Vec<Cleared>, Unwritable> {
        self.journal.clear_all(permits, refusals).await
    }

    pub async fn refuse(&self, draft: Draft) -> Result<(), Unwritable> {
        self.journal.refuse(draft).await
    }

    pub fn outcome(&self, outcome: OutcomeDraft) {
        self.journal.outcome(outcome);
    }
}
