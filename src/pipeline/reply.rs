//! The body of an answer, whatever it is made of, and what must live until its last byte.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::{
    admit::{connection::Place, memory::Reservation, pace::AtWork},
    forward::{AnswerBody, BatchBody, BoxError, ItemWriter, Written},
    telemetry::{
        ServerSpan,
        access::{Access, Entry},
    },
};

/// Writes the answer of one item of a batch.
pub type WriteItem = Box<dyn FnMut(u32, ItemWriter<'_>) -> Written>;

/// The merged answer to a batch, written item by item as it is sent.
pub type BatchContent = BatchBody<WriteItem>;

/// What an answer's body is made of.
pub enum Content {
    Whole(Bytes),
    /// The same, and what HTTP/2 says after it (gRPC's status).
    Trailed(Bytes, Option<Box<HeaderMap>>),
    /// A region's answer, streamed as it comes; a broken one breaks the caller's connection.
    Region(Box<AnswerBody>),
    /// The merged answer to a batch.
    Batch(BatchContent),
    /// An answer that is written as it is sent.
    Chunks(Box<dyn FnMut() -> Option<Bytes>>),
}

/// An answer on its way to the caller.
pub struct Reply {
    content: Content,
    taken: bool,
    /// Why the region's answer broke off, for the next turn.
    broken: Option<BoxError>,
    /// The request counts as at work until here.
    _at_work: (AtWork, Option<Place>),
    /// Until here, parts of the caller's body may be in memory.
    _held: Reservation,
    pending: Option<Pending>,
}

/// A line of the access log and the span of a trace, which are written when this is dropped: with
/// the last of the answer.
pub struct Pending {
    entry: Option<(Access, Box<Entry>)>,
    _span: Option<ServerSpan>,
    started: Instant,
}

impl Pending {
    pub fn new(
        entry: Option<(Access, Box<Entry>)>,
        span: Option<ServerSpan>,
        started: Instant,
    ) -> Self {
        Self {
            entry,
            _span: span,
            started,
        }
    }

    fn sent(&mut self, bytes: usize) {
        if let Some((_, entry)) = &mut self.entry {
            entry.bytes_out += bytes as u64;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((access, mut entry)) = self.entry.take() {
            entry.duration = self.started.elapsed();
            access.log(entry);
        }
    }
}

impl Reply {
    pub fn new(
        content: Content,
        at_work: AtWork,
        place: Option<Place>,
        held: Reservation,
        pending: Option<Pending>,
    ) -> Self {
        Self {
            content,
            taken: false,
            broken: None,
            _at_work: (at_work, place),
            _held: held,
            pending,
        }
    }
}

impl Reply {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self;
        match &mut this.content {
            Content::Whole(bytes) => {
                this.taken = true;
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Trailed(bytes, trailers) => Poll::Ready(match bytes.is_empty() {
                true => trailers.take().map(|t| Ok(Frame::trailers(*t))),
                false => Some(Ok(Frame::data(std::mem::take(bytes)))),
            }),
            Content::Region(body) => {
                if let Some(error) = this.broken.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Err(error)) => {
                        // What is not flushed when a body fails can be lost. One turn later
                        // the head is out, and the caller sees a cut answer that names its region
                        // instead of no answer.
                        this.broken = Some(error.into());
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    frame => Poll::Ready(frame.map(|f| f.map_err(Into::into))),
                }
            }
            Content::Batch(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|f| f.map(|f| f.map_err(Into::into))),
            Content::Chunks(next) => {
                let chunk = if this.taken { None } else { next() };
                this.taken = chunk.is_none();
                Poll::Ready(chunk.map(|c| Ok(Frame::data(c))))
            }
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = this.next(cx);
        if let (Some(pending), Poll::Ready(Some(Ok(frame)))) = (&mut this.pending, &frame)
            && let Some(data) = frame.data_ref()
        {
            pending.sent(data.len());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => self.taken || bytes.is_empty(),
            Content::Trailed(bytes, trailers) => bytes.is_empty() && trailers.is_none(),
            Content::Region(body) => body.is_end_stream(),
            Content::Batch(body) => body.is_end_stream(),
            Content::Chunks(_) => self.taken,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) | Content::Trailed(bytes, _) => {
                SizeHint::with_exact(bytes.len() as u64)
            }
            Content::Region(body) => body.size_hint(),
            Content::Batch(body) => body.size_hint(),
            Content::Chunks(_) => SizeHint::default(),
        }
    }
}
