//! One connection to an endpoint, and one exchange over it.

use std::{error::Error as _, future::Future, pin::pin, rc::Rc, sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response, header};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Endpoint, Sent, Unreachable,
    body::{Progress, Upload},
    dial::dial,
    multiplex::Lease,
    wire::Meter,
};
use crate::{settings::HttpVersion, tls::BackendSide};

/// Most bytes of an answer's head, and of what one connection buffers in each direction.
pub(super) const BUFFER: usize = 64 << 10;

/// A way to one endpoint that serves one exchange at a time. Dropping it closes the socket or
/// stream at once, whatever was under way: what the region then sees is a broken request.
pub(super) struct Link {
    way: Way,
    pub(super) idle_since: Instant,
}

enum Way {
    /// An HTTP/1.1 connection.
    Whole(Whole),
    /// A stream of an HTTP/2 connection, which others share.
    Stream(Lease),
}

struct Whole {
    sender: SendRequest<Upload>,
    meter: Rc<Meter>,
    task: AbortHandle,
    /// What it was made with; it is not used again once that was exchanged.
    side: Option<Arc<BackendSide>>,
}

/// The limits of one exchange.
#[derive(Clone, Copy)]
pub(super) struct Deadlines {
    /// To the answer's head, from the last byte of the request that the region took.
    pub(super) response: Duration,
    /// While the region takes no byte of a request that is not yet whole.
    pub(super) stall: Duration,
    /// No matter what, for a second try.
    pub(super) at_last: Option<Instant>,
}

/// Why an exchange gave no head of an answer.
pub(super) struct Failed {
    pub(super) kind: FailedKind,
    pub(super) sent: Sent,
    /// Bytes of an answer came, but not a whole head.
    pub(super) answer_begun: bool,
    /// The request, if nothing of it was even prepared for sending.
    pub(super) unsent: Option<Upload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailedKind {
    Timeout,
    Reset,
    BadAnswer,
    CallerBody,
}

impl Link {
    /// Opens an HTTP/1.1 connection within `limit`, name lookup and handshake included. Cancel
    /// safe.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        side: Option<Arc<BackendSide>>,
        limit: Duration,
    ) -> Result<Self, Unreachable> {
        let wire = timeout(limit, dial(endpoint, side.as_deref(), HttpVersion::One))
            .await
            .map_err(|_| Unreachable::TimedOut)??;
        let meter = Rc::clone(&wire.meter);
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|_| Unreachable::Other(std::io::ErrorKind::ConnectionAborted))?;
        let task = tokio::task::spawn_local(async move {
            // Whoever waits on this connection is told; nobody else needs to know.
            let _ = connection.await;
        });
        Ok(Self::new(Way::Whole(Whole {
            sender,
            meter,
            task: task.abort_handle(),
            side,
        })))
    }

    pub(super) fn stream(lease: Lease) -> Self {
        Self::new(Way::Stream(lease))
    }

    fn new(way: Way) -> Self {
        Self {
            way,
            idle_since: Instant::now(),
        }
    }

    /// Whether a request can be sent now: the last exchange is over and the peer has not closed.
    pub(super) fn is_ready(&self) -> bool {
        match &self.way {
            Way::Whole(whole) => whole.sender.is_ready() && !whole.sender.is_closed(),
            Way::Stream(lease) => !lease.is_closed(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.way {
            Way::Whole(whole) => whole.sender.is_closed(),
            // A stream is used once.
            Way::Stream(_) => true,
        }
    }

    pub(super) fn is_of(&self, side: Option<&Arc<BackendSide>>) -> bool {
        match &self.way {
            Way::Whole(whole) => match (&whole.side, side) {
                (Some(mine), Some(now)) => Arc::ptr_eq(mine, now),
                (None, None) => true,
                _ => false,
            },
            Way::Stream(_) => true,
        }
    }

    /// Waits until the last exchange is over; false if the connection closes instead.
    pub(super) async fn becomes_ready(&mut self) -> bool {
        match &mut self.way {
            Way::Whole(whole) => whole.sender.ready().await.is_ok(),
            Way::Stream(_) => false,
        }
    }

    /// When the region last took a byte of the request.
    pub(super) fn last_write(&self, progress: &Progress) -> Instant {
        match &self.way {
            Way::Whole(whole) => whole.meter.last_write(),
            // What other streams move says nothing of this one.
            Way::Stream(_) => progress.last_taken(),
        }
    }

    /// Sends one request and waits for the head of the answer; informational answers (1xx) are
    /// passed over. After a failure, or when dropped before the end, drop the link too.
    pub(super) async fn exchange(
        &mut self,
        endpoint: &Endpoint,
        mut request: Request<Upload>,
        deadlines: Deadlines,
    ) -> Result<Response<Incoming>, Failed> {
        let progress = request.body().progress();
        match &mut self.way {
            Way::Whole(Whole { sender, meter, .. }) => {
                let (written, read) = (meter.written(), meter.read());
                let answer = sender.try_send_request(request);
                let last_write = || meter.last_write();
                let failure = match wait(answer, &progress, last_write, deadlines).await {
                    Some(Ok(response)) => return Ok(response),
                    Some(Err(failure)) => Some(failure),
                    None => None,
                };
                let sent = match meter.written() > written {
                    true => Sent::Perhaps,
                    false => Sent::Nothing,
                };
                let failed = Failed::of(failure, &progress, |_| sent);
                Err(Failed {
                    answer_begun: meter.read() > read,
                    ..failed
                })
            }
            Way::Stream(lease) => {
                let target = std::mem::take(request.uri_mut());
                *request.uri_mut() = endpoint.whole(target);
                only_for_http2(request.headers_mut());
                let mut sender = lease.sender();
                let answer = sender.try_send_request(request);
                let last_write = || progress.last_taken();
                match wait(answer, &progress, last_write, deadlines).await {
                    Some(Ok(response)) => Ok(response),
                    outcome => {
                        // Refused, broken, or silent: the next try had better take another one.
                        lease.retire();
                        let failure = outcome.and_then(Result::err);
                        Err(Failed::of(failure, &progress, of_stream))
                    }
                }
            }
        }
    }
}

/// RFC 9113 §8.2.2: what concerns an HTTP/1.1 connection; the target names the host.
fn only_for_http2(headers: &mut HeaderMap) {
    for name in [header::HOST, header::TRANSFER_ENCODING, header::CONNECTION] {
        headers.remove(name);
    }
}

/// RFC 9113 §8.7: a refused stream, and one above a `GOAWAY`'s last, were not processed at all.
fn of_stream(error: &hyper::Error) -> Sent {
    let h2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    let unprocessed = h2.is_some_and(|h2| {
        h2.is_remote() && (h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM))
    });
    match unprocessed {
        true => Sent::Nothing,
        false => Sent::Perhaps,
    }
}

