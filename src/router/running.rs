//! Starting and stopping a router: files are opened, addresses bound, threads started, in an
//! order in which a mistake leaves nothing behind.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{checks, keeper, worker};
use crate::{
    admin,
    admit::{
        descriptors,
        listener::{self, ListenError},
        memory::Memory,
    },
    attest::{self, Books, Journal, LedgerError, Unwritable},
    clock,
    document::Fault,
    domain::SubjectKey,
    forward::SharedHealth,
    locate::{Directory, DirectoryError, SecretError, SubjectHasher, load_or_create_secret},
    settings::Settings,
    shared::{
        Shared, Snapshot, forewarn,
        reload::LastReload,
        reloads::{self, Reloads},
        snapshot::{Broken, Built},
        sources::{self, Seen},
    },
    state::{Consents, Counters, Erasures, StateError, Supposed},
    telemetry::{Metrics, Otlp, access::Access},
};

/// The subject-key secret's file in the directory's folder.
pub const SECRET_FILE: &str = "subject-key.secret";

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the settings or policies are broken:\n{0}")]
    Broken(#[from] Broken),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("counters, consents or open erasures in the directory's folder: {0}")]
    State(#[from] StateError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(
        "there are pins or ledger entries, but the secret `subject-key.secret` in `{0}` is gone: restore it, a new one would orphan every pin"
    )]
    SecretGone(String),
    #[error(
        "the directory `{0}` was filled under another subject-key secret: restore that one, under this one every pin is orphaned"
    )]
    OtherSecret(String),
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the access log cannot be opened, see `access_log.path`: {0}")]
    AccessLog(std::io::Error),
    #[error("the exporter of traces cannot be started, see `[otlp]`: {0}")]
    Otlp(std::io::Error),
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// The sockets of a router, one of the data plane for each worker.
pub struct Bound {
    data: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

impl Bound {
    pub fn new(listen: SocketAddr, workers: usize, admin: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self {
            data: listener::bind(listen, workers, "data_plane.listen or --listen")?,
            admin: listener::bind(admin, 1, "admin.listen or --admin")?,
        })
    }

    /// Where the data plane and the admin listener listen.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let address = |sockets: &[TcpListener]| sockets.first()?.local_addr().ok();
        Some((address(&self.data)?, address(&self.admin)?))
    }
}

/// A router at work. Dropping it without [`Running::stop`] leaves its threads running.
pub struct Running {
    pub shared: Arc<Shared>,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    stop: watch::Sender<bool>,
    /// Tells the admin listeners, which outlive the workers: probes must go on seeing `not ready`
    /// while connections drain.
    stop_admin: watch::Sender<bool>,
    admins: Vec<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    /// Reads files, and may hang with them.
    reader: JoinHandle<()>,
}

impl Running {
    /// Starts everything that the settings file asks for. `bound`: sockets that the caller has
    /// bound to the file's addresses already.
    ///
    /// # Errors
    /// Nothing is running when this fails.
    pub fn start(config: &Path, bound: Option<Bound>) -> Result<Self, StartError> {
        Self::start_by(config, bound, Clock::Minded)
    }

