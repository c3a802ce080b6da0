//! Where leaves are read from: a ledger, or an export of one.

use std::path::{Path, PathBuf};

use super::{LogError, Signed, Verifier, folder::Folder, merkle::Hash};
use crate::{
    attest::{self, Kind},
    domain::DecisionId,
};

pub enum Source {
    Ledger(PathBuf),
    Export(Folder, Signed),
}

impl Source {
    /// An export is known by its checkpoint, which `verifier` must have signed, if it is given.
    pub fn at(path: &Path, verifier: Option<&Verifier>) -> Result<Self, LogError> {
        let folder = Folder::new(path);
        let Some(note) = folder.checkpoint()? else {
            return Ok(Self::Ledger(path.to_owned()));
        };
        let signed = signed(&note, verifier).map_err(|e| e.of(path.display()))?;
        Ok(Self::Export(folder, signed))
    }

    pub fn is_ledger(&self) -> bool {
        matches!(self, Self::Ledger(_))
    }

    /// How many entries stand in it.
    pub fn size(&self) -> Result<u64, LogError> {
        match self {
            Self::Ledger(folder) => Ok(attest::acknowledged(folder)?),
            Self::Export(_, signed) => Ok(signed.checkpoint.size),
        }
    }

    /// The first `size` leaves in order, with their indices. A ledger is verified as a whole on
    /// the way; what an export says is compared by whoever knows its root.
    pub fn each(
        &self,
        size: u64,
        mut give: impl FnMut(u64, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let folder = match self {
            Self::Export(folder, signed) => {
                return folder.each(signed.checkpoint.size, size, give);
            }
            Self::Ledger(folder) => folder,
        };
        let mut failed = None;
        attest::verify_each(folder, |entry| {
            if failed.is_none() && entry.seq <= size {
                failed = give(entry.seq - 1, &entry.leaf()).err();
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The bytes of the profile that a leaf names; none, where it names none.
    pub fn profile(&self, index: u64, leaf: &[u8]) -> Result<Vec<u8>, LogError> {
        let Some(digest) = profile_of(leaf) else {
            return Ok(Vec::new());
        };
        match self {
            Self::Export(folder, _) => folder.read(&Folder::profile_name(&digest)),
            Self::Ledger(folder) => {
                let (entries, _) = attest::read(folder, index, 1, None)?;
                match entries.first().map(|e| &e.kind) {
                    Some(Kind::Decision { profile, .. }) => Ok(profile.to_bytes()),
                    _ => Err(LogError::no("the ledger changed while it was read")),
                }
            }
        }
    }
}

/// What is compared with the ledger itself need not be verified, and is where somebody wants it.
pub fn signed(note: &str, verifier: Option<&Verifier>) -> Result<Signed, LogError> {
    match verifier {
        Some(verifier) => Signed::open(note, verifier),
        None => Signed::read(note),
    }
}

/// Kind (1), number (8) and time (8) come first.
const FIELDS: usize = 17;
const DECISION: u8 = 0x10;
const OUTCOME: u8 = 0x11;

/// The decision that a leaf is of.
pub fn decision_of(leaf: &[u8]) -> Option<DecisionId> {
    let tagged = leaf
        .first()
        .is_some_and(|t| [DECISION, OUTCOME].contains(t));
    let id = leaf.get(FIELDS..)?.first_chunk().filter(|_| tagged)?;
    Some(DecisionId::from_bytes(*id))
}

/// The digest of the profile that a leaf names.
pub fn profile_of(leaf: &[u8]) -> Option<Hash> {
    let is_decision = leaf.first() == Some(&DECISION);
    let digest = leaf.get(FIELDS + 16..)?.first_chunk();
    digest.filter(|_| is_decision).copied()
}
