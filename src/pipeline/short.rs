//! Short answers are read whole before anybody is told, so that one which breaks off is a 502, or a
//! 504, and not half an answer. Long ones are streamed.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::Content;
use crate::{
    domain::Operation,
    forward::{AnswerBody, AnswerError},
    message::{Field, Response},
    settings::Format,
};

/// Answers up to this length are held until they are whole.
const SHORT: usize = 64 << 10;

/// What begins so comes bit by bit.
const EVENTS: &[u8] = b"text/event-stream";

/// Which answers are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    /// Those that announce that they are short.
    Announced,
    /// Those of which nobody knows how long they are, too, up to the same length: what follows is
    /// streamed.
    Unknown,
}

impl Buffering {
    /// Held though nobody knows how long they are: answers to erasures, answers that can have no
    /// content (204, 304), and answers to writes. Not so what may be meant to come bit by bit: answers
    /// to reads, of recipients and of `opaque` routes (gRPC), events, and what announces trailer
    /// fields, which only a stream hands on.
    pub fn of(operation: Operation, format: Format, answer: &Response<AnswerBody>) -> Self {
        let reads = matches!(operation, Operation::Read | Operation::Disclose);
        let writes = !reads && format != Format::Opaque;
        let fields = answer.headers();
        let kind = fields.get(Field::ContentType);
        let events = kind.is_some_and(|kind| {
            let start = kind.as_bytes().get(..EVENTS.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
        });
        let streams = events || fields.get(Field::Trailer).is_some();
        // RFC 9110 §6.4.1: what comes of it is its end, or what makes it malformed (RFC 9113 §8.1.1).
        let ends = matches!(
            answer.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        match ends || operation == Operation::Erase || (writes && !streams) {
            true => Self::Unknown,
            false => Self::Announced,
        }
    }
}

/// Waits for the end of an answer that is held. Cancel safe: dropped, the answer is let go.
///
/// # Errors
/// The answer broke off, or came too slowly.
pub async fn read(mut body: AnswerBody, buffering: Buffering) -> Result<Content, AnswerError> {
    let announced = body.size_hint().exact();
    let room = match announced.map(usize::try_from) {
        Some(Ok(length)) if length <= SHORT => length,
        None if buffering == Buffering::Unknown => 0,
        _ => return Ok(Content::Region(Box::new(body))),
    };
    body.keep_pace();
    // Most come in one piece, which is not copied.
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let data = match frame?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        if first.is_empty() {
            first = data;
        } else {
            if joined.is_empty() {
                joined.reserve(room.max(first.len() + data.len()));
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&data);
        }
        if announced.is_none() && first.len().max(joined.len()) > SHORT && !body.is_end_stream() {
            body.stream_after(whole(first, joined));
            return Ok(Content::Region(Box::new(body)));
        }
    }
    let whole = whole(first, joined);
    Ok(match trailers {
        None => Content::Whole(whole),
        trailers => Content::Trailed(whole, trailers.map(Box::new)),
    })
}

fn whole(first: Bytes, joined: BytesMut) -> Bytes {
    match joined.is_empty() {
        true => first,
        false => joined.freeze(),
    }
}
