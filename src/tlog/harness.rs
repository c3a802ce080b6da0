//! What fuzzing and the property tests run over the readers of proofs, notes and keys: no
//! expectations about the input.

use std::sync::Arc;

use super::{
    Signed, Signer, Verifier,
    checkpoint::Checkpoint,
    proof::{Consistency, Inclusion},
};
use crate::attest::{Entry, Profile};

/// Reads arbitrary bytes as everything that an auditor may be given, and checks that nothing is
/// taken that would have been written otherwise.
///
/// # Panics
/// If something does not hold; that is its purpose.
pub fn try_bytes(bytes: &[u8]) {
    entry(bytes, bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = Signed::read(text);
    let _ = Signer::from_text(text);
    if let Ok(verifier) = text.parse::<Verifier>() {
        assert_eq!(verifier.to_string(), text);
    }
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert!(text.starts_with(checkpoint.to_string().trim_end()));
    }
    if let Ok(proof) = Consistency::parse(text) {
        assert_eq!(proof.to_string(), text);
    }
    if let Ok(proof) = Inclusion::parse(text) {
        assert_eq!(proof.to_string(), text);
        if let Some((leaf, profile)) = proof.carried() {
            entry(leaf, profile);
        }
    }
}

fn entry(leaf: &[u8], profile: &[u8]) {
    let profile = Profile::from_bytes(profile).map(Arc::new);
    if let Ok(profile) = &profile {
        let again = Profile::from_bytes(&profile.to_bytes());
        assert_eq!(again.as_ref(), Ok(&**profile));
    }
    let known = |digest: &[u8; 32]| profile.ok().filter(|p| p.digest() == *digest);
    if let Ok(entry) = Entry::from_leaf(leaf, known) {
        assert_eq!(entry.leaf(), leaf);
    }
}
