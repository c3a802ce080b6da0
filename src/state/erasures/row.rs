//! One row of the table of open erasures.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Address, OpenErasure, Overtaken, RowId};
use crate::domain::{DecisionId, SubjectKey};

/// One record at one holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub region: Arc<str>,
    /// Keyed hash of path and query.
    pub record: SubjectKey,
    pub decision: DecisionId,
    pub route: Arc<str>,
    pub since: Timestamp,
    /// The subject's pin goes when all its rows are confirmed.
    pub ends_pin: bool,
    pub stage: Stage,
    /// The rule that refused another try.
    pub refused: Option<Arc<str>>,
    /// In memory alone; `None` after a restart.
    pub address: Option<Arc<Address>>,
    /// Earlier rows of the same record, the oldest first, until it is known that this one counts.
    pub displaced: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The caller's own request is under way.
    First,
    Retrying,
    /// Nobody tries any more: the caller must repeat the request.
    Repeat,
    /// Gone there; the row waits for the others of its subject, whose pin is to end.
    Confirmed,
}

impl Row {
    pub fn is(&self, id: &RowId) -> bool {
        self.region == id.region && self.record == id.record && self.decision == id.decision
    }

    /// The word for what is open.
    pub fn state(&self) -> Option<&'static str> {
        match self.stage {
            Stage::First | Stage::Confirmed => None,
            Stage::Retrying => Some("retrying"),
            Stage::Repeat => Some("repeat"),
        }
    }

    pub fn listed(&self, subject: SubjectKey) -> Option<OpenErasure> {
        Some(OpenErasure {
            subject,
            route: Arc::clone(&self.route),
            region: Arc::clone(&self.region),
            since: self.since,
            decision: self.decision,
            state: self.state()?,
            refused: self.refused.clone(),
        })
    }

    /// Whether a write at `by` brings back what this erases.
    pub fn overtaken(&self, by: &Address) -> Overtaken {
        match &self.address {
            Some(own) => own.overtaken(by),
            None => by.overtakes(self.record),
        }
    }
}
