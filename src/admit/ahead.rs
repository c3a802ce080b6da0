//! What is taken of answers before the caller's socket takes it, over HTTP/2.
//!
//! h2 bounds what it keeps by stream, and one that has its last bytes is over for everybody else: what
//! held the request's place and memory is let go. So h2 gets pieces, each with a share of what one
//! connection may have on its way, and no more of them than the caller's windows let through.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::http1::pulse::Pulse;

/// Bytes on their way, on the whole connection.
const MOST: usize = 256 << 10;

/// The same, on one stream.
pub(super) const STREAM: usize = 64 << 10;

/// The longest piece: the longest frame that every caller takes (RFC 9113 §4.2).
pub(super) const PIECE: usize = 16 << 10;

/// Of one connection.
#[derive(Clone)]
pub(super) struct Ahead {
    room: Arc<Semaphore>,
    /// How long a caller may take nothing of an answer. Its flow control stops one stream while the
    /// socket stays writable, so the watch on writes does not see it, and the answer would hold its
    /// region's connection and seat for as long as the caller likes.
    patience: Duration,
}

/// Content that h2 is to write. Its share is given back when it is written, or never will be.
pub(super) struct Piece {
    data: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Ahead {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            room: Arc::new(Semaphore::new(MOST)),
            patience,
        }
    }

    /// Takes a piece off `data`, which is not empty, once the caller has room for it. Must be sent at
    /// once. `None`: it had none for too long. `pulse` is the answer's, for the next piece too.
    pub(super) async fn piece(
        &self,
        out: &mut SendStream<Piece>,
        data: &mut Bytes,
        pulse: &mut Option<Pulse>,
    ) -> Result<Option<Piece>, h2::Error> {
        loop {
            if !self.has_room(out, pulse).await? {
                return Ok(None);
            }
            let size = data.len().min(PIECE);
            let mut share = self.share(out, size).await?;
            out.reserve_capacity(size);
            // None, if the caller took its window back meanwhile.
            let size = size.min(out.capacity());
            if size > 0 {
                let share = share.split(size);
                let data = data.split_to(size);
                return Ok(Some(Piece {
                    data,
                    _share: share,
                }));
            }
        }
    }

    /// Waits for room on the stream, which the caller gives; `false`: it gave none for too long. What
    /// the router's own queue takes is no fault of the caller's.
    async fn has_room(
        &self,
        out: &mut SendStream<Piece>,
        pulse: &mut Option<Pulse>,
    ) -> Result<bool, h2::Error> {
        let mut room = pin!(room(out));
        let mut due = None;
        poll_fn(|cx| {
            if let Poll::Ready(room) = room.as_mut().poll(cx) {
                return Poll::Ready(room.map(|()| true));
            }
            let due = *due.get_or_insert_with(|| Instant::now() + self.patience);
            let pulse = pulse.get_or_insert_with(|| Pulse::new(due));
            pulse.poll(cx, due).map(|()| Ok(false))
        })
        .await
    }

    async fn share(
        &self,
        out: &mut SendStream<Piece>,
        size: usize,
    ) -> Result<OwnedSemaphorePermit, h2::Error> {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let mut share = pin!(Arc::clone(&self.room).acquire_many_owned(size));
        poll_fn(|cx| {
            if let Poll::Ready(reset) = out.poll_reset(cx) {
                return Poll::Ready(Err(reset.map_or_else(|e| e, h2::Error::from)));
            }
            let share = ready!(share.as_mut().poll(cx));
            Poll::Ready(share.map_err(|_| Reason::INTERNAL_ERROR.into()))
        })
        .await
    }
}

/// Waits until the caller takes something. More than a byte is not asked for, since what is
/// reserved here is kept from the connection's other streams.
async fn room(out: &mut SendStream<Piece>) -> Result<(), h2::Error> {
    out.reserve_capacity(1);
    poll_fn(|cx| {
        if let Poll::Ready(reset) = out.poll_reset(cx) {
            return Poll::Ready(Err(reset.map_or_else(|e| e, h2::Error::from)));
        }
        while out.capacity() == 0 {
            match ready!(out.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

impl Piece {
    /// The end of a stream.
    pub(super) fn none() -> Self {
        Self {
            data: Bytes::new(),
            _share: None,
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }
}
