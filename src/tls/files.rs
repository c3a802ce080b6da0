//! Certificates, keys and authorities out of PEM files (RFC 7468), and what can be wrong with them.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    Names,
    doubts::{Shown, doubts},
    pem::{certificates, foreign, is_encrypted},
    provider,
};
use crate::{
    document::{MOST_BYTES, read_whole},
    settings::CertificateFiles,
};

/// What several files held at one time, so that what is judged and what is compared is the same.
pub struct Files {
    read: Vec<(PathBuf, io::Result<Vec<u8>>)>,
    digest: [u8; 32],
}

/// Where in the settings a fault belongs: steps below the section that was built, such as
/// `certificates`, `0`, `key`.
#[derive(Clone, Debug)]
pub struct Placed {
    pub steps: Vec<String>,
    pub fault: FileFault,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum FileFault {
    #[error("cannot read `{}`: {error}", path.display())]
    Unreadable { path: PathBuf, error: String },
    #[error("`{}` holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("`{}` holds no private key", .0.display())]
    NoKey(PathBuf),
    #[error("`{}` is no sound PEM file", .0.display())]
    Pem(PathBuf),
    #[error("a certificate in `{}` cannot be read", .0.display())]
    Certificate(PathBuf),
    #[error(
        "the private key in `{}` has a password, and keys with passwords are not supported: decrypt it with `openssl pkey -in {} -out NEW.key`, and let the router alone read that", .0.display(), .0.display()
    )]
    Encrypted(PathBuf),
    #[error(
        "the private key in `{}` is damaged or not supported: RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519 are", .0.display()
    )]
    Key(PathBuf),
    #[error("the key in `{}` is not the key of the certificate in `{}`", key.display(), chain.display())]
    Mismatch { chain: PathBuf, key: PathBuf },
    #[error("the certificate in `{}` ended at {until}", path.display())]
    Expired { path: PathBuf, until: Timestamp },
    #[error("the certificate in `{}` begins at {from}", path.display())]
    NotYetValid { path: PathBuf, from: Timestamp },
    #[error("every authority in `{}` has ended", .0.display())]
    AuthoritiesEnded(PathBuf),
    #[error(
        "of {meant} certificates in `{}` {read} can be read: each must begin with a line `-----BEGIN CERTIFICATE-----` of its own, with nothing before it, neither blanks nor a byte order mark", path.display()
    )]
    Overlooked {
        path: PathBuf,
        read: usize,
        meant: usize,
    },
    #[error(
        "`{}` is DER and no PEM file: convert it with `openssl {tool} -inform der -in {} -out NEW.pem`", path.display(), path.display()
    )]
    Der { path: PathBuf, tool: &'static str },
    #[error("`{}` is UTF-16 and no PEM file, which is ASCII: save it as that", .0.display())]
    Wide(PathBuf),
    #[error("the token in `{}` must be visible ASCII without blanks", .0.display())]
    Token(PathBuf),
    #[error("cannot be used: {0}")]
    Rustls(String),

    // Doubts, see `Own`.
    #[error(
        "the certificate in `{}` may not be used by a server (its extended key usage lacks serverAuth): no client will accept it", .0.display()
    )]
    NoServerAuth(PathBuf),
    #[error(
        "the certificate in `{}` may not be used by a client (its extended key usage lacks clientAuth): no server that asks for it will accept it", .0.display()
    )]
    NoClientAuth(PathBuf),
    #[error(
        "the certificate in `{}` names nobody (it has no subject alternative name): no client will accept it, for the common name counts for nothing", .0.display()
    )]
    Nameless(PathBuf),
    #[error(
        "a certificate that stands in `{}` after the first ended at {until}: whoever needs it to verify the first will refuse that", path.display()
    )]
    SignerExpired { path: PathBuf, until: Timestamp },
}

/// A certificate of our own, with its key.
#[derive(Debug)]
pub struct Own {
    pub key: Arc<CertifiedKey>,
    pub names: Names,
    /// Why those to whom it is shown may refuse it. No reason not to use it.
    pub doubts: Vec<Placed>,
}

