//! `ledger prove`: what of a ledger, or of an export, is to be shown to somebody.

use std::path::Path;

use super::{
    LogError, Signed, Verifier,
    checkpoint::Checkpoint,
    entries::{Leaf, Source, decision_of, signed},
    merkle::{Frontier, Hash, Wanted, consistency, inclusion, leaf_hash},
    proof::{Consistency, Inclusion},
};
use crate::domain::DecisionId;

/// Which entries.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// By its number, from 1.
    Entry(u64),
    Decision(DecisionId),
}

/// That one entry stands in the log.
#[derive(Clone, Debug)]
pub struct Proof {
    pub entry: u64,
    /// A tlog-proof.
    pub text: String,
}

/// Proofs for the entries that are asked for, each against `checkpoint` (default: that of the
/// export which `folder` is). The ledger is verified, and must contain the checkpoint; who signed
/// that is looked at if a `verifier` is given.
///
/// # Errors
/// [`LogError::refusal`] tells those that are answers: an entry that is not covered, a ledger that
/// is not the one of the checkpoint.
pub fn prove(
    folder: &Path,
    which: Which,
    checkpoint: Option<&str>,
    verifier: Option<&Verifier>,
) -> Result<Vec<Proof>, LogError> {
    let source = Source::at(folder, verifier)?;
    let signed = match (checkpoint, &source) {
        (Some(note), _) => signed(note, verifier).map_err(|e| e.of("the checkpoint"))?,
        (None, Source::Export(_, signed)) => signed.clone(),
        (None, Source::Ledger(_)) => {
            return Err(LogError::usage(
                "a proof is against a signed checkpoint: give that of the last export with --checkpoint, or the export's folder in place of the ledger's",
            ));
        }
    };
    let size = signed.checkpoint.size;
    // Each with what its proof carries.
    let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
    let is_asked = |leaf: &Leaf<'_>| match which {
        Which::Entry(number) => leaf.index + 1 == number,
        Which::Decision(id) => decision_of(leaf.bytes) == Some(id),
    };
    compare(&source, &[&signed.checkpoint], |leaf| {
        if is_asked(leaf) {
            let extra = Inclusion::extra(leaf.bytes, &source.profile(leaf)?)?;
            found.push((leaf.index, extra));
        }
        Ok(())
    })?;
    if found.is_empty() {
        let what = match which {
            Which::Entry(number) => format!("entry {number} is not"),
            Which::Decision(id) => format!("no entry of decision {id} is"),
        };
        return Err(LogError::no(format!(
            "{what} among the {size} that the checkpoint covers; what came later needs a newer export"
        )));
    }
    let mut wanted: Vec<Wanted> = found
        .iter()
        .map(|(index, _)| Wanted::new(inclusion(*index, size)))
        .collect();
    source.each(size, |leaf| {
        let hash = leaf_hash(leaf.bytes);
        wanted.iter_mut().for_each(|w| w.push(leaf.index, hash));
        Ok(())
    })?;
    let proofs = found.into_iter().zip(wanted);
    let one = |((index, extra), wanted): ((u64, Vec<u8>), Wanted)| {
        let proof = Inclusion {
            index,
            extra: Some(extra),
            hashes: whole(&wanted)?,
            note: signed.note.clone(),
        };
        Ok(Proof {
            entry: index + 1,
            text: proof.to_string(),
        })
    };
    proofs.map(one).collect()
}

fn whole(wanted: &Wanted) -> Result<Vec<Hash>, LogError> {
    let hashes = wanted.hashes();
    hashes.ok_or_else(|| LogError::no("the ledger changed while it was read"))
}

/// That what was signed before still stands.
#[derive(Clone, Debug)]
pub struct Contained {
    /// Entries that were signed before.
    pub old: u64,
    /// Entries that stand now.
    pub size: u64,
    /// The consistency proof, where there is a newer checkpoint to prove it against.
    pub proof: Option<String>,
}

/// Compares the ledger, or an export, with a checkpoint of before; proves it against `new` (default:
/// that of the export which `folder` is).
///
/// # Errors
/// As [`prove`].
pub fn contains(
    folder: &Path,
    old: &Signed,
    new: Option<&str>,
    verifier: &Verifier,
) -> Result<Contained, LogError> {
    let verifier = Some(verifier);
    let source = Source::at(folder, verifier)?;
    let new = match (new, &source) {
        (Some(note), _) => Some(signed(note, verifier).map_err(|e| e.of("the newer checkpoint"))?),
        (None, Source::Export(_, signed)) => Some(signed.clone()),
        (None, Source::Ledger(_)) => None,
    };
    let old = &old.checkpoint;
    let Some(new) = new else {
        compare(&source, &[old], |_| Ok(()))?;
        return Ok(Contained {
            old: old.size,
            // The head of a ledger may be behind after a power failure.
            size: source.size()?.max(old.size),
            proof: None,
        });
    };
    let size = new.checkpoint.size;
    if old.size > size {
        return Err(LogError::no(format!(
            "the older checkpoint has {} entries, and the newer {size}",
            old.size
        )));
    }
    let mut wanted = Wanted::new(consistency(old.size, size));
    compare(&source, &[old, &new.checkpoint], |leaf| {
        wanted.push(leaf.index, leaf_hash(leaf.bytes));
        Ok(())
    })?;
    let proof = Consistency {
        old: old.size,
        hashes: whole(&wanted)?,
        note: new.note,
    };
    Ok(Contained {
        old: old.size,
        size,
        proof: Some(proof.to_string()),
    })
}

/// Reads what the largest of the checkpoints covers, and compares each with it.
fn compare(
    source: &Source,
    checkpoints: &[&Checkpoint],
    mut give: impl FnMut(&Leaf<'_>) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let what = if source.is_ledger() {
        "ledger"
    } else {
        "export"
    };
    let most = checkpoints.iter().map(|c| c.size).max().unwrap_or(0);
    let mut tree = Frontier::default();
    let mut differs = None;
    let mut look = |tree: &Frontier| {
        let here = checkpoints.iter().filter(|c| c.size == tree.size());
        for checkpoint in here {
            if checkpoint.root != tree.root() && differs.is_none() {
                differs = Some(checkpoint.size);
            }
        }
    };
    look(&tree);
    source.each(most, |leaf| {
        tree.push(leaf_hash(leaf.bytes));
        look(&tree);
        give(&leaf)
    })?;
    if let Some(size) = differs {
        return Err(LogError::no(format!(
            "the {what} is not the one of the checkpoint: its first {size} entries are not those that were signed"
        )));
    }
    let stands = tree.size();
    if stands < most {
        return Err(LogError::no(format!(
            "the {what} ends with entry {stands}, and {most} entries were signed: it was cut, or is another one"
        )));
    }
    Ok(())
}
