//! One request: which of the store's few things it asks for, and the answer.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::Shared;
use super::answer::{self, Answer, Problem};

/// Answers any request. Dropping the future abandons the request; a write that reached the writer
/// is still done.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Answer {
    let head_only = request.method() == Method::HEAD;
    let mut answer = respond(shared, request)
        .await
        .unwrap_or_else(Problem::answer);
    if head_only {
        answer = answer::without_body(answer);
    }
    answer
        .headers_mut()
        .insert("domicile-store", shared.region.clone());
    answer
}

async fn respond(_shared: &Shared, request: Request<Incoming>) -> Result<Answer, Problem> {
    if request.uri().path() == "/-/health" {
        return Ok(answer::whole(StatusCode::OK, "text/plain", "ok\n"));
    }
    Err(Problem::NotFound)
}
