//! HTTP/1.1 to callers (RFC 9110, RFC 9112): a small server of our own, strict and sparing.
//!
//! Strict: whatever the RFCs forbid, or two readers could read in two ways, is refused with a
//! problem document, and the connection ends; nothing is repaired, and nothing of it reaches a
//! region. Sparing: a head is parsed where it was read, a body is read where it is wanted, a
//! short answer goes out in one write, one timer watches all limits, and a connection that waits
//! holds no buffer. What is given up for that: trailers, extensions of chunks and upgrades that
//! nobody here has a use for. `docs/http.md` says what is accepted and what is refused.

mod answer;
mod body;
mod decode;
mod encode;
mod exchange;
mod fault;
mod fields;
pub mod harness;
pub(super) mod head;
pub(super) mod line;
mod link;
pub(super) mod scan;
mod stop;
pub(super) mod target;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    future::{Future, poll_fn},
    io,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as HttpBody;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::Instant,
};

pub use body::Body;
pub use fault::{FramingFault, HeadFault};

use head::Head;
use link::{Link, Wire};
use scan::Scan;
use stop::Stop;

use super::{body::Incoming, farewell::GRACE};
use crate::{
    clock,
    http1::{pulse::Pulse, send_now},
    message::{Request, Response},
};

/// A stream to a caller.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Makes the end of the stream, when it is dropped, one that the caller cannot take for an
    /// orderly end. Streams whose bare end tells that by itself (TLS) need do nothing.
    fn tear(&self) {}

    /// Hands over bytes, if any are taken now.
    fn send_now(&mut self, _bytes: &[u8]) -> Option<io::Result<usize>> {
        None
    }

    /// Whether nothing can be read now; wakes the task when that changes. Only what is read tells
    /// that it is not so.
    fn is_quiet(&self, _cx: &mut Context<'_>) -> bool {
        false
    }

    /// Whether what goes through it is sealed.
    fn is_secure(&self) -> bool {
        false
    }
}

impl Transport for TcpStream {
    fn tear(&self) {
        // Whether it succeeds makes no difference any more.
        let _ = self.set_zero_linger();
    }

    fn send_now(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        send_now(self, bytes)
    }

    fn is_quiet(&self, cx: &mut Context<'_>) -> bool {
        self.poll_read_ready(cx).is_pending()
    }
}

/// What comes without an orderly end of TLS is cut, as every reader of TLS knows.
impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Transport for tokio_rustls::server::TlsStream<S> {
    fn is_secure(&self) -> bool {
        true
    }
}

/// What a caller may take of the router's time and memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub header_bytes: usize,
    pub header_read: Duration,
    pub body_stall: Duration,
    pub idle: Duration,
}

impl From<&crate::settings::Limits> for Limits {
    fn from(limits: &crate::settings::Limits) -> Self {
        Self {
            header_bytes: limits.header_bytes,
            header_read: limits.header_read,
            body_stall: limits.body_stall,
            idle: limits.idle,
        }
    }
}

/// Serves a connection until it ends, idles too long, or `stop` turns true and its request at
/// work is answered. `first` are bytes of it that were read already; `refused` is told of heads that
/// `handle` does not get. Dropping the future cuts the
/// connection. It has to stay in the task that polls it first.
pub async fn serve<S, F, A, B>(
    io: S,
    first: BytesMut,
    limits: Limits,
    stop: watch::Receiver<bool>,
    handle: F,
    refused: impl Fn(HeadFault),
) where
    S: Transport,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>>,
    B: HttpBody<Data = Bytes>,
{
    let link = Link::new(io, first);
    let mut pulse = Pulse::new(Instant::now() + limits.idle);
    let mut stop = Stop::new(stop);
    loop {
        // The rare ways are boxed, so that a connection is small.
        let next = next_head(&link, &limits, &mut pulse, &mut stop).await;
        let keeps = match next {
            Next::Head(head) => {
                exchange::serve(&link, head, &limits, &mut pulse, &mut stop, &handle).await
            }
            Next::Refused(fault, is_head) => {
                refused(fault);
                Box::pin(exchange::refuse(&link, fault, is_head, &limits, &mut pulse)).await;
                false
            }
            Next::Ended => {
                Box::pin(exchange::end(&link, &mut pulse, limits.body_stall, false)).await;
                false
            }
        };
        if !keeps {
            return;
        }
    }
}

