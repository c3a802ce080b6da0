//! One exchange with a region: what metrics and traces are told of it.

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::Exchange;
use crate::{clock, domain::RegionId, message::Fields, telemetry::ClientSpan};

/// An exchange that is about to begin. Dropped before its end, the caller has gone.
pub struct Call<'x, 'w> {
    x: &'x Exchange<'w>,
    region: RegionId,
    started: Instant,
    span: Option<ClientSpan>,
}

impl<'x, 'w> Call<'x, 'w> {
    /// Puts the context of the trace, if there is one, into the request's fields.
    pub fn begin(
        x: &'x Exchange<'w>,
        region: RegionId,
        method: &Method,
        headers: &mut Fields,
    ) -> Self {
        let name = x.snapshot.regions.get(region).map(|r| &r.name);
        let span = name.and_then(|name| x.client_span(name, method));
        if let Some(span) = &span {
            span.hand_on(headers);
        }
        Self {
            x,
            region,
            started: clock::moment(),
            span,
        }
    }

    /// The head of an answer came at `arrived`.
    pub fn answered(self, status: StatusCode, arrived: Instant) {
        let took = arrived.saturating_duration_since(self.started);
        self.x.count_answer(self.region, took, status);
        if let Some(span) = self.span {
            span.end(Ok(status));
        }
    }

    /// There is none; `problem` is how the caller is told.
    pub fn failed(self, problem: &'static str) {
        self.x
            .count_call(self.region, self.started.elapsed(), problem);
        if let Some(span) = self.span {
            span.end(Err(problem));
        }
    }
}

/// Exchanges that share their fields, one for each record.
pub struct Calls<'x, 'w> {
    call: Call<'x, 'w>,
    items: std::cell::Cell<usize>,
    failed: std::cell::Cell<bool>,
}

impl<'x, 'w> Calls<'x, 'w> {
    pub fn begin(
        x: &'x Exchange<'w>,
        region: RegionId,
        method: &Method,
        headers: &mut Fields,
    ) -> Self {
        Self {
            call: Call::begin(x, region, method, headers),
            items: std::cell::Cell::new(0),
            failed: std::cell::Cell::new(false),
        }
    }

    /// One of them came to its end: with a status, or the name of a problem.
    pub fn one(&self, outcome: Result<StatusCode, &'static str>) {
        let Call {
            x, region, started, ..
        } = &self.call;
        let failed = match outcome {
            Ok(status) => {
                x.count_answer(*region, started.elapsed(), status);
                !status.is_success()
            }
            Err(problem) => {
                x.count_call(*region, started.elapsed(), problem);
                true
            }
        };
        self.items.set(self.items.get() + 1);
        self.failed.set(self.failed.get() || failed);
    }

    /// All did.
    pub fn end(self) {
        if let Some(span) = self.call.span {
            span.end_of_items(self.items.get(), self.failed.get());
        }
    }
}
