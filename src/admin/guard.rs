//! Who may use the admin listener: on loopback everybody on the machine, with a token its bearer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::handlers::problem;
use crate::router::Shared;

pub async fn token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let settings = Arc::clone(&shared.snapshot.load().settings);
    let Some(token) = &settings.admin.token else {
        return next.run(request).await;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, given)| given.trim());
    if given.is_some_and(|g| equal(g.as_bytes(), token.reveal())) {
        return next.run(request).await;
    }
    let mut refused = problem(
        StatusCode::UNAUTHORIZED,
        "admin-token",
        "the admin listener asks for its token",
        "send Authorization: Bearer with the token of admin.token_file",
    )
    .into_response();
    refused
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

/// In constant time: hashes of both are compared, so that time tells nothing of the token.
fn equal(a: &[u8], b: &[u8]) -> bool {
    blake3::hash(a) == blake3::hash(b)
}
