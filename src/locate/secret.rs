//! The subject-key secret: as precious as the data, since losing it orphans every pin.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    disk::create_private_folder,
    document::{Unread, open_regular},
    settings::Secret,
};

/// Bytes of a subject-key secret.
pub(super) const LENGTH: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "a subject-key secret is 32 bytes or 64 hexadecimal digits, this one has {0} bytes: restore the right one, a new one would orphan every pin"
    )]
    Length(usize),
    #[error(
        "the secret file `{}` can be read by others (mode {mode:04o}): run `chmod 600` on it", path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the secret file `{}` cannot be used: {error}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The secret in `path`, created with 32 random bytes and mode 0600 if there is none.
///
/// Two processes that start at once end up with the same secret: the file appears under its name
/// only when it is whole and durable, and the name is never replaced.
///
/// # Errors
/// A file of another length, one that group or world can read, or any failure of the disk.
pub fn load_or_create_secret(path: &Path) -> Result<Secret, SecretError> {
    match open_regular(path) {
        Err(Unread::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            create(path)?;
            read(path, open_regular(path))
        }
        opened => read(path, opened),
    }
}

/// The 32 bytes of a secret in either of its spellings.
pub(super) fn key_bytes(secret: &Secret) -> Result<[u8; LENGTH], SecretError> {
    let bytes = secret.reveal();
    if let Ok(raw) = bytes.try_into() {
        return Ok(raw);
    }
    let digits = bytes.trim_ascii();
    let mut key = [0; LENGTH];
    if digits.len() != 2 * LENGTH {
        return Err(SecretError::Length(bytes.len()));
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = std::str::from_utf8(pair)
            .ok()
            .filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|p| u8::from_str_radix(p, 16).ok())
            .ok_or(SecretError::Length(bytes.len()))?;
    }
    Ok(key)
}

fn read(path: &Path, opened: Result<(File, Metadata), Unread>) -> Result<Secret, SecretError> {
    let failed = |error| SecretError::Io {
        path: path.to_owned(),
        error,
    };
    let (file, facts) = opened.map_err(|unread| failed(unread.into()))?;
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Vec::with_capacity(LENGTH);
    file.take(4096).read_to_end(&mut bytes).map_err(failed)?;
    let secret = Secret::new(bytes);
    key_bytes(&secret)?;
    Ok(secret)
}

fn create(path: &Path) -> Result<(), SecretError> {
    let failed = |error| SecretError::Io {
        path: path.to_owned(),
        error,
    };
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(SecretError::Random)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    create_private_folder(folder).map_err(failed)?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(SecretError::Random)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_le_bytes(suffix)));
    let draft = folder.join(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        })
        // A link, not a rename: it fails where the name stands, so the first of two wins.
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        })
        .and_then(|()| File::open(folder)?.sync_all());
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_created_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret");
        let first = load_or_create_secret(&path).unwrap();
        assert_eq!(first.reveal().len(), LENGTH);
        assert_eq!(load_or_create_secret(&path).unwrap(), first);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn many_first_starts_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let all: Vec<_> = std::thread::scope(|s| {
            let each: Vec<_> = (0..8)
                .map(|_| s.spawn(|| load_or_create_secret(&path)))
                .collect();
            each.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let standing = fs::read(&path).unwrap();
        for secret in all {
            assert_eq!(secret.unwrap().reveal(), standing);
        }
    }

    #[test]
    fn an_exposed_or_cut_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        load_or_create_secret(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_create_secret(&path).unwrap_err();
        assert!(
            matches!(error, SecretError::Exposed { mode: 0o640, .. }),
            "{error}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [1; 31]).unwrap();
        assert!(matches!(
            load_or_create_secret(&path),
            Err(SecretError::Length(31))
        ));
    }
}
