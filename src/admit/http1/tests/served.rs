//! A served connection in memory.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    admit::{
        body::{Incoming, read_whole},
        http1::{Limits, Transport, serve},
    },
    message::{Request, Response},
};

impl Transport for DuplexStream {}

pub const LIMITS: Limits = Limits {
    header_bytes: 4096,
    header_read: Duration::from_secs(10),
    body_stall: Duration::from_secs(30),
    idle: Duration::from_secs(75),
};

/// A served connection and the caller's end of it.
pub struct Served {
    pub caller: DuplexStream,
    pub task: JoinHandle<()>,
    pub stop: watch::Sender<bool>,
}

pub fn connect<F, A, B>(handle: F) -> Served
where
    F: Fn(Request<Incoming>) -> A + 'static,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
{
    let (caller, io) = duplex(64 << 10);
    let (stop, stopped) = watch::channel(false);
    let task =
        tokio::task::spawn_local(serve(io, BytesMut::new(), LIMITS, stopped, handle, |_| {}));
    Served { caller, task, stop }
}

impl Served {
    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.caller.write_all(text.as_ref()).await.unwrap();
    }

    /// Everything until the connection ends, which it must.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.caller.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Up to and including `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            text.push(char::from(self.caller.read_u8().await.unwrap()));
        }
        text
    }
}

/// Time is tokio's own and runs ahead when everybody waits.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

pub type Small = Full<Bytes>;

pub fn text(status: u16, text: impl Into<Bytes>) -> Response<Small> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// Says what it was asked, body and all.
pub async fn echo(request: Request<Incoming>) -> Response<Small> {
    let (parts, body) = request.into_parts();
    match read_whole(body, 1 << 20, Duration::from_secs(30)).await {
        Ok(body) => {
            let body = String::from_utf8_lossy(&body).into_owned();
            text(200, format!("<{} {} {body}>", parts.method, parts.uri))
        }
        Err(fault) => text(400, format!("<{fault}>")),
    }
}

/// A body of given frames; `Err` breaks it, `Ok(None)` lets it wait for ever.
pub struct Frames(pub Vec<Result<Option<Frame<Bytes>>, ()>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = ();

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        match self.0.remove(0) {
            Ok(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Ok(None) => {
                self.0.insert(0, Ok(None));
                Poll::Pending
            }
            Err(()) => Poll::Ready(Some(Err(()))),
        }
    }
}

pub fn data(text: &str) -> Result<Option<Frame<Bytes>>, ()> {
    Ok(Some(Frame::data(Bytes::copy_from_slice(text.as_bytes()))))
}

pub const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
