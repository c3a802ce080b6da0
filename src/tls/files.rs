//! Certificates and keys out of files, and what can be wrong with them.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    Identity, Names,
    doubts::{Shown, doubts},
    pem::{certificates, foreign, is_encrypted},
    provider,
};
use crate::{
    document::{MOST_BYTES, read_whole},
    settings::CertificateFiles,
};

/// What several files held at one time, so that what is judged and what is compared is the same.
#[derive(Clone)]
pub struct Files {
    read: Vec<Read>,
    digest: [u8; 32],
}

#[derive(Clone)]
struct Read {
    path: PathBuf,
    content: Result<Arc<[u8]>, Arc<str>>,
    /// It is what is in use.
    is_kept: bool,
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
    #[error("every authority in `{}` has ended, so nobody is believed by it", .0.display())]
    AuthoritiesEnded(PathBuf),
    #[error(
        "certificate {number} in `{}` is no authority, it may sign nobody: put the certificate of the authority that signed it there", path.display()
    )]
    NoAuthority { path: PathBuf, number: usize },
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
    #[error("servers of `{one}` and `{other}` would both be `{identity}`")]
    Alike {
        one: Arc<str>,
        other: Arc<str>,
        identity: Identity,
    },
    #[error("the token in `{}` must be visible ASCII without blanks", .0.display())]
    Token(PathBuf),
    #[error("cannot be used: {0}")]
    Rustls(String),

    // Doubts, see `Own` and `Authorities`.
    #[error(
        "authority {number} in `{}` ended at {until} and is not believed any more: remove it", path.display()
    )]
    AuthorityEnded {
        path: PathBuf,
        number: usize,
        until: Timestamp,
    },
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
        let mut known = HashSet::new();
        let paths = paths.into_iter().filter(|path| known.insert(*path));
        let read = paths.map(|path| Read {
            path: path.to_owned(),
            content: match read_whole(path, MOST_BYTES).map_err(io::Error::from) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(error.to_string().into()),
            },
            is_kept: false,
        });
        Self::of(read.collect())
    }

    fn of(read: Vec<Read>) -> Self {
        let mut hash = blake3::Hasher::new();
        for Read { content, .. } in &read {
            let part = content.as_ref().map_or([0; 32], |bytes| {
                let part = blake3::hash(bytes);
                *part.as_bytes()
            });
            hash.update(&part);
        }
        let digest = *hash.finalize().as_bytes();
        Self { read, digest }
    }

    /// The same, knowing what is in use.
    pub fn beside(mut self, used: &Self) -> Self {
        for read in &mut self.read {
            let mut all = used.read.iter();
            let old = all.find(|old| old.path == read.path);
            read.is_kept = old.is_some_and(|old| old.content == read.content);
        }
        self
    }

    /// These, but for `paths`, which are as in `newer`.
    pub fn with(&self, paths: &[&Path], newer: &Self) -> Self {
        let read = self.read.iter().map(|old| {
            let mut all = newer.read.iter();
            let new = all.find(|new| new.path == old.path);
            let new = new.filter(|new| paths.contains(&&*new.path));
            new.unwrap_or(old).clone()
        });
        Self::of(read.collect())
    }

    /// Whether the file holds what is in use already. That is no reason to refuse it for its age, or
    /// it would keep others from being exchanged.
    pub fn is_kept(&self, path: &Path) -> bool {
        let mut all = self.read.iter();
        all.any(|read| read.path == path && read.is_kept)
    }

    /// Of all contents, to tell whether anything changed.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// # Errors
    /// `Unreadable`; also for a path that was not asked for.
    pub fn get(&self, path: &Path) -> Result<&[u8], FileFault> {
        let found = self.read.iter().find(|read| read.path == path);
        let error = match found.map(|read| &read.content) {
            Some(Ok(bytes)) => return Ok(bytes),
            Some(Err(error)) => error.to_string(),
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
        let mut doubts = doubts(&certificates, &names, &pair.chain, shown, at);
        doubts.extend(age(&pair.chain, &names, at));
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
        match self.is_kept(&path) {
            true => Ok((chain, names)),
            false => age(&path, &names, at).map_or(Ok((chain, names)), Err),
        }
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

/// Why a certificate is of no use at this time, if it is not.
fn age(path: &Path, names: &Names, at: Timestamp) -> Option<FileFault> {
    let path = path.to_owned();
    let Names { from, until, .. } = *names;
    if at > until {
        Some(FileFault::Expired { path, until })
    } else {
        (at < from).then_some(FileFault::NotYetValid { path, from })
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
