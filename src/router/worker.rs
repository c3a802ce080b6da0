//! One worker's thread: its runtime, its accept queue, and the connections of its callers.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{LocalOptions, LocalRuntime},
    sync::watch,
};

use crate::{
    admit::{
        body::Incoming,
        caller::Caller,
        connection,
        connection::{Counter, LAST_WORD, Terms},
        descriptors,
        farewell::{self, Refusals},
        handshake::{Handshakes, Peer},
        http1::HeadFault,
        listener,
        outgoing::Memory,
        pace::AtWork,
    },
    clock::InTurns,
    message::{Request, Response},
    pipeline::{self, Reply, Worker},
    settings::Limits,
    shared::{Coalesce, Runtime, Shared},
    tls::{ServerSide, TlsPeer},
};

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("a worker's runtime cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("a region's endpoint cannot be used: {0}")]
    Regions(#[from] crate::forward::SetupError),
}

/// Where one worker lets callers in.
struct Door {
    worker: Rc<Worker>,
    handshakes: Handshakes,
    refusals: Rc<Refusals>,
    /// Connections of this worker.
    open: Rc<RefCell<usize>>,
    stop: watch::Receiver<bool>,
    /// Turns true when requests at work are not waited for any longer.
    over: watch::Sender<bool>,
}

/// Runs one worker in the calling thread until `stop` turns true and its connections have ended,
/// or the drain limit has passed.
pub fn run(
    shared: Arc<Shared>,
    number: usize,
    listener: std::net::TcpListener,
    stop: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let pause = shared.snapshot.load().settings.data_plane.coalesce;
    let coalesce = Arc::new(Coalesce::new(pause));
    let at_work = Counter::default();
    let runtime = runtime(&coalesce)?;
    if let Ok(mut runtimes) = shared.runtimes.lock() {
        runtimes.push(Runtime {
            number,
            metrics: runtime.metrics(),
            coalesce: Arc::clone(&coalesce),
            at_work: at_work.shown(),
        });
    }
    let ended = runtime.block_on(async move {
        let worker = Rc::new(Worker::new(Arc::clone(&shared), coalesce, at_work)?);
        let listener = listener::adopt(listener)?;
        // Ends with the runtime.
        tokio::task::spawn_local(pipeline::keep_trying(Rc::clone(&worker)));
        let door = Rc::new(Door {
            worker,
            handshakes: Handshakes::default(),
            refusals: Rc::default(),
            open: Rc::default(),
            stop,
            over: watch::Sender::new(false),
        });
        accept(&door, &listener).await;
        drop(listener);
        let worker = &door.worker;
        let drain = worker.snapshot().settings.data_plane.drain;
        let deadline = tokio::time::Instant::now() + drain;
        emptied(&door.open, deadline).await;
        let left = worker.at_work.count();
        shared.cut_off.fetch_add(left, Ordering::Relaxed);
        if *door.open.borrow() > 0 {
            // What is left then ends with the runtime.
            door.over.send_replace(true);
            emptied(&door.open, tokio::time::Instant::now() + LAST_WORD).await;
        }
        Ok(())
    });
    // A name that is being looked up would hold the end for as long as its resolver takes.
    runtime.shutdown_background();
    ended
}

/// Waits until no connection is open, or for the deadline.
async fn emptied(open: &RefCell<usize>, deadline: tokio::time::Instant) {
    while *open.borrow() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn runtime(coalesce: &Arc<Coalesce>) -> std::io::Result<LocalRuntime> {
    let (before, after) = (Arc::clone(coalesce), Arc::clone(coalesce));
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || before.before_park())
        .on_thread_unpark(move || after.after_park())
        .build_local(LocalOptions::default())
}

/// Connections that are let in after the wish to stop, at most: a flood must not put it off.
const LAST: usize = 4096;

async fn accept(door: &Rc<Door>, listener: &tokio::net::TcpListener) {
    let shared = &door.worker.shared;
    let mut stop = door.stop.clone();
    loop {
        if shared.connections.load(Ordering::Relaxed) >= shared.room {
            let full = "callers have all but the spared ones";
            shared.descriptors.exhausted(&full);
            tokio::select! {
                () = tokio::time::sleep(descriptors::REST) => continue,
                _ = stop.wait_for(|s| *s) => return,
            }
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => Some(accepted),
            _ = stop.wait_for(|s| *s) => None,
        };
        let Some(accepted) = accepted else {
            return let_in_the_last(door, listener).await;
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Else it was a connection that ended before it was taken: on to the next.
                if descriptors::is_exhausted(&error) {
                    shared.descriptors.exhausted(&error);
                } else {
                    tracing::debug!(%error, "cannot accept a connection");
                }
                // A rest, whatever it was: no error may make this a busy loop.
                tokio::select! {
                    () = tokio::time::sleep(descriptors::REST) => continue,
                    _ = stop.wait_for(|s| *s) => return,
                }
            }
        };
        let_in(door, stream, peer);
    }
}