    /// As [`Running::start`], by a clock that an operator may have vouched for.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub fn start_by(config: &Path, bound: Option<Bound>, clock: Clock) -> Result<Self, StartError> {
        let (built, seen) = sources::build(config, clock::now(), None);
        let Built { snapshot, warnings } = built?;
        warnings
            .iter()
            .for_each(|w| tracing::warn!("{}", w.summary()));
        forewarn::tell(&snapshot);
        let settings = Arc::clone(&snapshot.settings);
        let (policy, decides) = (snapshot.checked.digest(), snapshot.settings_digest);
        let plane = &settings.data_plane;
        let Bound { data, admin } = match bound {
            Some(bound) => bound,
            None => Bound::new(plane.listen, plane.workers, settings.admin.listen)?,
        };
        let probes = match settings.probes {
            Some(address) => listener::bind(address, 1, "probes.listen")?,
            None => Vec::new(),
        };
        let shared = Arc::new(open(config, snapshot, seen)?);
        if clock == Clock::Vouched {
            // Before anybody is answered by what the ledger has shown.
            shared.journal.trust_clock();
        }
        forewarn::of_observing(&shared.snapshot.load(), &shared.directory);
        let address = |sockets: &[TcpListener], or: SocketAddr| {
            sockets
                .first()
                .and_then(|s| s.local_addr().ok())
                .unwrap_or(or)
        };
        let (listen, admin_address) = (
            address(&data, plane.listen),
            address(&admin, settings.admin.listen),
        );
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        for (number, socket) in data.into_iter().enumerate() {
            let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
            threads.push(thread(format!("worker-{number}"), move || {
                if let Err(error) = worker::run(shared, number, socket, stopped) {
                    tracing::error!(%error, "a worker ended");
                }
            })?);
        }
        let (stop_admin, admin_stopped) = watch::channel(false);
        let mut admins = Vec::new();
        for (sockets, whole) in [(admin, true), (probes, false)] {
            for socket in sockets {
                let (shared, stopped) = (Arc::clone(&shared), admin_stopped.clone());
                admins.push(thread("admin".to_owned(), move || {
                    if let Err(error) = admin::serve(shared, socket, whole, stopped) {
                        tracing::error!(%error, "an admin listener ended");
                    }
                })?);
            }
        }
        threads.push({
            let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
            thread("checks".to_owned(), move || {
                if let Err(error) = checks::run(&shared, stopped) {
                    tracing::error!(%error, "the health checks ended");
                }
            })?
        });
        threads.push({
            let (shared, stopped) = (Arc::clone(&shared), stopped);
            thread("keeper".to_owned(), move || keeper::keep(&shared, &stopped))?
        });
        let reader = {
            let shared = Arc::clone(&shared);
            thread("files".to_owned(), move || reloads::run(&shared))?
        };
        tracing::info!(%policy, settings = %decides, "started");
        Ok(Self {
            shared,
            listen,
            admin: admin_address,
            stop,
            stop_admin,
            admins,
            threads,
            reader,
        })
    }

    /// How long [`Running::stop`] takes at most where no disk hangs.
    pub fn stops_within(&self) -> Duration {
        self.shared.snapshot.load().settings.data_plane.drain + LAST_SPANS
    }

    /// Names the files into which a write is under way for a second or more, the ledger among them.
    /// Outlives the router, and holds nothing of it open.
    pub fn awaited(&self) -> impl Fn() -> Vec<&'static str> + Send + use<> {
        let (journal, files) = (self.shared.journal.clone(), self.shared.files());
        let is_slow = |lasts: Duration| lasts >= Duration::from_secs(1);
        move || {
            let ledger = is_slow(journal.writes_for()).then_some("ledger");
            let slow = files.iter().filter(|(_, writing)| is_slow(writing.lasts()));
            ledger
                .into_iter()
                .chain(slow.map(|(name, _)| *name))
                .collect()
        }
    }

    /// Ends the router: not ready from now on, requests at work are answered within the drain
    /// limit, the ledger is written to its end. The log tells how it went.
    pub fn stop(self) -> Result<(), Unwritable> {
        let began = Instant::now();
        self.shared.draining.store(true, Ordering::Relaxed);
        let drain = self.shared.snapshot.load().settings.data_plane.drain;
        let drained = began + drain;
        let _ = self.stop.send(true);
        self.shared.reloads.end();
        for thread in self.threads {
            let _ = thread.join();
        }
        // What was answered last is told, too.
        if let Some(access) = &self.shared.access {
            access.close();
        }
        if let Some(otlp) = &self.shared.otlp {
            otlp.close(drained.max(Instant::now() + LAST_SPANS));
        }
        let _ = self.stop_admin.send(true);
        for thread in self.admins {
            let _ = thread.join();
        }
        end_reader(self.reader);
        let closed = self.shared.journal.close();
        let (cut_off, took) = (self.shared.cut_off.load(Ordering::Relaxed), began.elapsed());
        match &closed {
            Err(error) => {
                tracing::error!(%error, cut_off, ?took, "stopped, and the ledger lacks its last entries");
            }
            Ok(()) if cut_off > 0 => {
                tracing::warn!(cut_off, ?took, "stopped, and requests at work were cut off");
            }
            Ok(()) => tracing::info!(cut_off, ?took, "stopped"),
        }
        closed
    }

    /// Blocks until SIGINT, or SIGTERM and the drain delay, reloading on SIGHUP.
    ///
    /// # Errors
    /// A thread of the router has ended, for which nobody else would take over: it has stopped
    /// then, and whoever supervises the process should start it anew.
    pub fn wait_for_signal(&self, signals: Signals) -> std::io::Result<()> {
        let Signals {
            runtime,
            mut hangup,
        } = signals;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {
                        self.tell_stopping("SIGINT", Duration::ZERO);
                        return Ok(());
                    }
                    _ = terminate.recv() => break,
                    _ = hangup.recv() => {
                        self.shared.reopen_logs();
                        self.shared.reloads.ask();
                    }
                    _ = look.tick() => if let Some(name) = self.first_ended() {
                        tracing::error!(thread = name, "a thread has ended: the router stops");
                        self.shared.draining.store(true, Ordering::Relaxed);
                        let _ = self.stop.send(true);
                        // What was let go is still written; nothing new is let go.
                        self.shared.journal.close().map_err(std::io::Error::other)?;
                        return Err(std::io::Error::other(format!("the thread `{name}` has ended")));
                    },
                }
            }
            // Whoever sends requests here learns from `/readyz` to send them elsewhere; until it
            // has, they are served. A second signal ends the wait.
            self.shared.draining.store(true, Ordering::Relaxed);
            let delay = self.shared.snapshot.load().settings.data_plane.drain_delay;
            self.tell_stopping("SIGTERM", delay);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        })
    }

    /// `delay`: for which requests are still let in.
    fn tell_stopping(&self, signal: &str, delay: Duration) {
        let drain = self.shared.snapshot.load().settings.data_plane.drain;
        let at_work = self.shared.at_work();
        tracing::info!(signal, at_work, ?delay, ?drain, "stopping");
    }

    fn first_ended(&self) -> Option<&str> {
        let reader = std::slice::from_ref(&self.reader);
        let mut groups = [&self.threads, &self.admins, reader].into_iter();
        groups.find_map(first_ended)
    }
}

