//! What came of permitted flows, written down whatever happens to the caller.

use std::cell::Cell;

use http::StatusCode;

use super::Exchange;
use crate::{attest::OutcomeDraft, telemetry::clock};

/// Writes the outcome of the exchange's decision when it is dropped, answered or not: a caller
/// that hangs up drops the whole way while bytes may have left.
pub struct Outcomes<'x, 'w> {
    x: &'x Exchange<'w>,
    status: Cell<u16>,
}

impl<'x, 'w> Outcomes<'x, 'w> {
    pub fn new(x: &'x Exchange<'w>) -> Self {
        Self {
            x,
            status: Cell::new(0),
        }
    }

    pub fn answered(&self, status: StatusCode) {
        self.status.set(status.as_u16());
    }
}

impl Drop for Outcomes<'_, '_> {
    fn drop(&mut self) {
        self.x.worker.journal.outcome(OutcomeDraft {
            at: clock::now(),
            decision: self.x.decision,
            status: self.status.get(),
        });
    }
}
