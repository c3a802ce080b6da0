//! The embedded regional store: JSON documents and opaque files over HTTP/1.1 and cleartext
//! HTTP/2, one store a region, for the demo and for tests.
//!
//! Goals, in this order: what it acknowledged is on disk, what it returns is byte for byte what it
//! was given, bad input is answered and never a panic, memory stays bounded. It is no place for
//! production data: there is no authentication, no replication, and a deleted document's bytes can
//! stay in free pages of the database file until they are written over.
//!
//! - `PUT|GET|HEAD|DELETE|PATCH /a/b/c`: one document or file. `PATCH` is JSON Merge Patch
//!   (RFC 7396).
//! - `POST /C`: a JSON array or NDJSON saves each item at `/C/{id}` and answers one
//!   `{"index","status"}` an item; one JSON object is saved at its id.
//! - `GET /C/` or `GET /C?list`: what stands below a collection, in pages (`after`, `limit`).
//! - `GET /-/health`: 200.
//!
//! All writes pass through one thread (`writer`), which commits whatever is waiting as one durable
//! transaction: 64 concurrent PUTs share a few fsyncs. Bodies over [`StoreLimits::inline_bytes`]
//! that are not JSON are streamed into files of their own, fsynced before the database names them.
//! Whose record it is and whether it may be here is none of the store's business. Nothing that
//! could name a person (paths, ids, bodies) is logged.

mod answer;
mod batch;
mod database;
mod error;
mod files;
mod handle;
mod intake;
mod merge;
mod path;
mod record;
mod serve;
mod sniff;
mod writer;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderValue;
use redb::Database;
use tokio::sync::{Semaphore, oneshot};

pub use error::StoreError;

use files::Files;
use writer::Writer;

/// What one store is, and where.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its own folder, created when missing; one process at a time.
    pub data: PathBuf,
    /// Answered as `Domicile-Store`, so that people and tests see who answered.
    pub region: String,
    pub limits: StoreLimits,
}

impl StoreOptions {
    /// With the default limits.
    pub fn new(listen: SocketAddr, data: impl Into<PathBuf>, region: impl Into<String>) -> Self {
        Self {
            listen,
            data: data.into(),
            region: region.into(),
            limits: StoreLimits::default(),
        }
    }
}

/// Bounds on what one request, and all together, may cost.
#[derive(Clone, Debug)]
pub struct StoreLimits {
    /// One JSON document; it is held in memory.
    pub document_bytes: usize,
    /// The body of one batch; it is held in memory.
    pub batch_bytes: usize,
    pub batch_items: usize,
    /// One file that is not JSON; it is streamed.
    pub file_bytes: u64,
    /// Files up to this size live in the database, larger ones beside it.
    pub inline_bytes: usize,
    /// Bodies over 1 MiB that are held in memory at a time; further ones wait.
    pub large_bodies: usize,
    pub connections: usize,
    /// No progress in a request's body.
    pub body_stall: Duration,
    /// An idle connection, and a request's head. Above the 75 s after which a router drops idle
    /// connections, so that the router and not the store ends them.
    pub idle: Duration,
    /// How long running requests may go on after a shutdown.
    pub grace: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            document_bytes: 16 << 20,
            batch_bytes: 64 << 20,
            batch_items: 100_000,
            file_bytes: 1 << 30,
            inline_bytes: 64 << 10,
            large_bodies: 4,
            connections: 4096,
            body_stall: Duration::from_secs(30),
            idle: Duration::from_secs(90),
            grace: Duration::from_millis(1500),
        }
    }
}

/// A store that holds its port and its data folder, and does not serve yet.
pub struct Store {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all requests of one store use.
struct Shared {
    region: HeaderValue,
    database: Arc<Database>,
    files: Files,
    writer: Writer,
    /// Turns to hold a large body in memory.
    turns: Arc<Semaphore>,
    limits: StoreLimits,
}

impl Store {
    /// Binds the listener and opens the data folder. Blocks for as long as a database that was
    /// not closed in order needs to be checked.
    ///
    /// # Errors
    /// The address is taken or cannot be bound, the folder cannot be used or belongs to another
    /// running store, or the region's name does not fit a header.
    pub fn bind(options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions {
            listen,
            data,
            region,
            limits,
        } = options;
        let region_header =
            HeaderValue::from_str(&region).map_err(|_| StoreError::RegionName(region.clone()))?;
        let cannot_listen = |source| StoreError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).map_err(cannot_listen)?;
        listener.set_nonblocking(true).map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        std::fs::create_dir_all(&data).map_err(|source| StoreError::Folder {
            folder: data.clone(),
            source,
        })?;
        let database = Arc::new(database::open(&data)?);
        let files = Files::open(&data, &database)?;
        let writer = Writer::start(Arc::clone(&database), files.clone())?;
        Ok(Self {
            listener,
            address,
            shared: Arc::new(Shared {
                region: region_header,
                database,
                files,
                writer,
                turns: Arc::new(Semaphore::new(limits.large_bodies)),
                limits,
            }),
        })
    }

    /// Where it listens; the real port when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then lets running requests end for
    /// [`StoreLimits::grace`], and closes the database. To be called inside a tokio runtime with I/O and time; a current-thread one is
    /// enough.
    ///
    /// Dropping the future ends all connections at once; acknowledged writes are on disk already.
    ///
    /// # Errors
    /// The runtime cannot use the listener.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), StoreError> {
        serve::serve(self.listener, self.shared, shutdown).await
    }

    /// Serves on a thread of its own with its own runtime, until the handle is stopped or dropped.
    ///
    /// # Errors
    /// No thread or runtime can be started.
    pub fn spawn(self) -> Result<StoreHandle, StoreError> {
        let address = self.address;
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(StoreError::Start)?;
        let thread = std::thread::Builder::new()
            .name("domicile-store".into())
            .spawn(move || {
                runtime.block_on(self.serve(async {
                    // A dropped handle ends the store just as `stop` does.
                    let _ = stopped.await;
                }))
            })
            .map_err(StoreError::Start)?;
        Ok(StoreHandle {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A store that serves on its own thread. Dropping it stops the store, too.
#[must_use = "dropping the handle stops the store"]
pub struct StoreHandle {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl StoreHandle {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells the store to end and does not wait for it: several stores then end side by side.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone when the store ended by itself.
            let _ = stop.send(());
        }
    }

    /// Blocks until the store has ended and its data folder is free again: hardly longer than
    /// [`StoreLimits::grace`].
    ///
    /// # Errors
    /// What `serve` ended with.
    pub fn stop(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.begin_stop();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(StoreError::Crashed),
        }
    }
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "a store did not end in order");
        }
    }
}
