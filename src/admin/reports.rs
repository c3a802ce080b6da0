//! Reports from the ledger over HTTP: the JSON of `domicile report`, a bounded part of the ledger
//! at a time, so that neither the router nor other admin pages wait for a long one.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    handlers::problem,
    ledger::given,
    person::{Body, key, namespace, read},
};
use crate::{
    clock,
    domain::SubjectKey,
    report::{
        Asked, Citations, Region, Register, ReportError, Scope, Span, Subject, Transfers, Who,
    },
    shared::Shared,
};

/// One ledger is read at a time; others wait their turn.
static READER: Semaphore = Semaphore::const_new(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    #[serde(default, deserialize_with = "given")]
    since: Option<String>,
    #[serde(default, deserialize_with = "given")]
    until: Option<String>,
    #[serde(default, deserialize_with = "given")]
    zone: Option<String>,
    #[serde(default, deserialize_with = "given")]
    region: Option<String>,
    #[serde(default, deserialize_with = "given")]
    law: Option<String>,
    #[serde(default, deserialize_with = "given")]
    instrument: Option<String>,
    #[serde(default, deserialize_with = "given")]
    all: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    after: Option<u64>,
}

/// `GET /v1/transfers?since=&until=&…`: what crossed which border, on what ground.
pub async fn transfers(
    State(shared): State<Arc<Shared>>,
    asked: Result<Query<Given>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = asked else {
        return bad(
            "known are since=TIME, until=TIME, zone=ZONE, region=REGION, law=LAW, instrument=ID, all=true and after=NUMBER",
        );
    };
    let span = Span::new(
        clock::now(),
        asked.since.as_deref(),
        asked.until.as_deref(),
        asked.zone.as_deref(),
    );
    let span = match span {
        Ok(span) => span,
        Err(error) => return bad(&error.to_string()),
    };
    let after = asked.after.unwrap_or(0);
    let snapshot = shared.snapshot.load_full();
    let region = asked.region.as_deref();
    let asked = Asked {
        span,
        region: region.map(|name| Region::of(&snapshot.settings, name)),
        law: asked.law,
        instrument: asked.instrument,
        all: asked.all.unwrap_or(false),
    };
    reading(&shared, move |_| {
        let folder = &snapshot.settings.ledger;
        let report = Transfers::read(folder, asked, &Scope::page(after))?;
        Ok(report.json(&Citations::of(&snapshot.checked)))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    #[serde(alias = "id")]
    subject: String,
    #[serde(default = "namespace")]
    namespace: String,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    after: u64,
}

/// `POST /v1/subjects:report`: every region, recipient, mechanism and instrument that a person's
/// data met, and where the directory says that it lies now.
pub async fn subject(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let asked: Whose = match read(body, bad_question) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let snapshot = shared.snapshot.load_full();
    let (namespace, id) = (&asked.namespace, &asked.subject);
    let key = match key(&shared, &snapshot, namespace, id, bad_question) {
        Ok(key) => key,
        Err(refused) => return *refused,
    };
    let times = [&asked.since, &asked.until, &asked.zone].map(|text| text.as_deref());
    let [since, until, zone] = times;
    let span = match Span::new(clock::now(), since, until, zone) {
        Ok(span) => span,
        Err(error) => return bad_question(&error.to_string()),
    };
    let who = Who {
        key,
        namespace: Some(asked.namespace),
    };
    reading(&shared, move |shared| {
        let folder = &snapshot.settings.ledger;
        let report = Subject::read(folder, vec![who], span, &Scope::page(asked.after))?;
        let policy = &snapshot.checked;
        let mut told = report.json(&Citations::of(policy), &Register::of(policy));
        if let Some(members) = told.as_object_mut() {
            members.insert("pinned".to_owned(), pinned(shared, &key));
        }
        Ok(told)
    })
    .await
}

/// What the directory knows, imported homes included; null for nobody.
fn pinned(shared: &Shared, key: &SubjectKey) -> Value {
    match shared.directory.lookup(key) {
        Ok(None) => Value::Null,
        Ok(Some(pin)) => json!({ "region": pin.region, "held_in": pin.held_in.as_slice() }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn bad_question(detail: &str) -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "bad-question",
        "the question about a person cannot be read",
        detail,
    )
}

/// Beside the admin listener's thread; what was decided before the question is in the answer.
async fn reading(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<Value, ReportError> + Send + 'static,
) -> Response {
    // Never closed.
    let turn = READER.acquire().await;
    let _ = shared.journal.flush().await;
    let shared = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || {
        // The turn lasts as long as the work, whether or not somebody still waits for it.
        let _turn = turn;
        work(&shared)
    });
    match read.await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(ReportError::Ledger(error))) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger-unavailable",
            "the ledger cannot be read",
            &error.to_string(),
        ),
        Ok(Err(error)) => problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "report-too-large",
            "the report would be too large",
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

fn bad(detail: &str) -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "bad-query",
        "the query cannot be read",
        detail,
    )
}
