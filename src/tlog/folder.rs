//! The folder of an export: immutable files beside one checkpoint.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    LogError,
    merkle::Hash,
    tiles::{self, WIDTH},
};
use crate::{disk::create_private_folder, document::read_whole};

pub const CHECKPOINT: &str = "checkpoint";
/// What an export holds, and what it leaves behind when it is killed.
const OURS: [&str; 6] = [
    "checkpoint",
    "tile",
    "profile",
    "entries",
    WRITING,
    READABLE,
];
/// A file before it has its name.
const WRITING: &str = ".writing";
/// The readable copy, before it has its name.
pub const READABLE: &str = ".entries";
/// Files that wait for their fsync at most.
const UNSYNCED_MOST: usize = 4096;
/// Texts that are signed have a few hundred bytes.
const TEXT_MOST: u64 = 1 << 20;
/// A bundle of 256 entries of 64 KiB each, and their lengths.
const FILE_MOST: u64 = 17 << 20;

/// An export that is read.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// A text file that is signed, or a key.
pub fn read_text(path: &Path) -> Result<String, LogError> {
    let bytes = read_whole(path, TEXT_MOST).map_err(io::Error::from);
    let bytes = bytes.map_err(LogError::io(path))?;
    String::from_utf8(bytes).map_err(|_| LogError::no("it is no text in UTF-8").of(path.display()))
}

impl Folder {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The note, if there is one.
    pub fn checkpoint(&self) -> Result<Option<String>, LogError> {
        let path = self.path(CHECKPOINT);
        match path.try_exists().map_err(LogError::io(&path))? {
            true => read_text(&path).map(Some),
            false => Ok(None),
        }
    }

    /// A file of an export; that it is missing is an answer.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, LogError> {
        match self.look(name)? {
            Some(bytes) => Ok(bytes),
            None => Err(LogError::no(format!(
                "`{}` is missing",
                self.path(name).display()
            ))),
        }
    }

    fn look(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let path = self.path(name);
        match read_whole(&path, FILE_MOST).map_err(io::Error::from) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io(path)(error)),
        }
    }

    /// The first `most` leaves in order, with their indices, of an export of `size` entries.
    pub fn each(
        &self,
        size: u64,
        most: u64,
        mut give: impl FnMut(u64, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut index = 0;
        while index < size.min(most) {
            let width = usize::try_from(size - index).map_or(WIDTH, |rest| rest.min(WIDTH));
            let number = index / WIDTH as u64;
            let name = tiles::path("entries", number, width);
            let (bytes, grown) = match self.look(&name)? {
                Some(bytes) => (bytes, false),
                // Of an export that went on since, and whose partial bundles were removed.
                None => match self.look(&tiles::path("entries", number, WIDTH))? {
                    Some(bytes) => (bytes, true),
                    None => (self.read(&name)?, false),
                },
            };
            let broken = || {
                let what = "it does not hold the entries that it should";
                LogError::no(what).of(self.path(&name).display())
            };
            let mut rest = &bytes[..];
            for _ in 0..width {
                let (length, after) = rest.split_first_chunk().ok_or_else(broken)?;
                let length = usize::from(u16::from_be_bytes(*length));
                let (leaf, after) = after.split_at_checked(length).ok_or_else(broken)?;
                if index < most {
                    give(index, leaf)?;
                }
                index += 1;
                rest = after;
            }
            if !rest.is_empty() && !grown {
                return Err(broken());
            }
        }
        Ok(())
    }

    pub fn profile_name(digest: &Hash) -> String {
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        format!("profile/{hex}")
    }
}

