//! What comes back: the cleaned head and a body that breaks visibly when the region's breaks.

use std::{
    fmt, mem,
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
    sound,
};
use crate::{
    admit::body::Pace,
    message::{Field, Response, ResponseParts},
};

/// How long an answer may take until its server counts as one that works, though it has not ended:
/// events may come for ever. No shorter: a server that dies of its answers does so soon.
const LASTING: Duration = Duration::from_secs(10);

/// The body of a region's answer.
///
/// An error means that the rest is missing: break the caller's connection, never end it cleanly.
/// Dropping it at any point is safe: an unfinished answer closes the connection to the region. Where
/// the body is merely not wanted, [`throw_away`](super::throw_away) keeps the connection.
pub struct AnswerBody {
    state: State,
    /// When its head came.
    arrived: Instant,
}

enum State {
    /// All that is still to come is here, and nothing is under way any more.
    Here(Bytes),
    /// Until the answer is over; `None` once it broke off.
    Live(Option<Box<Live>>),
}

/// What an unfinished answer holds.
struct Live {
    /// Of HTTP/2; of HTTP/1.1 the link reads it.
    incoming: Option<Incoming>,
    /// Its trailer fields came, after which nothing can.
    trailed: bool,
    link: Link,
    pool: Rc<Pool>,
    health: Arc<EndpointHealth>,
    progress: Rc<Progress>,
    /// Only held: the region's seat is taken until the answer is over.
    seat: Option<Seat>,
    stall: Duration,
    /// What was read of it and comes again.
    ahead: Option<Bytes>,
    /// Set while nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
    /// Of an answer that must keep one.
    pace: Option<Pace>,
    /// Bytes of its body so far.
    came: usize,
    /// Nothing of the body had to be waited for.
    at_once: bool,
    /// It is one by which its server works, and that has not been told yet.
    will_tell: bool,
    region: Arc<str>,
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
    /// Each part came in time, but all of them together would take for ever.
    Slow,
    /// The connection ended early, or what came was no valid body.
    Broken,
}

impl AnswerFault {
    /// Whether it took too long, and not what came was wrong.
    pub fn is_late(self) -> bool {
        match self {
            Self::Stalled | Self::Slow => true,
            Self::Broken => false,
        }
    }
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stalled => "nothing came for too long",
            Self::Slow => "it came too slowly",
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
    pub(super) stall: Duration,
    pub(super) region: Arc<str>,
    pub(super) arrived: Instant,
}

/// An answer of HTTP/1.1 that came whole with its head.
pub(super) fn whole(
    response: Response<Option<Incoming>>,
    body: Bytes,
    arrived: Instant,
) -> Response<AnswerBody> {
    response.map(|_| AnswerBody {
        state: State::Here(body),
        arrived,
    })
}

/// Wraps the body and, of HTTP/2, cleans the head; that of HTTP/1.1 was cleaned when it was read.
pub(super) fn accept(response: Response<Option<Incoming>>, source: Source) -> Response<AnswerBody> {
    let (mut head, incoming) = response.into_parts();
    if incoming.is_some() {
        clean(&mut head);
    }
    let live = Box::new(Live {
        incoming,
        trailed: false,
        link: source.link,
        pool: source.pool,
        health: source.health,
        progress: source.progress,
        seat: None,
        stall: source.stall,
        ahead: None,
        timer: None,
        pace: None,
        came: 0,
        at_once: true,
        will_tell: false,
        region: source.region,
    });
    let is_read = live.is_read();
    let mut body = AnswerBody {
        state: State::Live(Some(live)),
        arrived: source.arrived,
    };
    if is_read {
        body.finish();
    }
    Response::from_parts(head, body)
}

