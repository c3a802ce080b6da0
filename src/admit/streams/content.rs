//! The content of a request, as it comes, and what becomes of it when nobody reads it to its end.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::WINDOW;
use crate::{
    admit::{
        ahead::Piece, body::BodyFault, http1::FramingFault, http2::check_trailers,
        memory::Reservation,
    },
    http2::{Seen, Unseen},
    message::never_indexed,
};

/// Of content that nobody wants, so much is read away before the stream is reset, and for so long, as in
/// HTTP/1.1: most callers end before, and what a reset stream still gets counts against its connection.
const SPARED: usize = 64 << 10;
const LINGER: Duration = Duration::from_secs(2);

/// What the answer and the content of one stream share.
pub(super) struct Shared {
    pub respond: RefCell<SendResponse<Piece>>,
    /// All of the answer is handed over, or never will be.
    is_answered: Cell<bool>,
    unread: RefCell<Option<Unread>>,
    /// Of the task that answers.
    waker: RefCell<Option<Waker>>,
}

/// Content that nobody reads any more.
struct Unread {
    received: RecvStream,
    left: usize,
    /// Set while nothing comes.
    until: Option<Pin<Box<Sleep>>>,
}

impl Shared {
    pub fn new(respond: SendResponse<Piece>) -> Rc<Self> {
        Rc::new(Self {
            respond: RefCell::new(respond),
            is_answered: Cell::new(false),
            unread: RefCell::default(),
            waker: RefCell::default(),
        })
    }

    pub fn is_answered(&self) -> bool {
        self.is_answered.get()
    }

    /// Polls what sends the answer to its end, and reads away what nobody wants of the content,
    /// meanwhile and after it.
    pub fn poll_answer(
        &self,
        cx: &mut Context<'_>,
        answer: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<()> {
        if self.waker.borrow().is_none() {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
        if !self.is_answered.get() && answer.poll(cx).is_ready() {
            self.is_answered.set(true);
        }
        let is_read = self.poll_unread(cx);
        match self.is_answered.get() {
            true => is_read,
            false => Poll::Pending,
        }
    }

    fn poll_unread(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unread = self.unread.borrow_mut();
        if let Some(content) = &mut *unread {
            ready!(content.poll(cx));
            *unread = None;
        }
        Poll::Ready(())
    }

    fn leave(&self, received: RecvStream) {
        *self.unread.borrow_mut() = Some(Unread {
            received,
            left: SPARED,
            until: None,
        });
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Ends the stream. One that is answered ends without an error, its answer might else count for
    /// nothing (RFC 9113 §8.1).
    pub fn end(&self, reason: Reason) {
        match self.is_answered.get() {
            true => {
                self.unread.take();
                self.wake();
            }
            false => self.respond.borrow_mut().send_reset(reason),
        }
    }
}

impl Unread {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.received.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    // Fails only for more than came.
                    let _ = self.received.flow_control().release_capacity(data.len());
                    match self.left.checked_sub(data.len()) {
                        Some(left) => self.left = left,
                        None => return Poll::Ready(()),
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let until = self.until.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                    return until.as_mut().poll(cx);
                }
            }
        }
    }
}

/// The content of a request, as it comes. Dropping it at any point is safe.
pub struct Body {
    stream: u32,
    /// `None` only while it is dropped.
    received: Option<RecvStream>,
    shared: Rc<Shared>,
    /// The caller waits to hear a 100.
    continues: bool,
    /// Trailer fields may follow.
    has_data: bool,
    /// Still to come, where that is known.
    left: Option<u64>,
    /// All that was announced has come with this, but not the stream's end: trailers may follow that
    /// make the request malformed, and who has all of its content could take it for whole.
    last: Option<Bytes>,
    /// They follow what is kept.
    trailers: Option<Box<HeaderMap>>,
    /// For what comes before it is read.
    room: Option<Reservation>,
    seen: Rc<Seen>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.seen.forget(self.stream);
        // Who waits for a 100 sends nothing.
        if let Some(received) = self.received.take()
            && self.has_data
            && !self.continues
            && !received.is_end_stream()
        {
            self.shared.leave(received);
        }
    }
}

