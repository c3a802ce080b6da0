//! One connection to an endpoint, and one exchange over it.

use std::{
    error::Error as _,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body::{Body, Frame};
use hyper::{body::Incoming, client::conn::TrySendError};
use rustls::AlertDescription;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Endpoint, Sent, Unreachable,
    body::{Progress, Upload},
    dial::dial,
    http1::{Broken, Call, Connection, Fault, OWN, expects_content},
    multiplex::Lease,
    sound::is_sound,
    wire::is_vouched,
};
use crate::{
    admit::body::BodyFault, http1::pulse::Pulse, message::Response, settings::HttpVersion,
    tls::BackendSide,
};

/// Most bytes of an answer's head.
pub(super) const BUFFER: usize = 64 << 10;

/// A way to one endpoint that serves one exchange at a time. Dropping it closes the socket or
/// stream at once, whatever was under way: what the region then sees is a broken request.
pub(super) struct Link {
    way: Way,
    pub(super) idle_since: Instant,
}

enum Way {
    /// An HTTP/1.1 connection.
    Whole(Box<Whole>),
    /// A stream of an HTTP/2 connection, which others share.
    Stream(Lease),
}

struct Whole {
    connection: Connection,
    /// Of its exchanges, one after the other; made with the first.
    pulse: Option<Pulse>,
    /// What it was made with; it is not used again once that was exchanged.
    side: Option<Arc<BackendSide>>,
    /// Of its server's certificate, past which it is not used again either.
    vouched_until: Option<i64>,
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

impl Deadlines {
    /// Whether the last of them has come, which leaves a second try less than the others give.
    pub(super) fn are_over(&self) -> bool {
        self.at_last
            .is_some_and(|at_last| Instant::now() >= at_last)
    }
}

/// Why an exchange gave no head of an answer.
pub(super) struct Failed {
    pub(super) kind: FailedKind,
    pub(super) sent: Sent,
    /// Bytes of an answer came, but not a whole head.
    pub(super) answer_begun: bool,
    /// The server ended this stream and no other: its connection was not closed.
    pub(super) alone: bool,
    /// The request, if nothing of it was even prepared for sending (HTTP/2).
    pub(super) unsent: Option<Upload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailedKind {
    Timeout,
    Reset,
    /// The server would not have us as its client, and has read nothing.
    TurnedAway(AlertDescription),
    /// The server refused this stream and began nothing (RFC 9113 §8.7).
    Refused,
    /// The server goes away, and began nothing of this stream.
    GoneAway,
    BadAnswer,
    CallerBody(BodyFault),
}

/// For the log.
impl fmt::Display for FailedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "it did not answer in time",
            Self::Reset => "it broke the connection before it answered",
            Self::TurnedAway(alert) => return write!(f, "it refused us: {alert:?}"),
            Self::Refused => "it refused the request before it began with it",
            Self::GoneAway => "it went away before it began with the request",
            Self::BadAnswer => "its answer is no HTTP, or can be read in two ways",
            Self::CallerBody(_) => "the caller's body broke off",
        })
    }
}

