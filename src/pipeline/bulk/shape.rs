//! Refusals of whole requests in the shape of Elasticsearch's errors, which its clients read, and no
//! other media type; the members of the problem document stand beside.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{answer::error_type, send::PRODUCT};
use crate::{
    message::{Field, Parts, Response},
    pipeline::Content,
    shared::Snapshot,
};

/// For whom refusals have this shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A client of Elastic's, which reads no other, whatever it asks the router for.
    Elastic,
    /// Another one that uses a bulk route's path, whatever else its request is like.
    Bulk,
}

/// `None`: a problem document is what is read. Routers without bulk routes look at nothing.
pub fn reader(snapshot: &Snapshot, parts: &Parts) -> Option<Reader> {
    let routes = snapshot.routes.iter().map(|r| &r.settings);
    let mut bulks = routes.filter(|r| r.bulk.is_some()).peekable();
    bulks.peek()?;
    if asks_elastic(parts) {
        return Some(Reader::Elastic);
    }
    let path = parts.uri.path();
    let takes = bulks.any(|r| r.path.capture(r.matched(path)).is_some());
    takes.then_some(Reader::Bulk)
}

/// Whether the caller is a client that takes answers from Elasticsearch alone: where no region was
/// asked, none could say so.
pub fn asks_elastic(parts: &Parts) -> bool {
    let vendor = |name| {
        let values = parts.headers.get_all(name);
        values
            .filter_map(|v| v.to_str().ok())
            .any(|v| v.contains("application/vnd.elasticsearch+"))
    };
    parts.headers.contains_key("x-elastic-client-meta")
        || vendor(Field::Accept)
        || vendor(Field::ContentType)
}

/// Puts a problem document into Elasticsearch's shape. Anything else stays as it is.
pub fn shape(mut answer: Response<Content>, reader: Reader) -> Response<Content> {
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
    let fields = answer.headers_mut();
    fields.insert(Field::ContentType, "application/json");
    if reader == Reader::Elastic {
        fields.insert(PRODUCT, "Elasticsearch");
    }
    answer
}
