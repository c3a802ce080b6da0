//! The access log: one line of JSON for each answer.
//!
//! It says what was asked of which route and how that ended, for operators and their dashboards.
//! Never who or whose: no address, id, path, query or field of a request stands in it; the
//! decision id leads to the ledger, which has its own rules. Lines are written by a thread of
//! their own. A worker never waits for it: what the queue cannot take is counted as lost.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use http::{StatusCode, Version};
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::Serialize;

use super::lines::{self, Line, Lines, Trouble};
use crate::{domain::DecisionId, settings::AccessLog as Target};

/// Bytes of lines that wait for the writer.
const LIMIT: usize = 4 << 20;

/// What is said of one answer.
pub struct Entry {
    pub at: Timestamp,
    pub decision: DecisionId,
    pub method: &'static str,
    pub route: Option<Arc<str>>,
    pub status: StatusCode,
    pub region: Option<Box<str>>,
    pub mechanism: Option<Box<str>>,
    /// The name of the refusal.
    pub problem: Option<&'static str>,
    /// To the last byte of the answer, or to its end otherwise.
    pub duration: Duration,
    /// `None`: streamed without a length.
    pub bytes_in: Option<u64>,
    pub bytes_out: u64,
    pub version: Version,
    pub tls: Option<&'static str>,
}

/// The door of the workers. Cloning shares it.
#[derive(Clone)]
pub struct Access(Lines<Box<Entry>>);

impl Access {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(target: &Target) -> io::Result<Self> {
        Lines::open("access-log", LIMIT, target.clone()).map(Self)
    }

    /// Never waits.
    pub fn log(&self, entry: Box<Entry>) {
        self.0.push(entry);
    }

    /// Lines that were never written.
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }

    /// The file was moved away: the next line goes to a new one.
    pub fn reopen(&self) {
        self.0.reopen();
    }

    /// Writes what waits, as far as the log takes it soon.
    pub fn close(&self) {
        self.0.close();
    }
}

/// At once: a pipe with a name that nobody reads would be waited for without a bound, and is an error
/// instead.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options
        .create(true)
        .append(true)
        .custom_flags(flags)
        .open(path)?;
    let flags = rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&file, flags)?;
    Ok(file)
}

impl lines::Target for Target {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(open(path)?),
        })
    }

    fn tell(&self, trouble: &Trouble) {
        match trouble {
            Trouble::Unwritable(error) => {
                tracing::warn!(%error, "the access log cannot be written: lines are lost");
            }
            Trouble::Lost(lines) => {
                tracing::warn!(lines, "lines of the access log were lost");
            }
            Trouble::NotReopened(error) => {
                tracing::warn!(%error, "the access log cannot be opened anew, the old one stays");
            }
        }
    }
}

#[derive(Serialize)]
struct Record<'a> {
    time: Timestamp,
    decision: &'a str,
    method: &'a str,
    route: Option<&'a str>,
    status: u16,
    region: Option<&'a str>,
    mechanism: Option<&'a str>,
    problem: Option<&'a str>,
    duration_ms: f64,
    bytes_in: Option<u64>,
    bytes_out: u64,
    protocol: &'a str,
    tls: Option<&'a str>,
}

impl Line for Box<Entry> {
    fn size(&self) -> usize {
        let name = |name: &Option<Box<str>>| name.as_ref().map_or(0, |n| n.len());
        size_of::<Entry>() + name(&self.region) + name(&self.mechanism)
    }

    fn put(&self, to: &mut Vec<u8>) {
        // Texts and numbers into memory: nothing of this can fail.
        let _ = serde_json::to_writer(&mut *to, &record(self, &self.decision.text()));
        to.push(b'\n');
    }
}

fn record<'e>(entry: &'e Entry, decision: &'e [u8]) -> Record<'e> {
    Record {
        time: entry.at,
        decision: std::str::from_utf8(decision).unwrap_or_default(),
        method: entry.method,
        route: entry.route.as_deref(),
        status: entry.status.as_u16(),
        region: entry.region.as_deref(),
        mechanism: entry.mechanism.as_deref(),
        problem: entry.problem,
        duration_ms: (entry.duration.as_secs_f64() * 1e6).round() / 1e3,
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        protocol: match entry.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        },
        tls: entry.tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(status: StatusCode) -> Box<Entry> {
        Box::new(Entry {
            at: Timestamp::UNIX_EPOCH,
            decision: DecisionId::new(1, 2),
            method: "PUT",
            route: Some("people".into()),
            status,
            region: Some("eu".into()),
            mechanism: None,
            problem: None,
            duration: Duration::from_micros(1500),
            bytes_in: Some(7),
            bytes_out: 9,
            version: Version::HTTP_11,
            tls: Some("TLSv1.3"),
        })
    }

    #[test]
    fn lines_go_to_the_file_and_after_reopening_to_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let access = Access::open(&Target::File(path.clone())).unwrap();
        access.log(entry(StatusCode::OK));
        let moved = folder.path().join("access.log.1");
        let mut text = String::new();
        while !text.ends_with('\n') {
            text = std::fs::read_to_string(&path).unwrap();
        }
        std::fs::rename(&path, &moved).unwrap();
        access.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        access.log(entry(StatusCode::NOT_FOUND));
        access.close();
        let first: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(first["status"], 200);
        assert_eq!(first["duration_ms"], 1.5);
        assert_eq!(first["time"], "1970-01-01T00:00:00Z");
        assert_eq!(first["protocol"], "HTTP/1.1");
        assert_eq!(first["mechanism"], serde_json::Value::Null);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), text);
        let second = std::fs::read_to_string(&path).unwrap();
        assert!(second.contains("\"status\":404"), "{second}");
        assert_eq!(access.lost(), 0);
    }

    #[test]
    fn a_full_disk_is_counted() {
        let access = Access::open(&Target::File("/dev/full".into())).unwrap();
        access.log(entry(StatusCode::OK));
        access.close();
        assert!(access.lost() >= 1);
    }
}
