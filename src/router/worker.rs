//! One worker: a thread with its own runtime, accept queue, pools and caches.

use std::{
    cell::{RefCell, RefMut},
    collections::hash_map::RandomState,
    future::poll_fn,
    hash::BuildHasher,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use jiff::Timestamp;
use tokio::{
    net::TcpStream,
    runtime::{LocalOptions, LocalRuntime},
    sync::{Notify, watch},
};

use super::{Coalesce, Shared, Snapshot, reload, shared::Runtime};
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
        memory::Till,
        outgoing::Memory,
        pace::AtWork,
    },
    attest::WorkerJournal,
    classify::schema::Alike,
    domain::{DecisionId, RecipientId, Regions},
    forward::{Shares, Upstreams},
    locate::PinCache,
    message::{Request, Response},
    pipeline::{self, Judgements, Lanes, Reply},
    settings::{Limits, RegionSettings},
    telemetry::{
        Handles,
        clock::{self, InTurns},
    },
    tls::{ServerSide, TlsPeer},
};

/// Pins that one worker remembers.
const PINS: usize = 1 << 16;

/// What belongs to one worker alone. Lives in its thread.
pub struct Worker {
    pub shared: Arc<Shared>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    pub pins: RefCell<PinCache>,
    upstreams: RefCell<(u64, Rc<Upstreams>)>,
    pub journal: WorkerJournal,
    judgements: RefCell<Judgements>,
    /// What the records of each route look like, by the routes of the newest snapshot.
    alike: RefCell<Vec<Alike>>,
    random: RefCell<Random>,
    pub handles: Handles,
    pub at_work: Counter,
    /// Erasures that this worker tries again.
    pub lanes: RefCell<Lanes>,
    /// Told when there is another.
    pub open_again: Notify,
    handshakes: Handshakes,
    refusals: Rc<Refusals>,
    /// Its part of the memory for bodies.
    pub till: Rc<Till>,
    coalesce: Arc<Coalesce>,
    /// Turns true when requests at work are not waited for any longer.
    over: watch::Sender<bool>,
}