/// A leaf as a bundle holds it.
///
/// # Errors
/// It is longer than the format can say.
pub fn put_leaf(out: &mut Vec<u8>, leaf: &[u8]) -> Result<(), LogError> {
    let length = u16::try_from(leaf.len());
    let length = length.map_err(|_| LogError::usage("an entry is longer than 65,535 bytes"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(leaf);
    Ok(())
}

/// An export that is written: by one process at a time.
pub struct Writing {
    pub folder: Folder,
    /// What was created in them is to be durable before anything is signed.
    touched: BTreeSet<PathBuf>,
    /// Files that may not be durable yet.
    written: Vec<String>,
    lock: File,
}

impl Writing {
    /// Creates the folder if need be.
    ///
    /// # Errors
    /// [`LogError::Usage`] where other things lie, or another export is at work.
    pub fn begin(path: &Path) -> Result<Self, LogError> {
        create_private_folder(path).map_err(LogError::io(path))?;
        let lock = File::open(path).map_err(LogError::io(path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LogError::usage(format!(
                    "another export into `{}` is at work",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(LogError::io(path)(error)),
        }
        let folder = Folder::new(path);
        if folder.checkpoint()?.is_none() {
            for file in fs::read_dir(path).map_err(LogError::io(path))? {
                let name = file.map_err(LogError::io(path))?.file_name();
                if !OURS.iter().any(|ours| name == *ours) {
                    return Err(LogError::usage(format!(
                        "`{}` holds other things, such as `{}`: choose a folder for the export alone",
                        path.display(),
                        name.display()
                    )));
                }
            }
        }
        Ok(Self {
            folder,
            touched: BTreeSet::new(),
            written: Vec::new(),
            lock,
        })
    }

    /// A file that never changes once it is `signed`: then it must hold the same. What no checkpoint
    /// tells of, a power failure may have left half written: it is written anew.
    pub fn keep(&mut self, name: &str, bytes: &[u8], signed: bool) -> Result<(), LogError> {
        match self.folder.look(name)? {
            Some(stands) if stands == bytes => {}
            Some(_) if signed => {
                let what = "it holds something else than the ledger does";
                return Err(LogError::no(what).of(self.folder.path(name).display()));
            }
            _ => self.put(name, bytes)?,
        }
        self.touch(name);
        self.written.push(name.to_owned());
        match self.written.len() {
            UNSYNCED_MOST => self.sync_files(),
            _ => Ok(()),
        }
    }

    /// Whole or not at all, but for power failures.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        let writing = self.folder.path(WRITING);
        let written = self.create(WRITING)?.write_all(bytes);
        written.map_err(LogError::io(&writing))?;
        self.rename(WRITING, name)
    }

    pub fn create(&self, name: &str) -> Result<File, LogError> {
        let path = self.folder.path(name);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).map_err(LogError::io(path))
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), LogError> {
        let (from, path) = (self.folder.path(from), self.folder.path(to));
        let above = path.parent().unwrap_or(&path);
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(above);
        made.map_err(LogError::io(above))?;
        fs::rename(&from, &path).map_err(LogError::io(&path))?;
        self.touch(to);
        Ok(())
    }

    fn touch(&mut self, name: &str) {
        let folders = Path::new(name).ancestors().skip(1);
        for folder in folders {
            self.touched.insert(self.folder.0.join(folder));
        }
    }

    /// Removes a file that no checkpoint tells of.
    pub fn remove(&mut self, name: &str) -> Result<(), LogError> {
        let path = self.folder.path(name);
        fs::remove_file(&path).map_err(LogError::io(&path))?;
        self.touch(name);
        Ok(())
    }

    /// The checkpoint, once everything that it tells of is durable.
    pub fn sign(&mut self, note: &str) -> Result<(), LogError> {
        self.sync()?;
        let writing = self.folder.path(WRITING);
        let mut file = self.create(WRITING)?;
        let written = file.write_all(note.as_bytes());
        let written = written.and_then(|()| file.sync_all());
        written.map_err(LogError::io(writing))?;
        self.rename(WRITING, CHECKPOINT)?;
        self.sync()
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.sync_files()?;
        for folder in std::mem::take(&mut self.touched) {
            let synced = File::open(&folder).and_then(|f| f.sync_all());
            synced.map_err(LogError::io(folder))?;
        }
        Ok(())
    }

    fn sync_files(&mut self) -> Result<(), LogError> {
        // All at once: thousands of small files, each waited for alone, take minutes. Whether each
        // is durable its own fsync says, which then has nothing left to write.
        #[cfg(target_os = "linux")]
        if self.written.len() > 1 {
            let _ = rustix::fs::syncfs(&self.lock);
        }
        for name in std::mem::take(&mut self.written) {
            let path = self.folder.path(&name);
            let synced = File::open(&path).and_then(|f| f.sync_all());
            synced.map_err(LogError::io(path))?;
        }
        Ok(())
    }
}
