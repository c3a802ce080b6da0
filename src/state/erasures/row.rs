//! One row of the table of open erasures.

use std::sync::Arc;

use jiff::Timestamp;

use super::{OpenErasure, RowId};
use crate::domain::{DecisionId, SubjectKey};

/// One record at one holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub region: Arc<str>,
    /// Keyed hash of the path.
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
    pub path: Option<Secretive>,
}

/// A path, which may hold an id: not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secretive(pub Box<str>);

impl std::fmt::Debug for Secretive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redacted")
    }
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

    /// Whether a write at `path`, of which `record` is the hash, brings back what this erases.
    pub fn is_overtaken(&self, path: &str, record: SubjectKey) -> bool {
        match &self.path {
            Some(own) => overlap(&own.0, path),
            None => self.record == record,
        }
    }
}

/// Whether one of the paths is the other or lies above it.
fn overlap(a: &str, b: &str) -> bool {
    let under = |long: &str, short: &str| {
        let rest = long.strip_prefix(short.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    under(a, b) || under(b, a)
}