/// Those who had connected when the wish to stop came: the end of the listener would reset them.
async fn let_in_the_last(door: &Rc<Door>, listener: &tokio::net::TcpListener) {
    for _ in 0..LAST {
        let next = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        let Poll::Ready(Ok((stream, peer))) = next else {
            return;
        };
        let_in(door, stream, peer);
    }
}

fn let_in(door: &Rc<Door>, stream: TcpStream, peer: SocketAddr) {
    let worker = &door.worker;
    let limit = worker.snapshot().settings.data_plane.connections;
    let before = worker.shared.connections.fetch_add(1, Ordering::Relaxed);
    if before >= limit {
        worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        worker.shared.metrics.refused_connections.inc();
        let secure = worker.snapshot().watched.data_plane.is_some();
        door.refusals.refuse(stream, secure);
        return;
    }
    let _ = stream.set_nodelay(true);
    *door.open.borrow_mut() += 1;
    let guard = OpenConnection {
        shared: Arc::clone(&worker.shared),
        open: Rc::clone(&door.open),
    };
    let door = Rc::clone(door);
    tokio::task::spawn_local(InTurns::new(async move {
        serve(door, stream, peer).await;
        drop(guard);
    }));
}

async fn serve(door: Rc<Door>, stream: TcpStream, peer: SocketAddr) {
    let snapshot = door.worker.snapshot();
    let limits = snapshot.settings.limits.clone();
    let plane = &snapshot.settings.data_plane;
    let caller = Caller::new(peer, &plane.trusted, &plane.proxies);
    let terms = Terms {
        is_gateway: caller.proxied,
        stop: door.stop.clone(),
        over: door.over.subscribe(),
    };
    let secured = snapshot.watched.data_plane.as_ref().map(|l| l.load());
    drop(snapshot);
    match secured {
        None => {
            let this = Connection::new(Rc::clone(&door.worker), peer, None);
            drop(door);
            let refused = this.counts_refused();
            let handle = move |request, at_work| Rc::clone(&this).answer(request, at_work);
            connection::serve(stream, &limits, terms, handle, refused).await;
        }
        // Apart on the heap: else every plain connection would hold room for a session, too.
        Some(side) => Box::pin(serve_secured(door, side, stream, peer, limits, terms)).await,
    }
}

async fn serve_secured(
    door: Rc<Door>,
    side: Arc<ServerSide>,
    stream: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    terms: Terms,
) {
    let mut stopped = terms.stop.clone();
    let shaken = tokio::select! {
        shaken = door.handshakes.accept(stream, &side, limits.header_read) => shaken,
        () = farewell::leave(&mut stopped) => return,
    };
    let result = match &shaken {
        Ok(_) => "done",
        Err(why) => why.as_str(),
    };
    let worker = Rc::clone(&door.worker);
    drop(door);
    let metrics = &worker.shared.metrics;
    metrics.tls_handshakes.with_label_values(&[result]).inc();
    let Ok(stream) = shaken else { return };
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let this = Connection::new(worker, peer, Some(Rc::new(side.peer(session))));
    let refused = this.counts_refused();
    let handle = move |request, at_work| Rc::clone(&this).answer(request, at_work);
    connection::serve_as(stream, is_http2, &limits, terms, handle, refused).await;
}

/// One connection and its worker.
struct Connection {
    worker: Rc<Worker>,
    from: Peer,
}

impl Connection {
    fn new(worker: Rc<Worker>, address: SocketAddr, tls: Option<Rc<TlsPeer>>) -> Rc<Self> {
        let told = Memory::default();
        let from = Peer { address, tls, told };
        Rc::new(Self { worker, from })
    }

    async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
        at_work: AtWork,
    ) -> Response<Reply> {
        self.worker.coalesce.count();
        pipeline::handle(&self.worker, &self.from, request, at_work).await
    }

    /// What is told of heads that were refused before anything else looked at them.
    fn counts_refused(self: &Rc<Self>) -> impl Fn(HeadFault) + use<> {
        let this = Rc::clone(self);
        move |fault| {
            let (_, reason, _) = fault.facts();
            let refused = &this.worker.shared.metrics.refused_heads;
            refused.with_label_values(&[reason]).inc();
        }
    }
}

struct OpenConnection {
    shared: Arc<Shared>,
    open: Rc<RefCell<usize>>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        *self.open.borrow_mut() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_workers_runtime_pauses_before_it_looks_for_events() {
        let coalesce = Arc::new(Coalesce::new(Duration::from_micros(50)));
        let runtime = runtime(&coalesce).unwrap();
        let wait = async || tokio::time::sleep(Duration::from_millis(5)).await;
        runtime.block_on(wait());
        assert_eq!(coalesce.paused(), Duration::ZERO, "nothing was asked");
        runtime.block_on(async {
            for _ in 0..10 {
                (0..1000).for_each(|_| coalesce.count());
                wait().await;
            }
        });
        assert_eq!(
            coalesce.paused(),
            Duration::ZERO,
            "it slept most of the time"
        );
        runtime.block_on(async {
            wait().await;
            for _ in 0..10_000_000 {
                coalesce.count();
            }
            wait().await;
        });
        assert!(coalesce.paused() >= Duration::from_micros(50));
    }
}
