//! The problem document of a reason.

use super::Refused;
use crate::{domain::DecisionId, problem::Problem};

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
