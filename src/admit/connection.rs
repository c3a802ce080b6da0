//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 by prior knowledge.

use std::{
    future::Future,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body::Body;
use http_body_util::Either;
use tokio::{net::TcpStream, sync::watch, time::Instant};

use super::{
    body::Incoming,
    farewell::leave,
    http1::{self, HeadFault},
    http2::{self, Way},
    pace::{AtWork, Pace, Paced},
    streams::{Stream, Streams},
};
use crate::{
    message::{Request, Response},
    settings::Limits,
};

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long callers are told that nothing more comes of what they wait for.
pub const LAST_WORD: Duration = Duration::from_millis(100);

/// How long a caller that waits for nothing has to hear that the connection ends, before it is cut.
const LEAVES: Duration = Duration::from_secs(1);

/// On what terms a connection is served.
#[derive(Clone)]
pub struct Terms {
    /// It is of a configured proxy, which may have ended TLS for its own callers.
    pub is_gateway: bool,
    /// No further requests are taken.
    pub stop: watch::Receiver<bool>,
    /// Those at work are not waited for any longer; the connection has [`LAST_WORD`].
    pub over: watch::Receiver<bool>,
}

/// Serves the connection until it ends, idles too long, or `stop` turns true and its requests at
/// work are answered. `refused` is told of heads that `handle` does not get. Dropping the future cuts the connection.
pub async fn serve<F, R, A, B>(
    stream: TcpStream,
    limits: &Limits,
    mut terms: Terms,
    handle: F,
    refused: R,
) where
    R: Fn(HeadFault),
    F: Fn(Request<Incoming>, AtWork) -> A,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let http2 = tokio::select! {
        sniffed = is_http2(&stream, limits) => match sniffed {
            Ok(http2) => http2,
            Err(_) => return,
        },
        () = leave(&mut terms.stop) => return,
    };
    serve_as(stream, http2, limits, terms, handle, refused).await;
}

/// The same for a stream of which it is known whether it speaks HTTP/2: by ALPN.
pub async fn serve_as<S, F, R, A, B>(
    stream: S,
    http2: bool,
    limits: &Limits,
    terms: Terms,
    handle: F,
    refused: R,
) where
    S: http1::Transport,
    R: Fn(HeadFault),
    F: Fn(Request<Incoming>, AtWork) -> A,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if http2 {
        return serve_streams(stream, limits, terms, handle, refused).await;
    }
    let handle = move |request| handle(request, AtWork::unwatched());
    let limits = limits.into();
    http1::serve(stream, BytesMut::new(), limits, terms.stop, handle, refused).await;
}

async fn serve_streams<S, F, R, A, B>(
    stream: S,
    limits: &Limits,
    terms: Terms,
    handle: F,
    refused: R,
) where
    S: http1::Transport,
    R: Fn(HeadFault),
    F: Fn(Request<Incoming>, AtWork) -> A,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Terms {
        is_gateway,
        mut stop,
        mut over,
    } = terms;
    let way = match is_gateway {
        _ if stream.is_secure() => Way::Secured,
        true => Way::Gateway,
        false => Way::Plain,
    };
    let streams = tokio::select! {
        streams = Streams::accept(Paced::new(stream, limits), limits) => streams,
        () = leave(&mut stop) => return,
    };
    let Some(mut streams) = streams else { return };
    let pace = Pace::new();
    let begin = |stream: Stream| {
        let Stream {
            request,
            scheme,
            reply,
        } = stream;
        let mut request = Request::from(request.map(Incoming::Http2));
        let is_head = request.parts.method == Method::HEAD;
        let checked = scheme.and_then(|s| http2::check(&mut request, s, way));
        if let Err(fault) = checked {
            refused(fault);
            let problem = http2::refuse(fault, &request.parts.method);
            tokio::task::spawn_local(reply.with(std::future::ready(problem.into())));
            return;
        }
        let answer = handle(request, pace.begin());
        // Boxed: a future that takes another one holds it twice.
        let answer = Box::pin(async move {
            let answer = answer.await;
            let answer = match is_head {
                // The document of a refused HEAD would go with its answer.
                true => http2::without_content(answer).map(Either::Right),
                false => answer.map(Either::Left),
            };
            answer.into()
        });
        tokio::task::spawn_local(reply.with(answer));
    };
    let began = Instant::now();
    tokio::select! {
        () = streams.serve(&begin, &refused, limits.idle) => return,
        _ = stop.wait_for(|s| *s) => {}
        () = idled(&pace, began, limits.idle) => {}
    }
    // A caller that never confirms the end is cut off.
    streams.close();
    let writes = streams.writes();
    tokio::select! {
        () = streams.serve(&begin, &refused, limits.idle) => return,
        () = left(&pace, writes, limits.header_read.min(LEAVES)) => return,
        _ = over.wait_for(|over| *over) => {}
    }
    // Those who wait for more are told that it will not come, and not left to guess it.
    streams.cut();
    let told = streams.serve(&begin, &refused, limits.idle);
    let _ = tokio::time::timeout(LAST_WORD, told).await;
}

/// Waits until no request has been at work for `limit`, counted from `from` on.
async fn idled(pace: &Pace, from: Instant, limit: Duration) {
    loop {
        let until = match pace.idle_since().map(|since| since.max(from)) {
            Some(since) if since.elapsed() >= limit => return,
            Some(since) => since + limit,
            None => Instant::now() + limit,
        };
        tokio::time::sleep_until(until).await;
    }
}

/// The same, from now on, and while nothing is written that the caller does not take: it may be what
/// was answered. For how long it may be, the socket sees to.
async fn left(pace: &Pace, writes: impl Fn() -> bool, limit: Duration) {
    let mut from = Instant::now();
    loop {
        tokio::time::sleep(limit / 8).await;
        let now = Instant::now();
        match pace.idle_since() {
            Some(since) if !writes() => {
                if now >= since.max(from) + limit {
                    return;
                }
            }
            _ => from = now,
        }
    }
}

/// Looks at the first bytes without taking them. hyper's own sniffing has no time limit.
async fn is_http2(stream: &TcpStream, limits: &Limits) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let mut count = tokio::time::timeout(limits.idle, stream.peek(&mut seen)).await??;
    let deadline = Instant::now() + limits.header_read;
    let mut pause = Duration::from_millis(5);
    loop {
        let bytes = seen.get(..count).unwrap_or_default();
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(bytes) {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            // HTTP/1 has an answer for those who are too slow.
            return Ok(false);
        }
        // A preface in pieces: peeking again would return the same bytes at once. Ever longer, so
        // that many who send a piece and wait cost little.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(160));
        count = stream.peek(&mut seen).await?;
    }
}

/// Counts what is at work in a worker against its limit.
#[derive(Clone, Default)]
pub struct Counter(Rc<Count>);

#[derive(Default)]
struct Count {
    /// Written by the worker's thread alone, so a store is enough; the metrics read it.
    shown: Arc<AtomicUsize>,
}

/// Gives its place back when dropped.
pub struct Place(Counter);

impl Counter {
    pub fn enter(&self, limit: usize) -> Option<Place> {
        let count = self.count();
        if count >= limit {
            return None;
        }
        self.0.shown.store(count + 1, Ordering::Relaxed);
        Some(Place(self.clone()))
    }

    /// How many are at work.
    pub fn count(&self) -> usize {
        self.0.shown.load(Ordering::Relaxed)
    }

    /// The same for other threads, which only read it.
    pub fn shown(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0.shown)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.0.count().saturating_sub(1);
        self.0.0.shown.store(left, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