fn clean(head: &mut ResponseParts) {
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
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// For an answer that is read whole before anybody is told: from now on it breaks off with
    /// [`AnswerFault::Slow`] when it comes more slowly than callers' bodies may
    /// ([`Pace`]). One byte just before each stall limit would else hold the answers of all other
    /// regions back. An answer that is streamed is its caller's business, who may hang up.
    pub fn keep_pace(&mut self) {
        if let State::Live(Some(live)) = &mut self.state {
            live.pace = Some(Pace::new(live.stall));
        }
    }

    /// What was read of it comes first again, and from now on it is streamed.
    pub fn stream_after(&mut self, read: Bytes) {
        if let State::Live(Some(live)) = &mut self.state {
            live.ahead = Some(read);
            live.pace = None;
        }
    }

    /// The seat is taken until the answer is over.
    pub(super) fn sit(&mut self, seat: Seat) {
        if let State::Live(Some(live)) = &mut self.state {
            live.seat = Some(seat);
        }
    }

    /// By its head its server works. True: that is told once it has come whole, or for long; it may
    /// break off before. False: it is whole. Left before its end by who reads it, it tells nothing.
    pub(super) fn will_tell(&mut self) -> bool {
        match &mut self.state {
            State::Live(Some(live)) => {
                live.will_tell = true;
                true
            }
            State::Live(None) | State::Here(_) => false,
        }
    }

    /// All of it, if it came with the head.
    pub fn take_here(&mut self) -> Option<Bytes> {
        match &mut self.state {
            State::Here(bytes) if !bytes.is_empty() => Some(mem::take(bytes)),
            _ => None,
        }
    }

    /// The answer is whole: its connection can serve the next request.
    fn finish(&mut self) {
        let over = State::Here(Bytes::new());
        if let State::Live(Some(live)) = mem::replace(&mut self.state, over) {
            let live = *live;
            if live.will_tell {
                live.health.succeeded();
            }
            let now = match live.at_once {
                true => self.arrived,
                false => Instant::now(),
            };
            live.pool.give(live.link, live.progress.is_done(), now);
        }
    }

    fn fail(&mut self, fault: AnswerFault) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let State::Live(Some(live)) = mem::replace(&mut self.state, State::Live(None)) else {
            return Poll::Ready(None);
        };
        if live.progress.caller_fault().is_none() {
            live.health.failed(&fault);
        }
        Poll::Ready(Some(Err(AnswerError {
            region: Arc::clone(&live.region),
            fault,
        })))
    }
}

impl Live {
    fn is_read(&self) -> bool {
        match &self.incoming {
            Some(incoming) => incoming.is_end_stream(),
            None => self.link.is_read(),
        }
    }

    /// What still comes long after its head speaks for its server, but only once: of many that last,
    /// each would else forgive that no new one begins.
    fn tell_if_lasting(&mut self, arrived: Instant) {
        if self.will_tell && arrived.elapsed() >= LASTING {
            self.will_tell = false;
            self.health.succeeded();
        }
    }

    /// Whether what came by now, this frame included, is too little for the time.
    fn is_too_slow(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(pace) = &self.pace else {
            return false;
        };
        self.came = self
            .came
            .saturating_add(frame.data_ref().map_or(0, Bytes::len));
        pace.keeps(self.came).is_err()
    }

    /// Whether an answer of HTTP/2 of which no more comes came to its end. hyper takes a stream that
    /// was reset with NO_ERROR for one that has ended; that is true only of one whose end came
    /// before (RFC 9113 §8.1).
    fn is_whole(&self) -> bool {
        let at_its_end = |incoming: &Incoming| {
            incoming.is_end_stream() || incoming.size_hint().exact() == Some(0)
        };
        self.trailed || self.incoming.as_ref().is_none_or(at_its_end)
    }

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

/// What came of an answer of HTTP/2, if it may (RFC 9113 §8.1.1).
fn sound_frame(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    match frame.into_trailers() {
        Ok(fields) => sound::trailers(fields).map(Frame::trailers),
        Err(frame) => Some(frame),
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
        let live = match &mut this.state {
            State::Live(Some(live)) => live,
            State::Live(None) => return Poll::Ready(None),
            State::Here(_) => return Poll::Ready(this.take_here().map(|b| Ok(Frame::data(b)))),
        };
        if let Some(ahead) = live.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        let polled = match &mut live.incoming {
            None => live.link.poll_frame(cx).map_err(|Broken| ()),
            Some(incoming) => {
                let frame = Pin::new(incoming).poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.ok().and_then(sound_frame).ok_or(())))
            }
        };
        match polled {
            Poll::Pending => {
                live.at_once = false;
                match live.is_stalled(cx) {
                    true => this.fail(AnswerFault::Stalled),
                    false => Poll::Pending,
                }
            }
            Poll::Ready(None) => match live.is_whole() {
                true => {
                    this.finish();
                    Poll::Ready(None)
                }
                false => this.fail(AnswerFault::Broken),
            },
            Poll::Ready(Some(Err(()))) => this.fail(AnswerFault::Broken),
            Poll::Ready(Some(Ok(frame))) => {
                live.timer = None;
                live.tell_if_lasting(this.arrived);
                live.trailed |= frame.is_trailers();
                if live.is_read() {
                    this.finish();
                } else if live.is_too_slow(&frame) {
                    return this.fail(AnswerFault::Slow);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.state, State::Here(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Here(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Live(None) => SizeHint::with_exact(0),
            State::Live(Some(live)) if live.ahead.is_some() => SizeHint::default(),
            State::Live(Some(live)) => match &live.incoming {
                Some(incoming) => incoming.size_hint(),
                None => live
                    .link
                    .left()
                    .map_or_else(SizeHint::default, SizeHint::with_exact),
            },
        }
    }
}
