//! How much of what was written a socket may hold before it is sent.
//!
//! Linux says that a socket takes more once a third of its buffer is free, and that buffer grows to
//! megabytes: a peer that reads all the time, but slowly, would look for longer than any limit like
//! one that reads nothing. Bounded so, each 64 to 192 KiB that it takes are seen.

use std::sync::Once;

use socket2::SockRef;

/// More than a fast peer takes before the next write comes.
const MOST: u32 = 128 << 10;

/// Bounds it, on a listener for all connections that it accepts. A system that cannot is told of once:
/// there slow peers are cut off who read all the time.
pub fn bound<'s>(socket: impl Into<SockRef<'s>>) {
    static TOLD: Once = Once::new();
    #[cfg(target_os = "linux")]
    if let Err(error) = socket.into().set_tcp_notsent_lowat(MOST) {
        TOLD.call_once(|| tracing::warn!(%error, "TCP_NOTSENT_LOWAT cannot be set"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket.into(), MOST, &TOLD);
}
