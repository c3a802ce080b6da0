//! One region as one worker sees it: endpoints in turn, tries, and what is counted.

use std::{
    cell::Cell,
    future::poll_fn,
    mem,
    ops::ControlFlow,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::Method;
use hyper::body::Incoming;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    AnswerBody, Endpoint, EndpointState, ForwardError, Outgoing, OutgoingBody, RegionTally, Sent,
    Unreachable,
    answer::{self, Source},
    body::{Progress, Upload},
    budget::Budget,
    gate::{Full, Gate, Seat},
    health::{EndpointHealth, SharedHealth},
    http1::Call,
    link::{Deadlines, FailedKind, Link},
    pool::Pool,
    tries::{Order, Tries, Was},
    trouble,
};
use crate::{
    clock,
    message::{Fields, Response},
    settings::{HttpVersion, Limits, RegionSettings},
    tls::{BackendSide, Live},
};

pub(super) struct RegionLink {
    pub(super) name: Arc<str>,
    pub(super) settings: RegionSettings,
    pub(super) tally: Arc<RegionTally>,
    pub(super) limits: Limits,
    pub(super) secured: Option<Arc<Live<BackendSide>>>,
    pub(super) servers: Vec<Server>,
    /// Round robin.
    turn: Cell<usize>,
    gate: Gate,
    budget: Budget,
}

pub(super) struct Server {
    endpoint: Endpoint,
    pool: Rc<Pool>,
    pub(super) health: Arc<EndpointHealth>,
}

impl RegionLink {
    pub(super) fn new(
        settings: &RegionSettings,
        servers: Vec<(Endpoint, Arc<EndpointHealth>)>,
        secured: Option<Arc<Live<BackendSide>>>,
        limits: &Limits,
        gate: Gate,
    ) -> Self {
        let servers = servers.into_iter().map(|(endpoint, health)| Server {
            endpoint,
            pool: Pool::new(settings.http, limits.idle),
            health,
        });
        Self {
            name: Arc::clone(&settings.name),
            settings: settings.clone(),
            tally: Arc::default(),
            limits: limits.clone(),
            secured,
            servers: servers.collect(),
            turn: Cell::new(0),
            gate,
            budget: Budget::new(Instant::now()),
        }
    }

    /// Sends a request to one endpoint after the other as far as that is safe. The body is taken
    /// out of `outgoing`.
    ///
    /// Cancel safety: dropped before it is done, it breaks the call under way off; bytes may have
    /// left by then.
    ///
    /// # Errors
    /// No seat was free in time, no endpoint could be reached, or none gave an answer that can be
    /// passed on.
    pub(super) async fn send(
        &self,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Response<AnswerBody>, ForwardError> {
        let seat = match self.gate.enter_at_once() {
            Some(seat) => seat,
            // Rare, and large.
            None => match Box::pin(self.gate.enter()).await {
                Ok(seat) => seat,
                Err(Full) => return Err(self.busy()),
            },
        };
        self.tally.requests.fetch_add(1, Relaxed);
        let started = clock::moment();
        self.budget.request(started);
        let Outgoing {
            method,
            path_and_query,
            headers,
            body,
            is_once,
        } = outgoing;
        let mut upload = self.upload(mem::replace(body, OutgoingBody::Empty), started);
        let mut tries = Tries::new(self.order(), started);
        let end = loop {
            let Some(server) = tries.server().and_then(|i| self.servers.get(i)) else {
                break Err(self.failed(self.unreachable(Unreachable::Unresolved)));
            };
            let now = tries.now();
            let side = self.secured.as_ref().map(|live| live.load());
            let side = side.filter(|_| server.endpoint.server().is_some());
            let kept = server.pool.take(side.as_ref(), now, tries.since);
            let is_kept = kept.is_some();
            let link = match kept {
                Some(link) => Ok(link),
                None => {
                    self.tally.connects.fetch_add(1, Relaxed);
                    let limit = self.time_to_connect(&mut tries);
                    let connected = server
                        .pool
                        .connect(&server.endpoint, side, limit, tries.since);
                    // Rare, and large.
                    Box::pin(connected).await
                }
            };
            let mut link = match link {
                Ok(link) => link,
                Err(why) => match self.unconnected(&mut tries, server, why) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(end) => break end,
                },
            };
            let Ok(target) = server.endpoint.target(path_and_query) else {
                break Err(self.failed(ForwardError::BadTarget {
                    region: Arc::clone(&self.name),
                }));
            };
            let spare = upload.spare();
            let progress = upload.progress();
            let call = Call {
                endpoint: &server.endpoint,
                method,
                target: &target,
                headers,
            };
            // Connecting takes time that is not the answer's.
            let now = if is_kept { now } else { Instant::now() };
            let deadlines = self.deadlines(&tries, &upload);
            let exchanged = match link.begin(&call, upload, now) {
                None => poll_fn(|cx| link.poll_answer(cx, &progress, deadlines)).await,
                // Apart on the heap: few regions speak HTTP/2.
                Some(upload) => Box::pin(link.exchange(&call, upload, &progress, deadlines)).await,
            };
            let next = match exchanged {
                Ok(response) => {
                    let mut answer = self.accept(server, link, response, progress);
                    if !answer.status().is_server_error() {
                        works(server, &mut answer);
                        if let Some(spare) = &spare {
                            spare.let_go();
                        }
                        return Ok(seated(answer, seat));
                    }
                    self.in_trouble(&mut tries, server, answer, method, spare)
                }
                Err(failed) => {
                    let was = Was {
                        kept: is_kept || link.is_shared(),
                        deadlines,
                    };
                    drop(link);
                    let may_repeat = || !*is_once && is_idempotent(method, headers);
                    self.broken(&mut tries, server, failed, was, spare, may_repeat)
                }
            };
            upload = match next {
                ControlFlow::Continue(again) => again,
                ControlFlow::Break(end) => break end,
            };
            self.tally.retries.fetch_add(1, Relaxed);
        };
        end.map(|answer| seated(answer, seat))
    }

