//! One region as one worker sees it: endpoints in turn, tries, and what is counted.

use std::{
    cell::Cell,
    future::poll_fn,
    mem,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::Method;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    AnswerBody, Endpoint, EndpointState, ForwardError, Outgoing, OutgoingBody, Sent, Unreachable,
    answer::{self, Source},
    body::Upload,
    budget::Budget,
    gate::{Full, Gate, Seat},
    health::{EndpointHealth, SharedHealth},
    http1::Call,
    link::{Deadlines, Failed, FailedKind},
    pool::Pool,
    trouble,
};
use crate::{
    message::{Fields, Response},
    settings::{HttpVersion, Limits, RegionSettings},
    telemetry::clock,
    tls::{BackendSide, Live},
};

/// Tries beyond the first, once a connection stood.
const EXTRA_TRIES: u32 = 2;

/// Counts of one region in one worker. Only that worker writes, so nothing contends.
#[derive(Debug, Default)]
pub struct RegionTally {
    requests: AtomicU64,
    connects: AtomicU64,
    retries: AtomicU64,
    unretried: AtomicU64,
    failures: AtomicU64,
    busy: AtomicU64,
    idle: AtomicU64,
}

/// What a [`RegionTally`] says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that got a seat.
    pub requests: u64,
    /// Connections opened.
    pub connects: u64,
    pub retries: u64,
    /// Requests that were not tried again because too many had been.
    pub unretried: u64,
    /// Requests that ended without the head of an answer.
    pub failures: u64,
    /// Requests refused for want of a seat.
    pub busy: u64,
    /// Idle connections after the last request.
    pub idle: u64,
}

impl RegionTally {
    pub fn read(&self) -> Tally {
        Tally {
            requests: self.requests.load(Relaxed),
            connects: self.connects.load(Relaxed),
            retries: self.retries.load(Relaxed),
            unretried: self.unretried.load(Relaxed),
            failures: self.failures.load(Relaxed),
            busy: self.busy.load(Relaxed),
            idle: self.idle.load(Relaxed),
        }
    }
}

pub(super) struct RegionLink {
    pub(super) name: Arc<str>,
    pub(super) settings: RegionSettings,
    pub(super) tally: Arc<RegionTally>,
    pub(super) limits: Limits,
    pub(super) secured: Option<Arc<Live<BackendSide>>>,
    servers: Vec<Server>,
    /// Round robin.
    turn: Cell<usize>,
    gate: Gate,
    budget: Budget,
}

struct Server {
    endpoint: Endpoint,
    pool: Rc<Pool>,
    health: Arc<EndpointHealth>,
}

