//! The spans of one request, from their begin to the queue.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::{
    AnswerAttributes, Begin, Otlp,
    context::{self, SAMPLED},
};
use crate::{
    clock::unix_ns,
    domain::DecisionId,
    message::{Field, Fields},
};

/// `error.type` of what ended because the caller was gone.
const CALLER_GONE: &str = "caller-gone";

/// One span, as it goes to the collector.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: u128,
    pub id: u64,
    pub parent: Option<u64>,
    /// The parent is the caller's.
    pub is_parent_remote: bool,
    pub flags: u8,
    pub is_server: bool,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub method: &'static str,
    pub route: Option<Arc<str>>,
    pub status: Option<u16>,
    pub error: Option<&'static str>,
    /// A region, or `recipient:NAME`.
    pub region: Option<Arc<str>>,
    pub decision: DecisionId,
    pub mechanism: Option<Box<str>>,
    pub problem: Option<&'static str>,
    pub rules: Vec<Arc<str>>,
    pub version: Option<&'static str>,
    pub scheme: Option<&'static str>,
    /// Records that went in requests of their own.
    pub items: Option<u64>,
    /// The exchange failed, whatever its status was.
    pub failed: bool,
}

/// What one request tells. Dropped before it was answered, its caller has gone.
pub struct Trace {
    otlp: Otlp,
    trace: u128,
    flags: u8,
    /// Begun here: no `tracestate` of somebody's belongs to it.
    is_new: bool,
    /// `None` for a request of the router's own, which no span of a caller's stands for.
    server: Option<u64>,
    parent: Option<u64>,
    clock: Clock,
    decision: DecisionId,
    method: &'static str,
    route: RefCell<Option<Arc<str>>>,
    rules: RefCell<Vec<Arc<str>>>,
    told: Cell<bool>,
}

/// Wall-clock times that never go back within one trace.
#[derive(Clone, Copy)]
struct Clock {
    started: Instant,
    epoch: u64,
}

impl Clock {
    fn now(self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_nanos());
        self.epoch.saturating_add(passed.unwrap_or(u64::MAX))
    }
}

impl Otlp {
    /// The trace of a caller's request.
    pub fn begin(&self, begin: Begin<'_>) -> Trace {
        self.trace(begin, true)
    }

    /// Of a request of the router's own, for which no caller waits: it has spans of exchanges alone.
    pub fn begin_own(&self, begin: Begin<'_>) -> Trace {
        self.trace(begin, false)
    }

    fn trace(&self, begin: Begin<'_>, is_server: bool) -> Trace {
        let parent = begin.parent.and_then(context::parse);
        let [random, own] = begin.random;
        let trace = parent.map_or(random.max(1), |p| p.trace);
        let is_sampled = parent.map_or_else(|| self.samples(trace), |p| p.is_sampled);
        Trace {
            otlp: self.clone(),
            trace,
            flags: parent.map_or(0, |p| p.kept) | if is_sampled { SAMPLED } else { 0 },
            is_new: parent.is_none(),
            server: is_server.then(|| half(own)),
            parent: parent.map(|p| p.span),
            clock: Clock {
                started: begin.started,
                epoch: unix_ns(begin.at),
            },
            decision: begin.decision,
            method: begin.method,
            route: RefCell::default(),
            rules: RefCell::default(),
            told: Cell::new(false),
        }
    }
}

/// A span's id, which is never zero.
fn half(random: u128) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is meant"
    )]
    let low = random as u64;
    low.max(1)
}

impl Trace {
    /// The rules behind the decision.
    pub fn say_rules(&self, rules: &[Arc<str>]) {
        *self.rules.borrow_mut() = rules.to_vec();
    }

