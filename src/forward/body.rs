//! What goes out: bodies that are sent byte for byte, and that break visibly when they break.

use std::{
    borrow::Cow,
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, uri::PathAndQuery};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{
    replay::{Kept, Sending},
    slices::{Slices, SlicesCursor},
};
use crate::{
    admit::{body::BodyFault, memory::Reservation},
    message::Fields,
};

/// Longer pieces go out in several: over HTTP/2 they are asked for as the region's window opens, and
/// that tells how far it is.
pub(super) const PIECE: usize = 64 << 10;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is still arriving from the caller.
pub type BoxedStream = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

/// A request to a region, whichever of its endpoints gets it. `Debug` shows nothing that could be
/// personal: neither path nor headers nor body.
pub struct Outgoing<'a> {
    pub method: Method,
    /// As the caller sent it; the endpoint's prefix is put before it.
    pub path_and_query: Cow<'a, PathAndQuery>,
    /// Without hop-by-hop headers. `Host`, `Content-Length`, `Transfer-Encoding` and `Expect` are
    /// replaced by what suits endpoint and body. `Trailer` must stay for trailers to be passed on.
    pub headers: Fields,
    pub body: OutgoingBody,
    /// Not to be sent again once a region may have some of it, whatever its method says.
    pub is_once: bool,
}

pub enum OutgoingBody {
    Empty,
    Whole(Bytes),
    /// Items of a batch, out of the caller's body.
    Slices(Slices),
    /// Can be sent again only over HTTP/2, where a region may refuse what it took, and only while
    /// little of it was taken ([`super::replay`]). If the stream fails, the region sees a broken
    /// request, never a shorter valid one.
    Stream {
        body: BoxedStream,
        /// `Some`: the region is told this length, and less or more than it is a failure.
        length: Option<u64>,
        /// Where what is kept of it is counted.
        held: Reservation,
    },
}

impl std::fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OutgoingBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole(redacted)",
            Self::Slices(_) => "Slices(redacted)",
            Self::Stream { .. } => "Stream(redacted)",
        })
    }
}

/// How far the sending of one body is. Shared by the connection, which polls the body, and the
/// request, which must know whom to blame for a standstill.
#[derive(Debug)]
pub(super) struct Progress {
    waits_for_caller: Cell<bool>,
    caller_fault: Cell<Option<BodyFault>>,
    done: Cell<bool>,
    last_taken: Cell<Instant>,
}

impl Progress {
    /// The region waits for us because we wait for the caller, whose patience admit watches.
    pub(super) fn waits_for_caller(&self) -> bool {
        self.waits_for_caller.get() && !self.done.get()
    }

    /// What was wrong with the caller's body, once something was.
    pub(super) fn caller_fault(&self) -> Option<BodyFault> {
        self.caller_fault.get()
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.get()
    }

    /// When a part of the body was last taken to be sent; before the first, when it was made.
    pub(super) fn last_taken(&self) -> Instant {
        self.last_taken.get()
    }
}

/// The body as a connection pulls it.
pub(super) struct Upload {
    kind: Kind,
    progress: Rc<Progress>,
    /// Of a stream that is kept, with its length.
    kept: Option<(Kept, Option<u64>)>,
}

/// A body that may be sent if another try comes to nothing.
pub(super) struct Spare(Again);

enum Again {
    Kind(Kind),
    /// With the length that was announced.
    Kept(Kept, Option<u64>),
}

enum Kind {
    Empty,
    Whole(Option<Bytes>),
    Slices(SlicesCursor),
    Stream {
        body: BoxedStream,
        /// Bytes still to come, where the length was announced.
        left: Option<u64>,
    },
}

impl Upload {
    /// `now` counts as when the region took bytes last, until it does.
    pub(super) fn new(body: OutgoingBody, now: Instant) -> Self {
        let kind = match body {
            OutgoingBody::Empty => Kind::Empty,
            OutgoingBody::Whole(bytes) if bytes.is_empty() => Kind::Empty,
            OutgoingBody::Whole(bytes) => Kind::Whole(Some(bytes)),
            OutgoingBody::Slices(slices) => Kind::Slices(slices.cursor()),
            OutgoingBody::Stream {
                length: Some(0), ..
            } => Kind::Empty,
            OutgoingBody::Stream { body, length, .. } => Kind::Stream { body, left: length },
        };
        Self::of(kind, now)
    }

    /// The same, where a region may refuse what it took: the beginning of a stream is kept.
    pub(super) fn keeping(body: OutgoingBody, now: Instant) -> Self {
        let (body, length, held) = match body {
            OutgoingBody::Stream { body, length, held } if length != Some(0) => {
                (body, length, held)
            }
            body => return Self::new(body, now),
        };
        let (kept, body) = Kept::begin(body, held);
        Self::of_kept(kept, body, length, now)
    }