impl Body {
    pub(super) fn new(
        received: RecvStream,
        fields: &HeaderMap,
        shared: &Rc<Shared>,
        seen: &Rc<Seen>,
    ) -> Self {
        let is_over = received.is_end_stream();
        Self {
            stream: received.stream_id().into(),
            left: match is_over {
                true => Some(0),
                false => length(fields),
            },
            received: Some(received),
            shared: Rc::clone(shared),
            continues: !is_over && fields.contains_key(header::EXPECT),
            has_data: true,
            last: None,
            trailers: None,
            room: None,
            seen: Rc::clone(seen),
        }
    }

    /// Takes room for as much as may come before it is read: for content that is read no faster than a
    /// region takes it. The caller may send all of it at once, and that can be refused now alone.
    ///
    /// # Errors
    /// [`BodyFault::NoRoom`].
    pub fn make_room(&mut self, held: &Reservation) -> Result<(), BodyFault> {
        let most = WINDOW as usize;
        let left = self.size_hint().exact().map(usize::try_from);
        let room = held.beside();
        room.grow(left.map_or(most, |left| left.unwrap_or(most).min(most)))?;
        self.room = Some(room);
        Ok(())
    }

    /// Whether nothing more comes of it.
    fn has_ended(&self) -> bool {
        self.received.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    /// Content that may be handed on; what it announced ends with is kept until the stream ends.
    fn unless_last(&mut self, data: Bytes) -> Option<Bytes> {
        if self.last.is_some() {
            // Empty: h2 takes no more than was announced.
            return None;
        }
        self.left = self.left.map(|n| n.saturating_sub(data.len() as u64));
        if self.left == Some(0) && !self.has_ended() {
            self.last = Some(data);
            return None;
        }
        Some(data)
    }

    /// Whether the trailers are what was seen, and may be taken.
    fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), BodyFault> {
        match self.seen.trailers(self.stream, trailers) {
            Ok(()) => Ok(check_trailers(trailers)?),
            Err(Unseen::Otherwise) => Err(BodyFault::Broken),
            Err(_) => Err(FramingFault::Trailer.into()),
        }
    }

    /// Of content that is wanted and has not begun to come (RFC 9110 §10.1.1).
    fn say_continue(&mut self) {
        if std::mem::take(&mut self.continues) {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            let _ = self.shared.respond.borrow_mut().send_informational(go_on);
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        while this.has_data {
            let Some(received) = &mut this.received else {
                return Poll::Ready(None);
            };
            let Poll::Ready(data) = received.poll_data(cx) else {
                this.say_continue();
                return Poll::Pending;
            };
            match data {
                Some(Ok(data)) => {
                    // Fails only for more than came.
                    let _ = received.flow_control().release_capacity(data.len());
                    this.continues = false;
                    if let Some(data) = this.unless_last(data) {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                // Whatever the code: a stream that was reset did not come to its end.
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyFault::Broken))),
                None => this.has_data = false,
            }
        }
        if this.trailers.is_none()
            && let Some(received) = &mut this.received
            && let Some(trailers) = ready!(received.poll_trailers(cx)).transpose()
        {
            let trailers = trailers.map_err(|_| BodyFault::Broken);
            let checked = trailers.and_then(|t| this.check_trailers(&t).map(|()| never_indexed(t)));
            match checked {
                Ok(trailers) => this.trailers = Some(Box::new(trailers)),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
        }
        let last = this.last.take().map(Frame::data);
        let frame = last.or_else(|| this.trailers.take().map(|t| Frame::trailers(*t)));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended() && self.last.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.last.as_ref().map_or(0, Bytes::len) as u64;
        match self.left.map(|left| left + kept) {
            // Empty it is only when its stream has ended.
            Some(length) if length > 0 || self.is_end_stream() => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}

/// What `Content-Length` announces. h2 sees to it that so much comes.
fn length(fields: &HeaderMap) -> Option<u64> {
    let text = fields.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}
