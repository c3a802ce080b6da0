//! A caller's streamed body that can be sent again as long as little of it was taken.
//!
//! Over HTTP/2 a region may refuse a stream, or go away, after it took some of a request, and has
//! done nothing of it (RFC 9113 §8.7). What was taken by then is kept, so that the request can be
//! sent again; handles to what came, no copies. It is let go when an answer begins, when it is more
//! than [`MOST`], or when the memory for bodies is taken: then the stream goes on and cannot be
//! sent again.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::body::{BoxError, BoxedStream};
use crate::admit::memory::Reservation;

/// Bytes that are kept of one body.
const MOST: usize = 64 << 10;

/// What a frame costs beside its bytes, so that many small ones are bounded, too.
const FRAME: usize = 64;

/// Of one body, for whoever may send it again.
#[derive(Clone)]
pub(super) struct Kept(Rc<RefCell<State>>);

struct State {
    body: BoxedStream,
    taken: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// Nothing more will come.
    is_over: bool,
    /// Which of `taken` is told next.
    next: usize,
    /// Where `taken` is counted; `None` once not all of it is there any more.
    held: Option<Reservation>,
    /// Of what is kept.
    bytes: usize,
    /// The number of the sending that may go on.
    sending: u32,
}

/// One sending of such a body. It fails once another one was begun.
pub(super) struct Sending {
    state: Rc<RefCell<State>>,
    number: u32,
    trailers_told: bool,
}

impl Kept {
    /// The body, and its first sending. What is kept is counted in `held`.
    pub(super) fn begin(body: BoxedStream, held: Reservation) -> (Self, Sending) {
        let kept = Self(Rc::new(RefCell::new(State {
            body,
            taken: Vec::new(),
            trailers: None,
            is_over: false,
            next: 0,
            held: Some(held),
            bytes: 0,
            sending: 0,
        })));
        let first = kept.sending(0);
        (kept, first)
    }

    /// Begins to send it anew from its first byte; `None` if not all of it is there any more.
    pub(super) fn again(&self) -> Option<Sending> {
        let mut state = self.0.borrow_mut();
        state.held.as_ref()?;
        state.next = 0;
        state.sending = state.sending.wrapping_add(1);
        Some(self.sending(state.sending))
    }

    fn sending(&self, number: u32) -> Sending {
        Sending {
            state: Rc::clone(&self.0),
            number,
            trailers_told: false,
        }
    }

    /// It will not be sent again.
    pub(super) fn let_go(&self) {
        self.0.borrow_mut().let_go();
    }
}

impl State {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(held) = &self.held else {
            return;
        };
        if let Some(fields) = frame.trailers_ref() {
            self.trailers = Some(fields.clone());
            return;
        }
        let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else {
            return;
        };
        let cost = data.len().saturating_add(FRAME);
        if self.bytes.saturating_add(cost) > MOST || held.grow(cost).is_err() {
            return self.let_go();
        }
        self.bytes += cost;
        self.taken.push(data.clone());
        self.next = self.taken.len();
    }

    fn let_go(&mut self) {
        // A sending that is not through with what was kept needs the rest of it.
        if self.next >= self.taken.len() {
            self.taken = Vec::new();
            self.next = 0;
            self.held = None;
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let state = &mut *this.state.borrow_mut();
        if this.number != state.sending {
            return Poll::Ready(Some(Err("the body is sent elsewhere".into())));
        }
        if let Some(data) = state.taken.get(state.next) {
            state.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if let Some(trailers) = state.trailers.as_ref().filter(|_| !this.trailers_told) {
            this.trailers_told = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(state.body.as_mut().poll_frame(cx));
        match &frame {
            None => state.is_over = true,
            Some(Ok(frame)) => {
                this.trailers_told |= frame.is_trailers();
                state.keep(frame);
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state.borrow();
        let told = state.next >= state.taken.len();
        let trailed = state.trailers.is_none() || self.trailers_told;
        told && trailed && (state.is_over || state.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // Its length, where known, is counted by what sends it.
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc};

    use http_body_util::BodyExt;

    use super::*;
    use crate::admit::memory::{Memory, Till};

    struct Pieces(VecDeque<Frame<Bytes>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn kept(pieces: &[&str], held: Reservation) -> (Kept, Sending) {
        let mut frames: VecDeque<_> = pieces
            .iter()
            .map(|p| Frame::data(Bytes::copy_from_slice(p.as_bytes())))
            .collect();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        frames.push_back(Frame::trailers(trailers));
        Kept::begin(Box::pin(Pieces(frames)), held)
    }

    async fn some(sending: &mut Sending) -> Bytes {
        let frame = sending.frame().await.unwrap().unwrap();
        frame.into_data().unwrap()
    }

    async fn rest(sending: Sending) -> (Bytes, Option<HeaderMap>) {
        let whole = sending.collect().await.unwrap();
        let trailers = whole.trailers().cloned();
        (whole.to_bytes(), trailers)
    }

    #[tokio::test]
    async fn a_body_is_sent_again_from_its_first_byte_whatever_was_taken() {
        for taken in 0..3 {
            let (kept, mut first) = kept(&["one", "two", "three"], Reservation::uncounted());
            for _ in 0..taken {
                some(&mut first).await;
            }
            let again = kept.again().unwrap();
            assert!(first.frame().await.unwrap().is_err(), "it was superseded");
            let (bytes, trailers) = rest(again).await;
            assert_eq!(bytes, "onetwothree");
            assert_eq!(trailers.unwrap()["x-sum"], "7");
            let (bytes, trailers) = rest(kept.again().unwrap()).await;
            assert_eq!(bytes, "onetwothree", "after its end, too");
            assert!(trailers.is_some());
        }
    }

    #[tokio::test]
    async fn what_is_long_many_or_finds_no_room_goes_on_and_is_not_sent_again() {
        let long = "x".repeat(MOST);
        let many = vec!["x"; MOST / FRAME];
        let memory = Arc::new(Memory::new(Some(100)));
        let full = Reservation::new(&Till::new(memory));
        for (pieces, held) in [
            (&["a", &long][..], Reservation::uncounted()),
            (&many, Reservation::uncounted()),
            (&["a", "b", "c"], full),
        ] {
            let (kept, first) = kept(pieces, held);
            let (bytes, _) = rest(first).await;
            assert_eq!(bytes, pieces.concat());
            assert!(kept.again().is_none());
        }
    }

    #[tokio::test]
    async fn what_is_let_go_is_given_back_and_not_missing_from_what_is_under_way() {
        let memory = Arc::new(Memory::new(Some(1 << 20)));
        let till = Till::new(Arc::clone(&memory));
        let (kept, mut first) = kept(&["one", "two", "three"], Reservation::new(&till));
        some(&mut first).await;
        some(&mut first).await;
        let mut again = kept.again().unwrap();
        assert_eq!(some(&mut again).await, "one");
        kept.let_go();
        assert_eq!(rest(again).await.0, "twothree");
        kept.let_go();
        assert!(kept.again().is_none());
        drop(till);
        assert_eq!(memory.used(), 0);
    }
}
