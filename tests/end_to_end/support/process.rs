//! A child process of a test: its output, its end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A running program. Dropping it ends exactly this child with SIGKILL.
pub struct Running {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Running {
    /// Starts the `domicile` command under test.
    pub fn domicile<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_domicile"));
        command.args(arguments);
        Self::start(command)
    }

    /// Starts a command that the test has prepared (environment, working directory).
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = Arc::new(Output::default());
        let readers = [
            child
                .stdout
                .take()
                .map(|s| Box::new(s) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|s| Box::new(s) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        .map(|stream| {
            let output = Arc::clone(&output);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let mut lines = output.lines.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.push(line);
                    output.changed.notify_all();
                }
            })
        })
        .collect();
        Self {
            child,
            output,
            readers,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of output (stdout or stderr) that contains `text`, and gives it.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.has_ended();
            let lines = self
                .output
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(
                !ended && Instant::now() < deadline,
                "no line with {text:?} came: {lines:#?}"
            );
            // New lines wake it at once; the time is for noticing an end without lines.
            let _ = self
                .output
                .changed
                .wait_timeout(lines, Duration::from_millis(50));
        }
    }

    /// Waits until something accepts connections at `address`.
    pub fn wait_for_port(&mut self, address: SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
            assert!(
                !self.has_ended() && Instant::now() < deadline,
                "nothing listens on {address}: {:#?}",
                self.lines()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ended, and all its output read.
    fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("our own child").is_some();
        ended && self.readers.iter().all(JoinHandle::is_finished)
    }

    /// The output so far, line by line, stdout and stderr as they came.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.output.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGKILL, and waits.
    pub fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.wait()
    }

    /// SIGTERM, and waits for it to end by itself.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal by name (`HUP`, `TERM`, `INT`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|sent| sent.success()), "kill -s {name}");
    }

    /// Waits for the end and the rest of the output.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "the program does not end: {:#?}",
                self.lines()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader does not panic");
        }
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
