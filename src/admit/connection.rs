//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 by prior knowledge.

use std::{cell::RefCell, future::Future, io, net::SocketAddr, rc::Rc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Either;
use hyper::{rt::Executor, server::conn, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, sync::watch, time::Instant};

use super::{
    body::Incoming,
    held::Answers,
    http1::{self, HeadFault},
    http2,
    pace::{AtWork, Pace, Paced},
};
use crate::settings::Limits;

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams of one HTTP/2 connection at one time.
const STREAMS: u32 = 256;

/// Serves the connection until it ends, idles too long, or `stop` turns true and its requests at
/// work are answered. `refused` is told of heads that `handle` does not get. Dropping the future cuts the connection.
pub async fn serve<F, R, A, B>(
    stream: TcpStream,
    peer: SocketAddr,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
    handle: F,
    refused: R,
) where
    R: Fn(HeadFault) + Clone + 'static,
    F: Fn(SocketAddr, Request<Incoming>, AtWork) -> A + Clone + 'static,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let http2 = tokio::select! {
        sniffed = is_http2(&stream, limits) => match sniffed {
            Ok(http2) => http2,
            Err(_) => return,
        },
        _ = stop.wait_for(|s| *s) => return,
    };
    serve_as(stream, http2, peer, limits, stop, handle, refused).await;
}

/// The same for a stream of which it is known whether it speaks HTTP/2: by ALPN.
pub async fn serve_as<S, F, R, A, B>(
    stream: S,
    http2: bool,
    peer: SocketAddr,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
    handle: F,
    refused: R,
) where
    S: http1::Transport,
    R: Fn(HeadFault) + Clone + 'static,
    F: Fn(SocketAddr, Request<Incoming>, AtWork) -> A + Clone + 'static,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let pace = Pace::new();
    if http2 {
        let held = Rc::new(Answers::default());
        let service = {
            let (pace, held) = (Rc::clone(&pace), Rc::clone(&held));
            service_fn(move |mut request| {
                let is_head = request.method() == Method::HEAD;
                let answer = match http2::check(&mut request) {
                    Ok(()) => Ok(handle(peer, request.map(Incoming::Http2), pace.begin())),
                    Err(fault) => {
                        refused(fault);
                        Err(http2::refuse(fault, request.method()))
                    }
                };
                let held = Rc::clone(&held);
                async move {
                    Ok::<_, std::convert::Infallible>(match answer {
                        // hyper would send the document of a refused HEAD with its answer.
                        Ok(answer) if is_head => {
                            http2::without_content(answer.await).map(Either::Right)
                        }
                        Ok(answer) => answer.await.map(|b| Either::Left(held.hold(b))),
                        Err(problem) => problem.map(Either::Right),
                    })
                }
            })
        };
        let io = Paced::new(stream, limits);
        let connection = conn::http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(64)
            .keep_alive_interval(limits.idle)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let began = Instant::now();
        tokio::select! {
            _ = &mut connection => return,
            _ = stop.wait_for(|s| *s) => {}
            () = idled(&pace, began, limits.idle) => {}
            () = held.watch(limits.body_stall) => {}
        }
        // A caller that never confirms the end, or keeps an answer for ever, is cut off.
        connection.as_mut().graceful_shutdown();
        let asked = Instant::now();
        tokio::select! {
            _ = &mut connection => {}
            () = idled(&pace, asked, limits.header_read) => {}
            () = held.watch(limits.body_stall) => {}
        }
        return;
    }
    let handle = move |request| handle(peer, request, AtWork::unwatched());
    let limits = limits.into();
    http1::serve(stream, BytesMut::new(), limits, stop, handle, refused).await;
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

/// Runs HTTP/2's helper tasks in the worker that has the connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Counts what is at work in a worker against its limit.
#[derive(Clone, Default)]
pub struct Counter(Rc<RefCell<usize>>);

/// Gives its place back when dropped.
pub struct Place(Counter);

impl Counter {
    pub fn enter(&self, limit: usize) -> Option<Place> {
        let mut count = self.0.borrow_mut();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.0.0.borrow_mut();
        *count = count.saturating_sub(1);
    }
}
