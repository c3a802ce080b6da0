//! Refusals of whole requests in the shape of Elasticsearch's errors, which its clients read; the
//! members of the problem document stand beside.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::error_type;
use crate::{
    message::{Field, Response},
    pipeline::Content,
    router::Snapshot,
};

/// Whether a path is one of a bulk route, whatever else a request for it is like.
pub fn takes(snapshot: &Snapshot, path: &str) -> bool {
    let mut routes = snapshot.routes.iter().map(|r| &r.settings);
    routes.any(|r| r.bulk.is_some() && r.path.capture(r.matched(path)).is_some())
}

/// Puts a problem document into Elasticsearch's shape. Anything else stays as it is.
pub fn shape(mut answer: Response<Content>) -> Response<Content> {
    let Content::Whole(text) = answer.body() else {
        return answer;
    };
    let Ok(problem) = serde_json::from_slice::<Map<String, Value>>(text) else {
        return answer;
    };
    let text = |name: &str| {
        problem
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let name = text("type").rsplit(':').next().unwrap_or_default();
    // Where the reference implementation has a word of its own for it, clients may know that.
    let kind = match name {
        "malformed-bulk" | "bad-parameter" => "illegal_argument_exception".to_owned(),
        "body-too-large" | "too-many-items" => "content_too_long_exception".to_owned(),
        other => error_type(other),
    };
    let reason = format!("{}: {}", text("title"), text("detail"));
    let cause = json!({ "type": kind, "reason": reason });
    let mut shaped = Map::new();
    shaped.insert(
        "error".to_owned(),
        json!({ "root_cause": [cause], "type": kind, "reason": reason }),
    );
    shaped.extend(problem);
    let mut text = Value::from(shaped).to_string();
    text.push('\n');
    *answer.body_mut() = Content::Whole(Bytes::from(text));
    answer
        .headers_mut()
        .insert(Field::ContentType, "application/json");
    answer
}
