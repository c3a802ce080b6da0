//! The time that a connection of HTTP/2 may take: between requests, and while its caller takes
//! nothing. HTTP/1 watches its own ([`http1`](super::http1)).

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::settings::Limits;

/// What a connection and its requests tell each other.
#[derive(Debug)]
pub struct Pace {
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
            at_work: Cell::new(0),
            since: Cell::new(Instant::now()),
        })
    }

    /// A whole head has come.
    pub fn begin(self: &Rc<Self>) -> AtWork {
        self.at_work.set(self.at_work.get() + 1);
        AtWork(Some(Rc::clone(self)))
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
            pace.since.set(Instant::now());
        }
    }
}

/// A socket that ends a connection whose caller takes nothing for too long.
pub struct Paced<S> {
    io: S,
    /// How long the caller may take nothing of an answer.
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Paced<S> {
    pub fn new(stream: S, limits: &Limits) -> Self {
        Self {
            io: stream,
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
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<S> {
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

    #[tokio::test]
    async fn a_connection_idles_when_no_request_is_at_work() {
        let pace = Pace::new();
        assert!(pace.idle_since().is_some());
        let (one, two) = (pace.begin(), pace.begin());
        assert!(pace.idle_since().is_none());
        drop(one);
        assert!(pace.idle_since().is_none());
        drop(two);
        assert!(pace.idle_since().is_some());
    }
}
