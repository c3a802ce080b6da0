//! A request's body as its reader pulls it from the connection.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Frame;
use tokio::{io::AsyncReadExt, time::Instant};

use super::{
    Transport,
    body::Source,
    decode::{Decoder, Piece},
    fault::FramingFault,
    link::{Link, Wire},
};
use crate::admit::body::BodyFault;

/// Room for one read of a body that is streamed.
const STREAMED: usize = 16 << 10;

/// How much of a body is allocated ahead of its bytes.
const AHEAD: u64 = 64 << 10;
/// The like, as a multiple of what has come.
const TIMES: u64 = 15;

impl<S: Transport> Source for Link<S> {
    fn poll_frame(
        &self,
        turn: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let mut wire = self.wire();
        if wire.turn != turn {
            return Poll::Ready(Some(Err(wire.lost())));
        }
        wire.poll_piece(cx)
    }

    fn poll_into(
        &self,
        turn: u32,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
    ) -> Poll<Result<usize, BodyFault>> {
        let mut wire = self.wire();
        if wire.turn != turn {
            return Poll::Ready(Err(wire.lost()));
        }
        wire.poll_into(cx, into)
    }

    fn take_whole(&self, turn: u32) -> Option<Bytes> {
        let mut wire = self.wire();
        let left = wire.left()?;
        let has_come = wire.bytes.len() as u64 >= left;
        // Whoever waits for a 100 has not sent it; if the bytes are there all the same, they are
        // read as any others.
        if wire.turn != turn || !has_come || wire.fault.is_some() || !wire.due.is_empty() {
            return None;
        }
        match wire.poll_piece(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) if wire.is_whole() => frame.into_data().ok(),
            _ => None,
        }
    }

    fn left(&self, turn: u32) -> (bool, Option<u64>) {
        let wire = self.wire();
        if wire.turn != turn {
            return (false, None);
        }
        (wire.is_whole() && wire.fault.is_none(), wire.left())
    }

    fn released(&self, turn: u32) {
        let mut wire = self.wire();
        if wire.turn == turn {
            wire.has_reader = false;
            wire.waits = None;
            if let Some(task) = wire.task.take() {
                task.wake();
            }
        }
    }
}

impl<S: Transport> Wire<S> {
    /// Before a read of the body that would wait: sends the 100, looks for an end.
    fn poll_body_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        if ready!(self.poll_continue(cx)).is_err() {
            return Poll::Ready(Err(BodyFault::Broken));
        }
        if self.ended {
            return Poll::Ready(Err(BodyFault::Framing(FramingFault::Early)));
        }
        let room = match self.decoder.left() {
            Some(left) if left < STREAMED as u64 => 512,
            _ => STREAMED,
        };
        match self.poll_fill(cx, room) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err(BodyFault::Framing(FramingFault::Early))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(BodyFault::Broken)),
        }
    }

    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.due.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, self.due))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.due = self.due.get(sent..).unwrap_or_default();
            if self.due.is_empty() {
                return Pin::new(&mut self.io).poll_flush(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The body's reader waits: from now on, unless it did before.
    fn wait(&mut self, cx: &mut Context<'_>) {
        if self.waits.is_none() {
            self.waits = Some(Instant::now());
        }
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            None => self.reader = Some(cx.waker().clone()),
        }
    }

    /// Why a body of an earlier turn cannot be read: a fault ends the connection, so it was that
    /// turn's.
    fn lost(&self) -> BodyFault {
        self.fault.unwrap_or(BodyFault::Broken)
    }

    /// The body is not read on; the connection's task may wait for its reader.
    fn fail(&mut self, fault: BodyFault) {
        self.fault = Some(fault);
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// The body has come as a whole, perhaps in another task than the connection's own, which
    /// has the reading again.
    fn whole(&mut self, cx: &Context<'_>) {
        self.reader = None;
        if let Some(task) = self.task.take()
            && !task.will_wake(cx.waker())
        {
            task.wake();
        }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            if let Some(fault) = self.fault {
                return Poll::Ready(Some(Err(fault)));
            }
            let piece = match self.decoder.decode(&mut self.bytes) {
                Ok(piece) => piece,
                Err(fault) => {
                    self.fail(BodyFault::Framing(fault));
                    continue;
                }
            };
            if self.decoder.is_done() {
                self.whole(cx);
            }
            match piece {
                Piece::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Piece::Trailers(fields) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Piece::End => return Poll::Ready(None),
                Piece::More => {}
            }
            match self.poll_body_fill(cx) {
                Poll::Pending => {
                    self.wait(cx);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => self.waits = None,
                Poll::Ready(Err(fault)) => self.fail(fault),
            }
        }
    }

    /// Reads content straight into `into`. Only for bodies whose length is known.
    fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
    ) -> Poll<Result<usize, BodyFault>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Err(fault));
        }
        let Decoder::Length(left) = self.decoder else {
            return Poll::Ready(Ok(0));
        };
        let here = usize::try_from(left).map_or(self.bytes.len(), |l| l.min(self.bytes.len()));
        let came = if here > 0 {
            into.put((&mut self.bytes).take(here));
            here
        } else {
            let fault = match ready!(self.poll_straight(cx, into, left)) {
                Ok(0) => BodyFault::Framing(FramingFault::Early),
                Ok(came) => return Poll::Ready(Ok(self.came(cx, came, left))),
                Err(_) => BodyFault::Broken,
            };
            self.fail(fault);
            return Poll::Ready(Err(fault));
        };
        Poll::Ready(Ok(self.came(cx, came, left)))
    }

    fn came(&mut self, cx: &Context<'_>, came: usize, left: u64) -> usize {
        self.waits = None;
        self.decoder = match left.saturating_sub(came as u64) {
            0 => Decoder::Done,
            left => Decoder::Length(left),
        };
        if self.decoder.is_done() {
            self.whole(cx);
        }
        came
    }

    fn poll_straight(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
        left: u64,
    ) -> Poll<io::Result<usize>> {
        let polled = match self.poll_continue(cx) {
            Poll::Ready(Ok(())) if self.ended => return Poll::Ready(Ok(0)),
            Poll::Ready(Ok(())) => {
                if into.capacity() == into.len() {
                    // A long body is moved a few times at most while it grows; what is not
                    // written to yet is no memory.
                    let ahead = left.min(AHEAD.max(TIMES * into.len() as u64));
                    into.reserve(usize::try_from(ahead).unwrap_or(usize::MAX));
                }
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let mut into = into.limit(most);
                let polled = pin!(self.io.read_buf(&mut into)).poll(cx);
                if let Poll::Ready(Ok(0)) = polled {
                    self.ended = true;
                }
                polled
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if polled.is_pending() {
            self.wait(cx);
        }
        polled
    }
}
