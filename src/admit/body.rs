//! Reading request bodies: whole records with a limit, streams with a watch on their progress.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, timeout};

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum BodyFault {
    #[error("the body is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("no byte of the body came for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// The caller broke off, or its framing is wrong.
    #[error("the body ended early or its framing is wrong")]
    Broken,
}

/// Reads a body into one piece. A body that came in one frame is not copied.
///
/// # Errors
/// [`BodyFault::TooLong`] as soon as the announced or the read length passes `limit`; what was
/// read is dropped.
pub async fn read_whole(
    mut body: Incoming,
    limit: usize,
    stall: Duration,
) -> Result<Bytes, BodyFault> {
    let announced = body.size_hint();
    if announced.lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyFault::TooLong { limit });
    }
    let Some(first) = next_data(&mut body, stall).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(BodyFault::TooLong { limit });
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_data(&mut body, stall).await? else {
        return Ok(first);
    };
    let expected = announced.exact().and_then(|n| usize::try_from(n).ok());
    let mut whole = BytesMut::with_capacity(expected.unwrap_or(first.len() * 4).min(limit));
    whole.extend_from_slice(&first);
    drop(first);
    let mut next = Some(second);
    while let Some(data) = next {
        if whole.len() + data.len() > limit {
            return Err(BodyFault::TooLong { limit });
        }
        whole.extend_from_slice(&data);
        drop(data);
        next = next_data(&mut body, stall).await?;
    }
    Ok(whole.freeze())
}

/// The next data frame; trailers of a body that is read whole are dropped (RFC 9110 §6.5.1).
async fn next_data(body: &mut Incoming, stall: Duration) -> Result<Option<Bytes>, BodyFault> {
    loop {
        let frame = timeout(stall, body.frame())
            .await
            .map_err(|_| BodyFault::Stalled(stall))?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyFault::Broken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => continue,
            },
        }
    }
}

/// A request body on its way through; fails when it makes no progress for the stall limit, so
/// that the backend sees a broken request and never a shorter whole one.
pub struct Watched {
    body: Incoming,
    stall: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Watched {
    pub fn new(body: Incoming, stall: Duration) -> Self {
        Self {
            body,
            stall,
            sleep: Box::pin(tokio::time::sleep(stall)),
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.sleep.as_mut().reset(Instant::now() + this.stall);
            return Poll::Ready(frame.map(|f| f.map_err(|_| BodyFault::Broken)));
        }
        ready!(this.sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyFault::Stalled(this.stall))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
