//! Database files that outlive a failure of the disk.
//!
//! After one I/O error redb answers everything with "previous I/O error" until the database is
//! closed and opened again. A [`Healing`] file does that by itself: at once, and where the file
//! cannot be opened, at a later use. Goals, in this order:
//!
//! 1. *Nothing is made up*: what failed to be written is never written again here. Its caller is
//!    told, and repeats it or not. What a commit has acknowledged is in the file that is opened.
//! 2. *Reads go on* while a disk is full: opening again needs no new room.
//! 3. *The cause is kept*: callers and the log are told what the disk said first, and the log is
//!    told once when it begins and once when it is over.

pub(crate) mod applied;
pub(crate) mod backlog;
mod draft;
#[cfg(test)]
pub(crate) mod faulty;
mod folder;
#[cfg(test)]
mod tests;
mod writing;

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redb::{Database, DatabaseError, ReadableDatabase, WriteTransaction};

pub(crate) use folder::create_private_folder;
pub(crate) use writing::{PATIENCE, Writing, unconfirmed};

/// Why a database file cannot be opened, and what helps.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be opened: {error}{}", .file.display(), hint(.error))]
pub struct CannotOpen {
    file: PathBuf,
    #[source]
    error: Box<redb::Error>,
}

impl CannotOpen {
    pub(crate) fn new(file: &Path, error: DatabaseError) -> Self {
        Self {
            file: file.to_owned(),
            error: Box::new(error.into()),
        }
    }
}

fn hint(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "; it has to be the router's own user who owns it and its folder (docs/keys.md, \"With the systemd unit\")"
        }
        _ => "",
    }
}

/// How the log calls a file.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    /// When its trouble begins: what cannot be done, and what becomes of it.
    pub begun: &'static str,
    pub over: &'static str,
}

/// A redb database that is closed and opened again after an I/O error.
///
/// Uses of it run beside each other, under the shared side of a lock that is taken alone to
/// exchange the database. Nothing of a database may leave a use but what says of which opening it
/// is (see [`Healing::read_of`]), and what stands in its file for good.
pub(crate) struct Healing {
    opened: RwLock<Opened>,
    open: Box<Open>,
    words: Words,
    /// Whether there is a `trouble`: a use that went well looks no further.
    troubled: AtomicBool,
    trouble: Mutex<Option<io::Error>>,
    writing: Writing,
}

/// Opens the database; `true`: and creates it when it is not there.
pub(crate) type Open = dyn Fn(bool) -> Result<Database, DatabaseError> + Send + Sync;

struct Opened {
    database: Option<Database>,
    /// Counts the openings.
    generation: u64,
    /// When the file could not be opened again.
    failed: Option<Instant>,
}

impl Healing {
    /// How long a file that cannot be opened again is left alone.
    const PAUSE: Duration = Duration::from_millis(200);

    /// How many failures of others a read outlives.
    const FOREIGN: u32 = 8;

    /// Opens or creates the database in `file`, which is its owner's alone: it is about people.
    ///
    /// # Errors
    /// [`DatabaseError::DatabaseAlreadyOpen`] while another process has it open.
    pub fn open(file: &Path, cache: usize, words: Words) -> Result<Self, DatabaseError> {
        keep_private(file);
        let file = file.to_owned();
        let open = move |creates: bool| {
            let mut builder = Database::builder();
            builder.set_cache_size(cache);
            if creates {
                draft::put_whole(&file, |draft| builder.create(draft).map(drop))?;
                builder.create(&file)
            } else {
                builder.open(&file)
            }
        };
        Self::open_by(Box::new(open), words)
    }

    /// As [`Healing::open`], by other means.
    pub fn open_by(open: Box<Open>, words: Words) -> Result<Self, DatabaseError> {
        Ok(Self {
            opened: RwLock::new(Opened {
                database: Some(open(true)?),
                generation: 0,
                failed: None,
            }),
            open,
            words,
            troubled: AtomicBool::new(false),
            trouble: Mutex::default(),
            writing: Writing::default(),
        })
    }

