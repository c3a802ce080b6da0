//! Where leaves are read from: a ledger, or an export of one.

use std::path::{Path, PathBuf};

use super::{LogError, Signed, Verifier, folder::Folder, merkle::Hash};
use crate::{
    attest::{self, Kind, Profile},
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

    /// The first `size` leaves in order. A ledger is verified as a whole on the way; what an export
    /// says is compared by whoever knows its root.
    pub fn each(
        &self,
        size: u64,
        mut give: impl FnMut(Leaf<'_>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let folder = match self {
            Self::Export(folder, signed) => {
                return folder.each(signed.checkpoint.size, size, |index, bytes| {
                    let profile = None;
                    give(Leaf {
                        index,
                        bytes,
                        profile,
                    })
                });
            }
            Self::Ledger(folder) => folder,
        };
        let mut failed = None;
        attest::verify_each(folder, |entry, _| {
            if failed.is_none() && entry.seq <= size {
                let profile = match &entry.kind {
                    Kind::Decision { profile, .. } => Some(&**profile),
                    _ => None,
                };
                let given = give(Leaf {
                    index: entry.seq - 1,
                    bytes: &entry.leaf(),
                    profile,
                });
                failed = given.err();
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The bytes of the profile that a leaf names; none, where it names none.
    pub fn profile(&self, leaf: &Leaf<'_>) -> Result<Vec<u8>, LogError> {
        match (self, profile_of(leaf.bytes)) {
            (Self::Export(folder, _), Some(digest)) => folder.read(&Folder::profile_name(&digest)),
            _ => Ok(leaf.profile.map(Profile::to_bytes).unwrap_or_default()),
        }
    }
}

/// One entry as it comes by.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// From 0.
    pub index: u64,
    pub bytes: &'a [u8],
    /// Of a decision in a ledger.
    profile: Option<&'a Profile>,
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
