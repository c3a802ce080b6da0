//! HTTP/2 connections to one endpoint: several, since one has only so many streams.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::{
    client::conn::http2::{self, Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use tokio::{
    sync::Mutex,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Endpoint, Unreachable,
    body::Upload,
    calm::ask_silent,
    dial::dial,
    wire::{TurnedAway, Wire, is_vouched},
};
use crate::{
    http2::{Answers, Guarded},
    settings::HttpVersion,
    tls::BackendSide,
};

/// Connections of one worker to one endpoint. Beyond these, requests wait for streams.
const MOST: usize = 8;

/// Streams that one connection is given before another is opened, however many the server
/// allows: all of them share its lost packets.
const STREAMS: usize = 100;

/// What one stream of an answer may be ahead of its caller.
const WINDOW: u32 = 256 << 10;

/// What all of a connection's may be: that of 256 streams, more than it is given unless all
/// connections are full, so that callers who are slow to take their answers leave room to the others. h2
/// derives from it how many short frames may wait to be read.
const WINDOWS: u32 = 64 << 20;

/// Streams whose callers went before the answer was over, and for how long, of which it is remembered that
/// more may be on its way (RFC 9113 §5.1). h2 remembers no newer ones while it has so many: each frame of
/// those is a misdeed, of which a connection bears so many as long as it lasts.
const REMEMBERED: usize = 2048;
const REMEMBERS: Duration = Duration::from_secs(3);
const MISDEEDS: usize = 8192;

/// The connections to one endpoint.
pub(super) struct Multiplex {
    open: RefCell<Vec<Rc<Connection>>>,
    /// One connects at a time; those who wait find room when it has.
    turn: Mutex<()>,
    longest_idle: Duration,
}

struct Connection {
    sender: SendRequest<Upload>,
    task: AbortHandle,
    streams: Cell<usize>,
    dispatch: Rc<Dispatch>,
    /// Takes no further stream.
    retired: Cell<bool>,
    /// It ended because the region sent what HTTP/2 forbids.
    faulty: Rc<Cell<bool>>,
    turned_away: TurnedAway,
    has_answered: Cell<bool>,
    idle_since: Cell<Instant>,
    opened: Instant,
    side: Option<Arc<BackendSide>>,
    /// Of its server's certificate, past which it takes no further stream.
    vouched_until: Option<i64>,
}

/// What hands requests to the connection; `None` once that has ended.
type Dispatch = RefCell<Option<Pin<Box<http2::Connection<Io, Upload, LocalExecutor>>>>>;
type Io = TokioIo<Guarded<Wire, Answers>>;

/// One stream. Its connection stays open as long as it lives.
pub(super) struct Lease {
    connection: Rc<Connection>,
    /// The connection was opened for another one.
    is_shared: bool,
}

impl Multiplex {
    pub(super) fn new(longest_idle: Duration) -> Self {
        Self {
            open: RefCell::default(),
            turn: Mutex::default(),
            longest_idle,
        }
    }

    /// A stream of an open connection that was made with `side`, and opened after `since`, if that is
    /// said.
    pub(super) fn take(
        &self,
        side: Option<&Arc<BackendSide>>,
        since: Option<Instant>,
    ) -> Option<Lease> {
        let mut open = self.open.borrow_mut();
        open.retain(|c| c.is_usable(side, self.longest_idle));
        let young = || {
            open.iter()
                .filter(|c| since.is_none_or(|since| c.opened > since))
        };
        let found = young().find(|c| c.has_room());
        // All are full, and there are enough of them: the least burdened lets it wait.
        let least = || {
            let full = open.len() >= MOST;
            full.then(|| young().min_by_key(|c| c.streams.get()))?
        };
        found.or_else(least).map(Lease::new)
    }

    /// A stream, of a connection opened for it if need be; `since` as for [`take`](Self::take). Cancel
    /// safe.
    pub(super) async fn connect(
        self: &Rc<Self>,
        endpoint: &Endpoint,
        side: Option<&Arc<BackendSide>>,
        limit: Duration,
        since: Option<Instant>,
    ) -> Result<Lease, Unreachable> {
        let connect = async {
            let _turn = self.turn.lock().await;
            if let Some(lease) = self.take(side, since) {
                return Ok(lease);
            }
            let connection = Rc::new(Connection::open(endpoint, side, limit).await?);
            self.open.borrow_mut().push(Rc::clone(&connection));
            self.close_when_idle(&connection);
            let mut lease = Lease::new(&connection);
            lease.is_shared = false;
            Ok(lease)
        };
        let connected = timeout(limit, connect).await;
        connected.unwrap_or(Err(Unreachable::TimedOut))
    }

    pub(super) fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// Lets go of the connection once it has rested for too long.
    fn close_when_idle(self: &Rc<Self>, connection: &Rc<Connection>) {
        let (all, one) = (Rc::downgrade(self), Rc::downgrade(connection));
        let limit = self.longest_idle;
        tokio::task::spawn_local(async move {
            let mut pause = limit;
            loop {
                sleep(pause).await;
                let (Some(all), Some(one)) = (all.upgrade(), one.upgrade()) else {
                    return;
                };
                let rested = match one.streams.get() {
                    0 => one.idle_since.get().elapsed(),
                    _ => Duration::ZERO,
                };
                if rested >= limit || one.sender.is_closed() {
                    all.open.borrow_mut().retain(|c| !Rc::ptr_eq(c, &one));
                    return;
                }
                pause = limit - rested;
            }
        });
    }
}

impl Connection {
    async fn open(
        endpoint: &Endpoint,
        side: Option<&Arc<BackendSide>>,
        limit: Duration,
    ) -> Result<Self, Unreachable> {
        let wire = dial(endpoint, side.map(|s| &**s), HttpVersion::Two, limit).await?;
        let vouched_until = wire.vouched_until;
        let turned_away = wire.turned_away.clone();
        let faulty = Rc::default();
        let wire = Guarded::answers(wire, super::link::BUFFER, Rc::clone(&faulty));
        let (sender, connection) = ask_silent(&mut Builder::new(LocalExecutor))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            // Until the server has said how many it takes: those beyond would wait behind streams of
            // this connection, however long these last, while another one could be opened.
            .initial_max_send_streams(1)
            .max_header_list_size(super::link::BUFFER as u32)
            .max_concurrent_reset_streams(REMEMBERED)
            .reset_stream_duration(REMEMBERS)
            .max_local_error_reset_streams(MISDEEDS)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|_| Unreachable::Other(std::io::ErrorKind::ConnectionAborted))?;
        let dispatch: Rc<Dispatch> = Rc::new(RefCell::new(Some(Box::pin(connection))));
        let own = Rc::clone(&dispatch);
        let task = tokio::task::spawn_local(async move {
            poll_fn(|cx| match &mut *own.borrow_mut() {
                // Whoever waits on this connection is told how it ends; nobody else needs to know.
                Some(connection) => connection.as_mut().poll(cx).map(drop),
                None => Poll::Ready(()),
            })
            .await;
            own.take();
        });
        let opened = Instant::now();
        Ok(Self {
            sender,
            task: task.abort_handle(),
            streams: Cell::new(0),
            dispatch,
            retired: Cell::new(false),
            faulty,
            turned_away,
            has_answered: Cell::new(false),
            idle_since: Cell::new(opened),
            opened,
            side: side.cloned(),
            vouched_until,
        })
    }

    fn is_usable(&self, side: Option<&Arc<BackendSide>>, longest_idle: Duration) -> bool {
        let same_side = match (&self.side, side) {
            (Some(mine), Some(now)) => Arc::ptr_eq(mine, now) && is_vouched(self.vouched_until),
            (None, None) => true,
            _ => false,
        };
        let rested = self.streams.get() == 0 && self.idle_since.get().elapsed() >= longest_idle;
        same_side && !rested && !self.retired.get() && !self.sender.is_closed()
    }

    /// Streams that the server allows at one time, as it said last.
    fn allowed(&self) -> usize {
        let dispatch = self.dispatch.try_borrow();
        let dispatch = dispatch.as_ref().ok().and_then(|d| d.as_ref());
        dispatch.map_or(0, |d| d.current_max_send_streams())
    }

    fn has_room(&self) -> bool {
        self.streams.get() < self.allowed().min(STREAMS)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lease {
    fn new(connection: &Rc<Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self {
            connection: Rc::clone(connection),
            is_shared: true,
        }
    }

    pub(super) fn sender(&self) -> SendRequest<Upload> {
        self.connection.sender.clone()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connection.sender.is_closed()
    }

    /// Whether the connection ended because of what the region sent on it.
    pub(super) fn is_faulty(&self) -> bool {
        self.connection.faulty.get()
    }

    pub(super) fn has_answered(&self) {
        self.connection.has_answered.set(true);
    }

    /// The alert by which the server would not have us, where it has answered nothing.
    pub(super) fn turned_away(&self) -> Option<AlertDescription> {
        let connection = &self.connection;
        let alert = connection.turned_away.by();
        alert.filter(|_| !connection.has_answered.get())
    }

    /// The connection serves its streams to their end, and takes no more.
    pub(super) fn retire(&self) {
        self.connection.retired.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection
            .streams
            .set(connection.streams.get().saturating_sub(1));
        connection.idle_since.set(Instant::now());
    }
}

/// Runs HTTP/2's helper tasks in the worker that has the connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
