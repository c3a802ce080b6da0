//! What HTTP/1.1 is on both sides of the router (RFC 9112): how chunks are read and written, the
//! buffers and the timer of a connection. The server for callers is `admit::http1`, the client of
//! regions `forward::http1`; [`http2`](crate::http2) is the like for HTTP/2.

pub mod chunk;
pub mod encode;
pub mod pool;
pub mod pulse;

use std::io;

use rustix::net::SendFlags;
use tokio::{io::Interest, net::TcpStream};

/// Hands bytes to a socket, if it takes any now. As a rule it does; then nothing is needed of what a
/// wait costs, nor of what the C library does around calls at which a thread may be cancelled.
pub fn send_now(stream: &TcpStream, bytes: &[u8]) -> Option<io::Result<usize>> {
    let send = || Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?);
    let sent = stream.try_io(Interest::WRITABLE, send);
    let waits = |e: &io::Error| {
        matches!(
            e.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        )
    };
    (!sent.as_ref().is_err_and(waits)).then_some(sent)
}
