//! What came of permitted flows, written down whatever happens to the caller.

use std::cell::Cell;

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::Exchange;
use crate::{
    attest::OutcomeDraft,
    domain::{DecisionId, RegionId},
    forward::{AnswerBody, ForwardError},
    telemetry::clock,
};

/// Writes the outcome when it is dropped, answered or not: a caller that hangs up drops the
/// whole way while bytes may have left.
pub struct Outcomes<'x, 'w> {
    x: &'x Exchange<'w>,
    decision: DecisionId,
    status: Cell<u16>,
}

impl<'x, 'w> Outcomes<'x, 'w> {
    pub fn new(x: &'x Exchange<'w>, _flows: usize) -> Self {
        Self { x, decision: x.decision, status: Cell::new(0) }
    }

    pub fn answered(&self, status: StatusCode) {
        self.status.set(status.as_u16());
    }

    pub fn measure(
        &self,
        region: RegionId,
        started: Instant,
        answer: &Result<Response<AnswerBody>, ForwardError>,
    ) {
        let metrics = &self.x.worker.shared.metrics;
        let name = self.x.snapshot.regions.name(region);
        let outcome = match answer {
            Ok(_) => "answered",
            Err(ForwardError::Timeout { .. }) => "timeout",
            Err(ForwardError::BadAnswer { .. } | ForwardError::Reset { .. }) => "bad-answer",
            Err(_) => "unavailable",
        };
        metrics.upstream_requests.with_label_values(&[name, outcome]).inc();
        let seconds = started.elapsed().as_secs_f64();
        metrics.upstream_seconds.with_label_values(&[name]).observe(seconds);
    }
}

impl Drop for Outcomes<'_, '_> {
    fn drop(&mut self) {
        self.x.worker.journal.outcome(OutcomeDraft {
            at: clock::now(),
            decision: self.decision,
            status: self.status.get(),
        });
    }
}
