use std::{io, path::PathBuf};

use crate::attest::LedgerError;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The answer is no: something is not what was signed. Exit code 1.
    #[error("{0}")]
    No(String),
    #[error("{0}")]
    Usage(String),
    #[error("`{}` cannot be used: {error}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("{0}")]
    Ledger(#[from] LedgerError),
}

impl LogError {
    pub(super) fn no(why: impl Into<String>) -> Self {
        Self::No(why.into())
    }

    pub(super) fn usage(why: impl Into<String>) -> Self {
        Self::Usage(why.into())
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }

    /// Names the file of which something is told.
    #[must_use]
    pub fn of(self, what: impl std::fmt::Display) -> Self {
        match self {
            Self::No(why) => Self::No(format!("{what}: {why}")),
            other => other,
        }
    }

    /// Why the answer is no; `None` where no answer could be had.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::No(why) => Some(why.clone()),
            Self::Ledger(LedgerError::Damaged(damage)) => {
                Some(format!("the ledger does not verify: {damage}"))
            }
            _ => None,
        }
    }
}
