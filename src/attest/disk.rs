//! The disk behind the writer, as a trait, so that tests can fill it, break it and stop it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
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

/// Creates a folder for data about people: its owner alone may look into it. Its name, and those
/// of the folders above it that were created too, are durable when this returns: else a power
/// failure could take away the folder with all that was durable in it.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let new: Vec<&Path> = path.ancestors().take_while(is_new).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for folder in new {
        let above = folder.parent().filter(|p| !p.as_os_str().is_empty());
        // One that we may write and not read cannot be made durable; nor is it ours.
        if let Ok(above) = File::open(above.unwrap_or(Path::new("."))) {
            above.sync_all()?;
        }
    }
    Ok(())
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
