//! An answer on its way out: head and first bytes in one write, the rest as it comes.

use std::{
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::{io::AsyncWrite, time::Instant};

use super::{
    Transport,
    encode::{self, Asked, Framing},
    link::{Link, Meanwhile},
};
use crate::{
    http1::{
        encode::{chunk_size, last_chunk},
        pool,
        pulse::Pulse,
    },
    message::{Field, Fields, ResponseParts, tokens},
};

/// Frames from this length on are written from where they stand.
const LARGE: usize = 4 << 10;

/// Small frames are gathered up to about this length.
const GATHERED: usize = 16 << 10;

/// How the sending of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    /// The answer broke off; the caller sees that only if the connection ends now.
    Broken,
    /// The connection is of no use any more.
    Gone,
}

pub(super) struct Sender<'b, B> {
    /// What is written next; then `large`.
    out: BytesMut,
    large: Bytes,
    body: Pin<&'b mut B>,
    framing: Framing,
    /// Of a body with a length.
    left: u64,
    /// The body's chunk in `large` still needs its line end.
    chunk_open: bool,
    /// Nothing more comes from the body.
    is_over: bool,
    is_broken: bool,
    /// Trailer fields that the head announced to a caller that takes them.
    trailers: Option<Vec<Bytes>>,
    /// Since when the caller takes nothing.
    waits: Option<Instant>,
}