/// Numbers that tell decisions and traces apart, from a seed of the system's: xoshiro256++ of
/// Blackman and Vigna. They need to be distinct, not secret, and a batch wants a thousand at once,
/// which cost the system more than all else that is done for its records.
struct Random([u64; 4]);

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("a worker's runtime cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("a region's endpoint cannot be used: {0}")]
    Regions(#[from] crate::forward::SetupError),
}

impl Worker {
    /// Must run inside the worker's runtime, where its porter is started.
    pub fn new(
        shared: Arc<Shared>,
        coalesce: Arc<Coalesce>,
        at_work: Counter,
    ) -> Result<Self, WorkerError> {
        let mut cache = Cache::new(Arc::clone(&shared.snapshot));
        let snapshot = Arc::clone(cache.load());
        let settings = &snapshot.settings;
        let upstreams = Upstreams::new(
            &snapshot.regions,
            &settings.regions,
            &settings.limits,
            Shares::of(settings.data_plane.concurrent_requests),
            shared.health.load_full(),
            &snapshot.watched.backends,
        )?
        .with_recipients(
            recipients(&snapshot),
            &settings.limits,
            &snapshot.watched.backends,
            None,
        )?;
        register_tallies(&shared, &upstreams);
        let (journal, porter) = shared.journal.worker_with_porter();
        tokio::task::spawn_local(porter.carry());
        Ok(Self {
            snapshot: RefCell::new(cache),
            pins: RefCell::new(PinCache::new(shared.directory.clone(), PINS)),
            upstreams: RefCell::new((snapshot.generation, Rc::new(upstreams))),
            journal,
            judgements: RefCell::default(),
            alike: RefCell::default(),
            random: RefCell::new(Random::new()),
            handles: Handles::new(shared.metrics.clone()),
            at_work,
            lanes: RefCell::default(),
            open_again: Notify::new(),
            handshakes: Handshakes::default(),
            refusals: Rc::default(),
            till: Till::new(Arc::clone(&shared.memory)),
            coalesce,
            over: watch::Sender::new(false),
            shared,
        })
    }

    /// The snapshot in force at this instant: an instrument that ended a moment ago must not
    /// permit until the keeper comes round.
    pub fn snapshot_for(&self, at: Timestamp) -> Arc<Snapshot> {
        let snapshot = self.snapshot();
        if snapshot.policy.holds_at(at) {
            return snapshot;
        }
        reload::recompile(&self.shared, at);
        self.snapshot()
    }

    /// The snapshot in force; what is remembered for an older one is dropped.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = Arc::clone(self.snapshot.borrow_mut().load());
        let known = self.upstreams.borrow().0;
        if known != snapshot.generation {
            self.renew(&snapshot);
        }
        snapshot
    }

    fn renew(&self, snapshot: &Snapshot) {
        *self.judgements.borrow_mut() = Judgements::default();
        self.alike.borrow_mut().clear();
        let current = Rc::clone(&self.upstreams.borrow().1);
        let settings = &snapshot.settings;
        self.coalesce.set_pause(settings.data_plane.coalesce);
        let health = self.shared.health.load_full();
        let secured = &snapshot.watched.backends;
        let next = current.renewed(
            &snapshot.regions,
            &settings.regions,
            &settings.limits,
            health,
            secured,
        );
        let next = next.and_then(|next| {
            next.with_recipients(
                recipients(snapshot),
                &settings.limits,
                secured,
                Some(&current),
            )
        });
        match next {
            Ok(next) => {
                register_tallies(&self.shared, &next);
                *self.upstreams.borrow_mut() = (snapshot.generation, Rc::new(next));
            }
            // The settings' reader has checked the endpoints, so this tells of a fault of ours.
            // The old pools cannot stay: a region's number may mean another region now. Ways to
            // nowhere refuse every call.
            Err(error) => {
                tracing::error!(%error, "the regions of the new settings cannot be used");
                let nowhere = Upstreams::new(
                    &Regions::new(Vec::new()),
                    &[],
                    &settings.limits,
                    Shares::of(settings.data_plane.concurrent_requests),
                    self.shared.health.load_full(),
                    &[],
                );
                let mut upstreams = self.upstreams.borrow_mut();
                upstreams.0 = snapshot.generation;
                if let Ok(nowhere) = nowhere {
                    upstreams.1 = Rc::new(nowhere);
                }
            }
        }
    }

    /// The ways to the regions of the snapshot that [`Worker::snapshot`] gave last. To be taken in
    /// the same moment and kept beside it: the next snapshot may give a region another number.
    pub fn upstreams(&self) -> Rc<Upstreams> {
        Rc::clone(&self.upstreams.borrow().1)
    }

    /// What is remembered of a snapshot; `None` of one that is no longer in force. A request that
    /// began before a reload must neither be judged by what later requests found, nor leave its
    /// own judgements to them.
    pub fn judgements(&self, of: &Snapshot) -> Option<RefMut<'_, Judgements>> {
        (self.upstreams.borrow().0 == of.generation).then(|| self.judgements.borrow_mut())
    }

    /// What is remembered of the records of a snapshot's route; `None` as for
    /// [`judgements`](Self::judgements).
    pub fn alike(&self, of: &Snapshot, route: usize) -> Option<RefMut<'_, Alike>> {
        let is_newest = self.upstreams.borrow().0 == of.generation;
        let mut all = is_newest.then(|| self.alike.borrow_mut())?;
        if all.len() < of.routes.len() {
            all.resize_with(of.routes.len(), Alike::default);
        }
        RefMut::filter_map(all, |all| all.get_mut(route)).ok()
    }

    /// A new id, of a request that began at `at`.
    pub fn decision_id(&self, at: Timestamp) -> DecisionId {
        DecisionId::new(clock::unix_ms(at), self.random())
    }

    pub fn random(&self) -> u128 {
        self.random.borrow_mut().next()
    }
}

