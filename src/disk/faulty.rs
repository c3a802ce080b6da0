//! A disk that fails when it is told to, for tests.

use std::{
    fs::OpenOptions,
    io,
    ops::Bound,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use redb::{BackendError, Database, StorageBackend, backends::FileBackend};

use super::Open;

/// What a [`Disk`] does from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sound,
    /// Writes fail but in the first page, which has its room: "no space left on device".
    Full,
    /// Nothing works: "input/output error".
    Dead,
    /// What is written or made durable waits until the disk is another.
    Hangs,
}

/// Cheap to clone; all clones are one disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    state: Arc<AtomicU8>,
    openings: Arc<AtomicUsize>,
    repairs: Arc<AtomicUsize>,
}

const FULL: i32 = 28;
const INPUT_OUTPUT: i32 = 5;

impl Disk {
    pub fn turn(&self, state: State) {
        self.state.store(state as u8, Ordering::SeqCst);
    }

    /// How often files on it were opened, in vain or not.
    pub fn openings(&self) -> usize {
        self.openings.load(Ordering::SeqCst)
    }

    /// How often opening had to read a whole file.
    pub fn repairs(&self) -> usize {
        self.repairs.load(Ordering::SeqCst)
    }

    /// Opens the file on this disk.
    pub fn opens(&self, file: PathBuf) -> Box<Open> {
        let disk = self.clone();
        Box::new(move |creates| {
            disk.openings.fetch_add(1, Ordering::SeqCst);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(creates);
            let file = FileBackend::new(options.open(&file)?)?;
            let disk = disk.clone();
            // No cache: what is read comes from the disk.
            let mut builder = Database::builder();
            builder.set_cache_size(0);
            let repairs = Arc::clone(&disk.repairs);
            builder.set_repair_callback(move |_| {
                repairs.fetch_add(1, Ordering::SeqCst);
            });
            builder.create_with_backend(Backend { file, disk })
        })
    }

    fn check(&self, changes: bool, needs_room: bool) -> io::Result<()> {
        let now = || self.state.load(Ordering::SeqCst);
        while changes && now() == State::Hangs as u8 {
            thread::sleep(Duration::from_millis(1));
        }
        let state = now();
        if state == State::Dead as u8 {
            return Err(io::Error::from_raw_os_error(INPUT_OUTPUT));
        }
        if state == State::Full as u8 && needs_room {
            return Err(io::Error::from_raw_os_error(FULL));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Backend {
    file: FileBackend,
    disk: Disk,
}

type Range = Bound<u64>;

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.disk.check(false, false)?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.check(false, false)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.check(true, false)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.check(true, false)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.check(true, offset >= 4096)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Range, end: Range) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Range, end: Range) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Range, end: Range) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn lock_range(&self, start: Range, end: Range) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Range, end: Range) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn query_lock_range(&self, start: Range, end: Range) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
