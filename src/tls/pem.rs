//! The certificates of a PEM file (RFC 7468): all that were meant, or none.

use std::path::Path;

use memchr::memmem;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::FileFault;

/// # Errors
/// The reader takes a block only if its first line is as it should be, and passes over all else as
/// over a comment. A certificate that somebody meant to stand there must not be missing unsaid, so
/// the blocks are counted: `Overlooked`. `NoCertificate`, and what [`foreign`] finds, where there is
/// none at all.
pub(super) fn certificates(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|_| FileFault::Pem(path.to_owned()))?;
    match (found.len(), meant(bytes)) {
        (0, 0) => Err(foreign(path, bytes, "x509")
            .unwrap_or_else(|| FileFault::NoCertificate(path.to_owned()))),
        (read, meant) if read == meant => Ok(found),
        (read, meant) => Err(FileFault::Overlooked {
            path: path.to_owned(),
            read,
            meant,
        }),
    }
}

/// How many blocks say that they are certificates of some kind, wherever in a line they begin.
fn meant(bytes: &[u8]) -> usize {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let is_certificate = |at: &usize| {
        let label = bytes.get(at + BEGIN.len()..).unwrap_or_default();
        let end = memmem::find(label, b"-----");
        let label = end.and_then(|end| label.get(..end));
        label.is_some_and(|label| label.ends_with(b"CERTIFICATE"))
    };
    memmem::find_iter(bytes, BEGIN)
        .filter(is_certificate)
        .count()
}

/// What a file without any PEM may be instead. `tool`: of openssl, that converts it.
pub(super) fn foreign(path: &Path, bytes: &[u8], tool: &'static str) -> Option<FileFault> {
    let path = path.to_owned();
    let is_wide = || {
        let has = |text: &[u8]| memmem::find(bytes, text).is_some();
        has(b"-\0-\0-\0B\0E\0G\0I\0N\0") || has(b"\0-\0-\0-\0B\0E\0G\0I\0N")
    };
    match bytes {
        // What every certificate and key of DER begins with: a SEQUENCE.
        [0x30, ..] => Some(FileFault::Der { path, tool }),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(FileFault::Wide(path)),
        _ => is_wide().then_some(FileFault::Wide(path)),
    }
}

/// Whether a key has a password, by its label (RFC 7468 §11) or a header of the older form (RFC 1421
/// §4.6.1.1).
pub(super) fn is_encrypted(pem: &[u8]) -> bool {
    let has = |text: &str| memmem::find(pem, text.as_bytes()).is_some();
    has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED")
}