/// Positions of endpoints in the order in which one request may try them.
type Order = SmallVec<[usize; 4]>;

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
        let body = mem::replace(body, OutgoingBody::Empty);
        let mut upload = match self.settings.http {
            HttpVersion::One => Upload::new(body, started),
            HttpVersion::Two => Upload::keeping(body, started),
        };
        let order = self.order();
        let mut at = 0;
        let mut tries = 0;
        // Servers before have left less time to connect than the settings give.
        let mut is_short = false;
        // Whether bytes of an earlier try may have arrived.
        let mut earlier = Sent::Nothing;
        // A connection of before has failed: only one that is younger will do.
        let mut since: Option<Instant> = None;
        // An answer that another server may better, and that is passed on if none does.
        let mut first: Option<Box<Response<AnswerBody>>> = None;
        loop {
            let Some(server) = order.get(at).and_then(|i| self.servers.get(*i)) else {
                return Err(self.failed(self.unreachable(Unreachable::Unresolved)));
            };
            let now = match tries {
                0 => started,
                _ => Instant::now(),
            };
            let side = self.secured.as_ref().map(|live| live.load());
            let side = side.filter(|_| server.endpoint.server().is_some());
            let kept = server.pool.take(side.as_ref(), now, since);
            let is_kept = kept.is_some();
            let link = match kept {
                Some(link) => Ok(link),
                None => {
                    self.tally.connects.fetch_add(1, Relaxed);
                    let time_left = self.limits.response.saturating_sub(started.elapsed());
                    let limit = self.limits.connect.min(time_left);
                    // The first server has all of the time.
                    is_short = (at, tries) != (0, 0) && time_left < self.limits.connect;
                    let connected = server.pool.connect(&server.endpoint, side, limit, since);
                    // Rare, and large.
                    Box::pin(connected).await
                }
            };
            let mut link = match link {
                Ok(link) => link,
                Err(why) => {
                    self.tell(server, &why);
                    // What this machine lacks says nothing about the server, nor what others took.
                    let is_late = why == Unreachable::TimedOut;
                    if why != Unreachable::NoDescriptors && !(is_late && is_short) {
                        server.health.failed(&why);
                    }
                    if let Some(first) = first {
                        return Ok(seated(*first, seat));
                    }
                    at += 1;
                    since = None;
                    if at < order.len() && started.elapsed() < self.limits.response {
                        continue;
                    }
                    return Err(self.failed(match earlier {
                        Sent::Nothing => self.unreachable(why),
                        sent => self.error(FailedKind::Reset, sent),
                    }));
                }
            };
            let Ok(target) = server.endpoint.target(path_and_query) else {
                return Err(self.failed(ForwardError::BadTarget {
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
            let deadlines = Deadlines {
                response: self.limits.response,
                stall: self.limits.body_stall,
                // A stream that is sent again may last as long as one that is sent at once.
                at_last: (tries > 0 && !upload.is_stream()).then(|| started + self.limits.response),
            };
            let exchanged = match link.begin(&call, upload, now) {
                None => poll_fn(|cx| link.poll_answer(cx, &progress, deadlines)).await,
                // Apart on the heap: few regions speak HTTP/2.
                Some(upload) => Box::pin(link.exchange(&call, upload, &progress, deadlines)).await,
            };
            let failed = match exchanged {
                Ok(response) => {
                    let idle = server.pool.idle() as u64;
                    self.tally.idle.store(idle, Relaxed);
                    let arrived = clock::moment();
                    let mut answer = match link.take_short() {
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
                    };
                    if !answer.status().is_server_error() {
                        works(server, &mut answer);
                        if let Some(spare) = &spare {
                            spare.let_go();
                        }
                        return Ok(seated(answer, seat));
                    }
                    self.note(server, &mut answer);
                    // Another server's word counts only if it is better.
                    if let Some(first) = first {
                        return Ok(seated(*first, seat));
                    }
                    let may_ask = trouble::may_ask_another(method, answer.status())
                        && started.elapsed() < self.limits.response;
                    let other = match may_ask && spare.is_some() {
                        true => self.another(&order, at).filter(|_| self.may_retry()),
                        false => None,
                    };
                    let again = match (other, spare) {
                        (Some(at), Some(spare)) => Upload::again(spare).map(|again| (at, again)),
                        (None, Some(spare)) => {
                            spare.let_go();
                            None
                        }
                        (_, None) => None,
                    };
                    let Some((other, again)) = again else {
                        return Ok(seated(answer, seat));
                    };
                    first = Some(Box::new(answer));
                    upload = again;
                    self.tally.retries.fetch_add(1, Relaxed);
                    tries += 1;
                    since = None;
                    at = other;
                    continue;
                }
                Err(failed) => failed,
            };
            let is_kept = is_kept || link.is_shared();
            drop(link);
            // A kept connection that the server had closed says nothing about the server.
            let has_closed = matches!(failed.kind, FailedKind::Reset | FailedKind::GoneAway);
            let was_closed = is_kept && has_closed && !failed.answer_begun && !failed.alone;
            // Of HTTP/2 others share it: that it broke does not mean that it had been closed.
            let is_stale = was_closed
                && (self.settings.http == HttpVersion::One || failed.sent == Sent::Nothing);
            match failed.kind {
                FailedKind::CallerBody(_) => {}
                // Servers before took of its time.
                FailedKind::Timeout if deadlines.are_over() => {}
                // It may be what was asked that the answer went wrong for.
                FailedKind::Refused | FailedKind::BadAnswer => {
                    server.health.is_in_trouble(self.can_spare(server));
                }
                FailedKind::Reset if failed.alone => {
                    server.health.is_in_trouble(self.can_spare(server));
                }
                _ if was_closed => {}
                kind => server.health.failed(&kind),
            }
            // The server of a stale connection has not had the request: to repeat it is no more load.
            let may_try_again = tries < EXTRA_TRIES
                && started.elapsed() < self.limits.response
                && is_safe_to_repeat(&failed, || !*is_once && is_idempotent(method, headers))
                && (first.is_none() || is_stale)
                && (at + 1 < order.len() || !matches!(failed.kind, FailedKind::TurnedAway(_)))
                && (is_stale || self.may_retry());
            if failed.sent == Sent::Perhaps {
                earlier = Sent::Perhaps;
            }
            let unsent = failed.unsent.filter(|_| may_try_again);
            let spare = spare.filter(|_| may_try_again);
            upload = match (unsent.or_else(|| spare.and_then(Upload::again)), first) {
                (Some(again), kept) => {
                    first = kept;
                    again
                }
                (None, Some(first)) => return Ok(seated(*first, seat)),
                (None, None) => return Err(self.failed(self.error(failed.kind, earlier))),
            };
            self.tally.retries.fetch_add(1, Relaxed);
            tries += 1;
            since = is_stale.then(Instant::now);
            if !is_stale {
                at = (at + 1) % order.len().max(1);
            }
        }
    }

    /// What an answer of 500 or more says of its server.
    #[cold]
    fn note(&self, server: &Server, answer: &mut Response<AnswerBody>) {
        match trouble::is_trouble(answer.status()) {
            true => server.health.is_in_trouble(self.can_spare(server)),
            false => works(server, answer),
        }
    }

    /// Whether another endpoint serves, and at most half of them, rounded up, would be aside with this
    /// one: the rest must bear what comes.
    fn can_spare(&self, server: &Server) -> bool {
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

    /// The place in the order of another endpoint that serves.
    fn another(&self, order: &Order, at: usize) -> Option<usize> {
        let mut places = order.iter().enumerate();
        let found = places.find(|(place, i)| {
            let server = self.servers.get(**i);
            *place != at && server.is_some_and(|server| server.health.serves())
        });
        found.map(|(place, _)| place)
    }

    /// Takes a retry out of the region's budget, or counts that it was empty.
    fn may_retry(&self) -> bool {
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
        let mut aside: SmallVec<[((bool, std::time::Duration), usize); 4]> = SmallVec::new();
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
    fn tell(&self, server: &Server, why: &Unreachable) {
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
    fn failed(&self, error: ForwardError) -> ForwardError {
        self.tally.failures.fetch_add(1, Relaxed);
        error
    }

    fn unreachable(&self, why: Unreachable) -> ForwardError {
        ForwardError::Unreachable {
            region: Arc::clone(&self.name),
            why,
        }
    }

    fn error(&self, kind: FailedKind, sent: Sent) -> ForwardError {
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

/// Only when nothing was sent or the method is idempotent. What took too long
/// would take as long again, and what answered badly has had the request.
fn is_safe_to_repeat(failed: &Failed, is_idempotent: impl Fn() -> bool) -> bool {
    matches!(
        failed.kind,
        FailedKind::Reset | FailedKind::TurnedAway(_) | FailedKind::Refused | FailedKind::GoneAway
    ) && (failed.sent == Sent::Nothing || (!failed.answer_begun && is_idempotent()))
}

/// Whether a second time does what once does, and is answered so: by its precondition, what changes
/// something would fail for what it did itself (RFC 9110 §13.1).
fn is_idempotent(method: &Method, headers: &Fields) -> bool {
    let preconditions = ["if-match", "if-none-match", "if-unmodified-since"];
    let is_conditional = || preconditions.iter().any(|name| headers.contains_key(*name));
    method.is_safe() || (method.is_idempotent() && !is_conditional())
}
