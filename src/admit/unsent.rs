//! How much of what was written a socket may hold before it is sent.
//!
//! Linux says that a socket takes more once a third of its buffer is free, and that buffer grows to
//! megabytes: a peer that reads all the time, but slowly, would look for longer than any limit like
//! one that reads nothing. Bounded so, each 64 to 192 KiB that it takes are seen.

use std::io;

use socket2::SockRef;

/// More than a fast peer takes before the next write comes.
const MOST: u32 = 128 << 10;

/// Bounds it, on a listener for all connections that it accepts.
///
/// # Errors
/// The system's own.
pub fn bound<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.into().set_tcp_notsent_lowat(MOST)?;
    #[cfg(not(target_os = "linux"))]
    let _ = (socket.into(), MOST);
    Ok(())
}