    fn upload(&self, body: OutgoingBody, started: Instant) -> Upload {
        match self.settings.http {
            HttpVersion::One => Upload::new(body, started),
            HttpVersion::Two => Upload::keeping(body, started),
        }
    }

    /// What is left of the request's time, at most what a connection may take.
    fn time_to_connect(&self, tries: &mut Tries) -> Duration {
        let time_left = self.limits.response.saturating_sub(tries.started.elapsed());
        // The first server has all of the time.
        tries.is_short = !tries.is_first() && time_left < self.limits.connect;
        self.limits.connect.min(time_left)
    }

    #[inline]
    fn deadlines(&self, tries: &Tries, upload: &Upload) -> Deadlines {
        Deadlines {
            response: self.limits.response,
            stall: self.limits.body_stall,
            // A stream that is sent again may last as long as one that is sent at once.
            at_last: (tries.count > 0 && !upload.is_stream())
                .then(|| tries.started + self.limits.response),
        }
    }

    /// The head of an answer has come. A short body came with it, and its link rests at once; else
    /// the answer keeps the link.
    #[inline]
    fn accept(
        &self,
        server: &Server,
        mut link: Link,
        response: Response<Option<Incoming>>,
        progress: Rc<Progress>,
    ) -> Response<AnswerBody> {
        let idle = server.pool.idle() as u64;
        self.tally.idle.store(idle, Relaxed);
        let arrived = clock::moment();
        match link.take_short() {
            Some(body) => {
                server.pool.give(link, progress.is_done(), arrived);
                answer::whole(response, body, arrived)
            }
            None => {
                let source = Source {
                    link,
                    pool: Rc::clone(&server.pool),
                    health: Arc::clone(&server.health),
                    progress,
                    stall: self.limits.body_stall,
                    region: Arc::clone(&self.name),
                    arrived,
                };
                answer::accept(response, source)
            }
        }
    }

    /// What an answer of 500 or more says of its server.
    #[cold]
    pub(super) fn note(&self, server: &Server, answer: &mut Response<AnswerBody>) {
        match trouble::is_trouble(answer.status()) {
            true => server.health.is_in_trouble(self.can_spare(server)),
            false => works(server, answer),
        }
    }

    /// Whether another endpoint serves, and at most half of them, rounded up, would be aside with this
    /// one: the rest must bear what comes.
    pub(super) fn can_spare(&self, server: &Server) -> bool {
        let (mut serves, mut aside) = (false, 1);
        for Server { health, .. } in &self.servers {
            if !Arc::ptr_eq(health, &server.health) {
                serves |= health.serves();
                aside += usize::from(health.state() != EndpointState::Healthy);
            }
        }
        serves && aside <= self.servers.len().div_ceil(2)
    }

