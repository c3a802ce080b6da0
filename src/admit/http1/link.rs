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
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{io::AsyncReadExt, time::Instant};

use super::{
    Transport,
    decode::{Decoder, Piece},
    head::Last,
};
use crate::{admit::body::BodyFault, http1::pool};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub(super) struct Link<S>(RefCell<Wire<S>>);

pub(super) struct Wire<S> {
    pub(super) io: S,
    /// Read, not yet parsed.
    pub(super) bytes: BytesMut,
    pub(super) last: Last,
    /// How often something was read.
    pub(super) reads: u32,
    /// The peer sends nothing any more.
    pub(super) ended: bool,
    pub(super) decoder: Decoder,
    /// Which request's body is being decoded; a body of another has lost its connection.
    pub(super) turn: u32,
    /// Somebody may still read the body of this turn.
    pub(super) has_reader: bool,
    /// What is left to send of the 100 that the caller waits for.
    pub(super) due: &'static [u8],
    pub(super) fault: Option<BodyFault>,
    /// Since when the body's reader waits for the caller.
    pub(super) waits: Option<Instant>,
    pub(super) reader: Option<Waker>,
    pub(super) task: Option<Waker>,
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
            last: Last::default(),
            reads: 0,
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

    /// [`Transport::tear`], from wherever a panic may have come.
    pub(super) fn tear(&self) {
        if let Ok(wire) = self.0.try_borrow() {
            wire.io.tear();
        }
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
        self.reads = self.reads.wrapping_add(1);
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
            if self.io.is_quiet(cx) {
                break;
            }
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
}