/// The answer, or `None` when patience ends first.
async fn wait<T>(
    answer: impl Future<Output = T>,
    progress: &Progress,
    last_write: impl Fn() -> Instant,
    deadlines: Deadlines,
) -> Option<T> {
    let started = Instant::now();
    let due = || due(last_write().max(started), progress, deadlines);
    let mut answer = pin!(answer);
    loop {
        let until = due();
        tokio::select! {
            biased;
            outcome = answer.as_mut() => return Some(outcome),
            () = sleep_until(until) => {
                // The request may have moved on while we slept.
                if Instant::now() >= due() {
                    return None;
                }
            }
        }
    }
}

impl Failed {
    /// From a failure, or from none where it took too long.
    fn of(
        failure: Option<TrySendError<Request<Upload>>>,
        progress: &Progress,
        sent: impl FnOnce(&hyper::Error) -> Sent,
    ) -> Self {
        let Some(mut failure) = failure else {
            return Self {
                kind: FailedKind::Timeout,
                sent: Sent::Perhaps,
                answer_begun: false,
                unsent: None,
            };
        };
        let unsent = failure.take_message().map(Request::into_body);
        let error = failure.into_error();
        let kind = if progress.caller_failed() {
            FailedKind::CallerBody
        } else if is_no_answer(&error) {
            FailedKind::BadAnswer
        } else {
            FailedKind::Reset
        };
        Self {
            kind,
            sent: match unsent {
                Some(_) => Sent::Nothing,
                None => sent(&error),
            },
            answer_begun: false,
            unsent,
        }
    }
}

/// Whether what came breaks the protocol.
fn is_no_answer(error: &hyper::Error) -> bool {
    let h2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_parse()
        || error.is_parse_too_large()
        || error.is_parse_status()
        || h2.is_some_and(h2::Error::is_library)
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When patience ends, as things stand.
fn due(last_write: Instant, progress: &Progress, limits: Deadlines) -> Instant {
    let due = if progress.waits_for_caller() {
        // Admit watches the caller's pace; ours starts anew with each byte.
        Instant::now() + limits.stall
    } else {
        let limit = if progress.is_done() {
            limits.response
        } else {
            limits.stall
        };
        last_write + limit
    };
    limits.at_last.map_or(due, |at_last| due.min(at_last))
}
