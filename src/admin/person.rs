//! Bodies that name a person. Ids stand in bodies only and are hashed on arrival; they are repeated
//! in no answer, log or error.

use axum::{body::Bytes, extract::rejection::BytesRejection, response::Response};
use serde::de::DeserializeOwned;

use super::try_out::unreadable;
use crate::{
    domain::SubjectKey,
    shared::{Shared, Snapshot},
};

pub type Body = Result<Bytes, BytesRejection>;

/// How a page says what is wrong with a body: a 400.
pub type Bad = fn(&str) -> Response;

/// Where a body names none.
pub fn namespace() -> String {
    "person".to_owned()
}

/// Reads a body. What serde says of one may repeat a value of it, so only the place is told.
pub fn read<T: DeserializeOwned>(body: Body, bad: Bad) -> Result<T, Box<Response>> {
    let body = body.map_err(|rejected| Box::new(unreadable(&rejected)))?;
    // serde would take an array for the members in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Box::new(bad("it is not one JSON object")));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => {
                "a member is missing, unknown or of the wrong kind; see docs/admin-api.md"
            }
            _ => "it is not one JSON object",
        };
        let (line, column) = (error.line(), error.column());
        Box::new(bad(&format!("line {line}, column {column}: {what}")))
    })
}

/// The key of an id as it stands in records, under a namespace of the routes.
pub fn key(
    shared: &Shared,
    snapshot: &Snapshot,
    namespace: &str,
    subject: &str,
    bad: Bad,
) -> Result<SubjectKey, Box<Response>> {
    if subject.is_empty() {
        return Err(Box::new(bad(
            "`subject` is the person's id in the records, and not empty",
        )));
    }
    let mut namespaces: Vec<&str> = snapshot
        .routes
        .iter()
        .map(|r| r.settings.namespace.as_ref())
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    if !namespaces.contains(&namespace) {
        // Nothing that is known under a mistyped namespace is ever found by a request.
        return Err(Box::new(bad(&format!(
            "no route has this `namespace`; the routes have {}",
            namespaces.join(", ")
        ))));
    }
    Ok(shared.hasher.key(namespace, subject.as_bytes()))
}
