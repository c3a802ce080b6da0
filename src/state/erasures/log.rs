//! The log of open erasures: one line of JSON for each that opened or closed.
//!
//! Lines go to the system, by a thread of its own ([`pen`](super::pen)), before a holder is called, so
//! they outlive the process; they are made durable where somebody is told that an erasure stays open. A router that dies with its machine
//! in between has answered nobody. A line that was cut short by the end is dropped.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Row, Stage};
use crate::{
    domain::{DecisionId, SubjectKey},
    state::StateError,
};

const FILE: &str = "erasures.log";
/// A log that has grown by so many bytes is cut back to what is open.
const GROWN: u64 = 1 << 20;

pub(super) struct Log {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Of whole lines.
    length: u64,
    /// A part of a line may stand after them: it was to be cut off and could not be.
    ragged: bool,
    /// Its length when it last was cut back.
    least: u64,
    /// Why the last line could not be written.
    trouble: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Open(Open),
    Close(Key),
}

#[derive(Serialize, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
struct Key {
    subject: String,
    region: Arc<str>,
    record: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    subject: String,
    region: Arc<str>,
    record: String,
    decision: String,
    route: Arc<str>,
    since: Timestamp,
    ends_pin: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Arc<str>>,
}

impl Log {
    /// Opens or creates the log in `folder`, with what is open in it.
    pub fn open(folder: &Path) -> Result<(Self, Vec<(SubjectKey, Row)>), StateError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StateError::Io(error)),
        };
        let rows = read(&text)?;
        let file = append(&path).map_err(StateError::Io)?;
        let log = Self {
            folder: folder.to_owned(),
            path,
            file,
            length: text.len() as u64,
            ragged: false,
            least: 0,
            trouble: None,
        };
        Ok((log, rows))
    }

    /// Cuts the log back to nothing, when nothing is open.
    pub fn empty(&mut self) {
        match self.file.set_len(0) {
            Ok(()) => {
                (self.length, self.least) = (0, 0);
                self.ragged = false;
            }
            Err(error) => tell_uncut(&error),
        }
    }

    /// Whether it is to be cut back. Each byte of what stays is written for one that goes, at most.
    pub fn has_grown(&self) -> bool {
        self.length.saturating_sub(self.least) > GROWN.max(self.least)
    }

    /// Cuts the log back to these rows, which are all; the log for operators is told where that fails.
    pub fn cut_back(&mut self, rows: &[(SubjectKey, Row)]) {
        if let Err(error) = self.rewrite(rows) {
            tell_uncut(&error);
        }
    }

    /// The rows alone, durably in a new file that takes the old one's place.
    pub fn rewrite(&mut self, rows: &[(SubjectKey, Row)]) -> io::Result<()> {
        let text = opened(rows)?;
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = append(&fresh)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&fresh, &self.path)?;
        // At once: the old file has no name any more, and what is written into it would be lost.
        self.file = file;
        self.length = text.len() as u64;
        self.least = self.length;
        self.ragged = false;
        File::open(&self.folder)?.sync_all()
    }

    /// Makes durable what was written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes into another file from now on.
    #[cfg(test)]
    pub fn write_into(&mut self, file: File) {
        self.file = file;
    }

    /// Why the last line could not be written; `None`: it could.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Finds out whether a log in trouble can be written again, without a line of its own.
    pub fn look(&mut self) {
        if self.trouble.is_none() {
            return;
        }
        // A block, so that there is more room than what was left in the last one. It has no line
        // feed: were it to stay, a start would drop it.
        let written = self.file.write_all(&[b' '; 4096]);
        self.ragged = true;
        if written.and(self.cut()).is_ok() {
            self.over();
        }
    }

    /// Ends the file with its last whole line: half a line would hide what comes after it.
    fn cut(&mut self) -> io::Result<()> {
        if self.ragged {
            self.file.set_len(self.length)?;
            self.ragged = false;
        }
        Ok(())
    }

    fn over(&mut self) {
        if self.trouble.take().is_some() {
            tracing::warn!("the log of open erasures can be written again");
        }
    }

    /// Appends whole lines. A disk that fails is told of in the log for operators.
    pub fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = self.cut().and_then(|()| self.file.write_all(text));
        if let Err(error) = written {
            self.ragged = true;
            let _ = self.cut();
            if self.trouble.replace(error.to_string()).is_none() {
                tracing::error!(%error, "the log of open erasures cannot be written; no erasure begins until it can, and what closes is listed again after a restart");
            }
            return Err(error);
        }
        self.over();
        self.length += text.len() as u64;
        Ok(())
    }
}