enum Next {
    Head(Head),
    /// The fault, and whether the answer goes without a body, since HEAD was asked for.
    Refused(HeadFault, bool),
    /// The caller is gone, idled too long, or the worker stops.
    Ended,
}

/// Waits for the next head. Cancel safe.
async fn next_head<S: Transport>(
    link: &Rc<Link<S>>,
    limits: &Limits,
    pulse: &mut Pulse,
    stop: &mut Stop,
) -> Next {
    let mut scan = Scan::default();
    // When nothing began, and when something did.
    let (mut idle, mut begun, mut told) = (None, None, None);
    poll_fn(|cx| {
        let mut wire = link.wire();
        // After an answer the next request is not here, as a rule: then no buffer is needed.
        let is_new = idle.is_none() && begun.is_none() && wire.bytes.is_empty() && !wire.ended;
        let is_quiet = is_new && wire.io.is_quiet(cx);
        if !is_quiet && let Poll::Ready(next) = poll_head(&mut wire, &mut scan, limits, cx) {
            return Poll::Ready(next);
        }
        if scan.is_blank(&wire.bytes) {
            scan.take_blank(&mut wire.bytes);
            wire.rest();
            let since = *idle.get_or_insert_with(clock::moment);
            let mut until = since + limits.idle;
            if stop.poll(cx).is_ready() {
                // A request may be on its way, which an end at once would leave unanswered.
                until = until.min(*told.get_or_insert_with(Instant::now) + GRACE);
            }
            if pulse.poll(cx, until).is_ready() {
                return Poll::Ready(Next::Ended);
            }
        } else {
            let since = *begun.get_or_insert_with(clock::moment);
            if pulse.poll(cx, since + limits.header_read).is_ready() {
                let is_head = asks_for_head(&wire.bytes);
                return Poll::Ready(Next::Refused(HeadFault::TooSlow, is_head));
            }
        }
        Poll::Pending
    })
    .await
}

fn poll_head<S: Transport>(
    wire: &mut Wire<S>,
    scan: &mut Scan,
    limits: &Limits,
    cx: &mut Context<'_>,
) -> Poll<Next> {
    loop {
        if !wire.bytes.is_empty() {
            let is_head = asks_for_head(&wire.bytes);
            let (bytes, last) = (&mut wire.bytes, &mut wire.last);
            match head::take(scan, last, bytes, limits.header_bytes) {
                // RFC 9110 §7.4: such a request must be rejected.
                Ok(Some(head)) if wants_tls(&head) && !wire.io.is_secure() => {
                    return Poll::Ready(Next::Refused(HeadFault::NotSecured, is_head));
                }
                Ok(Some(head)) => return Poll::Ready(Next::Head(head)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Next::Refused(fault, is_head)),
            }
        }
        if wire.ended {
            let is_blank = scan.is_blank(&wire.bytes);
            return Poll::Ready(match is_blank {
                true => Next::Ended,
                false => Next::Refused(HeadFault::Incomplete, asks_for_head(&wire.bytes)),
            });
        }
        match wire.poll_fill(cx, 1024) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Next::Ended),
            Poll::Pending => return Poll::Pending,
        }
    }
}

fn wants_tls(head: &Head) -> bool {
    head.parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS)
}

/// Whether the bytes of a refused request are one of HEAD, whose answer has no body.
fn asks_for_head(bytes: &[u8]) -> bool {
    let mut bytes = bytes;
    if bytes.starts_with(b"\r\n") {
        bytes.advance(2);
    }
    bytes.starts_with(b"HEAD ")
}
