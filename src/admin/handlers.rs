use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    forward::{EndpointReport, EndpointState},
    router::keeper,
    shared::{Shared, reloads::HANGS},
};

/// A problem document (RFC 9457).
pub fn problem(status: StatusCode, name: &str, title: &str, detail: &str) -> Response {
    problem_with(status, name, title, detail, &[])
}

/// A problem with members of its own (RFC 9457, 3.2).
pub fn problem_with(
    status: StatusCode,
    name: &str,
    title: &str,
    detail: &str,
    more: &[(&str, serde_json::Value)],
) -> Response {
    let mut body = json!({
        "type": format!("urn:domicile:problem:{name}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    if let Some(members) = body.as_object_mut() {
        members.extend(more.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    }
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body.to_string() + "\n",
    )
        .into_response()
}

/// The process runs; nothing else is asked.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// 200 when requests would be taken: ledger, directory and counters can be written and the router is
/// not stopping. A refused reload, a region that is down, or a register of consents or log of
/// erasures that cannot be written does not make it unready, but stands in the detail: all other
/// requests are served.
pub async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let ledger = shared.journal.status();
    let directory = shared.directory.status();
    let counters = shared.counters.status();
    let draining = shared.draining.load(Ordering::Relaxed);
    let faults = shared.refused.load_full();
    let reload = match () {
        () if shared.reloads.hang().is_some() => "hangs",
        () if !faults.is_empty() => "refused",
        () => "ok",
    };
    let health = shared.health.load();
    let snapshot = shared.snapshot.load();
    let regions: serde_json::Map<String, Value> = snapshot
        .regions
        .iter()
        .map(|(_, r)| {
            let up = health.is_region_up(&r.name).unwrap_or(true);
            (
                r.name.to_string(),
                Value::from(if up { "up" } else { "failing" }),
            )
        })
        .collect();
    let ready = is_ready(&shared);
    let body = json!({
        "ready": ready,
        "draining": draining,
        "policy": snapshot.checked.digest().to_string(),
        "settings": snapshot.settings_digest.to_string(),
        "ledger": ledger.error.as_deref().unwrap_or("ok"),
        "directory": directory.error.as_deref().unwrap_or("ok"),
        "counters": counters.error.as_deref().unwrap_or("ok"),
        "consents": shared.consents.trouble().as_deref().unwrap_or("ok"),
        "erasures": shared.erasures.trouble().as_deref().unwrap_or("ok"),
        "reload": reload,
        "faults": *faults,
        "files_behind": snapshot.watched.behind(),
        "regions": regions,
    });
    (status_of(ready), Json(body)).into_response()
}

/// As [`readyz`], for whoever may ask without a token: the status, and `ready` alone.
pub async fn readyz_in_brief(State(shared): State<Arc<Shared>>) -> Response {
    let ready = is_ready(&shared);
    (status_of(ready), Json(json!({ "ready": ready }))).into_response()
}

fn is_ready(shared: &Shared) -> bool {
    !shared.draining.load(Ordering::Relaxed)
        && shared.journal.status().error.is_none()
        && shared.directory.status().error.is_none()
        && shared.counters.status().error.is_none()
}

fn status_of(ready: bool) -> StatusCode {
    match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    keeper::gauges(&shared);
    match shared.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics",
            "the metrics cannot be written",
            &error.to_string(),
        ),
    }
}

pub async fn version(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let snapshot = shared.snapshot.load();
    let observe_to = snapshot.observe_to.map(|to| snapshot.regions.name(to));
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "mode": if observe_to.is_some() { "observe" } else { "enforce" },
        "observe_to": observe_to,
        "policy": snapshot.checked.digest().to_string(),
        "settings": snapshot.settings_digest.to_string(),
        "location": {
            "country": snapshot.location,
            "entity": snapshot.checked.entity_id(snapshot.location_entity),
        },
    }))
}

/// 200 when the files are in force now, 422 with every fault when older ones stay, though it were
/// those of one listener's certificate alone. 503 where they are not read within ten seconds; what is
/// asked for is done once they can be.
pub async fn reload(State(shared): State<Arc<Shared>>) -> Response {
    shared.reopen_logs();
    let report = shared.reloads.ask_for_report();
    let patience = match shared.reloads.hang() {
        None => HANGS,
        Some(_) => Duration::ZERO,
    };
    match tokio::time::timeout(patience, report).await {
        Ok(Ok(report)) if !report.is_whole() => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(report)).into_response()
        }
        Ok(Ok(report)) => Json(report).into_response(),
        Err(_) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "reload-hangs",
            "the files cannot be read",
            "a disk or volume with settings, policies, certificates or the GeoIP database does not \
             answer; what was in force stays, and the reload follows once it does",
        ),
        Ok(Err(_)) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "reload",
            "the reload did not end",
            "the old policy is in force; see the log",
        ),
    }
}

pub async fn regions(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let snapshot = shared.snapshot.load();
    let health = shared.health.load();
    let reports = health.report();
    let regions: Vec<Value> = snapshot
        .settings
        .regions
        .iter()
        .map(|r| {
            json!({
                "name": r.name,
                "country": r.place,
                "entity": r.entity,
                "endpoints": r.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "up": health.is_region_up(&r.name).unwrap_or(true),
                "health": reports.iter().filter(|e| e.region == r.name).map(endpoint).collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({ "regions": regions }))
}

/// One server: whether requests go there, and what active checks say.
fn endpoint(report: &EndpointReport) -> Value {
    json!({
        "endpoint": report.endpoint,
        "state": match report.state {
            EndpointState::Healthy => "up",
            EndpointState::Ejected { .. } => "aside",
            EndpointState::Due => "on-trial",
        },
        "failures_in_a_row": report.failures_in_a_row,
        "checks": report.checked.map(|good| if good { "passing" } else { "failing" }),
    })
}

/// What is still to be erased, by the keys of its subjects.
pub async fn erasures(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "erasures": shared.erasures.list() }))
}

/// What there is, told to whoever asks for something else.
const PAGES: &str = "the pages are /livez, /readyz and, on the admin listener alone, / (the console), \
     /metrics, /version, /v1/ledger, /v1/transfers, /v1/policy/matrix, /v1/regions, /v1/instruments, \
     /v1/instruments/ID, /v1/erasures, and by POST /v1/subjects:report, /v1/consents, /v1/consents:query, \
     /v1/consents:withdraw, /v1/decisions:explain, /v1/records:classify and /-/reload; \
     docs/admin-api.md describes them";

pub async fn nothing_here() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "no-such-page",
        "this listener has no such page",
        PAGES,
    )
}

pub async fn wrong_method() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this page does not take this method",
        "dry runs, consents, reports of a person and reload are POST, everything else is GET",
    )
}
