//! One connection as its task and the bodies of its requests share it.
//!
//! A body is read where its reader is, in whatever task that runs: no channel, no task of its
//! own. At one moment only one of the two reads the stream: the body's reader while the body is
//! not whole, the connection's task else. The task alone writes, but for the 100 that a body
//! sends before it is first read.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Frame;
use tokio::{io::AsyncReadExt, time::Instant};

use super::{
    Transport,
    body::Source,
    decode::{Decoder, Piece},
    fault::FramingFault,
    pool,
};
use crate::admit::body::BodyFault;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Room for one read of a body that is streamed.
const STREAMED: usize = 16 << 10;

/// How much of a body is allocated ahead of its bytes.
const AHEAD: u64 = 64 << 10;

pub(super) struct Link<S>(RefCell<Wire<S>>);

pub(super) struct Wire<S> {
    pub(super) io: S,
    /// Read, not yet parsed.
    pub(super) bytes: BytesMut,
    /// The peer sends nothing any more.
    pub(super) ended: bool,
    decoder: Decoder,
    /// Which request's body is being decoded; a body of another has lost its connection.
    turn: u32,
    /// Somebody may still read the body of this turn.
    has_reader: bool,
    /// What is left to send of the 100 that the caller waits for.
    due: &'static [u8],
    fault: Option<BodyFault>,
    /// Since when the body's reader waits for the caller.
    waits: Option<Instant>,
    reader: Option<Waker>,
    task: Option<Waker>,
}

/// What a caller that is not at its turn does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    Fine,
    /// The connection is broken; nobody is there for an answer.
    Gone,
}

impl<S: Transport> Link<S> {
    pub(super) fn new(io: S, bytes: BytesMut) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Wire {
            io,
            bytes,
            ended: false,
            decoder: Decoder::Done,
            turn: 0,
            has_reader: false,
            due: b"",
            fault: None,
            waits: None,
            reader: None,
            task: None,
        })))
    }

    /// For one step without waiting: nothing may hold this across a poll of a body or a handler.
    pub(super) fn wire(&self) -> std::cell::RefMut<'_, Wire<S>> {
        self.0.borrow_mut()
    }
}

impl<S: Transport> Wire<S> {
    /// Begins a request's body; gives the turn in which it can be read.
    pub(super) fn begin(&mut self, decoder: Decoder, expects_continue: bool) -> u32 {
        self.turn = self.turn.wrapping_add(1);
        self.has_reader = !decoder.is_done();
        self.decoder = decoder;
        self.due = if expects_continue { CONTINUE } else { b"" };
        self.waits = None;
        self.turn
    }

    /// Whether the body has come as a whole.
    pub(super) fn is_whole(&self) -> bool {
        self.decoder.is_done()
    }

    pub(super) fn has_reader(&self) -> bool {
        self.has_reader && self.fault.is_none()
    }

    /// The request is over: whoever still reads its body gets an error.
    pub(super) fn end(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.has_reader = false;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// What of a 100 must still go out, now that the answer itself begins. One that was not begun
    /// is not sent any more; the caller need not send its body then.
    pub(super) fn settle_continue(&mut self) -> &'static [u8] {
        let due = std::mem::take(&mut self.due);
        if due.len() == CONTINUE.len() {
            b""
        } else {
            due
        }
    }

    pub(super) fn awaits_continue(&self) -> bool {
        self.due.len() == CONTINUE.len()
    }

    /// Throws away what has come of a body that nobody reads. False if it is broken.
    pub(super) fn discard(&mut self) -> bool {
        while self.fault.is_none() {
            match self.decoder.decode(&mut self.bytes) {
                Ok(Piece::More | Piece::End) => return true,
                Ok(Piece::Data(_) | Piece::Trailers(_)) => {}
                Err(fault) => self.fault = Some(BodyFault::Framing(fault)),
            }
        }
        false
    }

    /// How much of the body is still to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.decoder.left()
    }

    /// Reads into the buffer, with room for at least `room` bytes. Cancel safe.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() == 0 {
            self.bytes = pool::take();
        }
        if self.bytes.capacity() - self.bytes.len() < room {
            self.bytes.reserve(room.max(pool::SIZE));
        }
        let read = ready!(pin!(self.io.read_buf(&mut self.bytes)).poll(cx));
        if let Ok(0) = read {
            self.ended = true;
        }
        Poll::Ready(read)
    }

    /// Gives the buffer back if nothing stands in it.
    pub(super) fn rest(&mut self) {
        if self.bytes.is_empty() {
            pool::give(std::mem::take(&mut self.bytes));
        }
    }

    /// While a request is at work whose body is whole: reads a little ahead, and sees whether the
    /// connection breaks. A caller that only ended its sending still waits for the answer.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> Meanwhile {
        while self.is_whole() && !self.ended && self.bytes.len() < pool::SIZE {
            match self.poll_fill(cx, 512) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Meanwhile::Gone,
                Poll::Pending => break,
            }
        }
        if !self.is_whole() && self.task.is_none() {
            self.task = Some(cx.waker().clone());
        }
        Meanwhile::Fine
    }

    /// When a reader of the body will have waited too long, as things stand; `None` where the
    /// body is whole.
    pub(super) fn stalls_at(&self, stall: Duration) -> Option<Instant> {
        (!self.is_whole() && self.has_reader())
            .then(|| self.waits.unwrap_or_else(Instant::now) + stall)
    }

    /// The deadline of [`stalls_at`](Self::stalls_at) has passed: tells the reader, if it waits.
    pub(super) fn stalled(&mut self, stall: Duration) {
        if self.waits.is_some() {
            self.fault = Some(BodyFault::Stalled(stall));
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

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
                    self.fault = Some(BodyFault::Framing(fault));
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
                Poll::Ready(Err(fault)) => self.fault = Some(fault),
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
            self.fault = Some(fault);
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
                    let ahead = left.min(AHEAD.max(into.len() as u64));
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

impl<S: Transport> Source for Link<S> {
    fn poll_frame(
        &self,
        turn: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let mut wire = self.wire();
        if wire.turn != turn {
            return Poll::Ready(Some(Err(BodyFault::Broken)));
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
            return Poll::Ready(Err(BodyFault::Broken));
        }
        wire.poll_into(cx, into)
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
