use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use rustix::net::RecvFlags;
use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::{clock, http1::send_now};

/// An open connection to a region.
pub(crate) struct Wire {
    pub(super) stream: Stream,
    /// The last second of the certificate that its server showed; `None` for plain `http`.
    pub(super) vouched_until: Option<i64>,
    pub(super) turned_away: TurnedAway,
}

/// The alert by which a server has refused us, if it has: in TLS 1.3 our side of the handshake is over
/// before the server has seen who we are (RFC 8446 §4.4.2.4), so this comes where an answer would.
#[derive(Clone)]
pub(super) struct TurnedAway(Option<Rc<Cell<Option<AlertDescription>>>>);

impl TurnedAway {
    /// Of a new connection.
    pub(super) fn not_yet(stream: &Stream) -> Self {
        Self(match stream {
            Stream::Plain(_) => None,
            Stream::Tls(_) => Some(Rc::default()),
        })
    }

    /// On a connection that has given no answer yet the server has then read nothing that was sent.
    pub(super) fn by(&self) -> Option<AlertDescription> {
        self.0.as_ref()?.get()
    }

    #[cold]
    fn note(&self, error: &rustls::Error) {
        use AlertDescription as A;
        if let (Some(told), rustls::Error::AlertReceived(alert)) = (&self.0, error)
            // Others, such as `internal_error`, may concern what was asked.
            && matches!(
                alert,
                A::CertificateRequired
                    | A::NoCertificate
                    | A::BadCertificate
                    | A::UnsupportedCertificate
                    | A::CertificateRevoked
                    | A::CertificateExpired
                    | A::CertificateUnknown
                    | A::UnknownCA
                    | A::AccessDenied
                    | A::HandshakeFailure
                    | A::DecryptError
            )
        {
            told.set(Some(*alert));
        }
    }
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

    /// Who refuses us closes the connection at once, so that to write on it fails before its alert is
    /// read. Of an answer that lies there nothing is lost: it stays in the session.
    fn look_for_alert<T>(&mut self, written: &Poll<io::Result<T>>) {
        if let (Poll::Ready(Err(_)), Stream::Tls(stream)) = (written, &mut self.stream)
            && let Err(error) = take_in(stream)
        {
            self.turned_away.note(&error);
        }
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

/// What lies on the socket.
#[cold]
fn take_in(stream: &mut TlsStream<TcpStream>) -> Result<(), rustls::Error> {
    let (socket, session) = stream.get_mut();
    let mut bytes = [0; 1024];
    // Where something of an answer is there already it is no alert that ended the connection; and so
    // much always fits.
    while session.wants_read() {
        let read = rustix::net::recv(&*socket, &mut bytes, RecvFlags::DONTWAIT);
        let mut rest = match read {
            Ok((_, count @ 1..)) => bytes.get(..count).unwrap_or_default(),
            _ => return Ok(()),
        };
        // To be given nothing would be the end to it.
        while !rest.is_empty() && session.read_tls(&mut rest).is_ok() {
            session.process_new_packets()?;
        }
    }
    Ok(())
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
        let read = either!(self.poll_read(cx, buf));
        if let Poll::Ready(Err(error)) = &read {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
            if let Some(tls) = tls {
                self.turned_away.note(tls);
            }
        }
        read
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
        let written = either!(self.poll_write(cx, buf));
        self.look_for_alert(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = either!(self.poll_write_vectored(cx, bufs));
        self.look_for_alert(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = either!(self.poll_flush(cx));
        self.look_for_alert(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}