impl Files {
    /// Reads each file whole; blocks on the disk. What cannot be read is told by [`Files::get`].
    pub fn read<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut hash = blake3::Hasher::new();
        let mut known = HashSet::new();
        let mut read = Vec::new();
        for path in paths {
            if !known.insert(path) {
                continue;
            }
            let bytes = read_whole(path, MOST_BYTES).map_err(io::Error::from);
            let part = match &bytes {
                Ok(bytes) => *blake3::hash(bytes).as_bytes(),
                Err(_) => [0; 32],
            };
            hash.update(&part);
            read.push((path.to_owned(), bytes));
        }
        let digest = *hash.finalize().as_bytes();
        Self { read, digest }
    }

    /// Of all contents, to tell whether anything changed.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// # Errors
    /// `Unreadable`; also for a path that was not asked for.
    pub fn get(&self, path: &Path) -> Result<&[u8], FileFault> {
        let found = self.read.iter().find(|(p, _)| p == path);
        let error = match found {
            Some((_, Ok(bytes))) => return Ok(bytes),
            Some((_, Err(error))) => error.to_string(),
            None => "it was not read".to_owned(),
        };
        let path = path.to_owned();
        Err(FileFault::Unreadable { path, error })
    }

    /// A chain and its key, fit to be shown at `at`.
    ///
    /// # Errors
    /// Every fault of the two, at `steps` and its `chain` or `key`.
    pub fn certified_key(
        &self,
        pair: &CertificateFiles,
        steps: &[&str],
        shown: Shown,
        at: Timestamp,
    ) -> Result<Own, Vec<Placed>> {
        let place = |step: &str, fault| {
            let steps = steps.iter().chain([&step]).map(ToString::to_string);
            Placed {
                steps: steps.collect(),
                fault,
            }
        };
        let mut faults = Vec::new();
        let chain = self.chain(&pair.chain, at);
        let key = self.key(&pair.key);
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                faults.extend(chain.err().map(|f| place("chain", f)));
                faults.extend(key.err().map(|f| place("key", f)));
                return Err(faults);
            }
        };
        let (certificates, names) = chain;
        let doubts = doubts(&certificates, &names, &pair.chain, shown, at);
        let doubts = doubts.into_iter().map(|d| place("chain", d)).collect();
        let key = CertifiedKey::new(certificates, key);
        match key.keys_match() {
            // A key that does not tell its public half cannot be compared; it is used as it is.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                let key = Arc::new(key);
                Ok(Own { key, names, doubts })
            }
            Err(_) => Err(vec![place(
                "key",
                FileFault::Mismatch {
                    chain: pair.chain.clone(),
                    key: pair.key.clone(),
                },
            )]),
        }
    }

    /// The authorities of a bundle; at least one that has not ended.
    pub fn authorities(&self, path: &Path, at: Timestamp) -> Result<RootCertStore, FileFault> {
        let found = certificates(path, self.get(path)?)?;
        let mut roots = RootCertStore::empty();
        let mut ended = 0;
        for certificate in &found {
            let names =
                Names::read(certificate).ok_or_else(|| FileFault::Certificate(path.to_owned()))?;
            ended += usize::from(names.until < at);
            roots
                .add(certificate.clone())
                .map_err(|_| FileFault::Certificate(path.to_owned()))?;
        }
        match ended < found.len() {
            true => Ok(roots),
            false => Err(FileFault::AuthoritiesEnded(path.to_owned())),
        }
    }

    fn chain(
        &self,
        path: &Path,
        at: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, Names), FileFault> {
        let chain = certificates(path, self.get(path)?)?;
        let path = path.to_owned();
        let names = chain.first().and_then(|leaf| Names::read(leaf));
        let Some(names) = names else {
            return Err(FileFault::Certificate(path));
        };
        if at > names.until {
            let until = names.until;
            return Err(FileFault::Expired { path, until });
        }
        if at < names.from {
            let from = names.from;
            return Err(FileFault::NotYetValid { path, from });
        }
        Ok((chain, names))
    }

    fn key(&self, path: &Path) -> Result<Arc<dyn rustls::sign::SigningKey>, FileFault> {
        let bytes = self.get(path)?;
        let path = path.to_owned();
        let key = match PrivateKeyDer::from_pem_slice(bytes) {
            Ok(key) => key,
            Err(_) if is_encrypted(bytes) => return Err(FileFault::Encrypted(path)),
            Err(rustls::pki_types::pem::Error::NoItemsFound) => {
                let foreign = foreign(&path, bytes, "pkey");
                return Err(foreign.unwrap_or(FileFault::NoKey(path)));
            }
            Err(_) => return Err(FileFault::Pem(path)),
        };
        provider()
            .key_provider
            .load_private_key(key)
            // It says no more than that it could not parse it.
            .map_err(|_| FileFault::Key(path))
    }
}

/// Whether every user of the machine can read the file.
#[cfg(unix)]
pub fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|m| m.mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub fn is_world_readable(_: &Path) -> bool {
    false
}
