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
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{body::Progress, gate::Seat, health::EndpointHealth, link::Link, pool::Pool};

/// The body of a region's answer.
///
/// An error means that the rest is missing: break the caller's connection, never end it cleanly.
/// Dropping it at any point is safe: an unfinished answer closes the connection to the region. Where
/// the body is merely not wanted, [`throw_away`](super::throw_away) keeps the connection.
pub struct AnswerBody {
    incoming: Incoming,
    /// Until the answer is over.
    live: Option<Box<Live>>,
    region: Arc<str>,
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
}

/// An answer that must not be passed on.
pub(super) struct Unusable;

/// Cleans the head and wraps the body.
///
/// # Errors
/// `Unusable` for 101 (nobody asked to switch), for both `Transfer-Encoding` and
/// `Content-Length`, which two readers could read differently (RFC 9112 §6.3), and for any
/// transfer coding but `chunked`: hyper leaves others undone, and without the header, which ends
/// here, their bytes would pass for the content.
pub(super) fn accept(
    response: Response<Incoming>,
    source: Source,
) -> Result<Response<AnswerBody>, Unusable> {
    let (mut head, incoming) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Unusable);
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (head.headers.contains_key(header::CONTENT_LENGTH)
            || !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
            || codings.next().is_some())
    {
        return Err(Unusable);
    }
    remove_hop_by_hop(&mut head.headers);
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6 forbids it there, and a reader might wait for such a body.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    head.version = http::Version::HTTP_11;
    // hyper leaves its own notes here, such as the reason phrase; none is for the caller.
    head.extensions.clear();
    let region = source.region;
    let mut body = AnswerBody {
        incoming,
        live: Some(Box::new(Live {
            link: source.link,
            pool: source.pool,
            health: source.health,
            progress: source.progress,
            _seat: source.seat,
            stall: source.stall,
            timer: None,
        })),
        region,
    };
    if body.incoming.is_end_stream() {
        body.finish();
    }
    Ok(Response::from_parts(head, body))
}

/// RFC 9110 §7.6.1: what `Connection` names, and what is known to end at each hop.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            // Framing is not the peer's to take away.
            .filter(|name| *name != header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in [
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::TE,
    ] {
        headers.remove(name);
    }
}

impl AnswerBody {
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    /// The answer is whole: its connection can serve the next request.
    fn finish(&mut self) {
        if let Some(live) = self.live.take() {
            let live = *live;
            live.pool.give(live.link, live.progress.is_done());
        }
    }

    fn fail(&mut self, fault: AnswerFault) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if let Some(live) = self.live.take()
            && !live.progress.caller_failed()
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
        let Some(live) = &mut this.live else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Pending if live.is_stalled(cx) => this.fail(AnswerFault::Stalled),
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => this.fail(AnswerFault::Broken),
            Poll::Ready(Some(Ok(frame))) => {
                live.timer = None;
                if this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.live.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