impl Random {
    fn new() -> Self {
        let mut seed = [0; 32];
        if getrandom::fill(&mut seed).is_err() {
            tracing::warn!("the system gives no random numbers: ids are of time and chance");
        }
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(seed.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        // Zeros would stay zeros. Hash maps have a seed of their own.
        if words == [0; 4] {
            words = [0; 4].map(|_: u64| RandomState::new().hash_one(clock::now()) | 1);
        }
        Self(words)
    }

    fn next(&mut self) -> u128 {
        u128::from(self.word()) << 64 | u128::from(self.word())
    }

    fn word(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let word = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        word
    }
}

fn recipients(snapshot: &Snapshot) -> impl Iterator<Item = (RecipientId, &RegionSettings)> {
    snapshot.recipients.iter().map(|r| (r.id, &r.link))
}

fn register_tallies(shared: &Shared, upstreams: &Upstreams) {
    let Ok(mut tallies) = shared.tallies.lock() else {
        return;
    };
    for (region, tally) in upstreams.tallies() {
        if !tallies.iter().any(|(_, t)| Arc::ptr_eq(t, tally)) {
            tallies.push((Arc::clone(region), Arc::clone(tally)));
        }
    }
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
        let open = Rc::new(RefCell::new(0usize));
        // Ends with the runtime.
        tokio::task::spawn_local(pipeline::keep_trying(Rc::clone(&worker)));
        accept(&worker, &listener, &open, stop).await;
        drop(listener);
        let drain = worker.snapshot().settings.data_plane.drain;
        let deadline = tokio::time::Instant::now() + drain;
        emptied(&open, deadline).await;
        let left = worker.at_work.count();
        shared.cut_off.fetch_add(left, Ordering::Relaxed);
        if *open.borrow() > 0 {
            // What is left then ends with the runtime.
            worker.over.send_replace(true);
            emptied(&open, tokio::time::Instant::now() + LAST_WORD).await;
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

async fn accept(
    worker: &Rc<Worker>,
    listener: &tokio::net::TcpListener,
    open: &Rc<RefCell<usize>>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        if worker.shared.connections.load(Ordering::Relaxed) >= worker.shared.room {
            let full = "callers have all but the spared ones";
            worker.shared.descriptors.exhausted(&full);
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
            return let_in_the_last(worker, listener, open, &stop).await;
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Else it was a connection that ended before it was taken: on to the next.
                if descriptors::is_exhausted(&error) {
                    worker.shared.descriptors.exhausted(&error);
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
        let_in(worker, open, &stop, stream, peer);
    }
}

/// Those who had connected when the wish to stop came: the end of the listener would reset them.
async fn let_in_the_last(
    worker: &Rc<Worker>,
    listener: &tokio::net::TcpListener,
    open: &Rc<RefCell<usize>>,
    stop: &watch::Receiver<bool>,
) {
    for _ in 0..LAST {
        let next = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        let Poll::Ready(Ok((stream, peer))) = next else {
            return;
        };
        let_in(worker, open, stop, stream, peer);
    }
}

fn let_in(
    worker: &Rc<Worker>,
    open: &Rc<RefCell<usize>>,
    stop: &watch::Receiver<bool>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let limit = worker.snapshot().settings.data_plane.connections;
    let before = worker.shared.connections.fetch_add(1, Ordering::Relaxed);
    if before >= limit {
        worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        worker.shared.metrics.refused_connections.inc();
        let secure = worker.snapshot().watched.data_plane.is_some();
        worker.refusals.refuse(stream, secure);
        return;
    }
    let _ = stream.set_nodelay(true);
    *open.borrow_mut() += 1;
    let guard = OpenConnection {
        shared: Arc::clone(&worker.shared),
        open: Rc::clone(open),
    };
    let worker = Rc::clone(worker);
    let stop = stop.clone();
    tokio::task::spawn_local(InTurns::new(async move {
        serve(worker, stream, peer, stop).await;
        drop(guard);
    }));
}

async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    let snapshot = worker.snapshot();
    let limits = snapshot.settings.limits.clone();
    let plane = &snapshot.settings.data_plane;
    let caller = Caller::new(peer, &plane.trusted, &plane.proxies);
    let terms = Terms {
        is_gateway: caller.proxied,
        stop,
        over: worker.over.subscribe(),
    };
    let secured = snapshot.watched.data_plane.as_ref().map(|l| l.load());
    drop(snapshot);
    match secured {
        None => {
            let this = Connection::new(worker, peer, None);
            let refused = this.counts_refused();
            let handle = move |request, at_work| Rc::clone(&this).answer(request, at_work);
            connection::serve(stream, &limits, terms, handle, refused).await;
        }
        // Apart on the heap: else every plain connection would hold room for a session, too.
        Some(side) => Box::pin(serve_secured(worker, side, stream, peer, limits, terms)).await,
    }
}

async fn serve_secured(
    worker: Rc<Worker>,
    side: Arc<ServerSide>,
    stream: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    terms: Terms,
) {
    let mut stopped = terms.stop.clone();
    let shaken = tokio::select! {
        shaken = worker.handshakes.accept(stream, &side, limits.header_read) => shaken,
        () = farewell::leave(&mut stopped) => return,
    };
    let result = match &shaken {
        Ok(_) => "done",
        Err(why) => why.as_str(),
    };
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