    fn of_kept(kept: Kept, body: Sending, length: Option<u64>, now: Instant) -> Self {
        let body: BoxedStream = Box::pin(body);
        let mut upload = Self::of(Kind::Stream { body, left: length }, now);
        upload.kept = Some((kept, length));
        upload
    }

    fn of(kind: Kind, now: Instant) -> Self {
        let progress = Rc::new(Progress {
            waits_for_caller: Cell::new(false),
            caller_fault: Cell::new(None),
            done: Cell::new(matches!(kind, Kind::Empty)),
            last_taken: Cell::new(now),
        });
        Self {
            kind,
            progress,
            kept: None,
        }
    }

    /// What a second body with the same bytes is made from, while none was taken from this one;
    /// `None` for streams that are not kept.
    pub(super) fn spare(&self) -> Option<Spare> {
        Some(Spare(Again::Kind(match &self.kind {
            Kind::Empty => Kind::Empty,
            Kind::Whole(bytes) => Kind::Whole(bytes.clone()),
            Kind::Slices(cursor) => Kind::Slices(cursor.slices().cursor()),
            Kind::Stream { .. } => {
                let (kept, length) = self.kept.clone()?;
                return Some(Spare(Again::Kept(kept, length)));
            }
        })))
    }

    /// `None` if it is a stream of which too much was taken. Ends what else sends that stream.
    pub(super) fn again(spare: Spare) -> Option<Self> {
        let now = Instant::now();
        match spare.0 {
            Again::Kind(kind) => Some(Self::of(kind, now)),
            Again::Kept(kept, length) => {
                let body = kept.again()?;
                Some(Self::of_kept(kept, body, length, now))
            }
        }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// Whether the length is unknown, so that the body must be sent in chunks.
    pub(super) fn is_chunked(&self) -> bool {
        matches!(self.kind, Kind::Stream { left: None, .. })
    }

    /// Whether it is still arriving from the caller.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Stream { .. })
    }

    /// All of a body that is one piece, at once.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        let Kind::Whole(bytes) = &mut self.kind else {
            return None;
        };
        self.progress.done.set(true);
        bytes.take()
    }

    /// Its trailer fields were the last of it.
    pub(super) fn end(&self) {
        self.progress.done.set(true);
    }

    fn fail(&self, error: BoxError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let fault = error.downcast_ref().copied();
        let fault = fault.unwrap_or(BodyFault::Broken);
        self.progress.caller_fault.set(Some(fault));
        Poll::Ready(Some(Err(error)))
    }

    fn finish(&self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.progress.done.set(true);
        Poll::Ready(None)
    }
}

impl Spare {
    /// The request has its answer: nothing of it is sent again.
    pub(super) fn let_go(&self) {
        if let Again::Kept(kept, _) = &self.0 {
            kept.let_go();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        this.progress.last_taken.set(Instant::now());
        let (body, left) = match &mut this.kind {
            Kind::Empty => return this.finish(),
            Kind::Whole(bytes) => {
                let piece = bytes.take().map(|mut whole| {
                    let piece = whole.split_to(whole.len().min(PIECE));
                    *bytes = (!whole.is_empty()).then_some(whole);
                    piece
                });
                this.progress.done.set(bytes.is_none());
                return Poll::Ready(piece.map(|b| Ok(Frame::data(b))));
            }
            Kind::Slices(cursor) => {
                let chunk = cursor.next_chunk();
                this.progress.done.set(cursor.is_done());
                return Poll::Ready(chunk.map(|b| Ok(Frame::data(b))));
            }
            Kind::Stream { body, left } => (body, left),
        };
        this.progress.waits_for_caller.set(true);
        let frame = ready!(body.as_mut().poll_frame(cx));
        this.progress.waits_for_caller.set(false);
        match frame {
            None if left.is_some_and(|n| n > 0) => this.fail("the body is too short".into()),
            None => this.finish(),
            Some(Err(error)) => this.fail(error),
            Some(Ok(frame)) => {
                let came = frame.data_ref().map_or(0, Bytes::len) as u64;
                if let Some(n) = left {
                    match n.checked_sub(came) {
                        Some(rest) => *n = rest,
                        None => return this.fail("the body is too long".into()),
                    }
                    this.progress.done.set(*n == 0);
                } else if frame.is_trailers() {
                    this.progress.done.set(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// True only when no byte is missing: hyper then ends the message without asking again.
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Slices(cursor) => cursor.is_done(),
            // Trailers may follow the last byte.
            Kind::Stream { body, left } => *left == Some(0) && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Slices(cursor) => SizeHint::with_exact(cursor.left()),
            Kind::Stream { left: Some(n), .. } => SizeHint::with_exact(*n),
            Kind::Stream { left: None, .. } => SizeHint::default(),
        }
    }
}