impl Link {
    /// Opens an HTTP/1.1 connection within `limit`, name lookup and handshake included. Cancel
    /// safe.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        side: Option<Arc<BackendSide>>,
        limit: Duration,
    ) -> Result<Self, Unreachable> {
        let dialled = dial(endpoint, side.as_deref(), HttpVersion::One, limit);
        let wire = timeout(limit, dialled)
            .await
            .map_err(|_| Unreachable::TimedOut)??;
        let vouched_until = wire.vouched_until;
        Ok(Self::new(Way::Whole(Box::new(Whole {
            connection: Connection::new(wire),
            pulse: None,
            side,
            vouched_until,
        }))))
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
    pub(super) fn is_ready(&mut self) -> bool {
        match &mut self.way {
            Way::Whole(whole) => whole.connection.is_quiet(),
            Way::Stream(lease) => !lease.is_closed(),
        }
    }

    /// The same; wakes the task when it ends.
    pub(super) fn poll_is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.way {
            Way::Whole(whole) => whole.connection.poll_is_quiet(cx),
            Way::Stream(lease) => !lease.is_closed(),
        }
    }

    /// Whether it is of a connection that was opened for another request.
    pub(super) fn is_shared(&self) -> bool {
        matches!(&self.way, Way::Stream(lease) if lease.is_shared())
    }

    /// Ends an exchange whose answer was read to its end.
    pub(super) fn rest(&mut self) -> Rest {
        match &mut self.way {
            Way::Whole(whole) => match (whole.connection.rest(), whole.connection.may_rest()) {
                (true, _) => Rest::Ready,
                (false, true) => Rest::Sending,
                (false, false) => Rest::Over,
            },
            // A stream is used once.
            Way::Stream(_) => Rest::Over,
        }
    }

    /// Whether `side` vouches for who is there, and still does.
    pub(super) fn is_of(&self, side: Option<&Arc<BackendSide>>) -> bool {
        match &self.way {
            Way::Whole(whole) => match (&whole.side, side) {
                (Some(mine), Some(now)) => {
                    Arc::ptr_eq(mine, now) && is_vouched(whole.vouched_until)
                }
                (None, None) => true,
                _ => false,
            },
            Way::Stream(_) => true,
        }
    }

    /// Sends the last bytes of a request whose answer was read; false if that fails.
    pub(super) async fn becomes_ready(&mut self) -> bool {
        match &mut self.way {
            Way::Whole(whole) => {
                poll_fn(|cx| whole.connection.poll_sent(cx)).await && whole.connection.rest()
            }
            Way::Stream(_) => false,
        }
    }

    /// When the region last took a byte of the request.
    pub(super) fn last_write(&self, progress: &Progress) -> Instant {
        match &self.way {
            Way::Whole(whole) => whole.connection.last_write(),
            // What other streams move says nothing of this one.
            Way::Stream(_) => progress.last_taken(),
        }
    }

    /// The answer's body, where it is read from the link itself.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.way {
            Way::Whole(whole) => whole.connection.poll_frame(cx),
            Way::Stream(_) => Poll::Ready(None),
        }
    }

    /// Whether nothing of such a body is still to come.
    pub(super) fn is_read(&self) -> bool {
        match &self.way {
            Way::Whole(whole) => whole.connection.is_read(),
            Way::Stream(_) => true,
        }
    }

    /// How much of such a body is still to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.way {
            Way::Whole(whole) => whole.connection.left(),
            Way::Stream(_) => Some(0),
        }
    }

    /// Begins to send one request at `now`; the answer is [`Link::poll_answer`]'s. Gives the body
    /// back where the request is one for [`Link::exchange`].
    pub(super) fn begin(
        &mut self,
        call: &Call<'_>,
        upload: Upload,
        now: Instant,
    ) -> Option<Upload> {
        match &mut self.way {
            Way::Whole(whole) => {
                whole.connection.begin(call, upload, now);
                None
            }
            Way::Stream(_) => Some(upload),
        }
    }

    /// Sends on, and waits for the head of the answer to what was begun; informational answers
    /// (1xx) are passed over. The link reads the body. After a failure, or when given up before
    /// the end, drop the link too.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        progress: &Progress,
        deadlines: Deadlines,
    ) -> Poll<Result<Response<Option<Incoming>>, Failed>> {
        match &mut self.way {
            Way::Whole(whole) => whole.poll_exchange(cx, progress, deadlines),
            Way::Stream(_) => Poll::Ready(Err(Failed::unbegun())),
        }
    }

    /// Sends one request on a stream of HTTP/2 and waits for the head of the answer, in which the
    /// body stands. After a failure, or when dropped before the end, drop the link too.
    pub(super) async fn exchange(
        &mut self,
        call: &Call<'_>,
        upload: Upload,
        progress: &Progress,
        deadlines: Deadlines,
    ) -> Result<Response<Option<Incoming>>, Failed> {
        match &mut self.way {
            Way::Stream(lease) => stream(lease, call, upload, progress, deadlines).await,
            Way::Whole(_) => Err(Failed::unbegun()),
        }
    }

    /// The whole body of an answer of which all came with its head, if it is short.
    pub(super) fn take_short(&mut self) -> Option<Bytes> {
        match &mut self.way {
            Way::Whole(whole) => whole.connection.take_short(),
            Way::Stream(_) => None,
        }
    }
}

/// The same on a stream of an HTTP/2 connection.
async fn stream(
    lease: &mut Lease,
    call: &Call<'_>,
    upload: Upload,
    progress: &Progress,
    deadlines: Deadlines,
) -> Result<Response<Option<Incoming>>, Failed> {
    let request = request(call, upload);
    let mut sender = lease.sender();
    let answer = sender.try_send_request(request);
    let last_write = || progress.last_taken();
    match wait(answer, progress, last_write, deadlines).await {
        Some(Ok(response)) if is_sound(&response) => {
            lease.has_answered();
            Ok(Response::from(response).map(Some))
        }
        Some(Ok(_)) => Err(Failed {
            kind: FailedKind::BadAnswer,
            sent: Sent::Perhaps,
            answer_begun: true,
            alone: false,
            unsent: None,
        }),
        outcome => {
            let failure = outcome.and_then(Result::err);
            let ends_alone = failure.as_ref().is_some_and(|f| is_stream_reset(f.error()));
            let mut failed = Failed::of(failure, progress);
            failed.alone = ends_alone;
            // Broken, or silent: the next try had better take another one.
            if progress.caller_fault().is_none() && !ends_alone {
                lease.retire();
            }
            let is_broken = matches!(failed.kind, FailedKind::Reset | FailedKind::BadAnswer);
            if is_broken && let Some(alert) = lease.turned_away() {
                failed.kind = FailedKind::TurnedAway(alert);
                failed.sent = Sent::Nothing;
            } else if failed.kind == FailedKind::Reset && lease.is_faulty() {
                failed.kind = FailedKind::BadAnswer;
            }
            Err(failed)
        }
    }
}

