use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::{admit::http1::send_now, telemetry::clock};

/// An open connection to a region.
pub(crate) struct Wire {
    pub(super) stream: Stream,
    /// The last second of the certificate that its server showed; `None` for plain `http`.
    pub(super) vouched_until: Option<i64>,
}

/// Whether the certificate that a connection's server showed has not ended since. Callers are judged
/// anew with each request, and so, as far as their own certificate goes, are regions.
pub(super) fn is_vouched(until: Option<i64>) -> bool {
    until.is_none_or(|last| clock::time().as_second() <= last)
}

impl Wire {
    /// Whether what was written may stay here until it is flushed.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Whether nothing can be read now. Only what is read tells that it is not so.
    pub(super) fn is_quiet_now(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.try_io(Interest::READABLE, || Ok(())).is_err(),
            Stream::Tls(_) => false,
        }
    }

    /// The same; wakes the task when that changes.
    pub(super) fn is_quiet(&self, cx: &mut Context<'_>) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.poll_read_ready(cx).is_pending(),
            Stream::Tls(_) => false,
        }
    }
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls `$method` of whichever stream it is.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &mut $self.stream {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Stream::Plain(stream) = &self.stream
            && let Some(sent) = send_now(stream, buf)
        {
            return Poll::Ready(sent);
        }
        either!(self.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}
