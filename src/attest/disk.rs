//! The disk behind the writer, as a trait, so that tests can fill it, break it and stop it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub(super) trait Disk: Send {
    /// Opens a file for writing, creating it if need be; its name is durable when this returns.
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>>;
}

pub(super) trait DiskFile: Send {
    /// All of `bytes`, at a place; may have written a part when it fails.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// What was written is durable when this returns.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the real file system.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Disk for Folder {
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join(name))?;
        File::open(&self.path)?.sync_all()?;
        Ok(Box::new(file))
    }
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
