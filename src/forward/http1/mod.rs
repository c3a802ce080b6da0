//! HTTP/1.1 to a region (RFC 9110, RFC 9112): a small client of our own, strict and sparing.
//!
//! Strict: an answer that two readers could read in two ways is no answer, and its connection
//! ends; a connection serves another request only if both sides of the last exchange are known to
//! be over and nothing else came. Sparing: a request goes out as it stands, head and short body in
//! one write; an answer's fields stay where they were read; its body is read by whoever wants it,
//! with no task and no channel between; a connection that waits holds no buffer.
//!
//! What is given up for that: while an early answer's body is not polled, neither is the rest of
//! the request sent. A region that answers before it has the whole request ends the exchange as a
//! rule, and the limits end whatever waits for each other.

mod decode;
pub mod harness;
mod head;
mod request;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body::{Body, Frame};
use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Instant,
};

pub(super) use head::{MOST_FIELDS, digits, is_status};
pub(super) use request::{Call, OWN, expects_content};

use super::{body::Upload, wire::Wire};
use crate::{
    http1::{encode, pool},
    message::{Earlier, ResponseParts},
};
use decode::{Decoder, Piece};
use head::{Head, Scan};

/// Most bytes of an answer's head.
const MOST_HEAD: usize = super::link::BUFFER;

/// Informational answers (1xx) passed over before one that is final.
const MOST_INTERIM: usize = 16;

/// Bodies and chunks up to this are copied behind what goes out before them.
const COPIED: usize = 4 << 10;

/// Room for one read of a long body.
const LONG: u64 = 64 << 10;

/// An open connection to a region, and how far its exchange is.
pub(super) struct Connection {
    wire: Wire,
    /// Written next: the head, what frames a chunk, and what is short enough to be copied.
    out: BytesMut,
    /// Written after `out`.
    data: Bytes,
    /// What is left of the request's body.
    upload: Option<Upload>,
    chunked: bool,
    /// The trailer fields that the request announced; kept as the field says it.
    announced: Option<HeaderMap>,
    /// What the `Connection` of the answer names.
    nominated: Vec<String>,
    /// The data of a chunk is still to be written, and the line end after it.
    owes_line_end: bool,
    /// TLS may hold bytes back.
    unflushed: bool,
    /// Nothing more can be sent; an answer may still be here.
    write_failed: bool,
    last_write: Instant,
    /// Whether a write took place since the exchange began.
    wrote: bool,
    /// Read, not yet parsed.
    bytes: BytesMut,
    /// The answer was waited for.
    waited: bool,
    /// Something of an answer came.
    answer_begun: bool,
    /// The same, of this exchange or one before.
    has_answered: bool,
    scan: Scan,
    /// Of the answer before.
    earlier: Earlier,
    interim: usize,
    decoder: Decoder,
    keeps_alive: bool,
    is_head: bool,
    /// Nothing is under way, in either direction.
    rests: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection broke or ended.
    Reset,
    /// The server would not have us as its client, and has read nothing.
    TurnedAway(AlertDescription),
    /// What came is no sound answer.
    BadAnswer,
    /// The caller's body failed, or was not of its announced length.
    CallerBody,
}

/// The rest of an answer is missing.
pub(super) struct Broken;

