//! The register of instruments: who signed what with whom, until when, and where a copy is had.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::handlers::problem;
use crate::{
    policy::{Checked, EntityId},
    shared::Shared,
};

/// `GET /v1/instruments`.
pub async fn all(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let snapshot = shared.snapshot.load();
    let all: Vec<Value> = snapshot
        .checked
        .instruments()
        .map(|(_, i)| i.register_entry(&snapshot.checked))
        .collect();
    Json(json!({ "instruments": all }))
}

/// `GET /v1/instruments/{id}`: its entry, who its parties are, and the page that tells its use.
pub async fn one(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let snapshot = shared.snapshot.load();
    let policy = &snapshot.checked;
    let Some((_, instrument)) = policy.instruments().find(|(_, i)| *i.id == *id) else {
        return problem(
            StatusCode::NOT_FOUND,
            "no-such-instrument",
            "the organisation's file names no such instrument",
            "/v1/instruments lists those in the file; how one of earlier days was used stands in the ledger, \
             under its id: /v1/transfers?instrument=ID",
        );
    };
    let parties =
        |ids: &[EntityId]| -> Vec<Value> { ids.iter().map(|e| party(policy, *e)).collect() };
    let mut entry = instrument.register_entry(policy);
    if let Some(members) = entry.as_object_mut() {
        let (exporters, importers) = (&instrument.exporters, &instrument.importers);
        let more = [
            ("exporters", json!(parties(exporters))),
            ("importers", json!(parties(importers))),
            (
                "transfers",
                json!(format!("/v1/transfers?instrument={}", encoded(&id))),
            ),
        ];
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Json(entry).into_response()
}

fn party(policy: &Checked, id: EntityId) -> Value {
    let country = policy.entity_info(id).map(|entity| entity.place);
    json!({ "entity": policy.entity_id(id), "country": country })
}

/// For a query (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
