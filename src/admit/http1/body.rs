//! The body of one request, read straight from its connection.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::admit::body::BodyFault;

/// Where bodies come from; hides the connection's kind of stream.
pub(super) trait Source {
    fn poll_frame(
        &self,
        turn: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>>;

    fn poll_into(
        &self,
        turn: u32,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
    ) -> Poll<Result<usize, BodyFault>>;

    /// All of a body that has come already, if its length was announced.
    fn take_whole(&self, turn: u32) -> Option<Bytes>;

    /// Whether the body is over, and how much is still to come where that is known.
    fn left(&self, turn: u32) -> (bool, Option<u64>);

    /// Nobody reads this body any more.
    fn released(&self, turn: u32);
}

/// A request's body. Its caller's pace is watched by the connection: one that stands still fails
/// with [`BodyFault::Stalled`]. Dropping it at any point is safe.
pub struct Body(Option<Live>);

struct Live {
    source: Rc<dyn Source>,
    turn: u32,
}

impl Body {
    pub const EMPTY: Self = Self(None);

    pub(super) fn new(source: Rc<dyn Source>, turn: u32) -> Self {
        Self(Some(Live { source, turn }))
    }

    /// All of the body, if that needs no waiting: it has come, and its length was announced.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        let live = self.0.as_ref()?;
        live.source.take_whole(live.turn)
    }

    /// Reads content straight into `into`, as far as that has room, or room for more is made. 0 at
    /// the end, and of a body whose length is not known, which has to be read by its frames.
    pub fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
    ) -> Poll<Result<usize, BodyFault>> {
        match &self.0 {
            None => Poll::Ready(Ok(0)),
            Some(live) => live.source.poll_into(live.turn, cx, into),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &self.0 {
            None => Poll::Ready(None),
            Some(live) => live.source.poll_frame(live.turn, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|live| live.source.left(live.turn).0)
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.0 {
            None => Some(0),
            Some(live) => live.source.left(live.turn).1,
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.source.released(self.turn);
    }
}
