//! Transport security on both sides: certificates, identities, and their exchange while running.
//!
//! Goals: a caller is who its certificate says, a region's server is that region's or gets
//! nothing, and no file that changes on disk costs a connection.
//!
//! * [`Identity`] is one name that settings expect; [`Names`] are those that a certificate has.
//! * [`ServerSide`] is what a listener needs, [`BackendSide`] what calling one region needs. Both
//!   are built from [`Files`] as a whole, or not at all.
//! * [`Live`] keeps one of them and exchanges it when its files change.
//!
//! Trade-offs, decided here:
//! * **Names match exactly**; a wildcard in a certificate is nobody's identity. It would stand for
//!   the servers of several regions at once, which is what an identity is there to tell apart.
//!   (Choosing our own certificate by SNI does follow wildcards: there it is only a label.)
//! * **No system roots.** A public authority would vouch for anybody; each region names its own.
//! * **Resumption** never outlives what was verified: tickets end with every exchange of files.
//!   Towards regions there is none unless it is asked for, since who resumes shows no certificate:
//!   another region's server that shares the keys of tickets would pass for the right one. Where it
//!   is asked for, a region's sessions serve no other, and what they carry is judged anew.
//! * **No early data**: a replayed write is a second write.
//! * **No revocation lists**: short-lived certificates (SPIFFE) are what this is made for.

mod authorities;
mod backend;
mod doubts;
mod files;
mod identity;
mod live;
mod names;
mod pem;
mod server;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod wardrobe;

use rustls::crypto::aws_lc_rs;

pub use backend::{BackendSide, Imposter};
pub use doubts::Shown;
pub use files::{FileFault, Files, Own, Placed, is_world_readable};
pub use identity::{Identity, IdentityError};
pub use live::{Change, Live, Material};
pub use names::{Names, Validity};
pub use server::{ServerSide, TlsPeer};
pub use token::Token;

/// Makes aws-lc-rs the one provider of the process. To be called before anything else is; a second
/// call changes nothing.
pub fn install_provider() {
    // An error only says that there is one already, which is this one: there is no other here.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// X25519MLKEM768 before X25519 and the NIST curves; TLS 1.3, and of TLS 1.2 ECDHE with AEAD alone.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(aws_lc_rs::default_provider())
}

/// The time as certificates are judged by it.
fn unix_time(at: jiff::Timestamp) -> rustls::pki_types::UnixTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}
