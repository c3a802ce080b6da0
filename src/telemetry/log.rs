//! Logs for operators, to standard error. Never values from traffic: the ledger is the record.
//!
//! A log is for whoever reads it, and the router is for its callers: no thread of it waits for a
//! reader. Lines go the way of [`super::lines`], panics and the last words of a command with them,
//! so that all stand in their order.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::PanicHookInfo,
    sync::OnceLock,
};

use serde_json::json;
use tracing_subscriber::{EnvFilter, fmt};

use super::lines::{Line, Lines, Target, Trouble};
use crate::{clock, settings::Log};

/// Bytes of lines that wait for the writer.
const LIMIT: usize = 1 << 20;

/// The log of the process, once it was started.
static LINES: OnceLock<Lines<Text>> = OnceLock::new();

/// Starts logging for the life of the process; a second call changes nothing.
///
/// # Errors
/// When its thread cannot be started.
pub fn start(log: &Log) -> io::Result<()> {
    if LINES.get().is_some() {
        return Ok(());
    }
    let lines = Lines::open("log", LIMIT, StandardError)?;
    let lines = LINES.get_or_init(|| lines);
    let filter = filter(log.level.as_deref().unwrap_or("info"));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(|| Event(lines))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // Another subscriber, such as a test's, may already be in place.
    let _ = if log.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    // The hook that is there writes by itself, and would wait for the reader.
    let json = log.json;
    std::panic::set_hook(Box::new(move |panic| say(&panicked(panic, json))));
    Ok(())
}

/// Modules of others that quote what callers sent.
const QUOTING: [&str; 3] = ["h2", "hyper", "hyper_util"];

/// The lines that are written. No filter brings out what is quoted: what names a quoting module, or
/// any within a span, is left out of it.
fn filter(level: &str) -> EnvFilter {
    let is_kept = |directive: &&str| {
        let target = directive.split('=').next().unwrap_or_default().trim();
        let module = target.split("::").next().unwrap_or_default();
        !directive.contains('[') && !QUOTING.contains(&module)
    };
    let kept: Vec<&str> = level.split(',').filter(is_kept).collect();
    let filter = EnvFilter::try_new(kept.join(",")).unwrap_or_else(|_| EnvFilter::new("info"));
    QUOTING
        .into_iter()
        .filter_map(|module| format!("{module}=warn").parse().ok())
        .fold(filter, EnvFilter::add_directive)
}

/// A line as it is, after those of the log. Without a log it goes to standard error by itself; where
/// that cannot be written there is nowhere to say so.
pub fn say(line: &str) {
    match LINES.get() {
        Some(lines) => lines.push(Text(format!("{line}\n").into_bytes())),
        None => {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }
}

/// Lines that were never written: the queue was full, or standard error cannot be written.
pub fn lost() -> u64 {
    LINES.get().map_or(0, Lines::lost)
}

/// Writes what waits, as far as it is read within two seconds. For the end of the process: what
/// is told later is lost.
pub fn close() {
    if let Some(lines) = LINES.get() {
        lines.close();
    }
}

/// Writes what waits at the end of whatever holds it, a panic's included.
#[must_use]
pub struct ClosedAtEnd;

impl Drop for ClosedAtEnd {
    fn drop(&mut self) {
        close();
    }
}

struct Text(Vec<u8>);

impl Line for Text {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.0);
    }
}

/// Takes one event, which comes in one write.
struct Event(&'static Lines<Text>);

impl Write for Event {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.push(Text(text.to_vec()));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct StandardError;

impl Target for StandardError {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(io::stderr()))
    }

    fn tell(&self, trouble: &Trouble) {
        // Where it cannot be written there is nowhere to tell it; its end is told as lost lines.
        if let Trouble::Lost(lines) = trouble {
            tracing::warn!(
                lines,
                "lines of this log were lost: nobody read them in time"
            );
        }
    }
}

/// As the standard library tells it. `json`: as the lines around it.
fn panicked(panic: &PanicHookInfo<'_>, json: bool) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("<unnamed>");
    let at = panic.location().map(ToString::to_string);
    let at = at.as_deref().unwrap_or("an unknown place");
    let why = panic.payload_as_str().unwrap_or("a value without a text");
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    if json {
        let fields = json!({"message": "a thread panicked", "thread": thread, "at": at, "why": why, "backtrace": trace});
        return json!({"timestamp": clock::now(), "level": "ERROR", "fields": fields}).to_string();
    }
    let trace = trace.map_or(String::new(), |trace| {
        format!("\nstack backtrace:\n{trace}")
    });
    format!("thread '{thread}' panicked at {at}:\n{why}{trace}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_brings_out_what_http_below_quotes() {
        for level in [
            "debug",
            "trace",
            "h2=trace,domicile=debug",
            "info,h2::server=debug",
            "hyper::proto::h1",
            "info, hyper_util::client=trace",
            "[FramedRead::poll_next]=trace",
            "h2[span{a=b,c=d}]=trace",
            "nonsense==",
        ] {
            let filter = filter(level).to_string();
            let is_of_others = |directive: &&str| {
                let module = directive.split([':', '=', '[']).next().unwrap_or_default();
                QUOTING.contains(&module) || directive.contains('[')
            };
            let mut found: Vec<_> = filter.split(',').filter(is_of_others).collect();
            found.sort_unstable();
            assert_eq!(
                found,
                ["h2=warn", "hyper=warn", "hyper_util=warn"],
                "{level}"
            );
        }
        assert!(
            filter("domicile=debug")
                .to_string()
                .contains("domicile=debug")
        );
    }
}
