//! `GET /v1/policy/matrix`: what `policy matrix` says of the policy in force.
//!
//! It takes seconds of processor time, so it is worked out once for each policy in force and each
//! question, one at a time, by a thread of its own that gives way to the workers.

use std::{sync::Arc, thread};

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, oneshot};

use super::handlers::problem;
use crate::{
    domain::Place,
    prove::matrix::{Asked, Matrix},
    shared::{Shared, Snapshot},
};

/// Answers that are kept: one console asks for a few operations.
const KEPT: usize = 16;

/// What was worked out under the policy in force.
#[derive(Default)]
struct Worked {
    /// Of the snapshot.
    generation: u64,
    answers: Vec<(Asked, Arc<str>)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Questioned {
    operation: Option<String>,
    categories: Option<String>,
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    matrix: Matrix,
    /// Until when it stays so, if nobody changes the policy.
    until: Option<Timestamp>,
    location: Seat<'a>,
    regions: Vec<Value>,
}

#[derive(Serialize)]
struct Seat<'a> {
    country: Place,
    entity: &'a str,
}

pub fn page() -> MethodRouter<Arc<Shared>> {
    get(answer).layer(Extension(Arc::new(Mutex::new(Worked::default()))))
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(worked): Extension<Arc<Mutex<Worked>>>,
    asked: Result<Query<Questioned>, QueryRejection>,
) -> Response {
    let bad = |detail: &str| {
        problem(
            StatusCode::BAD_REQUEST,
            "bad-query",
            "the query cannot be read",
            detail,
        )
    };
    let Ok(Query(asked)) = asked else {
        return bad("known are operation=OPERATION and categories=KEYS, with commas between them");
    };
    let word = |given: Option<String>, default: &str| {
        let given = given.filter(|text| !text.is_empty());
        given.unwrap_or_else(|| default.to_owned())
    };
    let operation = word(asked.operation, "read");
    let categories = word(asked.categories, "user");
    let categories = categories.split(',').map(|key| key.trim().to_owned());
    // One at a time; who comes with the same question meanwhile finds the answer.
    let mut worked = worked.lock_owned().await;
    let snapshot = shared.snapshot.load_full();
    let asked = match Asked::new(&snapshot.checked, &operation, categories.collect()) {
        Ok(asked) => asked,
        Err(why) => return bad(&why),
    };
    if worked.generation != snapshot.generation {
        worked.generation = snapshot.generation;
        worked.answers.clear();
    }
    let known = worked.answers.iter().find(|(a, _)| *a == asked);
    if let Some((_, text)) = known {
        return as_json(text);
    }
    // By a task that keeps the lock: else whoever hangs up and asks anew would have a thread more.
    let work = tokio::spawn(async move {
        let text = work_out(snapshot, asked.clone()).await?;
        if worked.answers.len() >= KEPT {
            worked.answers.remove(0);
        }
        worked.answers.push((asked, Arc::clone(&text)));
        Some(text)
    });
    match work.await {
        Ok(Some(text)) => as_json(&text),
        Ok(None) | Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "matrix",
            "the matrix cannot be worked out",
            "see the log",
        ),
    }
}

fn as_json(text: &Arc<str>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, text.to_string()).into_response()
}

async fn work_out(snapshot: Arc<Snapshot>, asked: Asked) -> Option<Arc<str>> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // On Linux that of this thread alone. If it fails, the workers have as much more to share.
        let _ = rustix::process::nice(19);
        let _ = tell.send(text(&snapshot, &asked));
    };
    let started = thread::Builder::new().name("matrix".into()).spawn(work);
    if let Err(error) = started {
        tracing::error!(%error, "no thread for the matrix");
        return None;
    }
    told.await.ok().flatten()
}

fn text(snapshot: &Snapshot, asked: &Asked) -> Option<Arc<str>> {
    let matrix = Matrix::alone(&snapshot.policy, asked);
    let entity = snapshot.checked.entity_id(snapshot.location_entity);
    let regions = snapshot.settings.regions.iter();
    let page = Page {
        matrix,
        until: snapshot.policy.next_boundary(),
        location: Seat {
            country: snapshot.location,
            entity,
        },
        regions: regions
            .map(|r| json!({ "name": r.name, "country": r.place, "entity": r.entity }))
            .collect(),
    };
    let text = serde_json::to_string(&page);
    text.map(Arc::from).ok()
}
