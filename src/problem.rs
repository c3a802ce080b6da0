//! The problem document (RFC 9457), and what the head of every answer that has one says.
//!
//! [`respond`](crate::respond) makes one of each reason. Below it are those whom nobody asks for a
//! reason: connections that are not let in, and heads that cannot be read.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use crate::{
    domain::{DecisionId, FlowEnd, Missing},
    message::{Field, Fields},
};

/// How long a caller should wait before it tries a 503 again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// RFC 9209 §2.3: what was asked cannot be read, or in two ways.
pub const REQUEST_ERROR: &str = "http_request_error";

/// What the head of an answer with a problem document says, whatever the problem.
pub fn head(status: StatusCode, fields: &mut Fields) {
    fields.insert(Field::ContentType, "application/problem+json");
    fields.insert(Field::CacheControl, "no-store");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(Field::RetryAfter, RETRY_AFTER.as_secs().to_string());
    }
}

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
