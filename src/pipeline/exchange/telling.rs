//! What is told of an exchange: spans, measurements, the access log. Never who it was about.

use std::{sync::Arc, time::Duration};

use http::Method;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Exchange;
use crate::{
    admit::headers,
    clock,
    domain::{DecisionId, RegionId},
    message::{Field, Response, Value},
    pipeline::{Content, Worker, reply::Pending},
    telemetry::{AnswerAttributes, Begin, ClientSpan, access::Entry},
};

impl Exchange<'_> {
    /// Begins the span of one exchange with `to`.
    pub fn client_span(&self, to: &Arc<str>, method: &Method) -> Option<ClientSpan> {
        self.trace.as_ref().map(|trace| {
            let route = self.story.borrow().route.clone();
            let random = self.worker.random();
            trace.call(to, known_method(method), route.as_ref(), random)
        })
    }

    /// Counts one call of a region that answered with this status.
    pub fn count_answer(&self, region: RegionId, took: Duration, status: http::StatusCode) {
        let outcome = match status.is_server_error() {
            true => "server-error",
            false => "answered",
        };
        self.count_call(region, took, outcome);
    }

    /// Counts one call of a region, by its outcome.
    pub fn count_call(&self, region: RegionId, took: Duration, outcome: &'static str) {
        if let Some(region) = self.snapshot.regions.get(region) {
            let seconds = took.as_secs_f64();
            let story = self.story.borrow();
            let route = story.route.as_ref();
            let handles = &self.worker.handles;
            handles.called(&region.name, route, outcome, seconds);
        }
    }

    /// The last word on every answer: decision id, `Via`, measurement.
    pub fn finish(&self, mut answer: Response<Content>) -> Response<Content> {
        let status = answer.status();
        // RFC 9110 §7.6.3: in which it came here.
        let received = answer.version().unwrap_or(self.version);
        let fields = answer.headers_mut();
        headers::say_decision(fields, &self.decision_text);
        headers::add_via(fields, received);
        // RFC 6797: who has come by TLS should not be led back to plain HTTP. A backend may know
        // better.
        if self.caller.secure {
            let name = Field::StrictTransportSecurity;
            if !fields.contains_key(name) {
                fields.append(name, "max-age=31536000");
            }
        }
        let story = self.story.borrow();
        let route = story.route.as_ref();
        self.worker.handles.answered(
            known_method(&self.method),
            status,
            route,
            clock::moment()
                .saturating_duration_since(self.started)
                .as_secs_f64(),
        );
        tracing::debug!(
            decision = %self.decision,
            method = known_method(&self.method),
            route = route.map_or("none", |r| r),
            status = status.as_u16(),
            "answered"
        );
        answer
    }

    /// What access log and collector will be told once the answer has gone out; `None` where there
    /// is neither.
    pub fn entry(&self, answer: &Response<Content>) -> Option<Pending> {
        let access = self.worker.shared.access.as_ref();
        if access.is_none() && self.trace.is_none() {
            return None;
        }
        let fields = answer.headers();
        let story = self.story.borrow();
        let region = word(fields.get(Field::DomicileRegion));
        let mechanism = word(fields.get(Field::DomicileMechanism));
        let span = self.trace.as_ref().and_then(|trace| {
            trace.answered(AnswerAttributes {
                route: story.route.clone(),
                status: answer.status(),
                region: region.clone(),
                mechanism: mechanism.clone(),
                problem: story.refused,
                version: self.version,
                secure: self.caller.secure,
            })
        });
        let entry = access.map(|access| {
            let entry = Box::new(Entry {
                at: self.came,
                decision: self.decision,
                method: known_method(&self.method),
                route: story.route.clone(),
                status: answer.status(),
                region,
                mechanism,
                problem: story.refused,
                duration: Duration::ZERO,
                bytes_in: self.bytes_in.get(),
                bytes_out: 0,
                version: self.version,
                tls: self.tls,
            });
            (access.clone(), entry)
        });
        Some(Pending::new(entry, span, self.started))
    }
}

/// How a trace begins with a request.
pub(super) fn begin<'f>(
    worker: &Worker,
    parent: Option<&'f [u8]>,
    at: Timestamp,
    started: Instant,
    decision: DecisionId,
    method: &Method,
) -> Begin<'f> {
    Begin {
        parent,
        at,
        started,
        decision,
        method: known_method(method),
        random: [worker.random(), worker.random()],
    }
}

fn word(value: Option<Value<'_>>) -> Option<Box<str>> {
    value.and_then(|v| v.to_str().ok()).map(Into::into)
}

/// OpenTelemetry's `http.request.method`: a caller's own invention does not become a label.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}
