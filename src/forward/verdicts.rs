//! What a region answered to its part of a batch, item by item, in bounded memory.
//!
//! A region that knows of items answers 200 or 207 with one `{"index": i, "status": s, …}` for
//! each, as a JSON array or one a line. Any other store answers with a bare status, which then
//! counts for all its items, if the answer is whole. Which of the two it is, the first element shows: an object with both
//! `index` and `status`. From there on everything must hold, or nothing is believed; nor is an answer
//! that came compressed, in which an item may be refused. Only statuses are read: other members could
//! carry data, and those would be reads.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    AnswerError,
    elements::{Elements, Malformed},
};
use crate::message::{Field, Fields, Response, Value};

/// Most bytes of one element.
const LONGEST_ELEMENT: usize = 64 << 10;

/// Most bytes on average of an element, whatever single ones have.
const AVERAGE_ELEMENT: u64 = 4 << 10;

/// How much of an answer that nobody needs is read so that its connection can be kept.
const WORTH_READING: usize = 64 << 10;

/// The same, in time.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// The statuses of the items of one part, in the part's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdicts {
    /// One status for all.
    All(StatusCode),
    /// One for each.
    Each(Vec<StatusCode>),
}

/// Whether the items were stored is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVerdict {
    /// The region told of items, but broken off, malformed, or not of each item once.
    #[error("the region's answer does not tell what became of each item")]
    Unclear,
    /// It began to tell, and then nothing more came, or too slowly.
    #[error("the region did not tell in time what became of each item")]
    Late,
}

impl NoVerdict {
    /// What each of the items is told: as of a region whose answer cannot be used, or of one that
    /// does not answer in time.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unclear => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl From<AnswerError> for NoVerdict {
    fn from(error: AnswerError) -> Self {
        match error.fault.is_late() {
            true => Self::Late,
            false => Self::Unclear,
        }
    }
}

impl Verdicts {
    /// Reads an answer to a part of `items` items. Costs two bytes an item and one element.
    /// Cancel safe: dropping it closes the connection.
    ///
    /// # Errors
    /// [`NoVerdict`], of all items.
    pub async fn read<B>(answer: Response<B>, items: usize) -> Result<Self, NoVerdict>
    where
        B: Body<Data = Bytes, Error: Into<NoVerdict>> + Unpin,
    {
        let status = answer.status();
        let is_coded = is_coded(answer.headers());
        let mut body = answer.into_body();
        if !matches!(status, StatusCode::OK | StatusCode::MULTI_STATUS) {
            read_off(body).await.map_err(Into::into)?;
            return Ok(Self::All(status));
        }
        if is_coded {
            return Err(NoVerdict::Unclear);
        }
        let mut reading = Reading::new(items);
        while let Some(data) = next_data(&mut body).await {
            let data = data.map_err(Into::into)?;
            if reading.push(&data)? == Kind::Foreign {
                read_off(body).await.map_err(Into::into)?;
                return bare(status);
            }
        }
        reading.end(status)
    }

    /// The status of the part's item `position`; `None` beyond its end.
    pub fn status(&self, position: usize) -> Option<StatusCode> {
        match self {
            Self::All(status) => Some(*status),
            Self::Each(statuses) => statuses.get(position).copied(),
        }
    }
}

/// Whether an answer is compressed, though it was asked for as it is.
pub fn is_coded(headers: &Fields) -> bool {
    let is_plain = |v: Value<'_>| v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    !headers.get_all(Field::ContentEncoding).all(is_plain)
}

