use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::handlers::problem;
use crate::{attest, domain::DecisionId, router::Shared};

/// Entries on one page at most.
const PAGE: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    decision: Option<String>,
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
    let limit = asked.limit.unwrap_or(100).clamp(1, PAGE);
    let folder = shared.snapshot.load().settings.ledger.clone();
    // What is answered must include what was decided before the question.
    let _ = shared.journal.flush().await;
    let read =
        tokio::task::spawn_blocking(move || attest::read(&folder, asked.after, limit, decision));
    match read.await {
        Ok(Ok((entries, next))) => {
            Json(json!({ "entries": entries, "next": next })).into_response()
        }
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
