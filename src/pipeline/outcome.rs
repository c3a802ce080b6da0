//! What came of permitted flows, written down whatever happens to the caller.

use std::cell::Cell;

use http::StatusCode;
use tokio::time::Instant;

use super::Exchange;
use crate::{attest::OutcomeDraft, clock};

/// Writes the outcome of the exchange's decision when it is dropped, answered or not: a caller
/// that hangs up drops the whole way while bytes may have left.
pub struct Outcomes<'x, 'w> {
    x: &'x Exchange<'w>,
    status: Cell<u16>,
    answered: Cell<Option<Instant>>,
}

impl<'x, 'w> Outcomes<'x, 'w> {
    pub fn new(x: &'x Exchange<'w>) -> Self {
        Self {
            x,
            status: Cell::new(0),
            answered: Cell::new(None),
        }
    }

    /// The answer broke off. Nothing of it counts, its status neither: what the region did is
    /// unknown.
    pub fn broken(&self) {
        self.status.set(0);
    }

    /// `at`: when the answer came, if that is known better than by when this is dropped.
    pub fn answered(&self, status: StatusCode, at: Option<Instant>) {
        self.status.set(status.as_u16());
        self.answered.set(at);
    }
}

impl Drop for Outcomes<'_, '_> {
    fn drop(&mut self) {
        self.x.worker.journal.outcome(OutcomeDraft {
            at: match self.answered.get() {
                Some(at) => self.x.time_at(at),
                None => clock::now(),
            },
            decision: self.x.decision,
            status: self.status.get(),
        });
    }
}