/// A 207 promises statuses of items: without them it says nothing of any.
fn bare(status: StatusCode) -> Result<Verdicts, NoVerdict> {
    if status == StatusCode::MULTI_STATUS {
        Err(NoVerdict::Unclear)
    } else {
        Ok(Verdicts::All(status))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No element was seen yet.
    Open,
    /// The answer tells of items.
    Items,
    /// The answer is about something else.
    Foreign,
}

struct Reading {
    elements: Elements,
    kind: Kind,
    statuses: Vec<Option<StatusCode>>,
    bytes: u64,
}

#[derive(Deserialize)]
struct Element {
    index: u64,
    status: u16,
}

impl Reading {
    fn new(items: usize) -> Self {
        Self {
            elements: Elements::new(LONGEST_ELEMENT),
            kind: Kind::Open,
            statuses: vec![None; items],
            bytes: 0,
        }
    }

    fn push(&mut self, data: &[u8]) -> Result<Kind, NoVerdict> {
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        if self.bytes > AVERAGE_ELEMENT.saturating_mul(self.statuses.len() as u64 + 16) {
            return self.malformed();
        }
        let (kind, statuses) = (&mut self.kind, &mut self.statuses);
        let outcome = self.elements.push(data, |element| {
            take(element, kind, statuses).ok_or(Malformed)
        });
        match outcome {
            Ok(()) => Ok(self.kind),
            Err(Malformed) => self.malformed(),
        }
    }

    fn end(mut self, status: StatusCode) -> Result<Verdicts, NoVerdict> {
        let (kind, statuses) = (&mut self.kind, &mut self.statuses);
        let outcome = self
            .elements
            .end(|element| take(element, kind, statuses).ok_or(Malformed));
        if self.elements.is_unfinished() {
            return Err(NoVerdict::Unclear);
        }
        if outcome.is_err() {
            self.malformed()?;
        }
        match self.kind {
            Kind::Foreign => bare(status),
            // An empty list is a list that tells of none of them.
            Kind::Open if self.elements.was_array() && !self.statuses.is_empty() => {
                Err(NoVerdict::Unclear)
            }
            Kind::Open => bare(status),
            Kind::Items => {
                let whole: Option<Vec<StatusCode>> = self.statuses.into_iter().collect();
                whole.map(Verdicts::Each).ok_or(NoVerdict::Unclear)
            }
        }
    }

    /// Garbage before the first element is another store's business; after it, nothing holds.
    fn malformed(&mut self) -> Result<Kind, NoVerdict> {
        if self.kind == Kind::Items {
            return Err(NoVerdict::Unclear);
        }
        self.kind = Kind::Foreign;
        Ok(Kind::Foreign)
    }
}

/// `None` when the element, or the whole answer, is not one of items.
fn take(element: &[u8], kind: &mut Kind, statuses: &mut [Option<StatusCode>]) -> Option<()> {
    if *kind == Kind::Open {
        let first: serde_json::Value = serde_json::from_slice(element).ok()?;
        first.get("index").and(first.get("status"))?;
        *kind = Kind::Items;
    }
    let Element { index, status } = serde_json::from_slice(element).ok()?;
    let status = StatusCode::from_u16(status).ok()?;
    if !(200..600).contains(&status.as_u16()) {
        return None;
    }
    let place = statuses.get_mut(usize::try_from(index).ok()?)?;
    if place.replace(status).is_some() {
        return None;
    }
    Some(())
}

/// Reads on in the body of an answer of which only the status is told. One that breaks off is no answer,
/// whatever its head says (RFC 9112 §8, RFC 9113 §8.1); what comes after the next 64 KiB counts no more.
/// Takes as long as the body may ([`AnswerBody::keep_pace`](super::AnswerBody::keep_pace)). Cancel safe.
///
/// # Errors
/// The body's own: it broke off, or came too slowly.
pub async fn read_off<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<(), B::Error> {
    let mut left = WORTH_READING;
    while let Some(data) = next_data(&mut body).await {
        match left.checked_sub(data?.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    Ok(())
}

/// Reads a body that nobody needs, as far as a kept connection is worth it: 64 KiB, one second.
/// Cancel safe.
pub async fn throw_away<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let reading = async {
        let mut left = WORTH_READING;
        while let Some(Ok(data)) = next_data(&mut body).await {
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Too slow or too long: dropping the body closes the connection.
    let _ = timeout(WORTH_WAITING, reading).await;
}

async fn next_data<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Result<Bytes, B::Error>> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    impl From<()> for NoVerdict {
        fn from((): ()) -> Self {
            Self::Unclear
        }
    }

    /// Pieces that arrive one by one; `None` is a broken connection.
    struct Pieces(VecDeque<Option<&'static str>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = ();

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
            Poll::Ready(self.0.pop_front().map(|piece| {
                let text = piece.ok_or(())?;
                Ok(Frame::data(Bytes::from_static(text.as_bytes())))
            }))
        }
    }

    async fn read(
        status: u16,
        pieces: &[Option<&'static str>],
        items: usize,
    ) -> Result<Verdicts, NoVerdict> {
        let body = Pieces(pieces.iter().copied().collect());
        let mut answer = Response::new(body);
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        Verdicts::read(answer, items).await
    }

    fn each(statuses: &[u16]) -> Result<Verdicts, NoVerdict> {
        let statuses = statuses.iter().map(|s| StatusCode::from_u16(*s).unwrap());
        Ok(Verdicts::Each(statuses.collect()))
    }

    #[tokio::test]
    async fn items_are_read_from_arrays_and_lines_in_any_order_and_pieces() {
        let array = [
            Some("[{\"index\":1,\"sta"),
            Some("tus\":409,\"id\":\"x\"},{\"index\":0,\"status\":201}]"),
        ];
        assert_eq!(read(200, &array, 2).await, each(&[201, 409]));
        let lines = [
            Some("{\"index\":0,\"status\":201}\n{\"ind"),
            Some("ex\":1,\"status\":500}"),
        ];
        let verdicts = read(207, &lines, 2).await;
        assert_eq!(verdicts, each(&[201, 500]));
        let verdicts = verdicts.unwrap();
        assert_eq!(verdicts.status(1), Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!(verdicts.status(2), None);
    }

    #[tokio::test]
    async fn a_bare_status_counts_for_all() {
        let all = |s| Ok(Verdicts::All(StatusCode::from_u16(s).unwrap()));
        assert_eq!(read(201, &[], 3).await, all(201));
        assert_eq!(read(200, &[], 3).await, all(200));
        assert_eq!(
            read(503, &[Some("[{\"index\":0,\"status\":201}]")], 1).await,
            all(503)
        );
        for foreign in [
            "OK",
            "{\"status\":\"ok\"}",
            "[1,2]",
            "[{\"id\":\"a\"}]",
            "\u{1}",
        ] {
            assert_eq!(read(200, &[Some(foreign)], 3).await, all(200), "{foreign}");
            assert_eq!(
                read(207, &[Some(foreign)], 3).await,
                Err(NoVerdict::Unclear),
                "{foreign}"
            );
        }
    }

    #[tokio::test]
    async fn half_told_or_contradictory_answers_are_no_verdict() {
        for bad in [
            "[]",
            "[",
            "[{\"index\":0,",
            "[{\"index\":0,\"status\":201}]",
            "[{\"index\":0,\"status\":201},{\"index\":0,\"status\":201}]",
            "[{\"index\":0,\"status\":201},{\"index\":2,\"status\":201}]",
            "[{\"index\":0,\"status\":201},{\"index\":1}]",
            "[{\"index\":0,\"status\":201},{\"index\":1,\"status\":\"201\"}]",
            "[{\"index\":0,\"index\":1,\"status\":201},{\"index\":1,\"status\":201}]",
            "[{\"index\":0,\"status\":\"failed\"},{\"index\":1,\"status\":201}]",
            "[{\"index\":0,\"status\":201},{\"index\":1,\"status\":99}]",
            "{\"index\":0,\"status\":201}\nnonsense\n",
            "[{\"index\":0,\"status\":201},{\"index\":1,\"status\":201}",
        ] {
            assert_eq!(
                read(200, &[Some(bad)], 2).await,
                Err(NoVerdict::Unclear),
                "{bad}"
            );
        }
        for status in [200, 201, 400, 503] {
            let broken = [Some("{}"), None];
            assert_eq!(read(status, &broken, 1).await, Err(NoVerdict::Unclear));
        }
        let broken = [Some("[{\"index\":0,"), None];
        assert_eq!(read(200, &broken, 1).await, Err(NoVerdict::Unclear));
        assert_eq!(read(200, &[None], 1).await, Err(NoVerdict::Unclear));
    }
}
