//! Which HTTP a cleartext connection speaks: HTTP/2 clients with prior knowledge open with a fixed
//! preface (RFC 9113 §3.4), everybody else speaks HTTP/1.1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until the preface is complete or can no longer be one. The bytes read stand in front of
/// the returned stream again. Not cancel safe: dropping it loses what was read.
pub(super) async fn sniff(mut stream: TcpStream) -> io::Result<(Protocol, Replayed)> {
    let mut start = Vec::with_capacity(PREFACE.len());
    let mut chunk = [0; 24];
    loop {
        let missing = PREFACE.len() - start.len();
        let space = chunk.get_mut(..missing).unwrap_or_default();
        let read = stream.read(space).await?;
        start.extend_from_slice(space.get(..read).unwrap_or_default());
        let protocol = if !PREFACE.starts_with(&start) || read == 0 {
            Protocol::Http1
        } else if start.len() == PREFACE.len() {
            Protocol::Http2
        } else {
            continue;
        };
        return Ok((
            protocol,
            Replayed {
                start,
                at: 0,
                stream,
            },
        ));
    }
}

/// A stream whose first bytes were read already and are given again.
pub(super) struct Replayed {
    start: Vec<u8>,
    at: usize,
    stream: TcpStream,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = this.start.get(this.at..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let now = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(now);
        this.at += now.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
