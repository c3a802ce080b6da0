//! The access log: one line of JSON for each answer.
//!
//! It says what was asked of which route and how that ended, for operators and their dashboards.
//! Never who or whose: no address, id, path, query or field of a request stands in it; the
//! decision id leads to the ledger, which has its own rules. Lines are written by a thread of
//! their own. A worker never waits for it: what the queue cannot take is counted as lost.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use http::{StatusCode, Version};
use jiff::Timestamp;
use serde::Serialize;

use crate::{domain::DecisionId, settings::AccessLog as Target};

/// Lines that wait for the writer.
const QUEUE: usize = 8192;
/// How soon a reopening is noticed.
const LOOK: Duration = Duration::from_millis(250);
/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(2);

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

enum Message {
    Entry(Box<Entry>),
    End,
}

/// The door of the workers. Cloning shares it.
#[derive(Clone)]
pub struct Access {
    queue: SyncSender<Message>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    lost: AtomicU64,
    reopen: AtomicBool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Access {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(target: &Target) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let (queue, entries) = sync_channel(QUEUE);
        let state = Arc::new(State::default());
        let (target, shared) = (target.clone(), Arc::clone(&state));
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(sink, &target, &entries, &shared))?;
        if let Ok(mut place) = state.writer.lock() {
            *place = Some(writer);
        }
        Ok(Self { queue, state })
    }

    /// Never waits.
    pub fn log(&self, entry: Box<Entry>) {
        if self.queue.try_send(Message::Entry(entry)).is_err() {
            self.state.lost.fetch_add(1, Relaxed);
        }
    }

    /// Lines that were never written.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Relaxed)
    }

    /// The file was moved away: the next line goes to a new one.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Relaxed);
    }

    /// Writes what waits, as far as the log takes it soon.
    pub fn close(&self) {
        let end = Instant::now() + LAST;
        let writer = self.state.writer.lock().ok().and_then(|mut w| w.take());
        let Some(writer) = writer else { return };
        let mut told = false;
        while !writer.is_finished() && Instant::now() < end {
            told = told || self.queue.try_send(Message::End).is_ok();
            std::thread::sleep(Duration::from_millis(5));
        }
        if writer.is_finished() {
            let _ = writer.join();
        }
    }
}

/// Where lines go.
struct Sink(BufWriter<Box<dyn Write + Send>>);

impl Sink {
    fn open(target: &Target) -> io::Result<Self> {
        let to: Box<dyn Write + Send> = match target {
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => Box::new(append(path)?),
        };
        Ok(Self(BufWriter::with_capacity(64 << 10, to)))
    }
}

fn append(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write(mut sink: Sink, target: &Target, entries: &Receiver<Message>, state: &State) {
    let mut broken = false;
    let mut unflushed = 0;
    loop {
        let next = match entries.try_recv() {
            Ok(message) => Ok(message),
            // Nothing waits: now is the time for what was written so far.
            Err(_) => {
                tell(sink.0.flush(), unflushed, &mut broken, state);
                unflushed = 0;
                entries.recv_timeout(LOOK)
            }
        };
        if state.reopen.swap(false, Relaxed) {
            tell(sink.0.flush(), unflushed, &mut broken, state);
            unflushed = 0;
            match Sink::open(target) {
                Ok(new) => sink = new,
                Err(error) => {
                    tracing::warn!(%error, "the access log cannot be opened anew, the old one stays");
                }
            }
        }
        match next {
            Ok(Message::Entry(entry)) => {
                let written = line(&entry, &mut sink.0);
                unflushed += 1;
                if written.is_err() {
                    tell(written, unflushed, &mut broken, state);
                    unflushed = 0;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => {
                tell(sink.0.flush(), unflushed, &mut broken, state);
                return;
            }
        }
    }
}

/// Counts what could not be written, and says so once until it works again.
fn tell(written: io::Result<()>, entries: u64, broken: &mut bool, state: &State) {
    match written {
        Ok(()) => *broken = *broken && entries == 0,
        Err(error) => {
            state.lost.fetch_add(entries.max(1), Relaxed);
            if !*broken {
                tracing::warn!(%error, "the access log cannot be written: lines are lost");
            }
            *broken = true;
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
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

fn line(entry: &Entry, to: &mut impl Write) -> io::Result<()> {
    let text = entry.decision.text();
    let line = Line {
        time: entry.at,
        decision: std::str::from_utf8(&text).unwrap_or_default(),
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
    };
    serde_json::to_writer(&mut *to, &line)?;
    to.write_all(b"\n")
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
    fn a_writer_that_stands_still_costs_lines_and_never_time() {
        let (queue, entries) = sync_channel(2);
        let access = Access {
            queue,
            state: Arc::default(),
        };
        (0..5).for_each(|_| access.log(entry(StatusCode::OK)));
        assert_eq!(access.lost(), 3);
        drop(entries);
    }

    #[test]
    fn a_full_disk_is_counted() {
        let access = Access::open(&Target::File("/dev/full".into())).unwrap();
        access.log(entry(StatusCode::OK));
        access.close();
        assert!(access.lost() >= 1);
    }
}