    /// Whether what it sees of its servers is what others see.
    pub(super) fn is_known_by(&self, health: &SharedHealth) -> bool {
        self.servers.iter().all(|server| {
            let known = health.find(&self.name, server.endpoint.name());
            known.is_none_or(|known| Arc::ptr_eq(&known, &server.health))
        })
    }

    /// Takes a retry out of the region's budget, or counts that it was empty.
    pub(super) fn may_retry(&self) -> bool {
        let may = self.budget.retry(Instant::now());
        if !may {
            self.tally.unretried.fetch_add(1, Relaxed);
        }
        may
    }

    /// Healthy endpoints in turn, then those put aside by their rank, and in turn where that is the
    /// same. An endpoint whose time aside is over stands in its turn for one request at a time.
    fn order(&self) -> Order {
        let count = self.servers.len();
        if count <= 1 {
            return (0..count).collect();
        }
        let first = self.turn.get();
        self.turn.set((first + 1) % count);
        let mut good = Order::new();
        let mut aside: SmallVec<[((bool, Duration), usize); 4]> = SmallVec::new();
        for i in (first..count).chain(0..first) {
            let Some(server) = self.servers.get(i) else {
                continue;
            };
            match server.health.state() {
                EndpointState::Healthy => good.push(i),
                // Only the first in line is sure to be tried, so only it may claim the trial.
                EndpointState::Due if good.is_empty() && server.health.begin_trial() => {
                    good.push(i);
                }
                EndpointState::Due | EndpointState::Ejected { .. } => {
                    aside.push((server.health.rank(), i));
                }
            }
        }
        aside.sort_by_key(|(rank, _)| *rank);
        good.extend(aside.into_iter().map(|(_, i)| i));
        good
    }

    /// An operator must act on a server that is not who it should be: it may be a mistake in a
    /// roll-out, or somebody in the way.
    pub(super) fn tell(&self, server: &Server, why: &Unreachable) {
        if let Unreachable::Imposter(imposter) = why {
            tracing::warn!(
                region = &*self.name,
                endpoint = &**server.endpoint.name(),
                "nothing was sent: {imposter}"
            );
        }
    }

    fn busy(&self) -> ForwardError {
        self.tally.busy.fetch_add(1, Relaxed);
        ForwardError::Busy {
            region: Arc::clone(&self.name),
        }
    }

    /// Counts a request that ends without the head of an answer.
    #[cold]
    pub(super) fn failed(&self, error: ForwardError) -> ForwardError {
        self.tally.failures.fetch_add(1, Relaxed);
        error
    }

    pub(super) fn unreachable(&self, why: Unreachable) -> ForwardError {
        ForwardError::Unreachable {
            region: Arc::clone(&self.name),
            why,
        }
    }

    pub(super) fn error(&self, kind: FailedKind, sent: Sent) -> ForwardError {
        let region = Arc::clone(&self.name);
        match kind {
            FailedKind::Timeout => ForwardError::Timeout { region, sent },
            FailedKind::TurnedAway(_) if sent == Sent::Nothing => {
                self.unreachable(Unreachable::Handshake(kind.to_string().into()))
            }
            FailedKind::Refused | FailedKind::GoneAway if sent == Sent::Nothing => {
                ForwardError::Refused { region }
            }
            FailedKind::Reset
            | FailedKind::TurnedAway(_)
            | FailedKind::Refused
            | FailedKind::GoneAway => ForwardError::Reset { region, sent },
            FailedKind::BadAnswer => ForwardError::BadAnswer { region },
            FailedKind::CallerBody(fault) => ForwardError::CallerBody {
                region,
                sent,
                fault,
            },
        }
    }
}

/// By the head of its answer the server works; by the whole of it, where more is to come.
fn works(server: &Server, answer: &mut Response<AnswerBody>) {
    if !answer.body_mut().will_tell() {
        server.health.succeeded();
    }
}

/// The seat is taken until the answer is over.
fn seated(mut answer: Response<AnswerBody>, seat: Seat) -> Response<AnswerBody> {
    answer.body_mut().sit(seat);
    answer
}

/// Whether a second time does what once does, and is answered so: by its precondition, what changes
/// something would fail for what it did itself (RFC 9110 §13.1).
fn is_idempotent(method: &Method, headers: &Fields) -> bool {
    let preconditions = ["if-match", "if-none-match", "if-unmodified-since"];
    let is_conditional = || preconditions.iter().any(|name| headers.contains_key(*name));
    method.is_safe() || (method.is_idempotent() && !is_conditional())
}
