//! The register of consents over HTTP. Ids stand in bodies only and are hashed on arrival; they
//! are repeated in no answer, log or error.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{
    handlers::{problem, problem_with},
    person::{Body, key, namespace, read},
};
use crate::{
    clock,
    document::suggest,
    domain::{ConsentKind, Giver, Place},
    shared::{Shared, Snapshot, reloads::HANGS},
    state::{Filter, NewConsent, StateError, Withdrawal},
};

/// Destinations of one consent.
const DESTINATIONS: usize = 300;
/// Bytes of a purpose.
const PURPOSE: usize = 200;

/// Whose consent: the id as it stands in records, with the namespace of their routes; and what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    subject: String,
    #[serde(default = "namespace")]
    namespace: String,
    kind: ConsentKind,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    by: Giver,
    #[serde(default)]
    given: Option<Date>,
    #[serde(default)]
    occasional: bool,
    #[serde(default)]
    informed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    subject: String,
    #[serde(default = "namespace")]
    namespace: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdraw {
    subject: String,
    #[serde(default = "namespace")]
    namespace: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    kind: Option<ConsentKind>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    by: Option<Giver>,
    #[serde(default)]
    withdrawn: Option<Date>,
}

/// `POST /v1/consents`: 201 with the consent, which counts from this answer on.
pub async fn record(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let asked: Record = match read(body, bad) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let snapshot = shared.snapshot.load_full();
    if let Err(detail) = known(&snapshot, &asked) {
        return bad(&detail);
    }
    let key = match key(&shared, &snapshot, &asked.namespace, &asked.subject, bad) {
        Ok(key) => key,
        Err(refused) => return *refused,
    };
    let consent = NewConsent {
        kind: asked.kind,
        purpose: asked.purpose,
        to: asked.to,
        by: asked.by,
        given: asked.given,
        occasional: asked.occasional,
        informed: asked.informed,
    };
    if shared.consents.writing().hang().is_some() {
        return hangs();
    }
    blocking(move || {
        let record = shared.consents.record(key, consent, clock::now())?;
        Ok((StatusCode::CREATED, Json(json!({ "consent": record }))).into_response())
    })
    .await
}

/// `POST /v1/consents:query`: every consent of a person, withdrawn ones included, oldest first.
pub async fn query(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let asked: Ask = match read(body, bad) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let snapshot = shared.snapshot.load_full();
    let key = match key(&shared, &snapshot, &asked.namespace, &asked.subject, bad) {
        Ok(key) => key,
        Err(refused) => return *refused,
    };
    blocking(move || {
        let found = shared.consents.of(&key)?;
        Ok(Json(json!({ "consents": found })).into_response())
    })
    .await
}

/// `POST /v1/consents:withdraw`: ends the consents that fit, for the next request on.
pub async fn withdraw(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let asked: Withdraw = match read(body, bad) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let snapshot = shared.snapshot.load_full();
    let key = match key(&shared, &snapshot, &asked.namespace, &asked.subject, bad) {
        Ok(key) => key,
        Err(refused) => return *refused,
    };
    let which = Filter {
        id: asked.id,
        kind: asked.kind,
        purpose: asked.purpose,
        to: asked.to,
        by: asked.by,
    };
    if shared.consents.writing().hang().is_some() {
        return hangs();
    }
    let withdrawal = Withdrawal {
        at: clock::now(),
        // A day that has come somewhere has come: a withdrawal is never late.
        from: asked.withdrawn.filter(|day| *day > clock::last_today()),
    };
    blocking(move || {
        let done = shared.consents.withdraw(key, &which, withdrawal)?;
        if !done.fits {
            return Ok(problem_with(
                StatusCode::NOT_FOUND,
                "no-such-consent",
                "no consent on the register fits",
                "ask /v1/consents:query for what the person has consented to",
                &[("still_standing", json!(done.still_standing))],
            ));
        }
        let (withdrawn, still_standing) = (done.withdrawn, done.still_standing);
        let answer = json!({ "withdrawn": withdrawn, "still_standing": still_standing });
        Ok(Json(answer).into_response())
    })
    .await
}

/// Every destination must be a country or a recipient of the policy: a consent to nowhere known
/// would never count.
fn known(snapshot: &Snapshot, asked: &Record) -> Result<(), String> {
    if asked.to.len() > DESTINATIONS {
        return Err(format!("`to` names at most {DESTINATIONS} destinations"));
    }
    if asked
        .purpose
        .as_ref()
        .is_some_and(|p| p.is_empty() || p.len() > PURPOSE)
    {
        return Err(format!(
            "`purpose` has 1 to {PURPOSE} bytes; leave it out for any purpose"
        ));
    }
    let recipients = &snapshot.checked.organisation.recipients;
    for to in &asked.to {
        if to.parse::<Place>().is_ok() || snapshot.checked.recipient(to).is_some() {
            continue;
        }
        let hint = suggest(to, recipients.iter().map(|r| r.id.as_ref()))
            .map(|h| format!(" ({h})"))
            .unwrap_or_default();
        let short: String = to.chars().take(80).collect();
        return Err(format!(
            "`{short}` in `to` is neither a country nor a recipient of the organisation{hint}"
        ));
    }
    Ok(())
}

fn hangs() -> Response {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "register-hangs",
        "the register of consents does not answer",
        "the disk of `directory.path` does not answer. What was asked for may come to stand once it \
         does: ask /v1/consents:query then, and repeat what does not stand",
    )
}

fn bad(detail: &str) -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "bad-consent",
        "the request about consents cannot be read",
        detail,
    )
}

/// The register waits for the disk; other admin requests should not, and nobody for ever.
async fn blocking(
    work: impl FnOnce() -> Result<Response, StateError> + Send + 'static,
) -> Response {
    within(HANGS, work).await
}

async fn within(
    patience: Duration,
    work: impl FnOnce() -> Result<Response, StateError> + Send + 'static,
) -> Response {
    let Ok(done) = timeout(patience, tokio::task::spawn_blocking(work)).await else {
        return hangs();
    };
    match done {
        Ok(Ok(answer)) => answer,
        Ok(Err(error @ StateError::TooMany(_))) => problem(
            StatusCode::CONFLICT,
            "too-many-consents",
            "the person's part of the register is full",
            &error.to_string(),
        ),
        Ok(Err(error)) => {
            if !error.is_told() {
                tracing::error!(%error, "the register of consents cannot be used");
            }
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "register-unavailable",
                "the register of consents cannot be used",
                &error.to_string(),
            )
        }
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "register-unavailable",
            "the register of consents cannot be used",
            "see the log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_register_that_hangs_is_told_and_does_what_it_was_asked_for_later() {
        let (let_go, hangs) = mpsc::channel::<()>();
        let (done, late) = mpsc::channel();
        let answer = within(Duration::from_millis(20), move || {
            let _ = hangs.recv();
            done.send(()).unwrap();
            Ok(StatusCode::CREATED.into_response())
        })
        .await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 1 << 12)
            .await
            .unwrap();
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["type"], "urn:domicile:problem:register-hangs");
        drop(let_go);
        assert!(late.recv().is_ok());
    }

    #[tokio::test]
    async fn a_register_that_answers_is_waited_for() {
        let answer = within(Duration::from_secs(60), || {
            Ok(StatusCode::CREATED.into_response())
        })
        .await;
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
}
