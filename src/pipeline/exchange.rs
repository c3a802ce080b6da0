//! What one request carries along its way, and how it ends.

mod telling;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Version};
use http_body::Body;
use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::time::Instant;

use telling::begin;

use super::{
    Content, Judged, Worker, judge,
    person::Traces,
    wishes::{self, Head, Wished},
};
use crate::{
    admit::{
        body::{self, BodyFault, Incoming},
        caller::{Caller, ClientAddress},
        handshake::Peer,
        headers,
        http1::HeadFault,
        memory::Reservation,
        outgoing::{self, Passing},
        path::Captures,
        route::{self, NoRoute},
    },
    attest::{Draft, Ordered, Profile},
    classify::token::{Claims, token_of},
    clock,
    domain::{CategorySet, Circumstances, DecisionId, Operation, Place, RegionId},
    forward::{ForwardError, Upstreams},
    message::{Field, Fields, Parts, Request, Response},
    respond::Refused,
    shared::{ReadyRoute, Snapshot},
    telemetry::Trace,
};

/// How long after its head a request is decided by what was in force then. Most bodies take less,
/// so that a reload under load fails no ordinary request.
const HEAD_HOLDS: Duration = Duration::from_secs(1);

/// One request on its way.
pub struct Exchange<'w> {
    pub worker: &'w Worker,
    pub snapshot: Arc<Snapshot>,
    /// The ways to the regions of this snapshot, whatever is reloaded meanwhile.
    pub upstreams: Rc<Upstreams>,
    /// When its head came.
    pub came: Timestamp,
    /// When it is decided: as its head came, or once its body did, if that was long after.
    at: Cell<Timestamp>,
    /// [`Directory::ended`](crate::locate::Directory::ended) when the request came.
    pub ended: u64,
    pub decision: DecisionId,
    /// As it stands in answers and in requests to regions.
    pub decision_text: [u8; 36],
    pub caller: Caller,
    /// Callers must have a certificate, and this one has none, or none any more.
    pub uncertified: bool,
    pub method: Method,
    pub version: Version,
    started: Instant,
    /// The memory of what was read of the caller.
    pub held: Reservation,
    /// Bytes of the caller's body, as far as they are known.
    bytes_in: Cell<Option<u64>>,
    tls: Option<&'static str>,
    /// What the ledger entry of a refusal will say, as far as the way has come.
    pub story: RefCell<Story>,
    /// What a collector is told, if there is one.
    trace: Option<Trace>,
    /// What the caller's connection told last.
    told: Option<&'w outgoing::Memory>,
}

/// As far as it is known: the route, the person's traces, the judgement.
#[derive(Default)]
pub struct Story {
    pub route: Option<Arc<str>>,
    /// Until a route has taken the request: `None`, and what the method stands for counts.
    pub operation: Option<Operation>,
    pub traces: Traces,
    pub profile: Option<Arc<Profile>>,
    /// Of the order or ground that was asserted; in the entry of a refusal too.
    pub reference: Option<Arc<str>>,
    /// What else was said of the order.
    pub order: Option<Arc<Ordered>>,
    /// The name of the refusal.
    pub refused: Option<&'static str>,
}

/// A request that a route has taken.
pub struct Routed<'a> {
    pub route: &'a ReadyRoute,
    pub index: usize,
    pub head: Head<'a>,
    pub wishes: Wished,
    pub token: Option<Claims>,
    pub client: ClientAddress,
    pub operation: Operation,
}

impl<'w> Exchange<'w> {
    pub fn new<B: Body>(worker: &'w Worker, peer: &'w Peer, request: &Request<B>) -> Self {
        let at = clock::time();
        let snapshot = worker.snapshot_for(at);
        let plane = &snapshot.settings.data_plane;
        let decision = worker.decision_id(at);
        let mut caller = Caller::new(peer.address, &plane.trusted, &plane.proxies);
        let mut certified = false;
        if let (Some(tls), Some(live)) = (&peer.tls, &snapshot.watched.data_plane) {
            let side = live.load();
            let names = tls.names(&side, at);
            certified = names.is_some();
            caller = caller.secured(names, &plane.trusted_names);
        }
        let started = clock::moment();
        let trace = worker.shared.otlp.as_ref().map(|otlp| {
            let parts = &request.parts;
            let parent = headers::traceparent(&parts.headers);
            otlp.begin(begin(worker, parent, at, started, decision, &parts.method))
        });
        Self {
            worker,
            came: at,
            at: Cell::new(at),
            ended: worker.shared.directory.ended(),
            decision,
            decision_text: decision.text(),
            caller,
            uncertified: !certified && snapshot.requires_certificates(),
            upstreams: worker.upstreams(),
            method: request.parts.method.clone(),
            version: request.parts.version,
            started,
            held: Reservation::new(&worker.till),
            bytes_in: Cell::new(request.body.size_hint().exact()),
            tls: peer.tls.as_ref().map(|tls| tls.version()),
            story: RefCell::default(),
            trace,
            told: Some(&peer.told),
            snapshot,
        }
    }

