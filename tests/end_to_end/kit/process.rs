//! The binary as a child process.

use std::collections::BTreeMap;
use std::io::{PipeReader, Read, Write, pipe};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Answer, Request, get};
use super::{PATIENCE, REGIONS, eventually};

pub fn domicile() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_domicile"));
    // Settings of the machine must not reach the router under test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOMICILE") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of the binary to its end, with `input` on its standard input.
pub fn run_to_end(arguments: &[&str], input: &str) -> Output {
    let mut child = domicile()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join();
    output
}

/// A running child whose output is collected from the first byte.
pub struct Process {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, out) = collect(child.stdout.take().unwrap());
        let (stderr, err) = collect(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
            readers: vec![out, err],
        }
    }

    /// With output that goes into a pipe which is full already, and is read by nobody but the
    /// caller.
    pub fn spawn_unread(command: &mut Command) -> (Self, PipeReader) {
        let (unread, mut to) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&to, true).unwrap();
        for piece in [4096, 1] {
            while to.write(&vec![b'\n'; piece]).is_ok() {}
        }
        // The child's end is the same, and shall wait as any other does.
        rustix::io::ioctl_fionbio(&to, false).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(to.try_clone().unwrap())
            .stderr(to)
            .spawn()
            .unwrap();
        // The command would keep the pipe open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Self {
            child,
            stdout: Arc::default(),
            stderr: Arc::default(),
            readers: Vec::new(),
        };
        (process, unread)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// Everything printed and logged until now.
    pub fn output(&self) -> Vec<u8> {
        let mut output = self.stdout.lock().unwrap().clone();
        output.extend_from_slice(&self.stderr.lock().unwrap());
        output
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output()).into_owned()
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end of the process and of its output.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.exited() {
                for reader in self.readers.drain(..) {
                    let _ = reader.join();
                }
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "did not end:\n{}",
                String::from_utf8_lossy(&self.output())
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -s {name}");
    }

    /// SIGTERM, and how long the end took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        self.signal("TERM");
        let status = self.wait();
        (status, begin.elapsed())
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- output of the child ---\n{}", self.text());
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, thread::JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&collected);
    let reader = thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            shared.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    });
    (collected, reader)
}

/// A running `domicile demo`.
pub struct Demo {
    pub process: Process,
    pub router: SocketAddr,
    pub admin: SocketAddr,
    pub stores: BTreeMap<&'static str, SocketAddr>,
    /// Its folder.
    pub folder: PathBuf,
}

impl Demo {
    /// On free ports, with its data in `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_at(folder, "127.0.0.1:0", "127.0.0.1:0")
    }

    pub fn start_at(folder: &Path, listen: &str, admin: &str) -> Self {
        let mut command = domicile();
        command
            .args(["demo", "--listen", listen, "--admin", admin])
            .args(["--store-ports", "0", "--data"])
            .arg(folder);
        Self::wait_ready(Process::spawn(&mut command), || Some(folder.to_owned()))
    }

    /// Waits for the line that begins with `ready` and what follows it, then reads the addresses from the settings
    /// that the demo wrote into its folder.
    pub fn wait_ready(mut process: Process, folder: impl Fn() -> Option<PathBuf>) -> Self {
        eventually("the demo says `ready`", || {
            if let Some(status) = process.exited() {
                panic!("the demo ended with {status}:\n{}", process.text());
            }
            let printed = process.stdout();
            let is_ready = printed.lines().any(|line| line.starts_with("ready"));
            // Its last line: a busy machine shows the first ones long before.
            (is_ready && printed.contains("End with Ctrl-C.")).then_some(())
        });
        let folder = folder().expect("the demo's folder");
        let settings = read_settings(&folder.join("domicile.toml"));
        let address = |section: &str| {
            settings[section]["listen"]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("{section}.listen in the demo's settings"))
        };
        let stores = REGIONS
            .into_iter()
            .map(|region| (region, endpoint(&settings, region)))
            .collect();
        Self {
            process,
            router: address("data_plane"),
            admin: address("admin"),
            stores,
            folder,
        }
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.join("domicile.toml")
    }

    /// What stands at `path` in one store.
    pub fn stored(&self, region: &str, path: &str) -> Option<Vec<u8>> {
        stored(self.stores[region], region, path)
    }

    /// The regions whose store has something at `path`.
    pub fn holders(&self, path: &str) -> Vec<&'static str> {
        REGIONS
            .into_iter()
            .filter(|region| self.stored(region, path).is_some())
            .collect()
    }

    #[track_caller]
    pub fn assert_stored(&self, path: &str, region: &str, body: &[u8]) {
        assert_eq!(self.holders(path), [region], "who holds {path}");
        let found = self.stored(region, path).unwrap();
        assert!(
            found == body,
            "{path} in {region}: `{}` instead of `{}`",
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(body)
        );
    }

    #[track_caller]
    pub fn put(&self, id: &str, body: &str) -> Answer {
        Request::new("PUT", format!("/people/{id}"))
            .json(body)
            .send(self.router)
    }
}

/// What stands at `path` in the store of `region`, which must say that it is the one.
pub fn stored(store: SocketAddr, region: &str, path: &str) -> Option<Vec<u8>> {
    let answer = get(store, path);
    assert_eq!(answer.header("domicile-store"), Some(region), "{answer:?}");
    match answer.status {
        200 => Some(answer.body),
        404 => None,
        _ => panic!("the store of {region}: {answer:?}"),
    }
}

pub fn read_settings(path: &Path) -> toml::Table {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().expect("the settings are TOML")
}

fn endpoint(settings: &toml::Table, region: &str) -> SocketAddr {
    settings["regions"][region]["endpoints"][0]
        .as_str()
        .and_then(|endpoint| endpoint.strip_prefix("http://"))
        .and_then(|rest| rest.trim_end_matches('/').parse().ok())
        .unwrap_or_else(|| panic!("regions.{region}.endpoints in the demo's settings"))
}