impl Whole {
    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        progress: &Progress,
        deadlines: Deadlines,
    ) -> Poll<Result<Response<Option<Incoming>>, Failed>> {
        let kind = match self.connection.poll_answer(cx) {
            Poll::Ready(Ok(head)) => {
                return Poll::Ready(Ok(Response::from_parts(head, None)));
            }
            Poll::Ready(Err(Fault::Reset)) => FailedKind::Reset,
            Poll::Ready(Err(Fault::TurnedAway(alert))) => FailedKind::TurnedAway(alert),
            Poll::Ready(Err(Fault::BadAnswer)) => FailedKind::BadAnswer,
            Poll::Ready(Err(Fault::CallerBody)) => {
                FailedKind::CallerBody(progress.caller_fault().unwrap_or(BodyFault::Broken))
            }
            Poll::Pending => {
                let due = due(self.connection.last_write(), progress, deadlines);
                let pulse = self.pulse.get_or_insert_with(|| Pulse::new(due));
                if pulse.poll(cx, due).is_pending() {
                    return Poll::Pending;
                }
                FailedKind::Timeout
            }
        };
        Poll::Ready(Err(Failed {
            kind,
            sent: match self.connection.wrote() && !matches!(kind, FailedKind::TurnedAway(_)) {
                true => Sent::Perhaps,
                false => Sent::Nothing,
            },
            answer_begun: self.connection.answer_begun(),
            alone: false,
            unsent: None,
        }))
    }
}

/// What becomes of a link whose answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Ready,
    /// Ready as soon as the request is sent to its end.
    Sending,
    /// It serves no other request.
    Over,
}

/// A request as HTTP/2 has it: what concerns an HTTP/1.1 connection is left out
/// (RFC 9113 §8.2.2), the target names the host.
fn request(call: &Call<'_>, upload: Upload) -> Request<Upload> {
    let mut headers = call.headers.clone();
    headers.retain(|field, _| !OWN.contains(field));
    let mut headers = headers.to_map();
    if upload.is_end_stream() && expects_content(call.method) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut request = Request::new(upload);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.endpoint.whole(call.target);
    *request.headers_mut() = headers;
    request
}

/// RFC 9113 §8.7: a refused stream, and one above a `GOAWAY`'s last, were not processed at all.
fn unprocessed(error: &hyper::Error) -> Option<FailedKind> {
    let h2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    let h2 = h2.filter(|h2| h2.is_remote())?;
    if h2.is_go_away() {
        Some(FailedKind::GoneAway)
    } else {
        (h2.reason() == Some(h2::Reason::REFUSED_STREAM)).then_some(FailedKind::Refused)
    }
}

/// The region has ended this stream, and no other (RFC 9113 §5.4.2).
fn is_stream_reset(error: &hyper::Error) -> bool {
    let h2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    h2.is_some_and(|h2| h2.is_remote() && h2.is_reset())
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
    /// The link was asked for what was not begun on it.
    fn unbegun() -> Self {
        Self {
            kind: FailedKind::Reset,
            sent: Sent::Nothing,
            answer_begun: false,
            alone: false,
            unsent: None,
        }
    }

    /// From a failure, or from none where it took too long.
    fn of(failure: Option<TrySendError<Request<Upload>>>, progress: &Progress) -> Self {
        let Some(mut failure) = failure else {
            return Self {
                kind: FailedKind::Timeout,
                sent: Sent::Perhaps,
                answer_begun: false,
                alone: false,
                unsent: None,
            };
        };
        let unsent = failure.take_message().map(Request::into_body);
        let error = failure.into_error();
        let unprocessed = unprocessed(&error);
        let kind = if let Some(fault) = progress.caller_fault() {
            FailedKind::CallerBody(fault)
        } else if let Some(kind) = unprocessed {
            kind
        } else if is_no_answer(&error) {
            FailedKind::BadAnswer
        } else {
            FailedKind::Reset
        };
        Self {
            kind,
            sent: match unsent.is_some() || unprocessed.is_some() {
                true => Sent::Nothing,
                false => Sent::Perhaps,
            },
            answer_begun: false,
            alone: false,
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
