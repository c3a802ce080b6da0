//! What the store answers: small JSON, saved bytes, problem documents (RFC 9457).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

pub(super) type Answer = Response<AnswerBody>;

const CHUNK: usize = 64 << 10;

/// The body of an answer: bytes at hand, or a file that is read as the peer takes it.
pub(super) enum AnswerBody {
    Whole(Bytes),
    File { file: File, left: u64 },
}

impl AnswerBody {
    pub(super) fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File { left: 0, .. } => Poll::Ready(None),
            Self::File { file, left } => {
                let want = usize::try_from(*left).unwrap_or(CHUNK).min(CHUNK);
                let mut space = BytesMut::zeroed(want);
                let mut buffer = ReadBuf::new(&mut space);
                match Pin::new(file).poll_read(context, &mut buffer) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                    Poll::Ready(Ok(())) => {
                        let read = buffer.filled().len();
                        if read == 0 {
                            // Shorter than it was saved: end the connection rather than pass a
                            // cut file off as whole.
                            return Poll::Ready(Some(
                                Err(std::io::ErrorKind::UnexpectedEof.into()),
                            ));
                        }
                        *left = left.saturating_sub(read as u64);
                        space.truncate(read);
                        Poll::Ready(Some(Ok(Frame::data(space.freeze()))))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File { left, .. } => *left,
        })
    }
}

/// `status` with a body at hand.
pub(super) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// What a write answers: its status says it all, and an empty body is nothing that could cross a
/// border on the way back.
pub(super) fn written(status: StatusCode) -> Answer {
    let mut answer = http::Response::new(AnswerBody::empty());
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(0));
    answer
}

/// The same head without the body, its length kept, as HEAD wants it (RFC 9110 §9.3.2).
pub(super) fn without_body(mut answer: Answer) -> Answer {
    let length = answer.body().size_hint().lower();
    answer
        .headers_mut()
        .entry(CONTENT_LENGTH)
        .or_insert_with(|| HeaderValue::from(length));
    *answer.body_mut() = AnswerBody::empty();
    answer
}

/// Why a request was not done, as a fact about the request. Never holds a path, an id or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the path {0}")]
    Path(&'static str),
    #[error("{0}")]
    Request(&'static str),
    #[error("the body {0}")]
    Body(&'static str),
    #[error("nothing is stored at this path")]
    NotFound,
    #[error("this method does not apply here")]
    Method { allow: &'static str },
    #[error("the body made no progress in time")]
    Stalled,
    #[error("the body is larger than this store takes")]
    TooLarge,
    #[error("the batch has more items than this store takes")]
    TooManyItems,
    #[error("the media type does not apply here: {0}")]
    MediaType(&'static str),
    #[error("the store cannot write at the moment")]
    CannotWrite,
    #[error("the store cannot read this document")]
    CannotRead,
}

impl Problem {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Path(_) | Self::Request(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge | Self::TooManyItems => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::CannotWrite => StatusCode::SERVICE_UNAVAILABLE,
            Self::CannotRead => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Path(_) => "store-path",
            Self::Request(_) => "store-request",
            Self::Body(_) => "store-body",
            Self::NotFound => "store-not-found",
            Self::Method { .. } => "store-method",
            Self::Stalled => "store-stalled",
            Self::TooLarge => "store-too-large",
            Self::TooManyItems => "store-too-many-items",
            Self::MediaType(_) => "store-media-type",
            Self::CannotWrite => "store-cannot-write",
            Self::CannotRead => "store-cannot-read",
        }
    }

    /// As `application/problem+json`. The texts are our own and need no escaping.
    pub(super) fn answer(self) -> Answer {
        let status = self.status();
        let body = format!(
            "{{\"type\":\"urn:domicile:problem:{}\",\"status\":{},\"title\":\"{}\",\"detail\":\"{}\"}}",
            self.name(),
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            self,
        );
        let mut answer = whole(status, "application/problem+json", body);
        if let Self::Method { allow } = self {
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allow));
        }
        answer
    }
}
