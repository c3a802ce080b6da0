//! What fuzzing and property tests try: the two readers of HTTP/2 make the same of whatever a caller
//! sends.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::Reason;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Guarded, Requests, Scheme, Seen, Undocumented, Unseen, frames::Frames};

/// The longest field section that is served, as h2 is told and the reader in front of it.
const LIMIT: u32 = 2048;

/// Preface and SETTINGS of a caller that wishes for nothing.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Takes bytes for what a caller sends after its SETTINGS, in pieces whose size the first byte says.
///
/// # Panics
/// If cuts change what is read of the bytes, or h2 hands over what was not seen.
pub fn try_bytes(bytes: &[u8]) {
    let Some((size, sent)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(*size).max(1);
    let sent = [BEGINNING, sent].concat();
    assert_eq!(faults(&sent, size), faults(&sent, sent.len()), "by cuts");
    for size in [size, sent.len()] {
        for (stream, outcome) in served(&sent, size) {
            assert_ne!(
                outcome,
                Err(Unseen::Otherwise),
                "stream {stream} of {sent:x?} in {size}"
            );
        }
    }
}

/// The error in what is sent.
fn faults(sent: &[u8], size: usize) -> Option<Reason> {
    let mut frames = Frames::new(Requests::new(Rc::default(), LIMIT as usize), LIMIT as usize);
    let read = sent.chunks(size).try_for_each(|piece| frames.read(piece));
    read.err().map(|fault| fault.reason)
}

/// Streams, each with what was seen of it.
type Outcomes = Vec<(u32, Result<Scheme, Unseen>)>;

/// The streams that h2 hands over, with what was seen of them.
pub fn served(sent: &[u8], size: usize) -> Outcomes {
    told(sent, size).0
}

/// The same, and what was counted of those that nobody gets a document of.
fn told(sent: &[u8], size: usize) -> (Outcomes, Undocumented) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        return Default::default();
    };
    runtime.block_on(serve(Script {
        sent: sent.to_vec(),
        at: 0,
        size,
    }))
}

async fn serve(script: Script) -> (Outcomes, Undocumented) {
    let (io, seen) = Guarded::requests(script, LIMIT as usize);
    let mut builder = h2::server::Builder::new();
    builder.max_header_list_size(LIMIT);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
        return Default::default();
    };
    let mut open = Vec::new();
    let mut outcomes = Vec::new();
    let mut is_ending = false;
    poll_fn(|cx| {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (head, body) = request.into_parts();
                    let stream = body.stream_id().into();
                    let head = Request::from_parts(head, ());
                    let scheme = seen.head(stream, head.method(), head.uri(), head.headers());
                    outcomes.push((stream, scheme));
                    open.push((body, respond));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if seen.fault().is_some() && !is_ending => {
                    is_ending = true;
                    connection.abrupt_shutdown(Reason::PROTOCOL_ERROR);
                }
                // All that was sent is read.
                Poll::Pending => {
                    for (body, _) in &mut open {
                        outcomes.extend(trailers(body, &seen, cx));
                    }
                    return Poll::Ready(());
                }
            }
        }
    })
    .await;
    (outcomes, seen.undocumented())
}

/// What was seen of the trailers of a request, if they came.
fn trailers(
    body: &mut h2::RecvStream,
    seen: &Seen,
    cx: &mut Context<'_>,
) -> Option<(u32, Result<Scheme, Unseen>)> {
    let stream = body.stream_id().into();
    while let Poll::Ready(Some(data)) = body.poll_data(cx) {
        data.ok()?;
    }
    let Poll::Ready(Ok(Some(trailers))) = body.poll_trailers(cx) else {
        return None;
    };
    let outcome = seen.trailers(stream, &trailers).map(|()| Scheme::None);
    Some((stream, outcome))
}

/// A socket from which comes what is written here, in pieces, and then nothing.
struct Script {
    sent: Vec<u8>,
    at: usize,
    size: usize,
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.size.min(buf.remaining());
        let left = self.sent.get(self.at..).unwrap_or_default();
        let piece = left.get(..most).unwrap_or(left);
        buf.put_slice(piece);
        let taken = piece.len();
        self.at += taken;
        match taken {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
