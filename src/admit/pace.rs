//! The time a connection may take: for the head of a request, and between requests.
//!
//! hyper's own head timer also runs while a connection idles, so that a generous idle limit and
//! a strict head limit cannot both be had; this one starts with a head's first byte.

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep},
};

use crate::settings::Limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// Some of a head has come, not all.
    Head,
    /// A request is at work; its body has a limit of its own.
    Busy,
}

/// What a connection and its requests tell each other.
#[derive(Debug)]
pub struct Pace {
    phase: Cell<Phase>,
    at_work: Cell<u32>,
    since: Cell<Instant>,
}

/// Held while a request is at work, until the last byte of its answer is handed over.
pub struct AtWork(Option<Rc<Pace>>);

impl AtWork {
    /// Of a connection that needs nobody to tell it (HTTP/1).
    pub fn unwatched() -> Self {
        Self(None)
    }
}

impl Pace {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            at_work: Cell::new(0),
            since: Cell::new(Instant::now()),
        })
    }

    /// For connections whose heads and idling are watched elsewhere (HTTP/2).
    pub fn unwatched() -> Rc<Self> {
        let pace = Self::new();
        pace.phase.set(Phase::Busy);
        pace
    }

    /// A whole head has come.
    pub fn begin(self: &Rc<Self>) -> AtWork {
        self.phase.set(Phase::Busy);
        self.at_work.set(self.at_work.get() + 1);
        AtWork(Some(Rc::clone(self)))
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    /// Since when nothing is at work, if so.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.at_work.get() == 0).then(|| self.since.get())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let Some(pace) = &self.0 else { return };
        let left = pace.at_work.get().saturating_sub(1);
        pace.at_work.set(left);
        if left == 0 {
            pace.enter(Phase::Idle);
        }
    }
}

/// A socket that ends a connection whose head takes too long or that idles too long.
pub struct Paced {
    io: TokioIo<TcpStream>,
    pace: Rc<Pace>,
    head: Duration,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    /// How long the caller may take nothing of an answer.
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n\
Connection: close\r\nContent-Length: 118\r\n\r\n\
{\"type\":\"urn:domicile:problem:head-too-slow\",\"title\":\"the head of the request took longer than allowed\",\"status\":408}\n";

impl Paced {
    pub fn new(stream: TcpStream, pace: Rc<Pace>, limits: &Limits) -> Self {
        Self {
            io: TokioIo::new(stream),
            pace,
            head: limits.header_read,
            idle: limits.idle,
            timer: Box::pin(tokio::time::sleep(limits.idle)),
            stall: limits.body_stall,
            stalled: None,
        }
    }

    /// A write's progress: one that waits longer than the stall limit for a caller that does not
    /// read ends the connection, which else would hold its place for ever.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The deadline of the present phase.
    fn deadline(&self) -> Option<Instant> {
        let limit = match self.pace.phase.get() {
            Phase::Idle => self.idle,
            Phase::Head => self.head,
            Phase::Busy => return None,
        };
        Some(self.pace.since.get() + limit)
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline() else {
            return false;
        };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl Read for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // `ReadBufCursor` does not tell how much was read, but a head has begun either way: an
        // end of the stream ends the connection, and with it every phase.
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if read.is_ready() {
            if this.pace.phase.get() == Phase::Idle {
                this.pace.enter(Phase::Head);
            }
            return read;
        }
        if !this.poll_late(cx) {
            return Poll::Pending;
        }
        if this.pace.phase.get() == Phase::Head {
            // Nothing of an answer is under way while a head is read, so this one stands alone.
            let _ = Pin::new(&mut this.io).poll_write(cx, LATE);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Write for Paced {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.watch_write(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_flush(cx);
        this.watch_write(cx, written)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.watch_write(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_states_its_length() {
        let text = std::str::from_utf8(LATE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
    }

    #[tokio::test]
    async fn phases_follow_the_requests() {
        let pace = Pace::new();
        assert!(pace.idle_since().is_some());
        let (one, two) = (pace.begin(), pace.begin());
        assert!(pace.idle_since().is_none());
        drop(one);
        assert_eq!(pace.phase.get(), Phase::Busy);
        drop(two);
        assert_eq!(pace.phase.get(), Phase::Idle);
        assert!(pace.idle_since().is_some());
    }
}