impl Connection {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            out: BytesMut::new(),
            data: Bytes::new(),
            upload: None,
            chunked: false,
            announced: None,
            nominated: Vec::new(),
            owes_line_end: false,
            unflushed: false,
            write_failed: false,
            last_write: Instant::now(),
            wrote: false,
            bytes: BytesMut::new(),
            waited: false,
            answer_begun: false,
            has_answered: false,
            scan: Scan::default(),
            earlier: Earlier::default(),
            interim: 0,
            decoder: Decoder::Done,
            keeps_alive: true,
            is_head: false,
            rests: true,
        }
    }

    /// Whether nothing is under way and the peer has neither closed nor sent what nobody asked
    /// for. Wakes the task when that ends.
    pub(super) fn poll_is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0; 1];
        let mut byte = ReadBuf::new(&mut byte);
        let wire = Pin::new(&mut self.wire);
        self.rests && (wire.is_quiet(cx) || wire.poll_read(cx, &mut byte).is_pending())
    }

    /// The same, without waking.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut noop = Context::from_waker(Waker::noop());
        self.rests && (self.wire.is_quiet_now() || self.poll_is_quiet(&mut noop))
    }

    /// Begins an exchange on a connection that is quiet: nothing is written yet. `now` counts as
    /// the last write until there is one.
    pub(super) fn begin(&mut self, call: &Call<'_>, mut upload: Upload, now: Instant) {
        self.rests = false;
        self.last_write = now;
        self.wrote = false;
        self.write_failed = false;
        self.waited = false;
        self.answer_begun = false;
        self.scan = Scan::default();
        self.interim = 0;
        self.keeps_alive = true;
        self.is_head = *call.method == Method::HEAD;
        self.chunked = upload.is_chunked();
        self.announced = self.chunked.then(|| call.announced()).flatten();
        self.out = pool::take();
        call.write(&mut self.out, &upload);
        if let Some(whole) = upload.take_whole() {
            self.append(whole);
        }
        self.upload = (!upload.is_end_stream()).then_some(upload);
    }

    /// Whether the operating system, or TLS, took a byte of the request.
    pub(super) fn wrote(&self) -> bool {
        self.wrote
    }

    pub(super) fn answer_begun(&self) -> bool {
        self.answer_begun
    }

    pub(super) fn last_write(&self) -> Instant {
        self.last_write
    }

    /// Sends on, and waits for the head of the answer, which may come before the request is out.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<ResponseParts>, Fault>> {
        if self.poll_on(cx).is_err() {
            return Poll::Ready(Err(Fault::CallerBody));
        }
        loop {
            let bytes = &mut self.bytes;
            let head = head::take(&mut self.scan, &mut self.earlier, bytes, self.is_head);
            if let Some(head) = head.map_err(bad)? {
                match head {
                    Head::Final {
                        told,
                        decoder,
                        keeps_alive,
                        nominated,
                    } => {
                        self.decoder = decoder;
                        self.nominated = nominated;
                        self.keeps_alive = keeps_alive;
                        return Poll::Ready(Ok(told));
                    }
                    Head::Interim => {
                        self.interim += 1;
                        if self.interim > MOST_INTERIM {
                            return Poll::Ready(Err(Fault::BadAnswer));
                        }
                        continue;
                    }
                }
            }
            // No region answers at once: until it does, no buffer is needed.
            if !std::mem::replace(&mut self.waited, true) && self.wire.is_quiet(cx) {
                return Poll::Pending;
            }
            match ready!(self.poll_fill(cx, 1024)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(self.broken())),
                Ok(_) => {
                    self.answer_begun = true;
                    self.has_answered = true;
                }
            }
        }
    }

    #[cold]
    fn broken(&self) -> Fault {
        let turned_away = self.wire.turned_away.by();
        match turned_away.filter(|_| !self.has_answered) {
            Some(alert) => Fault::TurnedAway(alert),
            None => Fault::Reset,
        }
    }

    /// Reads the answer's body on, and sends on what is left of the request.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.is_sent() && self.poll_on(cx).is_err() {
            return Poll::Ready(Some(Err(Broken)));
        }
        loop {
            match self.decoder.decode(&mut self.bytes) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(mut fields)) => {
                    // RFC 9110 §7.6.1.
                    for name in self.nominated.drain(..) {
                        fields.remove(name.as_str());
                    }
                    if !fields.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                    }
                }
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(_) => return Poll::Ready(Some(Err(Broken))),
            }
            let room = match self.decoder.left() {
                Some(left) => left.clamp(512, LONG) as usize,
                None => pool::SIZE,
            };
            match ready!(self.poll_fill(cx, room)) {
                Ok(0) if self.decoder.ends_with_connection() => self.decoder = Decoder::Done,
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(Broken))),
                Ok(_) => {}
            }
        }
    }

    /// The whole body of an answer, if it is short and came with the head. It is copied, so that the
    /// buffer is free for the next.
    pub(super) fn take_short(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.decoder.left()?).ok()?;
        if length > COPIED {
            return None;
        }
        let data = Bytes::copy_from_slice(self.bytes.get(..length)?);
        self.bytes.advance(length);
        self.decoder = Decoder::Done;
        Some(data)
    }

    /// What is still to come of the answer's body, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.decoder.left()
    }

    pub(super) fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether the whole request was handed to the operating system.
    pub(super) fn is_sent(&self) -> bool {
        self.upload.is_none()
            && self.out.is_empty()
            && self.data.is_empty()
            && !self.owes_line_end
            && !self.unflushed
            && !self.write_failed
    }

    /// Whether, once the request is sent, another may follow.
    pub(super) fn may_rest(&self) -> bool {
        self.keeps_alive && !self.write_failed && self.is_read() && self.bytes.is_empty()
    }

    /// Ends an exchange of which nothing is left; false if the connection serves no other.
    pub(super) fn rest(&mut self) -> bool {
        self.rests = self.may_rest() && self.is_sent();
        if self.rests {
            pool::give(std::mem::take(&mut self.bytes));
            self.give_out();
            self.announced = None;
        }
        self.rests
    }

    /// Sends what is left of a request whose answer is read. False if that fails.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self.poll_send(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
        }
    }

    /// Sends as much as goes. That the connection broke is for the reader to find, who may find
    /// an answer first.
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Result<(), CallerFailed> {
        if self.write_failed {
            return Ok(());
        }
        match self.poll_send(cx) {
            Poll::Ready(Err(SendFault::Caller)) => Err(CallerFailed),
            Poll::Ready(Err(SendFault::Connection)) => {
                self.write_failed = true;
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        loop {
            self.end_chunk();
            let waits = self.poll_upload(cx)?.is_pending();
            if self.out.is_empty() && self.data.is_empty() {
                if self.unflushed {
                    ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return if waits {
                    Poll::Pending
                } else {
                    self.give_out();
                    Poll::Ready(Ok(()))
                };
            }
            let written = ready!(self.poll_write(cx));
            // TLS may have put some of it on the socket before it failed.
            self.wrote |= written.is_err() && self.wire.holds_back();
            let count = written?;
            if count == 0 {
                return Poll::Ready(Err(SendFault::Connection));
            }
            if self.wrote {
                self.last_write = Instant::now();
            }
            self.wrote = true;
            self.unflushed = self.wire.holds_back();
            let short = count.min(self.out.len());
            pool::advance(&mut self.out, short);
            if count > short {
                pool::pass(&mut self.data, count - short);
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wire = Pin::new(&mut self.wire);
        if self.data.is_empty() {
            wire.poll_write(cx, &self.out)
        } else if self.out.is_empty() {
            wire.poll_write(cx, &self.data)
        } else {
            let both = [io::IoSlice::new(&self.out), io::IoSlice::new(&self.data)];
            wire.poll_write_vectored(cx, &both)
        }
    }

    /// Takes more of the body while there is little to write. Pending when the caller is slow.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        while let Some(upload) = &mut self.upload
            && self.data.is_empty()
            && self.out.len() < pool::SIZE
        {
            let frame = match ready!(Pin::new(&mut *upload).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(SendFault::Caller)),
                None => {
                    self.upload = None;
                    if self.chunked {
                        encode::last_chunk(&mut self.out, None);
                    }
                    break;
                }
            };
            let ends = upload.is_end_stream();
            match frame.into_data() {
                Ok(data) if !self.chunked => self.append(data),
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    encode::chunk_size(&mut self.out, data.len());
                    self.append(data);
                    self.owes_line_end = true;
                    self.end_chunk();
                }
                Err(frame) => {
                    let fields = frame.into_trailers().ok().filter(|_| self.chunked);
                    if let Some(fields) = fields {
                        let fields = allowed(self.announced.as_ref(), fields);
                        encode::last_chunk(&mut self.out, Some(&fields));
                        upload.end();
                        self.upload = None;
                        break;
                    }
                }
            }
            if ends && !self.chunked {
                self.upload = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn append(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.out.extend_from_slice(&data);
        } else {
            self.data = data;
        }
    }

    /// What follows a chunk's data, once nothing of that stands before it.
    fn end_chunk(&mut self) {
        if self.owes_line_end && self.data.is_empty() {
            self.out.put_slice(b"\r\n");
            self.owes_line_end = false;
        }
    }

    fn give_out(&mut self) {
        if self.out.capacity() > 0 {
            pool::give(std::mem::take(&mut self.out));
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() == 0 {
            self.bytes = pool::take();
        }
        if self.bytes.capacity() - self.bytes.len() < room {
            self.bytes.reserve(room.max(pool::SIZE));
        }
        pin!(self.wire.read_buf(&mut self.bytes)).poll(cx)
    }
}

/// Trailer fields that the request announced; others are nobody's to expect.
fn allowed(announced: Option<&HeaderMap>, fields: HeaderMap) -> HeaderMap {
    let Some(announced) = announced else {
        return HeaderMap::new();
    };
    let mut last = None;
    let named = fields.into_iter().filter_map(|(name, value)| {
        last = name.or(last.take());
        Some((last.clone()?, value))
    });
    named
        .filter(|(name, _)| announced.contains_key(name))
        .collect()
}

fn bad(_: head::NoAnswer) -> Fault {
    Fault::BadAnswer
}

struct CallerFailed;

enum SendFault {
    Connection,
    Caller,
}

impl From<io::Error> for SendFault {
    fn from(_: io::Error) -> Self {
        Self::Connection
    }
}