/// The lines for rows that are open, or have changed.
pub(super) fn opened(rows: &[(SubjectKey, Row)]) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(rows.len() * 256);
    for (subject, row) in rows {
        put(&mut text, &Line::Open(Open::of(*subject, row)))?;
    }
    Ok(text)
}

/// The lines for rows that are closed.
pub(super) fn closed(rows: &[(SubjectKey, Row)]) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(rows.len() * 128);
    for (subject, row) in rows {
        let key = Key {
            subject: subject.reveal(),
            region: Arc::clone(&row.region),
            record: row.record.reveal(),
        };
        put(&mut text, &Line::Close(key))?;
    }
    Ok(text)
}

fn tell_uncut(error: &io::Error) {
    tracing::warn!(%error, "the log of open erasures cannot be cut back");
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn put(text: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

/// What is open after these lines.
pub(super) fn read(text: &[u8]) -> Result<Vec<(SubjectKey, Row)>, StateError> {
    let mut open: HashMap<Key, (SubjectKey, Row)> = HashMap::new();
    // What follows the last line feed was cut short, or is nothing.
    for (number, line) in (1..).zip(text.split_inclusive(|b| *b == b'\n')) {
        let Some(line) = line.strip_suffix(b"\n") else {
            break;
        };
        let damaged = || StateError::DamagedLog { line: number };
        match serde_json::from_slice(line).map_err(|_| damaged())? {
            Line::Close(key) => {
                open.remove(&key);
            }
            Line::Open(line) => {
                let (key, row) = line.row().ok_or_else(damaged)?;
                open.insert(key, row);
            }
        }
    }
    Ok(open.into_values().collect())
}

impl Open {
    fn of(subject: SubjectKey, row: &Row) -> Self {
        Self {
            subject: subject.reveal(),
            region: Arc::clone(&row.region),
            record: row.record.reveal(),
            decision: row.decision.to_string(),
            route: Arc::clone(&row.route),
            since: row.since,
            ends_pin: row.ends_pin,
            refused: row.refused.clone(),
        }
    }

    fn row(self) -> Option<(Key, (SubjectKey, Row))> {
        let subject = SubjectKey::parse(&self.subject).ok()?;
        let row = Row {
            region: Arc::clone(&self.region),
            record: SubjectKey::parse(&self.record).ok()?,
            decision: DecisionId::parse(&self.decision)?,
            route: self.route,
            since: self.since,
            ends_pin: self.ends_pin,
            stage: Stage::Repeat,
            refused: self.refused,
            address: None,
            displaced: Vec::new(),
        };
        let key = Key {
            subject: self.subject,
            region: self.region,
            record: self.record,
        };
        Some((key, (subject, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_trouble_until_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path()).unwrap();
        log.append(b"first\n").unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut log.file, full);
        log.append(b"second\n").unwrap_err();
        log.look();
        let trouble = log.trouble().unwrap();
        assert!(trouble.contains("No space left on device"), "{trouble}");
        log.file = file;
        log.look();
        assert_eq!(log.trouble(), None);
        log.append(b"third\n").unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text, "first\nthird\n");
    }

    #[test]
    fn half_a_line_that_could_not_be_cut_off_is_cut_off_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path()).unwrap();
        log.append(b"first\n").unwrap();
        // Neither written to its end nor cut.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut file = std::mem::replace(&mut log.file, full);
        log.append(b"second\n").unwrap_err();
        file.write_all(b"sec").unwrap();
        log.file = file;
        log.append(b"third\n").unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text, "first\nthird\n");
    }

    #[test]
    fn what_follows_an_exchange_of_the_file_is_in_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path()).unwrap();
        log.append(b"first\n").unwrap();
        log.folder = folder.path().join("cannot be synced");
        log.rewrite(&[]).unwrap_err();
        log.append(b"second\n").unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text, "second\n");
    }
}
