//! Pages of the admin interface that a later version fills. Asking for one is a clear 'not yet',
//! so that nobody takes its absence for an empty register.

use axum::{Router, http::StatusCode, response::Response, routing::any};

use super::handlers::problem;

const LATER: [&str; 2] = [
    // The console.
    "/",
    "/v1/policy/matrix",
];

pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    LATER.into_iter().fold(Router::new(), |router, page| {
        router.route(page, any(not_yet))
    })
}

async fn not_yet() -> Response {
    problem(
        StatusCode::NOT_IMPLEMENTED,
        "not-yet",
        "this page is not there yet",
        "CHANGELOG.md says what this version does",
    )
}
