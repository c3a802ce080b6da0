//! What comes back: the cleaned head and a body that breaks visibly when the region's breaks.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    body::Progress, gate::Seat, health::EndpointHealth, http1::Broken, link::Link, pool::Pool,
};
use crate::message::{Field, Response, Told};

/// The body of a region's answer.
///
/// An error means that the rest is missing: break the caller's connection, never end it cleanly.
/// Dropping it at any point is safe: an unfinished answer closes the connection to the region. Where
/// the body is merely not wanted, [`throw_away`](super::throw_away) keeps the connection.
pub struct AnswerBody {
    /// Of HTTP/2; of HTTP/1.1 the link reads it.
    incoming: Option<Box<Incoming>>,
    /// It broke off.
    broken: bool,
    /// Its trailer fields came, after which nothing can.
    trailed: bool,
    /// All of it, where it is short and came with the head; then nothing is under way any more.
    here: Option<Bytes>,
    /// Until the answer is over.
    live: Option<Box<Live>>,
    region: Arc<str>,
    /// When its head came.
    arrived: Instant,
}

/// What an unfinished answer holds.
struct Live {
    link: Link,
    pool: Rc<Pool>,
    health: Arc<EndpointHealth>,
    progress: Rc<Progress>,
    /// Only held: the region's seat is taken until the answer is over.
    _seat: Seat,
    stall: Duration,
    /// Set while nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
    /// Nothing of the body had to be waited for.
    at_once: bool,
}

/// The answer began well and then broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer of region `{region}` broke off: {fault}")]
pub struct AnswerError {
    pub region: Arc<str>,
    pub fault: AnswerFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// Nothing came for as long as the body stall limit allows.
    Stalled,
    /// The connection ended early, or what came was no valid body.
    Broken,
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stalled => "nothing came for too long",
            Self::Broken => "the connection or its framing failed",
        })
    }
}

/// The parts that an answer's body needs while it is read.
pub(super) struct Source {
    pub(super) link: Link,
    pub(super) pool: Rc<Pool>,
    pub(super) health: Arc<EndpointHealth>,
    pub(super) progress: Rc<Progress>,
    pub(super) seat: Seat,
    pub(super) stall: Duration,
    pub(super) region: Arc<str>,
    pub(super) arrived: Instant,
}

/// Wraps the body and, of HTTP/2, cleans the head; that of HTTP/1.1 was cleaned when it was read.
pub(super) fn accept(
    response: Response<Option<Incoming>>,
    mut source: Source,
) -> Response<AnswerBody> {
    let (mut head, incoming) = response.into_parts();
    if incoming.is_some() {
        clean(&mut head);
    } else if let Some(whole) = source.link.take_short() {
        let body = AnswerBody {
            incoming: None,
            broken: false,
            trailed: false,
            here: Some(whole).filter(|w| !w.is_empty()),
            live: None,
            region: source.region,
            arrived: source.arrived,
        };
        let is_sent = source.progress.is_done();
        source.pool.give(source.link, is_sent, source.arrived);
        return Response::from_parts(head, body);
    }
    let region = source.region;
    let live = Box::new(Live {
        link: source.link,
        pool: source.pool,
        health: source.health,
        progress: source.progress,
        _seat: source.seat,
        stall: source.stall,
        timer: None,
        at_once: true,
    });
    let mut body = AnswerBody {
        incoming: incoming.map(Box::new),
        broken: false,
        trailed: false,
        here: None,
        live: Some(live),
        region,
        arrived: source.arrived,
    };
    if body.is_read() {
        body.finish();
    }
    Response::from_parts(head, body)
}

fn clean(head: &mut Told) {
    // RFC 9113 §8.2.2: a connection's fields mean nothing here, and an HTTP/1.1 reader may not
    // see them.
    for field in [
        Field::Connection,
        Field::TransferEncoding,
        Field::Upgrade,
        Field::KeepAlive,
        Field::ProxyConnection,
        Field::Te,
    ] {
        head.headers.remove(field);
    }
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6 forbids it there, and a reader might wait for such a body.
        head.headers.remove(Field::ContentLength);
    }
}

impl AnswerBody {
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// All of it, if it came with the head.
    pub fn take_here(&mut self) -> Option<Bytes> {
        self.here.take()
    }

    fn is_read(&self) -> bool {
        match (&self.incoming, &self.live) {
            (Some(incoming), _) => incoming.is_end_stream(),
            (None, Some(live)) => live.link.is_read(),
            (None, None) => !self.broken,
        }
    }

    /// Whether an answer of HTTP/2 of which no more comes came to its end. hyper takes a stream that
    /// was reset with NO_ERROR for one that has ended; that is true only of one whose end came
    /// before (RFC 9113 §8.1).
    fn is_whole(&self) -> bool {
        let at_its_end = |incoming: &Incoming| {
            incoming.is_end_stream() || incoming.size_hint().exact() == Some(0)
        };
        self.trailed || self.incoming.as_deref().is_none_or(at_its_end)
    }

    /// The answer is whole: its connection can serve the next request.
    fn finish(&mut self) {
        if let Some(live) = self.live.take() {
            let live = *live;
            let now = match live.at_once {
                true => self.arrived,
                false => Instant::now(),
            };
            live.pool.give(live.link, live.progress.is_done(), now);
        }
    }

    fn fail(&mut self, fault: AnswerFault) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        self.broken = true;
        if let Some(live) = self.live.take()
            && live.progress.caller_fault().is_none()
        {
            live.health.failed();
        }
        Poll::Ready(Some(Err(AnswerError {
            region: Arc::clone(&self.region),
            fault,
        })))
    }
}

impl Live {
    /// Whether nothing has moved for too long, in either direction. Arms the timer.
    fn is_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let stall = self.stall;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall)));
        while timer.as_mut().poll(cx).is_ready() {
            // An answer may stand still while the region still takes the request.
            let moved = if self.progress.waits_for_caller() {
                Instant::now()
            } else {
                self.link.last_write(&self.progress)
            };
            if moved.elapsed() >= stall {
                return true;
            }
            timer.as_mut().reset(moved + stall);
        }
        false
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let this = &mut *self;
        if let Some(whole) = this.here.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        let Some(live) = &mut this.live else {
            return Poll::Ready(None);
        };
        let polled = match &mut this.incoming {
            None => live.link.poll_frame(cx).map_err(|Broken| ()),
            Some(incoming) => Pin::new(incoming).poll_frame(cx).map_err(|_| ()),
        };
        match polled {
            Poll::Pending => {
                live.at_once = false;
                match live.is_stalled(cx) {
                    true => this.fail(AnswerFault::Stalled),
                    false => Poll::Pending,
                }
            }
            Poll::Ready(None) => match this.is_whole() {
                true => {
                    this.finish();
                    Poll::Ready(None)
                }
                false => this.fail(AnswerFault::Broken),
            },
            Poll::Ready(Some(Err(()))) => this.fail(AnswerFault::Broken),
            Poll::Ready(Some(Ok(frame))) => {
                live.timer = None;
                this.trailed |= frame.is_trailers();
                if this.is_read() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.here.is_none() && self.live.is_none() && self.is_read()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.incoming, &self.live) {
            (Some(incoming), _) => incoming.size_hint(),
            (None, Some(live)) => live
                .link
                .left()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            (None, None) => SizeHint::with_exact(self.here.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
