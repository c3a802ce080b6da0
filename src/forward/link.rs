//! One connection to an endpoint, and one exchange over it.

use std::{pin::pin, rc::Rc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Endpoint, Sent, Unreachable,
    body::{Progress, Upload},
    wire::{Meter, Wire},
};

/// Most bytes of an answer's head, and of what one connection buffers in each direction.
const BUFFER: usize = 64 << 10;

/// An open connection. Dropping it closes the socket at once, whatever was under way: what the
/// region then sees is a broken request, and nothing of this connection is used again.
pub(super) struct Link {
    sender: SendRequest<Upload>,
    meter: Rc<Meter>,
    task: AbortHandle,
    pub(super) idle_since: Instant,
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
    /// Connects within `limit`, name lookup included. Cancel safe.
    pub(super) async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<Self, Unreachable> {
        let stream = timeout(limit, dial(endpoint))
            .await
            .map_err(|_| Unreachable::TimedOut)??;
        // Small requests must not wait for the acknowledgement of earlier ones.
        stream.set_nodelay(true)?;
        let meter = Meter::new();
        let wire = Wire {
            stream,
            meter: Rc::clone(&meter),
        };
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|_| Unreachable::Other(std::io::ErrorKind::ConnectionAborted))?;
        let task = tokio::task::spawn_local(async move {
            // Whoever waits on this connection is told; nobody else needs to know.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            meter,
            task: task.abort_handle(),
            idle_since: Instant::now(),
        })
    }

    /// Whether a request can be sent now: the last exchange is over and the peer has not closed.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the last exchange is over; false if the connection closes instead.
    pub(super) async fn becomes_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(super) fn meter(&self) -> Rc<Meter> {
        Rc::clone(&self.meter)
    }

    /// Sends one request and waits for the head of the answer; informational answers (1xx) are
    /// passed over. After a failure, or when dropped before the end, drop the link too.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Upload>,
        deadlines: Deadlines,
    ) -> Result<Response<Incoming>, Failed> {
        let progress = request.body().progress();
        let (written, read) = (self.meter.written(), self.meter.read());
        let started = Instant::now();
        let mut answer = pin!(self.sender.try_send_request(request));
        let outcome = loop {
            let due = due(&self.meter, &progress, started, deadlines);
            tokio::select! {
                biased;
                outcome = answer.as_mut() => break Some(outcome),
                () = sleep_until(due) => {
                    // The request may have moved on while we slept.
                    if Instant::now() >= self::due(&self.meter, &progress, started, deadlines) {
                        break None;
                    }
                }
            }
        };
        let (kind, unsent) = match outcome {
            Some(Ok(response)) => return Ok(response),
            None => (FailedKind::Timeout, None),
            Some(Err(mut failure)) => {
                let unsent = failure.take_message().map(Request::into_body);
                let error = failure.into_error();
                let kind = if progress.caller_failed() {
                    FailedKind::CallerBody
                } else if error.is_parse() || error.is_parse_too_large() || error.is_parse_status()
                {
                    FailedKind::BadAnswer
                } else {
                    FailedKind::Reset
                };
                (kind, unsent)
            }
        };
        Err(Failed {
            kind,
            sent: if self.meter.written() > written {
                Sent::Perhaps
            } else {
                Sent::Nothing
            },
            answer_begun: self.meter.read() > read,
            unsent,
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When patience ends, as things stand.
fn due(meter: &Meter, progress: &Progress, started: Instant, limits: Deadlines) -> Instant {
    let due = if progress.waits_for_caller() {
        // Admit watches the caller's pace; ours starts anew with each byte.
        Instant::now() + limits.stall
    } else {
        let limit = if progress.is_done() {
            limits.response
        } else {
            limits.stall
        };
        meter.last_write().max(started) + limit
    };
    limits.at_last.map_or(due, |at_last| due.min(at_last))
}

async fn dial(endpoint: &Endpoint) -> Result<TcpStream, Unreachable> {
    if let Some(address) = endpoint.address() {
        return Ok(TcpStream::connect(address).await?);
    }
    let addresses = tokio::net::lookup_host(endpoint.host_and_port())
        .await
        .map_err(|_| Unreachable::Unresolved)?;
    let mut last = Unreachable::Unresolved;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
