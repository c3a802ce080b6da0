//! The socket of an HTTP/2 connection, with a reader that looks at what h2 gets.

use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    answers::Answers,
    frames::{Frames, Judge},
    requests::{Progress, Requests, Seen},
};

/// How long a caller that was told of its fault may take to go: unread bytes would turn the close
/// into a reset, which can overtake what it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes pass as they come, up to the frame in which a fault is found. From there on nothing is read, and
/// what is written goes out.
///
/// Memory: that of [`Frames`], which is little between field sections.
pub struct Guarded<S, J: Judge> {
    io: S,
    frames: Box<Frames<J>>,
    is_faulty: bool,
    told: Told,
    leaving: Option<Pin<Box<Sleep>>>,
}

/// Who is told of a fault.
enum Told {
    /// Who serves the connection, and ends it with the error's name.
    Server(Rc<Seen>, Option<h2::Reason>),
    /// h2, by an error of the socket.
    Client(Rc<std::cell::Cell<bool>>),
}

impl<S> Guarded<S, Requests> {
    /// The socket of a caller. Of a fault tells [`Seen::fault`], which is to be asked whenever h2
    /// has nothing more to do: reads stay pending from then on, and nobody is woken.
    pub fn requests(io: S, limit: usize) -> (Self, Rc<Seen>) {
        let seen = Rc::new(Seen::default());
        let judge = Requests::new(Rc::clone(&seen), limit);
        let told = Told::Server(Rc::clone(&seen), None);
        (Self::new(io, judge, limit, told), seen)
    }
}

impl<S> Guarded<S, Answers> {
    /// The socket of a region. A fault ends all streams at once, with an error of the socket;
    /// `faulty` tells why.
    pub fn answers(io: S, limit: usize, faulty: Rc<std::cell::Cell<bool>>) -> Self {
        Self::new(io, Answers::default(), limit, Told::Client(faulty))
    }
}

impl<S, J: Judge> Guarded<S, J> {
    fn new(io: S, judge: J, limit: usize, told: Told) -> Self {
        Self {
            io,
            frames: Box::new(Frames::new(judge, limit)),
            is_faulty: false,
            told,
            leaving: None,
        }
    }

    /// Of a caller.
    fn progress(&self) -> Option<&Progress> {
        match &self.told {
            Told::Server(seen, _) => Some(seen.progress()),
            Told::Client(_) => None,
        }
    }

    /// `ends`: of the frames, before they read what came now.
    fn note(&self, ends: u64) {
        let Some(progress) = self.progress() else {
            return;
        };
        match self.frames.is_amid() {
            false => progress.amid.set(None),
            true if progress.amid.get().is_none() || self.frames.ends() != ends => {
                progress.amid.set(Some(Instant::now()));
            }
            true => {}
        }
    }

    fn wrote<T>(&self, written: Poll<T>) -> Poll<T> {
        if let Some(progress) = self.progress() {
            progress.writes.set(written.is_pending());
        }
        written
    }

    /// Nothing more is to be read: of a fault here, or one that the server has found.
    fn is_faulty(&self) -> bool {
        let found = match &self.told {
            Told::Server(seen, _) => seen.fault().is_some(),
            Told::Client(_) => false,
        };
        self.is_faulty || found
    }

    fn found(&mut self, fault: h2::Reason) {
        self.is_faulty = true;
        if let Told::Server(seen, reason) = &mut self.told {
            seen.unsound(fault);
            *reason = Some(fault);
        }
        tracing::debug!(reason = ?fault, "a fault in HTTP/2");
    }

    fn stop(&self) -> Poll<io::Result<()>> {
        match &self.told {
            Told::Server(seen, reason) => {
                if let Some(reason) = reason {
                    seen.found(*reason);
                }
                Poll::Pending
            }
            Told::Client(faulty) => {
                faulty.set(true);
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin, J: Judge + Unpin> AsyncRead for Guarded<S, J> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_faulty() {
            return this.stop();
        }
        let before = buf.filled().len();
        loop {
            let read = Pin::new(&mut this.io).poll_read(cx, buf);
            if let Some(progress) = this.progress() {
                progress.reads.set(read.is_pending());
            }
            ready!(read)?;
            let came = buf.filled_mut().get_mut(before..).unwrap_or_default();
            let ends = this.frames.ends();
            let read = this.frames.read(came);
            let sound = match read {
                Ok(()) => came,
                Err(fault) => came.get_mut(..fault.at).unwrap_or_default(),
            };
            let is_end = sound.is_empty();
            let kept = this.frames.keep(sound);
            buf.set_filled(before + kept);
            // Nothing at all would read as the end.
            match read {
                Ok(()) => {
                    this.note(ends);
                    if kept > 0 || is_end {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(fault) => {
                    this.found(fault.reason);
                    return match kept {
                        0 => this.stop(),
                        _ => Poll::Ready(Ok(())),
                    };
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, J: Judge + Unpin> AsyncWrite for Guarded<S, J> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.wrote(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.wrote(flushed)
    }

    /// After a fault, waits for the caller to go, for a while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.leaving.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if !this.is_faulty() {
                return Poll::Ready(Ok(()));
            }
        }
        let leaving = this
            .leaving
            .get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if leaving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut room = [0; 4096];
        loop {
            let mut rest = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut rest))?;
            if rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
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
        this.wrote(written)
    }
}
