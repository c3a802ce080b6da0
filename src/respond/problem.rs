//! The problem document (RFC 9457).

use http::StatusCode;
use serde::Serialize;

use super::Refused;
use crate::domain::{DecisionId, FlowEnd, Missing};

/// A problem document's members (RFC 9457 §3), ours included.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub status: u16,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<FlowEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<FlowEnd>,
    /// In a 451 always there: empty where nothing could have permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Missing>>,
    /// Pointers of the fields that a recipient may not get; never a value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Regions that still hold what should be erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<String>,
}

impl Problem {
    /// What every problem says; `name` ends the URN.
    pub fn new(status: StatusCode, name: &str, title: &'static str, detail: String) -> Self {
        Self {
            kind: format!("urn:domicile:problem:{name}"),
            title,
            status: status.as_u16(),
            detail,
            decision: None,
            region: None,
            rule: None,
            citation: None,
            from: None,
            to: None,
            missing: None,
            fields: Vec::new(),
            unreached: Vec::new(),
        }
    }
}

impl Refused {
    /// The document, without touching the connection.
    pub fn problem(&self, decision: Option<DecisionId>) -> Problem {
        let facts = self.facts();
        let forbidden = match self {
            Self::Forbidden(forbidden) => Some(forbidden),
            _ => None,
        };
        Problem {
            decision,
            region: self.region().map(str::to_owned),
            rule: forbidden.and_then(|f| f.rule.clone()),
            citation: forbidden.and_then(|f| f.citation.clone()),
            from: forbidden.and_then(|f| f.from.clone()),
            to: forbidden.and_then(|f| f.to.clone()),
            missing: forbidden.map(|f| f.missing.clone()),
            fields: forbidden.map(|f| f.unlisted.clone()).unwrap_or_default(),
            unreached: match self {
                Self::ErasureOpen { unreached, .. } => unreached.clone(),
                _ => Vec::new(),
            },
            ..Problem::new(
                facts.status,
                facts.name,
                facts.title,
                facts.detail.into_owned(),
            )
        }
    }
}
