//! What one record, or many alike, came to.

use serde::Serialize;

use crate::domain::{
    CategorySet, EvidenceKind, EvidenceSet, Missing, Outcome as Verdict, RegionId,
};

/// What is judged of a record that could be read.
#[derive(Debug)]
pub struct Outcome {
    pub evidence: EvidenceSet,
    /// In the record itself, in the route's order.
    pub strongest: Option<EvidenceKind>,
    pub categories: CategorySet,
    pub fate: Fate,
}

#[derive(Debug)]
pub enum Fate {
    NoHome(Reason),
    Judged(Judged),
}

/// Why a record has no home, or a line is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reason {
    /// As the router's problem would be called.
    pub reason: &'static str,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation: Option<String>,
}

/// A record with a home: what policy says of where it lies or, where nothing says that, of storing
/// it at home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    pub home: String,
    #[serde(skip)]
    pub home_id: RegionId,
    /// That govern the flow.
    pub laws: Vec<String>,
    /// It lies elsewhere than at home, or than where the directory knows a copy that may lie there.
    pub wrong_place: bool,
    pub outcome: Verdict,
    pub rule: Option<String>,
    pub citation: Option<String>,
    pub mechanism: Option<String>,
    pub module: Option<u8>,
    pub instrument: Option<String>,
    pub missing: Vec<Missing>,
}

impl Outcome {
    pub fn home(&self) -> Option<RegionId> {
        match &self.fate {
            Fate::NoHome(_) => None,
            Fate::Judged(judged) => Some(judged.home_id),
        }
    }
}

impl Judged {
    pub fn is_permitted(&self) -> bool {
        self.outcome == Verdict::Permit
    }
}

impl Reason {
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            rule: None,
            citation: None,
        }
    }
}
