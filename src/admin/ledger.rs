use std::{str::FromStr, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::handlers::problem;
use crate::{
    attest::{self, Entry},
    domain::DecisionId,
    shared::Shared,
};

/// Entries on one page at most.
const PAGE: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default, deserialize_with = "given")]
    after: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    limit: Option<usize>,
    #[serde(default, deserialize_with = "given")]
    decision: Option<String>,
}

/// `after=` without a value is as good as none.
pub(super) fn given<'de, D: Deserializer<'de>, T: FromStr>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let malformed = || D::Error::custom("the value cannot be read");
    text.parse().map(Some).map_err(|_| malformed())
}

/// `next`: the `after` of the next page, where there may be one.
#[derive(Debug, Serialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<u64>,
}

/// `GET /v1/ledger?after=&limit=&decision=` → `{entries, next}`.
pub async fn page(
    State(shared): State<Arc<Shared>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let bad = |detail: &str| {
        problem(
            StatusCode::BAD_REQUEST,
            "bad-query",
            "the query cannot be read",
            detail,
        )
    };
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(_) => return bad("known are after=NUMBER, limit=NUMBER and decision=ID"),
    };
    let decision = match asked.decision.as_deref().map(DecisionId::parse) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => return bad("decision is the id that Domicile-Decision gives"),
    };
    let limit = asked.limit.unwrap_or(100).min(PAGE);
    if limit == 0 {
        return bad("limit is a number from 1 on; pages have at most 10000 entries");
    }
    let folder = shared.snapshot.load().settings.ledger.clone();
    // What is answered must include what was decided before the question.
    let _ = shared.journal.flush().await;
    let after = asked.after.unwrap_or(0);
    let read = tokio::task::spawn_blocking(move || attest::read(&folder, after, limit, decision));
    match read.await {
        Ok(Ok((entries, next))) => Json(Page { entries, next }).into_response(),
        Ok(Err(error)) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger-unavailable",
            "the ledger cannot be read",
            &error.to_string(),
        ),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ledger-unavailable",
            "the ledger cannot be read",
            "see the log",
        ),
    }
}
