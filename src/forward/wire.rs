use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;

/// What one connection has moved so far. Only this tells whether a request may have been sent:
/// hyper's errors do not.
#[derive(Debug)]
pub(super) struct Meter {
    written: Cell<u64>,
    read: Cell<u64>,
    last_write: Cell<Instant>,
}

impl Meter {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            written: Cell::new(0),
            read: Cell::new(0),
            last_write: Cell::new(Instant::now()),
        })
    }

    /// Bytes that the operating system took, or that TLS holds for it.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(super) fn read(&self) -> u64 {
        self.read.get()
    }

    pub(super) fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(n)) = outcome {
            self.written.set(self.written.get() + *n as u64);
            self.last_write.set(Instant::now());
        }
    }
}

/// A connection that keeps its [`Meter`].
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) meter: Rc<Meter>,
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
        let before = buf.filled().len();
        let outcome = either!(self.poll_read(cx, buf));
        let came = buf.filled().len().saturating_sub(before);
        self.meter.read.set(self.meter.read.get() + came as u64);
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = either!(self.poll_write(cx, buf));
        self.meter.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = either!(self.poll_write_vectored(cx, bufs));
        self.meter.wrote(&outcome);
        outcome
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