    /// Runs one transaction and makes it durable. After an I/O error it has failed: it stands only
    /// if the disk failed after its very last page was written.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let _under_way = self.writing.begin();
        let opened = self.opened()?;
        let done = opened.database().and_then(|database| {
            let mut write = database.begin_write()?;
            // Else opening after a crash, or again, reads the whole file.
            write.set_quick_repair(true);
            let value = work(&write)?;
            write.commit()?;
            Ok(value)
        });
        let value = done.map_err(|error| self.heal(opened, error))?;
        self.over();
        Ok(value)
    }

    /// Reads; again when the database had to be opened again for it.
    pub fn read<T>(
        &self,
        work: impl Fn(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.read_of(|database, _| work(&database.begin_read()?))
    }

    /// As [`Healing::read`], where tables are kept open: those of another opening, by its number,
    /// are of no use any more.
    pub fn read_of<T>(
        &self,
        work: impl Fn(&Database, u64) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let (mut own, mut foreign) = (0, 0);
        loop {
            let opened = self.opened()?;
            let generation = opened.generation;
            let error = match opened.database().and_then(|d| work(d, generation)) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error {
                redb::Error::Io(_) => own += 1,
                // Another use has failed on this opening, or on the one after it.
                _ if is_io(&error) => foreign += 1,
                _ => return Err(error),
            }
            let error = self.heal(opened, error);
            if own > 1 || foreign > Self::FOREIGN {
                return Err(error);
            }
        }
    }

    /// Why the file could not be used last, until something is written again.
    pub fn trouble(&self) -> Option<String> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        self.lock().as_ref().map(ToString::to_string)
    }

    /// Of what is being written, for whoever must not wait for it.
    pub fn writing(&self) -> &Writing {
        &self.writing
    }

    /// The database, opened again if it had to be closed and some time has passed.
    fn opened(&self) -> Result<RwLockReadGuard<'_, Opened>, redb::Error> {
        let shared = || self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = shared();
        if opened.database.is_some() {
            return Ok(opened);
        }
        drop(opened);
        self.open_again()?;
        Ok(shared())
    }

    /// Closes the database after an I/O error of a use and opens it again; what to tell the caller.
    #[cold]
    fn heal(&self, used: RwLockReadGuard<'_, Opened>, error: redb::Error) -> redb::Error {
        if !is_io(&error) {
            return error;
        }
        if let redb::Error::Io(_) = error {
            // Before any other use can close the database: those know of an earlier error alone.
            self.begun(&error);
        }
        let generation = used.generation;
        drop(used);
        {
            let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
            // Else somebody has healed it meanwhile.
            if opened.generation == generation && opened.database.take().is_some() {
                self.begun(&error);
                opened.failed = None;
            }
        }
        // If that fails, later uses try it.
        let _ = self.open_again();
        match error {
            redb::Error::Io(_) => error,
            _ => self.cause(),
        }
    }

    #[cold]
    fn open_again(&self) -> Result<(), redb::Error> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.database.is_some() {
            return Ok(());
        }
        if opened.failed.is_some_and(|at| at.elapsed() < Self::PAUSE) {
            return Err(self.cause());
        }
        match (self.open)(false) {
            Ok(database) => {
                opened.database = Some(database);
                opened.generation += 1;
                Ok(())
            }
            Err(error) => {
                opened.failed = Some(Instant::now());
                let error = redb::Error::from(error);
                self.begun(&error);
                Err(error)
            }
        }
    }

    /// Remembers what the disk says; logs it when it begins. Called while `opened` is held.
    fn begun(&self, error: &redb::Error) {
        let mut trouble = self.lock();
        let news = match error {
            redb::Error::Io(error) => copy(error),
            // It was told before.
            redb::Error::PreviousIo | redb::Error::DatabaseClosed if trouble.is_some() => return,
            other => io::Error::other(other.to_string()),
        };
        if trouble.is_none() {
            tracing::error!(error = %news, "{}", self.words.begun);
        }
        *trouble = Some(news);
        self.troubled.store(true, Ordering::Release);
    }

    /// Something was written.
    fn over(&self) {
        if self.troubled.load(Ordering::Acquire) && self.lock().take().is_some() {
            self.troubled.store(false, Ordering::Release);
            tracing::warn!("{}", self.words.over);
        }
    }

    fn cause(&self) -> redb::Error {
        match &*self.lock() {
            Some(error) => redb::Error::Io(copy(error)),
            // Something was written in between.
            None => redb::Error::PreviousIo,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }
}

/// Takes from everybody else the right to read a file that an earlier version, or a copy, left open
/// to every user. A group's right may be meant (backups, `fsGroup`), and stays where it stands alone.
fn keep_private(file: &Path) {
    let Ok(mode) = fs::metadata(file).map(|m| m.permissions().mode()) else {
        return;
    };
    if mode & 0o007 == 0 {
        return;
    }
    match fs::set_permissions(file, Permissions::from_mode(mode & 0o700)) {
        Ok(()) => tracing::warn!(
            file = %file.display(),
            "every user of this machine could read this file about people; now its owner alone can"
        ),
        Err(error) => tracing::warn!(
            file = %file.display(),
            %error,
            "every user of this machine can read this file about people, and it cannot be changed: take the right away, and find out whose file it is"
        ),
    }
}

/// Whether a database that says so is of no more use until it is opened again. A [`Healing`] file
/// has then told the log itself.
pub(crate) fn is_io(error: &redb::Error) -> bool {
    use redb::Error::{DatabaseClosed, Io, PreviousIo};
    matches!(error, Io(_) | PreviousIo | DatabaseClosed)
}

/// The same error once more, for another who is told.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