    /// A request of the router's own: the caller that asked for it has had its answer.
    pub fn again(worker: &'w Worker, caller: Caller, method: Method, version: Version) -> Self {
        let at = clock::now();
        let decision = worker.decision_id(at);
        let started = Instant::now();
        let otlp = worker.shared.otlp.as_ref();
        let trace = otlp.map(|o| o.begin_own(begin(worker, None, at, started, decision, &method)));
        Self {
            worker,
            came: at,
            at: Cell::new(at),
            ended: worker.shared.directory.ended(),
            decision,
            decision_text: decision.text(),
            caller,
            uncertified: false,
            // Before the ways to the regions, which are of the snapshot that was asked for last.
            snapshot: worker.snapshot_for(at),
            upstreams: worker.upstreams(),
            method,
            version,
            started,
            trace,
            told: None,
            held: Reservation::uncounted(),
            bytes_in: Cell::new(None),
            tls: None,
            story: RefCell::default(),
        }
    }

    /// What [`Exchange::read`] gives, if that needs no waiting.
    pub fn read_at_once(
        &self,
        incoming: &mut Incoming,
        limit: usize,
    ) -> Result<Option<Bytes>, Refused> {
        let read = body::read_at_once(incoming, limit, &self.held).map_err(Refused::Body)?;
        if let Some(read) = &read {
            self.bytes_in.set(u64::try_from(read.len()).ok());
        }
        Ok(read)
    }

    /// The time of what is decided.
    pub fn at(&self) -> Timestamp {
        self.at.get()
    }

    /// Reads the caller's body within its limits and the memory for bodies.
    ///
    /// # Errors
    /// As [`body::read_held`], and [`Refused::PolicyChanged`] where the body was long in coming and
    /// what was in force at the head is not any more.
    pub async fn read(&self, incoming: Incoming, limit: usize) -> Result<Bytes, Refused> {
        let stall = self.snapshot.settings.limits.body_stall;
        let read = body::read_held(incoming, limit, stall, &self.held).await;
        let read = read.map_err(Refused::Body)?;
        self.bytes_in.set(u64::try_from(read.len()).ok());
        self.still_holds()?;
        Ok(read)
    }

    /// A body may be hours in coming, an erasure long under way, and what ended meanwhile must not permit.
    /// The request's route and caller were found by the snapshot of the head, so another one cannot decide;
    /// the same one decides by the time that it is now.
    ///
    /// # Errors
    /// [`Refused::PolicyChanged`].
    pub(super) fn still_holds(&self) -> Result<(), Refused> {
        if clock::moment().saturating_duration_since(self.started) < HEAD_HOLDS {
            return Ok(());
        }
        let now = clock::time();
        let newest = self.worker.snapshot_for(now);
        let (own, holds) = (&self.snapshot, self.snapshot.policy.holds_at(now));
        if holds && own.decides_as(&newest) {
            self.at.set(now);
            return Ok(());
        }
        if own.observe_to.is_some() && newest.observe_to.is_some() {
            // It goes where it goes today, whatever either of them says.
            return Ok(());
        }
        self.at.set(now);
        Err(Refused::PolicyChanged(
            "what is in force changed while the request came or waited, and nothing was sent; send the request again",
        ))
    }

