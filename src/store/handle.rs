//! One request: which of the store's few things it asks for, and the answer.

use std::io::ErrorKind;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, EXPECT, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::answer::{self, Answer, AnswerBody, Problem};
use super::intake::{Intake, Taken};
use super::path::{self, Place};
use super::record::{Content, Kind, Tag, essence};
use super::writer::{Change, Outcome};
use super::{Shared, batch, database};

const COLLECTION_METHODS: &str = "GET, HEAD, POST";
const DOCUMENT_METHODS: &str = "GET, HEAD, PUT, PATCH, DELETE, POST";
/// A page of a listing, when not asked for less.
const PAGE: usize = 1000;
/// Work over this many bytes leaves the store's one thread of requests.
const LONG_WORK: usize = 256 << 10;

/// Answers any request. Dropping the future abandons the request; a write that reached the writer
/// is still done.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Answer {
    let (parts, mut body) = request.into_parts();
    let mut answer = match respond(shared, &parts, &mut body).await {
        Ok(answer) => answer,
        Err(problem) => {
            // A peer that waits for `100 Continue` sends nothing, and HTTP/2 can end a stream.
            let sending = parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT);
            if sending && !body.is_end_stream() && problem != Problem::Stalled {
                intake(shared, &mut body).drain().await;
            }
            problem.answer()
        }
    };
    if parts.method == Method::HEAD {
        answer = answer::without_body(answer);
    }
    answer
        .headers_mut()
        .insert("domicile-store", shared.region.clone());
    answer
}

async fn respond(shared: &Shared, parts: &Parts, body: &mut Incoming) -> Result<Answer, Problem> {
    let place = Place::parse(parts.uri.path())?;
    let query = parts.uri.query().unwrap_or_default();
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if place.reserved() {
        return match place.key.as_str() {
            "/-/health" if reads => Ok(answer::whole(StatusCode::OK, "text/plain", "ok\n")),
            "/-/health" => Err(Problem::Method { allow: "GET, HEAD" }),
            _ => Err(Problem::NotFound),
        };
    }
    match parts.method {
        Method::GET | Method::HEAD if place.collection || wants_list(query) => {
            list(shared, &place, query)
        }
        Method::POST => post(shared, parts, body, &place).await,
        _ if place.collection => Err(Problem::Method {
            allow: COLLECTION_METHODS,
        }),
        Method::GET | Method::HEAD => get(shared, parts, &place).await,
        Method::PUT => put(shared, parts, body, place.key).await,
        Method::PATCH => patch(shared, parts, body, place.key).await,
        Method::DELETE => write(shared, Change::Remove { key: place.key }).await,
        _ => Err(Problem::Method {
            allow: DOCUMENT_METHODS,
        }),
    }
}

async fn get(shared: &Shared, parts: &Parts, place: &Place) -> Result<Answer, Problem> {
    // A file that was replaced between the look-up and its opening is looked up again; each round
    // needs another replacement, so a few are enough.
    for _ in 0..8 {
        let record = database::get(&shared.database, &place.key)
            .map_err(cannot_read)?
            .ok_or(Problem::NotFound)?;
        let mut answer = Response::new(AnswerBody::empty());
        let headers = answer.headers_mut();
        headers.insert(ETAG, tag_header(record.tag));
        if matches_tag(parts, record.tag) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(answer);
        }
        headers.insert(CONTENT_TYPE, record.kind.content_type);
        if let Some(encoding) = record.kind.content_encoding {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        *answer.body_mut() = match record.content {
            Content::Inline(bytes) => AnswerBody::Whole(bytes),
            Content::File { name, length } => match shared.files.read(name).await {
                Ok(file) => AnswerBody::File { file, left: length },
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(cannot_read(error)),
            },
        };
        return Ok(answer);
    }
    Err(cannot_read("a file that a document names is missing"))
}

/// `If-None-Match` (RFC 9110 §13.1.2).
fn matches_tag(parts: &Parts, tag: Tag) -> bool {
    let tag = tag.quoted();
    parts
        .headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|asked| asked == "*" || asked.strip_prefix("W/").unwrap_or(asked) == tag)
}

async fn put(
    shared: &Shared,
    parts: &Parts,
    body: &mut Incoming,
    key: String,
) -> Result<Answer, Problem> {
    let kind = kind(parts)?;
    let limits = &shared.limits;
    if kind.is_json() {
        let gathered = intake(shared, body)
            .gather(limits.document_bytes, &shared.turns)
            .await?;
        let body = gathered.bytes.clone();
        let valid = work(body.len(), move || {
            std::str::from_utf8(&body).is_ok_and(batch::is_json)
        });
        if !valid.await? {
            return Err(Problem::Body("is not JSON (RFC 8259)"));
        }
        let body = gathered.bytes.clone();
        return write(shared, Change::Save { key, kind, body }).await;
    }
    let taken = intake(shared, body)
        .take(limits.inline_bytes, limits.file_bytes, &shared.files)
        .await?;
    let change = match taken {
        Taken::Inline(body) => Change::Save { key, kind, body },
        Taken::File(file) => Change::SaveFile { key, kind, file },
    };
    write(shared, change).await
}

async fn patch(
    shared: &Shared,
    parts: &Parts,
    body: &mut Incoming,
    key: String,
) -> Result<Answer, Problem> {
    const WANTED: &str = "a patch is application/merge-patch+json (RFC 7396)";
    let kind = kind(parts)?;
    if kind.content_encoding.is_some()
        || !matches!(
            media_type(&kind).as_str(),
            "application/json" | "application/merge-patch+json"
        )
    {
        return Err(Problem::MediaType(WANTED));
    }
    let max = shared.limits.document_bytes;
    let gathered = intake(shared, body).gather(max, &shared.turns).await?;
    let patch = gathered.bytes.clone();
    write(shared, Change::Merge { key, patch, max }).await
}