    /// Begins the span of one exchange with `to`. Ends with the caller, if it is dropped.
    pub fn call(
        &self,
        to: &Arc<str>,
        method: &'static str,
        route: Option<&Arc<str>>,
        random: u128,
    ) -> ClientSpan {
        *self.route.borrow_mut() = route.cloned();
        let id = half(random);
        let told = self.is_sampled().then(|| {
            Box::new(Span {
                id,
                parent: self.server.or(self.parent),
                is_parent_remote: false,
                is_server: false,
                start: self.clock.now(),
                method,
                route: route.cloned(),
                region: Some(Arc::clone(to)),
                ..self.span()
            })
        });
        ClientSpan {
            otlp: self.otlp.clone(),
            context: context::print(self.trace, id, self.flags),
            is_new: self.is_new,
            clock: self.clock,
            span: told,
        }
    }

    /// The span of the request, to be kept until the last of the answer has gone. `None`: it is
    /// not told.
    pub fn answered(&self, told: AnswerAttributes) -> Option<ServerSpan> {
        self.told.set(true);
        if !self.is_sampled() {
            return None;
        }
        let failed = told.status.is_server_error();
        let span = Span {
            route: told.route,
            status: Some(told.status.as_u16()),
            error: told.problem.filter(|_| failed),
            region: told.region.map(Arc::from),
            mechanism: told.mechanism,
            problem: told.problem,
            version: Some(match told.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            }),
            scheme: Some(if told.secure { "https" } else { "http" }),
            failed,
            ..self.span()
        };
        Some(ServerSpan {
            otlp: self.otlp.clone(),
            clock: self.clock,
            span: Some(Box::new(span)),
        })
    }

    fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The request's own span, as far as it is known.
    fn span(&self) -> Span {
        Span {
            trace: self.trace,
            id: self.server.unwrap_or_default(),
            parent: self.parent,
            is_parent_remote: self.parent.is_some(),
            flags: self.flags,
            is_server: true,
            start: self.clock.epoch,
            end: 0,
            method: self.method,
            route: None,
            status: None,
            error: None,
            region: None,
            decision: self.decision,
            mechanism: None,
            problem: None,
            rules: self.rules.borrow().clone(),
            version: None,
            scheme: None,
            items: None,
            failed: false,
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.told.get() && self.server.is_some() && self.is_sampled() {
            self.otlp.tell(Box::new(Span {
                end: self.clock.now(),
                route: self.route.take(),
                error: Some(CALLER_GONE),
                failed: true,
                ..self.span()
            }));
        }
    }
}

/// The span of one exchange with a region or recipient.
pub struct ClientSpan {
    otlp: Otlp,
    context: [u8; 55],
    is_new: bool,
    clock: Clock,
    /// `None`: the trace is not told, or the span has ended.
    span: Option<Box<Span>>,
}

impl ClientSpan {
    /// Puts the context into the request; what was said of another trace goes.
    pub fn hand_on(&self, headers: &mut Fields) {
        headers.insert(Field::Traceparent, self.context);
        if self.is_new {
            headers.remove("tracestate");
        }
    }

    /// The head of the answer came, or it failed: the name of the problem.
    pub fn end(mut self, outcome: Result<StatusCode, &'static str>) {
        if let Some(span) = &mut self.span {
            match outcome {
                Ok(status) => {
                    span.status = Some(status.as_u16());
                    span.failed = status.is_client_error() || status.is_server_error();
                }
                Err(problem) => {
                    span.error = Some(problem);
                    span.failed = true;
                }
            }
        }
        self.tell();
    }

    /// So many records went in requests of their own; `failed`: some of them did.
    pub fn end_of_items(mut self, items: usize, failed: bool) {
        if let Some(span) = &mut self.span {
            span.items = u64::try_from(items).ok();
            span.failed = failed;
        }
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.end = self.clock.now();
            self.otlp.tell(span);
        }
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        if let Some(span) = &mut self.span {
            span.error = Some(CALLER_GONE);
            span.failed = true;
        }
        self.tell();
    }
}

/// The span of a caller's request, which ends when this is dropped: with the last of its answer.
pub struct ServerSpan {
    otlp: Otlp,
    clock: Clock,
    span: Option<Box<Span>>,
}

impl Drop for ServerSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.end = self.clock.now();
            self.otlp.tell(span);
        }
    }
}