/// Whether a start refuses what leaves home while the clock is behind the ledger's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Minded,
    /// An operator says that the clock is right, and the ledger's times were not.
    Vouched,
}

/// For the last spans, where the drain took all of its time.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// A reload that is under way is waited for so long at the end.
const LAST_RELOAD: Duration = Duration::from_millis(500);

/// Leaves it behind where it hangs: what it would bring is for a router that runs.
fn end_reader(reader: JoinHandle<()>) {
    let end = Instant::now() + LAST_RELOAD;
    while !reader.is_finished() {
        if Instant::now() > end {
            tracing::warn!("files are still being read: the end does not wait for it");
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = reader.join();
}

/// What asks for a reload while the router starts is done once it runs: by itself SIGHUP ends a
/// process. The signals that are to end it do so until then.
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    hangup: Signal,
}

impl Signals {
    /// From now on. To be called before anything that takes time.
    ///
    /// # Errors
    /// When the system does not let signals be waited for.
    pub fn begin() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let hangup = {
            let _within = runtime.enter();
            signal(SignalKind::hangup())?
        };
        Ok(Self { runtime, hangup })
    }
}

/// How often the threads are looked after.
const LOOK: Duration = Duration::from_secs(1);

/// The name of a thread that is no more.
fn first_ended(threads: &[JoinHandle<()>]) -> Option<&str> {
    let ended = threads.iter().find(|thread| thread.is_finished())?;
    Some(ended.thread().name().unwrap_or("?"))
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}

/// Opens ledger and directory and puts the shared state together.
fn open(config: &Path, snapshot: Snapshot, seen: Seen) -> Result<Shared, StartError> {
    let settings = Arc::clone(&snapshot.settings);
    let (directory, hasher) = keyed(&settings)?;
    let options = attest::Options::default();
    let counters = Counters::open(&settings.directory.path)?;
    let consents = Consents::open(&settings.directory.path)?;
    let books = Books {
        directory: directory.clone(),
        counters: Some(counters.clone()),
    };
    let (journal, opened) = Journal::open(&settings.ledger, options, books)?;
    if let Some(latest) = opened.latest {
        journal.mind_clock(latest);
    }
    // After the replay: what it says of pins must be whole. A pin that cannot be read is one.
    let pinned = |key: &SubjectKey| !matches!(directory.lookup(key), Ok(None));
    let erasures = Erasures::open(&settings.directory.path, pinned)?;
    if !erasures.is_empty() {
        tracing::warn!(
            open = erasures.count(),
            "erasures were open when the router ended; `/v1/erasures` lists them to be repeated"
        );
    }
    tracing::info!(
        entries = opened.entries,
        torn_bytes = opened.torn_bytes,
        replayed_pins = opened.replayed,
        "the ledger is open"
    );
    let metrics = Metrics::new()?;
    let watched_otlp = snapshot.watched.otlp.clone();
    Ok(Shared {
        config: config.to_owned(),
        health: ArcSwap::from_pointee(SharedHealth::new(&settings.regions)),
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        journal,
        directory,
        counters,
        consents,
        erasures,
        supposed: Supposed::default(),
        hasher,
        connections: AtomicUsize::new(0),
        room: descriptors::room_now(settings.data_plane.workers),
        tallies: Mutex::default(),
        last_reload: Mutex::new(LastReload::started(seen)),
        refused: ArcSwap::default(),
        swaps: Mutex::default(),
        reloads: Reloads::default(),
        draining: AtomicBool::new(false),
        descriptors: descriptors::Alarm::default(),
        memory: Arc::new(Memory::new(settings.limits.memory)),
        access: settings
            .access_log
            .as_ref()
            .map(Access::open)
            .transpose()
            .map_err(StartError::AccessLog)?,
        otlp: match &settings.otlp {
            Some(otlp) => {
                let opened = Otlp::open(otlp, watched_otlp, &metrics);
                Some(opened.map_err(StartError::Otlp)?)
            }
            None => None,
        },
        metrics,
        runtimes: Mutex::default(),
        cut_off: AtomicUsize::new(0),
    })
}