async fn post(
    shared: &Shared,
    parts: &Parts,
    body: &mut Incoming,
    place: &Place,
) -> Result<Answer, Problem> {
    let kind = kind(parts)?;
    let lines = match media_type(&kind).as_str() {
        _ if kind.content_encoding.is_some() => {
            return Err(Problem::MediaType("a batch comes without content encoding"));
        }
        "application/json" => false,
        "application/x-ndjson" | "application/ndjson" => true,
        _ => {
            return Err(Problem::MediaType(
                "a batch is application/json or application/x-ndjson",
            ));
        }
    };
    let limits = &shared.limits;
    let gathered = intake(shared, body)
        .gather(limits.batch_bytes, &shared.turns)
        .await?;
    let body = gathered.bytes.clone();
    let (place, max_items) = (place.clone(), limits.batch_items);
    let batch = work(body.len(), move || {
        batch::split(body, lines, &place, max_items)
    })
    .await??;
    let shape = batch.shape;
    match shared.writer.write(Change::SaveItems(batch)).await? {
        Outcome::Items(statuses) if shape == batch::Shape::Single => {
            let created = statuses.first() == Some(&StatusCode::CREATED.as_u16());
            Ok(answer::written(saved(created)))
        }
        Outcome::Items(statuses) => {
            let (content_type, text) = batch::statuses(shape, &statuses);
            Ok(answer::whole(StatusCode::OK, content_type, text))
        }
        outcome => answer_write(outcome),
    }
}

async fn write(shared: &Shared, change: Change) -> Result<Answer, Problem> {
    answer_write(shared.writer.write(change).await?)
}

fn answer_write(outcome: Outcome) -> Result<Answer, Problem> {
    match outcome {
        Outcome::Saved { created, tag } => {
            let mut answer = answer::written(saved(created));
            answer.headers_mut().insert(ETAG, tag_header(tag));
            Ok(answer)
        }
        Outcome::Removed => {
            let mut answer = Response::new(AnswerBody::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            Ok(answer)
        }
        Outcome::Items(_) => Ok(answer::written(StatusCode::OK)),
        Outcome::Refused(problem) => Err(problem),
    }
}

fn saved(created: bool) -> StatusCode {
    if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

fn wants_list(query: &str) -> bool {
    query
        .split('&')
        .any(|member| member == "list" || member.starts_with("list="))
}

fn list(shared: &Shared, place: &Place, query: &str) -> Result<Answer, Problem> {
    let mut after = None;
    let mut limit = PAGE;
    for member in query.split('&') {
        match member.split_once('=') {
            Some(("limit", value)) => {
                limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=PAGE).contains(limit))
                    .ok_or(Problem::Request("the limit is a number from 1 to 1000"))?;
            }
            Some(("after", value)) => {
                let mut bytes = Vec::new();
                path::decode(value, &mut bytes)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| Problem::Request("`after` is no id of a listing"))?;
                after = Some(text);
            }
            _ => {}
        }
    }
    let (ids, more) =
        database::list(&shared.database, place, after.as_deref(), limit).map_err(cannot_read)?;
    let next = ids
        .last()
        .filter(|_| more)
        .map(|last| next_page(place, last, limit));
    let page = serde_json::json!({ "ids": ids, "next": next });
    Ok(answer::whole(
        StatusCode::OK,
        "application/json",
        page.to_string(),
    ))
}

fn next_page(place: &Place, last: &str, limit: usize) -> String {
    let mut after = String::with_capacity(last.len());
    for character in last.chars() {
        // Ids in listings are spelled in plain ASCII; only what a query would read otherwise is
        // spelled once more.
        match character {
            '%' => after.push_str("%25"),
            '&' => after.push_str("%26"),
            '+' => after.push_str("%2B"),
            '=' => after.push_str("%3D"),
            character => after.push(character),
        }
    }
    format!("{}?after={after}&limit={limit}", place.prefix())
}

fn intake<'a>(shared: &Shared, body: &'a mut Incoming) -> Intake<'a> {
    Intake::new(body, shared.limits.body_stall)
}

/// What the request says about its body.
fn kind(parts: &Parts) -> Result<Kind, Problem> {
    let single = |name, fault| {
        let mut values = parts.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) if value.len() <= 1024 && value.to_str().is_ok() => {
                Ok(Some(value.clone()))
            }
            (None, _) => Ok(None),
            _ => Err(Problem::Request(fault)),
        }
    };
    let content_encoding = single(
        CONTENT_ENCODING,
        "Content-Encoding is given once, in visible ASCII, up to 1024 bytes",
    )?;
    Ok(Kind {
        content_type: single(
            CONTENT_TYPE,
            "Content-Type is given once, in visible ASCII, up to 1024 bytes",
        )?
        .unwrap_or(HeaderValue::from_static("application/octet-stream")),
        content_encoding: content_encoding
            .filter(|encoding| !encoding.is_empty() && encoding != "identity"),
    })
}

fn media_type(kind: &Kind) -> String {
    kind.content_type.to_str().map(essence).unwrap_or_default()
}

fn tag_header(tag: Tag) -> HeaderValue {
    HeaderValue::try_from(tag.quoted()).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Runs `task` here when it is short, else aside, so that other requests are not held up.
async fn work<T: Send + 'static>(
    bytes: usize,
    task: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if bytes <= LONG_WORK {
        return Ok(task());
    }
    tokio::task::spawn_blocking(task)
        .await
        .map_err(|_| Problem::CannotWrite)
}

fn cannot_read(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "the store cannot read a document");
    Problem::CannotRead
}