    pub fn route<'p>(
        &self,
        snapshot: &Snapshot,
        parts: &'p Parts,
    ) -> Result<(usize, Captures<'p>), NoRoute> {
        let host = || {
            let named = parts.uri.authority().map(http::uri::Authority::as_str);
            named.or_else(|| parts.headers.get(Field::Host)?.to_str().ok())
        };
        let routes = snapshot.routes.iter().map(|r| &*r.settings).enumerate();
        route::find(
            routes,
            host,
            parts.uri.path(),
            &parts.method,
            &parts.headers,
        )
    }

    /// Who is calling, what it asks for, and whether its token holds.
    pub fn admit<'a>(
        &self,
        snapshot: &'a Snapshot,
        index: usize,
        captures: Captures<'a>,
        parts: &'a Parts,
    ) -> Result<Routed<'a>, Refused> {
        let route = snapshot.routes.get(index).ok_or(Refused::NoRoute)?;
        self.story.borrow_mut().route = Some(Arc::clone(&route.settings.name));
        let plain = match route.recipient {
            Some(_) => Some(Operation::Disclose),
            None => wishes::plain_operation(&parts.method),
        };
        let plain = plain
            .ok_or_else(|| Refused::MethodNotAllowed(route::allowed(&route.settings.methods)))?;
        // What the steering says otherwise may be the reason to refuse.
        self.story.borrow_mut().operation = Some(plain);
        let head = Head {
            headers: &parts.headers,
            captures,
            template: &route.settings.path,
            query: parts.uri.query(),
        };
        let may_steer = |names| parts.headers.may_have_name(names);
        if self.caller.trusted
            && may_steer(snapshot.spellings)
            // Most heads have none, and of two spellings one does.
            && (snapshot.underscored || parts.headers.may_have_underscores())
            && headers::has_other_spelling(&parts.headers, &snapshot.steering)
        {
            return Err(Refused::Head(HeadFault::Underscore));
        }
        if self.caller.trusted && parts.headers.may_have_strange_own() {
            wishes::known(&parts.headers, &snapshot.steering)?;
        }
        let wishes = if self.caller.trusted && route.steered_by.is_none_or(may_steer) {
            let wishes = wishes::read(&head, &route.settings.steering, &snapshot.regions, plain)?;
            wishes.fit(&route.settings)?;
            wishes.into()
        } else {
            Wished::default()
        };
        let token = if route.reads_token {
            self.token(snapshot, &parts.headers)?
        } else {
            None
        };
        let operation = wishes.operation.unwrap_or(plain);
        self.story.borrow_mut().operation = Some(operation);
        Ok(Routed {
            client: self
                .caller
                .client(&parts.headers, &snapshot.settings.data_plane.proxies),
            route,
            index,
            head,
            wishes,
            token,
            operation,
        })
    }

    /// The claims of the caller's token, if a key set is configured and a JWT came. Another
    /// kind of token is the backend's business.
    fn token(&self, snapshot: &Snapshot, headers: &Fields) -> Result<Option<Claims>, Refused> {
        let Some(keys) = &snapshot.keys else {
            return Ok(None);
        };
        let mut values = headers.get_all(Field::Authorization);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Refused::Token("Authorization stands twice".to_owned()));
        }
        let verified = token_of(value.as_bytes())
            .and_then(|token| token.map(|t| keys.verify(t, self.came)).transpose());
        verified.map_err(|fault| Refused::Token(fault.to_string()))
    }

    /// The regions that can be the home of a person of `place`, best first.
    pub fn homes(
        &self,
        place: Place,
        categories: CategorySet,
        countries: &[Place],
        circumstances: Circumstances,
    ) -> Result<SmallVec<[RegionId; 4]>, Refused> {
        judge::homes(self, place, categories, countries, circumstances)
    }

    /// The time of day at an instant since the request came. Clocks that are set meanwhile do not
    /// change it.
    pub fn time_at(&self, instant: Instant) -> Timestamp {
        let since = instant.saturating_duration_since(self.started);
        self.came.saturating_add(since).unwrap_or(self.came)
    }

    /// The fields that go to a region.
    ///
    /// `leaves_home`: the caller's address stays behind, it is nobody's purpose abroad.
    pub fn outgoing_headers(&self, parts: &Parts, leaves_home: bool) -> Fields {
        self.headers_of(parts, &self.decision_text, leaves_home)
    }

    /// The same of one of the request's items, or a part that begins with it: a region is never told
    /// the id of an item that it does not get, which may have been refused or be another region's.
    pub fn item_headers(&self, parts: &Parts, item: DecisionId, leaves_home: bool) -> Fields {
        self.headers_of(parts, &item.text(), leaves_home)
    }

    fn headers_of(&self, parts: &Parts, decision: &[u8; 36], leaves_home: bool) -> Fields {
        let passing = Passing {
            steering: &self.snapshot.steering,
            trusted: self.caller.trusted,
            peer: self.caller.peer,
            proxied: self.caller.proxied,
            secure: self.caller.secure,
            hide_client: leaves_home,
            authority: parts.uri.authority().map(http::uri::Authority::as_str),
            version: self.version,
            decision,
            kind: parts.kind,
            generation: self.snapshot.generation,
            memory: self.told,
        };
        outgoing::outgoing(&parts.headers, &passing, || {
            let random = self.worker.random();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the low half is what is meant"
            )]
            let span = (self.worker.random() & u128::from(u64::MAX)) as u64;
            (random, span)
        })
    }

    /// What a failed call of a region means to the caller.
    pub fn forward_refused(error: &ForwardError) -> Refused {
        let region = error.region().map(|r| r.to_string()).unwrap_or_default();
        let detail = error.to_string();
        match error {
            ForwardError::NotCleared
            | ForwardError::Unknown(_)
            | ForwardError::BadTarget { .. } => Refused::Internal("a region was called wrongly"),
            ForwardError::Busy { .. } => Refused::RegionBusy { region },
            ForwardError::Unreachable { .. }
            | ForwardError::Refused { .. }
            | ForwardError::GivenUp { .. } => Refused::BackendUnreachable { region, detail },
            ForwardError::Timeout { .. } => Refused::BackendTimeout { region, detail },
            ForwardError::Reset { .. } | ForwardError::BadAnswer { .. } => {
                Refused::BackendBroken { region, detail }
            }
            ForwardError::CallerBody { fault, .. } => Refused::Body(*fault),
        }
    }

    /// Writes the entry of a refusal and builds its answer. The entry is durable before the
    /// answer goes out; if it cannot be written, that is what is answered.
    pub async fn refuse(&self, refused: Refused) -> Response<Content> {
        let refused = match self.record_refusal(&refused).await {
            Ok(()) => refused,
            Err(unwritable) => unwritable,
        };
        self.problem(&refused, None)
    }

    /// A problem document as the whole answer; `items` are a refused atomic batch's.
    pub fn problem(&self, refused: &Refused, items: Option<Bytes>) -> Response<Content> {
        self.story.borrow_mut().refused = Some(refused.name());
        if let (Some(trace), Refused::Forbidden(why)) = (&self.trace, refused) {
            let rule = why.rule.as_deref().map(Arc::from);
            trace.say_rules(rule.as_slice());
        }
        let body = match items {
            Some(items) => items,
            None => {
                let mut text =
                    serde_json::to_vec(&refused.problem(Some(self.decision))).unwrap_or_default();
                text.push(b'\n');
                text.into()
            }
        };
        let mut answer = Response::new(Content::Whole(body));
        *answer.status_mut() = refused.status();
        refused.headers(
            self.snapshot.settings.operator_uri.as_deref(),
            answer.headers_mut(),
        );
        if matches!(refused, Refused::Body(_) | Refused::CallerCertificate) {
            // The rest of the body is not read, or nothing better will come of it, so the connection
            // cannot serve another request.
            answer.headers_mut().insert(Field::Connection, "close");
        }
        answer
    }

    async fn record_refusal(&self, refused: &Refused) -> Result<(), Refused> {
        // What a region failed to do was decided before and has its entry and outcome; what the
        // ledger itself cannot take has no place to be written; and to write down that there is
        // too much work would be more work.
        if matches!(
            refused,
            Refused::BackendUnreachable { .. }
                | Refused::BackendTimeout { .. }
                | Refused::BackendBroken { .. }
                | Refused::RegionBusy { .. }
                | Refused::Recipient { .. }
                | Refused::ErasureOpen { .. }
                | Refused::Ledger(_)
                | Refused::Directory(_)
                | Refused::Overloaded
                | Refused::Body(BodyFault::NoRoom)
        ) {
            return Ok(());
        }
        let draft = {
            let story = self.story.borrow();
            let profile = match (&story.profile, refused) {
                (Some(profile), Refused::Forbidden(_)) => Arc::clone(profile),
                _ => judge::plain_refusal(self, &story, refused),
            };
            let mut draft = self.plain_draft(profile, story.traces);
            draft.reference = story.reference.clone();
            draft.order = story.order.clone();
            draft
        };
        let metrics = &self.worker.shared.metrics;
        judge::count_refusal(metrics, &draft.profile, refused);
        metrics.evidence(draft.evidence);
        let written = self.worker.journal.refuse(draft).await;
        written.map_err(|e| Refused::Ledger(e.to_string()))
    }

    /// The entry that permits, written or queued as the permit asks.
    pub fn draft(&self, judged: &Judged, traces: Traces) -> Draft {
        self.plain_draft(Arc::clone(&judged.profile), traces)
    }

    pub fn plain_draft(&self, profile: Arc<Profile>, traces: Traces) -> Draft {
        Draft {
            at: self.at(),
            decision: self.decision,
            profile,
            subject: traces.key,
            evidence: traces.evidence,
            pin: None,
            reference: None,
            order: None,
            holds: Vec::new(),
        }
    }

    /// The fields that say what was decided.
    pub fn say(&self, fields: &mut Fields, judged: &Judged, region: RegionId) {
        self.say_region(fields, region);
        if let Some(trace) = &self.trace {
            trace.say_rules(&judged.profile.rules);
        }
        if let Some(mechanism) = &judged.mechanism {
            fields.insert(Field::DomicileMechanism, mechanism.as_ref());
        }
    }

    pub fn say_region(&self, fields: &mut Fields, region: RegionId) {
        fields.insert(Field::DomicileRegion, self.snapshot.regions.name(region));
    }
}
