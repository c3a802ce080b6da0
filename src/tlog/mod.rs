//! The ledger as a transparency log, for people who do not trust this program: an export that is
//! signed, and proofs that an entry stands in it and that nothing signed before has changed.
//!
//! Goals, in this order:
//!
//! 1. *Other people's tools*: Merkle trees of RFC 6962, and C2SP's tlog-tiles, tlog-checkpoint,
//!    signed-note (Ed25519), tlog-proof and the consistency proof of tlog-witness, to the byte.
//!    An entry's leaf is what `docs/ledger-format.md` says.
//! 2. *Nothing false is signed*: the whole chain is verified first, and what a checkpoint said
//!    before must still be so.
//! 3. *Offline and streamed*: all of it reads segments or an export, beside a router or without
//!    one, in bounded memory.

mod base64;
mod check;
mod checkpoint;
mod entries;
mod error;
mod export;
mod folder;
pub mod harness;
mod merkle;
mod note;
mod proof;
mod prove;
mod tiles;

pub use check::{Checked, check};
pub use checkpoint::Signed;
pub use error::LogError;
pub use export::{Exported, export};
pub use note::{Signer, Verifier};
pub use prove::{Contained, Proof, Which, contains, prove};

#[cfg(test)]
mod tests;
