//! Bodies too large for the database, one file each, under random names: a folder listing tells
//! nothing about anybody.
//!
//! A file is complete and fsynced before the database names it, and unlinked only after the
//! database has stopped naming it; what a crash leaves between is removed on the next start.

use std::fs::File as StdFile;
use std::io;
use std::path::{Path, PathBuf};

use redb::Database;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{StoreError, database};

const BUFFER: usize = 256 << 10;

/// The folder of the files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Opens the folder and removes the files that no document names.
    pub(super) fn open(data: &Path, database: &Database) -> Result<Self, StoreError> {
        let folder = data.join("files");
        let cannot_use = |source| StoreError::Folder {
            folder: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(cannot_use)?;
        for entry in std::fs::read_dir(&folder).map_err(cannot_use)? {
            let entry = entry.map_err(cannot_use)?;
            let name = entry.file_name().to_str().and_then(parse_name);
            // Names of another form are somebody else's.
            let Some(name) = name else { continue };
            let named = database::names_file(database, name)
                .map_err(|error| cannot_use(io::Error::other(error)))?;
            if !named {
                std::fs::remove_file(entry.path()).map_err(cannot_use)?;
            }
        }
        Ok(Self { folder })
    }

    /// A new, empty file.
    pub(super) async fn create(&self) -> io::Result<Unnamed> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = u128::from_le_bytes(random);
        let path = self.path(name);
        let mut file = File::create_new(&path).await?;
        file.set_max_buf_size(BUFFER);
        Ok(Unnamed {
            name,
            length: 0,
            hash: blake3::Hasher::new(),
            file,
            keep: Guard(Some(path)),
        })
    }

    pub(super) async fn read(&self, name: u128) -> io::Result<File> {
        let mut file = File::open(self.path(name)).await?;
        file.set_max_buf_size(BUFFER);
        Ok(file)
    }

    /// Removes a file that no document names any more. Who is reading it reads on.
    pub(super) fn remove(&self, name: u128) {
        if let Err(error) = std::fs::remove_file(self.path(name)) {
            tracing::warn!(%error, "a replaced file could not be removed; the next start tries again");
        }
    }

    fn path(&self, name: u128) -> PathBuf {
        self.folder.join(format!("{name:032x}"))
    }
}

fn parse_name(text: &str) -> Option<u128> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok())?
}

/// A file that is being written and that no document names yet. Dropping it removes it.
pub(super) struct Unnamed {
    name: u128,
    length: u64,
    hash: blake3::Hasher,
    file: File,
    keep: Guard,
}

impl Unnamed {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Not cancel safe: a dropped append leaves the file of unknown length.
    pub(super) async fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes bytes and name durable.
    pub(super) async fn finish(mut self) -> io::Result<Finished> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        if let Some(folder) = self.keep.0.as_deref().and_then(Path::parent) {
            let folder = folder.to_owned();
            tokio::task::spawn_blocking(move || StdFile::open(folder)?.sync_all())
                .await
                .map_err(io::Error::other)??;
        }
        Ok(Finished {
            name: self.name,
            length: self.length,
            hash: self.hash.finalize(),
            keep: self.keep,
        })
    }
}

/// A file that is on disk for good as soon as a document names it. Dropping it removes it unless
/// it was kept.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) name: u128,
    pub(super) length: u64,
    pub(super) hash: blake3::Hash,
    keep: Guard,
}

impl Finished {
    /// A document names it now.
    pub(super) fn keep(mut self) {
        self.keep.0 = None;
    }
}

#[derive(Debug)]
struct Guard(Option<PathBuf>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, "an unfinished file could not be removed; the next start tries again");
        }
    }
}