/// The directory with every pin that stands in the ledger, for a command that writes into it while no
/// router runs: a router that was killed may have left pins that stand in the ledger alone.
///
/// # Errors
/// As those of a start.
pub fn caught_up(settings: &Settings) -> Result<(Directory, SubjectHasher), StartError> {
    let (directory, hasher) = keyed(settings)?;
    if settings.ledger.exists() {
        let options = attest::Options::default();
        let (journal, _) = Journal::open(&settings.ledger, options, directory.clone())?;
        let closed = journal.close();
        closed.map_err(|error| StartError::Io(std::io::Error::other(error)))?;
    }
    Ok((directory, hasher))
}

/// The directory, and the secret that its keys are made under.
fn keyed(settings: &Settings) -> Result<(Directory, SubjectHasher), StartError> {
    let directory = Directory::open(&settings.directory.path)?;
    if settings.directory.secret.is_none() && is_secret_missed(settings)? {
        let folder = settings.directory.path.display().to_string();
        return Err(StartError::SecretGone(folder));
    }
    let hasher = hasher(settings, &directory)?;
    Ok((directory, hasher))
}

/// Whether the secret is gone under which the ledger's entries were written: with it went the
/// directory, and what the ledger replays would pin keys that nobody makes any more. Whoever begins
/// a new secret on purpose puts the ledger aside (`docs/keys.md`).
fn is_secret_missed(settings: &Settings) -> Result<bool, LedgerError> {
    if settings.directory.path.join(SECRET_FILE).exists() {
        return Ok(false);
    }
    match attest::acknowledged(&settings.ledger) {
        Ok(0) | Err(LedgerError::NoLedger { .. }) => Ok(false),
        Ok(_) | Err(LedgerError::Damaged(_)) => Ok(true),
        Err(other) => Err(other),
    }
}

/// The hasher of subject ids, with the secret given or the one that lies in the directory.
fn hasher(settings: &Settings, directory: &Directory) -> Result<SubjectHasher, StartError> {
    let secret = match &settings.directory.secret {
        Some(secret) => secret.clone(),
        None => {
            let path: PathBuf = settings.directory.path.join(SECRET_FILE);
            if !path.exists() && directory.status().pins > 0 {
                let folder = settings.directory.path.display().to_string();
                return Err(StartError::SecretGone(folder));
            }
            load_or_create_secret(&path)?
        }
    };
    let hasher = SubjectHasher::new(&secret)?;
    if !directory.binds(&hasher)? {
        let folder = settings.directory.path.display().to_string();
        return Err(StartError::OtherSecret(folder));
    }
    Ok(hasher)
}

/// Faults for people on standard error, one after the other.
pub fn render(faults: &[Fault], coloured: bool) -> String {
    faults
        .iter()
        .map(|f| f.render(coloured))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dies_is_missed() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let mut threads = vec![
            thread("lives".to_owned(), move || {
                let _ = wait.recv();
            })
            .unwrap(),
        ];
        assert_eq!(first_ended(&threads), None);
        threads.push(thread("dies".to_owned(), || panic!("a bug")).unwrap());
        while !threads[1].is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(first_ended(&threads), Some("dies"));
        drop(go);
        threads.into_iter().for_each(|t| drop(t.join()));
    }
}
