//! Answers that an HTTP/2 caller does not take.
//!
//! Its flow control stops one stream while the socket stays writable, so the watch on writes does
//! not see it, and the body, which is not asked, cannot end itself. Such an answer would hold a
//! region's connection and seat for as long as the caller likes; here it is let go.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::ahead::PIECE;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The answers of one connection that are under way.
pub(super) struct Answers<B>(RefCell<Vec<Weak<RefCell<State<B>>>>>);

/// An answer's body, in pieces, so that it is seen how much of a long frame is taken. Fails when asked
/// again after it was let go.
pub(super) struct Held<B>(Rc<RefCell<State<B>>>);

struct State<B> {
    /// Of the body's last frame, what was not asked for yet.
    rest: Bytes,
    /// `None` once it was let go.
    body: Option<Pin<Box<B>>>,
    /// Since when the caller could have taken more; `None` while the body has nothing to give.
    waits: Option<Instant>,
}

impl<B> Default for Answers<B> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<B> Answers<B> {
    /// Forgotten answers go when so many are remembered.
    const MANY: usize = 512;

    pub fn hold(&self, body: B) -> Held<B> {
        let state = Rc::new(RefCell::new(State {
            rest: Bytes::new(),
            body: Some(Box::pin(body)),
            waits: Some(Instant::now()),
        }));
        let mut all = self.0.borrow_mut();
        if all.len() >= Self::MANY {
            all.retain(|answer| answer.strong_count() > 0);
        }
        all.push(Rc::downgrade(&state));
        Held(state)
    }

    /// Waits until an answer was let go because its caller took nothing of it for `limit`. Cancel
    /// safe.
    pub async fn watch(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / 4).await;
            if self.let_go(limit) {
                return;
            }
        }
    }

    fn let_go(&self, limit: Duration) -> bool {
        let mut gone = Vec::new();
        self.0.borrow_mut().retain(|answer| {
            let Some(state) = answer.upgrade() else {
                return false;
            };
            let mut state = state.borrow_mut();
            if state.waits.is_some_and(|since| since.elapsed() >= limit) {
                gone.extend(state.body.take());
            }
            state.body.is_some()
        });
        // Dropped outside the loop: what a body holds may do anything when it goes.
        !gone.is_empty()
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Held<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let state = &mut *self.0.borrow_mut();
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err("the caller took nothing for too long".into())));
        };
        if state.rest.is_empty() {
            let polled = body.as_mut().poll_frame(cx);
            state.waits = polled.is_ready().then(Instant::now);
            match ready!(polled).transpose().map_err(Into::into)? {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => state.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
            }
        }
        state.waits = Some(Instant::now());
        let length = state.rest.len();
        let piece = match length > PIECE {
            true => state.rest.split_to(PIECE),
            false => std::mem::take(&mut state.rest),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.borrow();
        let is_over = state.body.as_ref().is_some_and(|b| b.is_end_stream());
        is_over && state.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.borrow();
        let body = state.body.as_ref();
        // Before the first frame, when it is asked, nothing is kept.
        body.map_or_else(SizeHint::default, |b| b.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    /// A region's answer that is still to come.
    struct Later;

    impl Body for Later {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_let_go() {
        let answers = Answers::default();
        let mut held = answers.hold(Full::new(Bytes::from_static(b"a")));
        assert!(!answers.let_go(Duration::from_secs(3600)));
        assert!(answers.let_go(Duration::ZERO));
        assert!(held.frame().await.unwrap().is_err());
        assert!(!answers.let_go(Duration::ZERO), "once");
    }

    #[tokio::test]
    async fn an_answer_that_its_region_owes_is_not_the_callers_fault() {
        let answers = Answers::default();
        let mut later = answers.hold(Later);
        let asked = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut later).poll_frame(cx)));
        assert!(asked.await.is_pending());
        assert!(!answers.let_go(Duration::ZERO));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let answers = Answers::default();
        for _ in 0..3 * Answers::<Full<Bytes>>::MANY {
            drop(answers.hold(Full::new(Bytes::new())));
        }
        assert!(answers.0.borrow().len() <= Answers::<Full<Bytes>>::MANY);
    }
}
