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
use tokio::time::{Instant, Sleep, timeout};

use super::{
    http1::{self, FramingFault},
    memory::Reservation,
    streams,
};

/// The body of a request, whichever protocol it came by.
pub enum Incoming {
    /// Its connection watches the caller's pace.
    Http1(http1::Body),
    Http2(streams::Body),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("no byte of the body came for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// Each byte came in time, but all of them together would take for ever.
    #[error("the body came more slowly than {SLOWEST} bytes a second")]
    Slow,
    /// The caller broke off, or its framing is wrong.
    #[error("the body ended early or its framing is wrong")]
    Broken,
    /// The memory for bodies is taken; see [`super::memory`].
    #[error("the router holds as many bytes of bodies as it may")]
    NoRoom,
    #[error(transparent)]
    Framing(#[from] FramingFault),
}

impl Incoming {
    pub const EMPTY: Self = Self::Http1(http1::Body::EMPTY);

    /// All of the body, if that needs no waiting.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match self {
            Self::Http1(body) => body.take_whole(),
            Self::Http2(_) => None,
        }
    }

    /// Takes room for what may come of a streamed body before it is read, and is not bounded by its
    /// connection's buffer.
    ///
    /// # Errors
    /// [`BodyFault::NoRoom`].
    pub fn make_room(&mut self, held: &Reservation) -> Result<(), BodyFault> {
        match self {
            Self::Http1(_) => Ok(()),
            Self::Http2(body) => body.make_room(held),
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// Reads a body into one piece. A body that came in one frame is not copied.
///
/// # Errors
/// [`BodyFault::TooLong`] as soon as the announced or the read length passes `limit`; what was
/// read is dropped.
pub async fn read_whole(body: Incoming, limit: usize, stall: Duration) -> Result<Bytes, BodyFault> {
    read_held(body, limit, stall, &Reservation::uncounted()).await
}

/// [`read_whole`] within the memory for bodies: what was read is counted in `held`.
///
/// # Errors
/// As [`read_whole`], and [`BodyFault::NoRoom`]: before anything is read where the length is known.
pub async fn read_held(
    mut body: Incoming,
    limit: usize,
    stall: Duration,
    held: &Reservation,
) -> Result<Bytes, BodyFault> {
    if let Some(whole) = read_at_once(&mut body, limit, held)? {
        return Ok(whole);
    }
    let announced = body.size_hint();
    let Some(first) = next_data(&mut body, stall).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(BodyFault::TooLong { limit });
    }
    held.grow(first.len())?;
    if body.is_end_stream() {
        return Ok(first);
    }
    let pace = Pace::new(stall);
    let left = body.size_hint().exact();
    if let (Incoming::Http1(body), Some(left)) = (&mut body, left) {
        return read_straight(body, first, left, held, pace).await;
    }
    let Some(second) = next_data(&mut body, stall).await? else {
        return Ok(first);
    };
    let expected = announced.exact().and_then(|n| usize::try_from(n).ok());
    // An announcement alone costs nothing.
    let expected = expected.unwrap_or(first.len() * 4).min(limit);
    let mut whole = BytesMut::with_capacity(expected.min(first.len() + AHEAD));
    let mut counted = first.len();
    whole.extend_from_slice(&first);
    drop(first);
    let mut next = Some(second);
    while let Some(data) = next {
        if whole.len() + data.len() > limit {
            return Err(BodyFault::TooLong { limit });
        }
        held.grow((whole.len() + data.len()).saturating_sub(counted))?;
        whole.extend_from_slice(&data);
        counted = counted.max(whole.len());
        drop(data);
        pace.keeps(whole.len())?;
        next = next_data(&mut body, stall).await?;
    }
    Ok(whole.freeze())
}

/// What [`read_held`] gives, if that needs no waiting: most bodies came with their head.
///
/// # Errors
/// As [`read_held`].
pub fn read_at_once(
    body: &mut Incoming,
    limit: usize,
    held: &Reservation,
) -> Result<Option<Bytes>, BodyFault> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyFault::TooLong { limit });
    }
    held.foresee(announced)?;
    let whole = body.take_whole();
    whole.iter().try_for_each(|whole| held.grow(whole.len()))?;
    Ok(whole)
}

/// Reads the rest of a body of known length to where it stays. Room is made as it comes, so that
/// an announcement alone costs nothing.
async fn read_straight(
    body: &mut http1::Body,
    first: Bytes,
    left: u64,
    held: &Reservation,
    pace: Pace,
) -> Result<Bytes, BodyFault> {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(first.len() + left.min(AHEAD));
    whole.extend_from_slice(&first);
    drop(first);
    loop {
        let came = std::future::poll_fn(|cx| body.poll_into(cx, &mut whole)).await?;
        if came == 0 {
            return Ok(whole.freeze());
        }
        held.grow(came)?;
        pace.keeps(whole.len())?;
    }
}

/// The next data frame; trailers of a body that is read whole are dropped (RFC 9110 §6.5.1).
async fn next_data(body: &mut Incoming, stall: Duration) -> Result<Option<Bytes>, BodyFault> {
    loop {
        let frame = match body {
            Incoming::Http1(_) => body.frame().await,
            Incoming::Http2(_) => timeout(stall, body.frame())
                .await
                .map_err(|_| BodyFault::Stalled(stall))?,
        };
        match frame {
            None => return Ok(None),
            Some(Err(fault)) => return Err(fault),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => continue,
            },
        }
    }
}

/// Bytes a second. A body that drips holds its place among those at work and its memory; one byte
/// just before each stall limit would hold them for months.
const SLOWEST: usize = 500;

/// Since when a body comes that is read as a whole, a caller's or a region's.
pub struct Pace {
    since: Instant,
    stall: Duration,
}

impl Pace {
    /// From now on; `stall` is how long it may stand still.
    pub fn new(stall: Duration) -> Self {
        let since = Instant::now();
        Self { since, stall }
    }

    /// Whether `count` bytes by now are enough, at 500 a second; the time of one stall is everybody's.
    ///
    /// # Errors
    /// [`BodyFault::Slow`].
    pub fn keeps(&self, count: usize) -> Result<(), BodyFault> {
        let due = Duration::from_millis((count as u64).saturating_mul(1000) / SLOWEST as u64);
        match self.since.elapsed() > self.stall.saturating_add(due) {
            true => Err(BodyFault::Slow),
            false => Ok(()),
        }
    }
}

/// Room that is made before a body has come.
const AHEAD: usize = 64 << 10;

/// A request body on its way through; fails when it makes no progress for the stall limit, so
/// that the backend sees a broken request and never a shorter whole one.
pub struct Watched {
    body: Incoming,
    stall: Duration,
    /// Set while nothing comes; the pace of HTTP/1 is watched by its connection.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub fn new(body: Incoming, stall: Duration) -> Self {
        Self {
            body,
            stall,
            sleep: None,
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
            this.sleep = None;
            return Poll::Ready(frame);
        }
        if let Incoming::Http1(_) = this.body {
            return Poll::Pending;
        }
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + this.stall)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyFault::Stalled(this.stall))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
