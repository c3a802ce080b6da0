//! What is wrong with a certificate of our own that is sound in itself: those to whom it is shown
//! will refuse it. Told as a warning, for they decide, and some are more lenient than others.

use std::path::Path;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use super::{FileFault, Names};

/// To whom a certificate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By a listener.
    ToClients,
    /// By us, where a region's server asks who we are.
    ToServers,
}

/// Of a chain, leaf first, whose leaf has these names.
pub fn doubts(
    chain: &[CertificateDer<'_>],
    names: &Names,
    path: &Path,
    shown: Shown,
    at: Timestamp,
) -> Vec<FileFault> {
    let mut doubts = Vec::new();
    let path = || path.to_owned();
    let Some((leaf, signers)) = chain.split_first() else {
        return doubts;
    };
    if !allows(leaf, shown) {
        doubts.push(match shown {
            Shown::ToClients => FileFault::NoServerAuth(path()),
            Shown::ToServers => FileFault::NoClientAuth(path()),
        });
    }
    if shown == Shown::ToClients && names.are_none() {
        doubts.push(FileFault::Nameless(path()));
    }
    let ended = signers.iter().filter_map(|signer| Names::read(signer));
    let ended = ended.map(|signer| signer.until).filter(|until| *until < at);
    doubts.extend(ended.min().map(|until| FileFault::SignerExpired {
        path: path(),
        until,
    }));
    doubts
}

/// RFC 5280 §4.2.1.12: without the extension everything is allowed. "Any" is left alone, though
/// not everybody takes it.
fn allows(leaf: &[u8], shown: Shown) -> bool {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
        return true;
    };
    match leaf.extended_key_usage() {
        Ok(Some(usage)) => {
            let named = match shown {
                Shown::ToClients => usage.value.server_auth,
                Shown::ToServers => usage.value.client_auth,
            };
            named || usage.value.any
        }
        _ => true,
    }
}
