//! Dry runs: what would be decided, what would be found. Nothing is stored, sent or logged.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::handlers::{problem, problem_with};
use crate::{
    classify::{
        ValueSource,
        evidence::{self, Evidence, Reading, weigh},
        form,
    },
    decide::{explain_with, mistakes},
    domain::Question,
    settings::Format,
    shared::{ReadyRoute, Shared},
};

/// `POST /v1/decisions:explain`: a question in, its answer out (docs/decision.md).
pub async fn explain(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejected) => return unreadable(&rejected),
    };
    let snapshot = shared.snapshot.load_full();
    let read =
        Question::from_json(&body).map_err(|e| ("the question cannot be read", e.to_string()));
    let answer = read.and_then(|question| {
        explain_with(&snapshot.checked, &question, Some(&snapshot.regions))
            .map_err(|faults| ("the question cannot be answered", faults.to_string()))
    });
    let (title, detail) = match answer {
        Ok(answer) => return Json(answer).into_response(),
        Err(told) => told,
    };
    let text = std::str::from_utf8(&body).unwrap_or_default();
    let all = mistakes(&snapshot.checked, text).unwrap_or_default();
    problem_with(
        StatusCode::BAD_REQUEST,
        "bad-question",
        title,
        &detail,
        &[("mistakes", json!(all))],
    )
}

/// 413 for a body over 2 MiB, axum's limit, which no question or record of a dry run needs.
pub fn unreadable(rejected: &BytesRejection) -> Response {
    problem(
        rejected.status(),
        "unreadable-body",
        "the body cannot be read",
        &rejected.body_text(),
    )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The route whose schema and sources are used; default: the first that reads records.
    route: Option<String>,
}

/// A form as the object that it means; anything else as it is.
fn as_record(route: &ReadyRoute, body: Bytes) -> Result<Bytes, form::FormFault> {
    match route.settings.format {
        Format::Form => form::as_json(&body).map(Bytes::from),
        _ => Ok(body),
    }
}

/// `POST /v1/records:classify?route=NAME`: what a record's body says, as kinds and places; no
/// value of the record is repeated.
pub async fn classify(
    State(shared): State<Arc<Shared>>,
    asked: Result<Query<Asked>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejected) => return unreadable(&rejected),
    };
    let bad = |name: &str, detail: &str| {
        problem(
            StatusCode::BAD_REQUEST,
            name,
            "the record cannot be classified",
            detail,
        )
    };
    let Ok(Query(asked)) = asked else {
        return bad("bad-query", "known is route=NAME");
    };
    let snapshot = shared.snapshot.load_full();
    let route = snapshot.routes.iter().find(|r| match &asked.route {
        Some(name) => *r.settings.name == **name,
        None => r.evidence_slots.iter().any(Option::is_some),
    });
    let Some(route) = route else {
        let known: Vec<&str> = snapshot
            .routes
            .iter()
            .map(|r| r.settings.name.as_ref())
            .collect();
        return bad(
            "no-such-route",
            &format!("the routes are {}", known.join(", ")),
        );
    };
    let body = match as_record(route, body) {
        Ok(body) => body,
        Err(fault) => return bad("malformed-form", &fault.to_string()),
    };
    let found = match route.schema.classify(&body) {
        Ok(found) => found,
        Err(fault) => return bad("malformed-record", &fault.to_string()),
    };
    let (seen, evidence) = read_evidence(route, &found);
    let standing = weigh(&evidence, route.settings.conflict).ok();
    let categories: Vec<&str> = found
        .categories
        .iter()
        .filter_map(|c| snapshot.checked.category_key(c))
        .map(AsRef::as_ref)
        .collect();
    Json(json!({
        "route": route.settings.name,
        "categories": categories,
        "unknown_fields": found.unknown_fields,
        "refused_field_under": found.refused.map(|part| route.schema.known_pointer(part)),
        "has_subject": route.subject_slot.is_some_and(|slot| found.first(slot).is_some()),
        "evidence": seen,
        "countries": standing.as_ref().map(|s| s.countries.to_vec()),
        "strongest": standing.as_ref().map(|s| s.strongest.as_str()),
    }))
    .into_response()
}

/// The evidence in the body, source by source.
fn read_evidence(
    route: &ReadyRoute,
    found: &crate::classify::schema::Classified<'_>,
) -> (Vec<Value>, Vec<Evidence>) {
    let (mut seen, mut evidence) = (Vec::new(), Vec::new());
    for (source, slot) in route.settings.country.iter().zip(&route.evidence_slots) {
        let (ValueSource::Body(_), Some(slot)) = (source, slot) else {
            continue;
        };
        for value in found.all(*slot) {
            let reading = evidence::read_value(&value);
            let note = match &reading {
                Reading::Country(place) => json!(place),
                Reading::Phone(country) | Reading::Identifier(country) | Reading::Weak(country) => {
                    json!(country.as_str())
                }
                Reading::Nothing => Value::Null,
                Reading::Unreadable => json!("unreadable"),
            };
            let one = evidence::evidence(source, reading);
            seen.push(json!({
                "source": source.to_string(),
                "kind": one.map(|e| e.kind.as_str()),
                "country": note,
            }));
            evidence.extend(one);
        }
    }
    (seen, evidence)
}