impl<'b, B> Sender<'b, B>
where
    B: Body<Data = Bytes>,
{
    /// `before` goes out first: the rest of a 100 that was begun.
    pub(super) fn new(
        parts: &ResponseParts,
        body: Pin<&'b mut B>,
        asked: Asked,
        keeps: bool,
        before: &[u8],
    ) -> (Self, bool) {
        let length = body.size_hint().exact();
        let framing = asked.framing(parts.status, length);
        let keeps = keeps && framing != Framing::UntilClose;
        let mut out = pool::take();
        out.extend_from_slice(before);
        encode::head(&mut out, parts, framing, length, asked, keeps);
        let left = match framing {
            Framing::Length(length) => length,
            _ => 0,
        };
        let is_over = matches!(framing, Framing::Nothing | Framing::Length(0));
        let trailers = (asked.takes_trailers && framing == Framing::Chunked)
            .then(|| announced(&parts.headers))
            .filter(|names| !names.is_empty());
        let sender = Self {
            out,
            large: Bytes::new(),
            body,
            framing,
            left,
            chunk_open: false,
            is_over,
            is_broken: false,
            trailers,
            waits: None,
        };
        (sender, keeps)
    }

    /// Whether the answer ends with the connection, so that only a reset tells of its breaking.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    /// Sends as much as can be sent.
    pub(super) fn poll<S: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link<S>,
        pulse: &mut Pulse,
        stall: Duration,
    ) -> Poll<Sent> {
        loop {
            let body_waits = self.gather(cx).is_pending();
            if self.out.is_empty() && self.large.is_empty() {
                if self.is_over {
                    return self.finish(cx, link, pulse, stall);
                }
                if body_waits {
                    return self.wait(cx, link, pulse, stall);
                }
                continue;
            }
            match self.write(cx, link) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Sent::Gone),
                Poll::Ready(Ok(_)) => self.waits = None,
                Poll::Pending => return self.wait_write(cx, link, pulse, stall),
            }
        }
    }

    /// Takes frames of the body; pending when it has none at the moment.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_over && self.large.is_empty() && self.out.len() < GATHERED {
            if self.chunk_open {
                self.chunk_open = false;
                self.out.extend_from_slice(b"\r\n");
            }
            if self.body.is_end_stream() {
                self.end(None);
                break;
            }
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => self.take(frame),
                Some(Err(_)) => self.broke(),
                None => self.end(None),
            }
        }
        Poll::Ready(())
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().ok();
                return self.end(trailers);
            }
        };
        if data.is_empty() {
            return;
        }
        match self.framing {
            Framing::Nothing => return,
            Framing::Length(_) => match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                // More than was announced would be read as another answer.
                None => return self.broke(),
            },
            Framing::Chunked => {
                chunk_size(&mut self.out, data.len());
                self.chunk_open = true;
            }
            Framing::UntilClose => {}
        }
        if data.len() >= LARGE {
            self.large = data;
            return;
        }
        self.out.extend_from_slice(&data);
        if self.chunk_open {
            self.chunk_open = false;
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn broke(&mut self) {
        self.is_over = true;
        self.is_broken = true;
        self.chunk_open = false;
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.is_over = true;
        match self.framing {
            Framing::Length(_) if self.left > 0 => self.is_broken = true,
            Framing::Chunked => {
                let wanted = self.trailers.take();
                let trailers = trailers.zip(wanted).map(|(fields, names)| {
                    let is_named = |name: &str| {
                        names
                            .iter()
                            .any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
                    };
                    let named = fields.iter().filter(|(name, _)| is_named(name.as_str()));
                    named
                        .map(|(n, v)| (n.clone(), v.clone()))
                        .collect::<HeaderMap>()
                });
                last_chunk(&mut self.out, trailers.as_ref());
            }
            _ => {}
        }
    }

    fn write<S: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link<S>,
    ) -> Poll<std::io::Result<usize>> {
        let mut wire = link.wire();
        let at_once = match self.large.is_empty() {
            true => wire.io.send_now(&self.out),
            false => None,
        };
        let io = Pin::new(&mut wire.io);
        let written = if let Some(written) = at_once {
            written
        } else if self.large.is_empty() {
            ready!(io.poll_write(cx, &self.out))
        } else if self.out.is_empty() {
            ready!(io.poll_write(cx, &self.large))
        } else if io.is_write_vectored() {
            let slices = [IoSlice::new(&self.out), IoSlice::new(&self.large)];
            ready!(io.poll_write_vectored(cx, &slices))
        } else {
            ready!(io.poll_write(cx, &self.out))
        };
        if let Ok(count) = written {
            let head = count.min(self.out.len());
            pool::advance(&mut self.out, head);
            if count > head {
                pool::pass(&mut self.large, count - head);
            }
        }
        Poll::Ready(written)
    }

    fn finish<S: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link<S>,
        pulse: &mut Pulse,
        stall: Duration,
    ) -> Poll<Sent> {
        let flushed = Pin::new(&mut link.wire().io).poll_flush(cx);
        match flushed {
            Poll::Pending => self.wait_write(cx, link, pulse, stall),
            Poll::Ready(Err(_)) => Poll::Ready(Sent::Gone),
            Poll::Ready(Ok(())) if self.is_broken => Poll::Ready(Sent::Broken),
            Poll::Ready(Ok(())) => Poll::Ready(Sent::Whole),
        }
    }

    /// The body has nothing to send at the moment; what was written must be out by then.
    fn wait<S: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link<S>,
        pulse: &mut Pulse,
        stall: Duration,
    ) -> Poll<Sent> {
        let mut wire = link.wire();
        match Pin::new(&mut wire.io).poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Sent::Gone),
            Poll::Pending => {
                drop(wire);
                return self.wait_write(cx, link, pulse, stall);
            }
        }
        if wire.watch(cx) == Meanwhile::Gone {
            return Poll::Ready(Sent::Gone);
        }
        drop(wire);
        watch_upload(cx, link, pulse, stall);
        Poll::Pending
    }

    /// The caller takes nothing: not for longer than `stall`.
    fn wait_write<S: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link<S>,
        pulse: &mut Pulse,
        stall: Duration,
    ) -> Poll<Sent> {
        let since = *self.waits.get_or_insert_with(Instant::now);
        // The earlier deadline last: the timer stays where it is earliest.
        watch_upload(cx, link, pulse, stall);
        ready!(pulse.poll(cx, since + stall));
        Poll::Ready(Sent::Gone)
    }
}

impl<B> Drop for Sender<'_, B> {
    fn drop(&mut self) {
        pool::give(std::mem::take(&mut self.out));
    }
}

/// The names that `Trailer` announces and that may stand in a trailer section.
fn announced(fields: &Fields) -> Vec<Bytes> {
    fields
        .get_all(Field::Trailer)
        .flat_map(|value| tokens(value.as_bytes()))
        .flatten()
        .map(Bytes::copy_from_slice)
        .collect()
}

/// Watches a body that is still being read, whatever else the connection does.
pub(super) fn watch_upload<S: Transport>(
    cx: &mut Context<'_>,
    link: &Link<S>,
    pulse: &mut Pulse,
    stall: Duration,
) {
    loop {
        let Some(deadline) = link.wire().stalls_at(stall) else {
            return;
        };
        if pulse.poll(cx, deadline).is_pending() {
            return;
        }
        link.wire().stalled(stall);
    }
}
