//! A region's server that speaks TLS or not, HTTP/1.1 or HTTP/2, and remembers what came.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

#[derive(Default)]
struct State {
    /// Connections that were accepted, whatever came of them.
    connections: usize,
    /// Handshakes that went through; of a server without TLS the same as connections.
    sessions: usize,
    seen: Vec<Seen>,
    /// The client certificate of the last session.
    client: Option<Vec<u8>>,
    tls: Option<Arc<ServerConfig>>,
}

/// Runs until the test's process ends.
pub struct SecureBackend {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    held: Arc<tokio::sync::Semaphore>,
}

/// What a server is.
#[derive(Clone, Copy)]
pub struct Kind {
    pub http2: bool,
    /// Streams of one connection at one time.
    pub streams: u32,
    /// Answers only after [`SecureBackend::release`].
    pub holds: bool,
}

pub const PLAIN: Kind = Kind {
    http2: false,
    streams: 100,
    holds: false,
};

pub const TWO: Kind = Kind {
    http2: true,
    ..PLAIN
};

impl SecureBackend {
    pub fn start(tls: Option<ServerConfig>, kind: Kind) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            tls: tls.map(Arc::new),
            ..State::default()
        }));
        let held = Arc::new(tokio::sync::Semaphore::new(0));
        let (shared, gate) = (Arc::clone(&state), Arc::clone(&held));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(accept(listener, shared, gate, kind));
        });
        Self {
            address,
            state,
            held,
        }
    }

    pub fn url(&self) -> String {
        let tls = self.state.lock().unwrap().tls.is_some();
        format!("{}://{}", if tls { "https" } else { "http" }, self.address)
    }

    /// From now on new connections are met with this.
    pub fn become_(&self, tls: ServerConfig) {
        self.state.lock().unwrap().tls = Some(Arc::new(tls));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    pub fn sessions(&self) -> usize {
        self.state.lock().unwrap().sessions
    }

    pub fn client(&self) -> Option<Vec<u8>> {
        self.state.lock().unwrap().client.clone()
    }

    pub fn release(&self, answers: usize) {
        self.held.add_permits(answers);
    }
}

async fn accept(
    listener: std::net::TcpListener,
    state: Arc<Mutex<State>>,
    gate: Arc<tokio::sync::Semaphore>,
    kind: Kind,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let tls = {
            let mut state = state.lock().unwrap();
            state.connections += 1;
            state.tls.clone()
        };
        let (state, gate) = (Arc::clone(&state), Arc::clone(&gate));
        tokio::spawn(async move {
            let Some(tls) = tls else {
                state.lock().unwrap().sessions += 1;
                return serve(stream, state, gate, kind).await;
            };
            let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
                return;
            };
            {
                let (_, session) = stream.get_ref();
                let client = session.peer_certificates().map(|chain| chain[0].to_vec());
                let mut state = state.lock().unwrap();
                state.sessions += 1;
                state.client = client;
            }
            serve(stream, state, gate, kind).await;
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    state: Arc<Mutex<State>>,
    gate: Arc<tokio::sync::Semaphore>,
    kind: Kind,
) {
    let service = service_fn(move |request| {
        let (state, gate) = (Arc::clone(&state), Arc::clone(&gate));
        async move {
            let answer = answer(request, &state).await;
            if kind.holds {
                gate.acquire().await.unwrap().forget();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(stream);
    let _ = match kind.http2 {
        true => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(kind.streams)
                .serve_connection(io, service)
                .await
        }
        false => {
            hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await
        }
    };
}

/// 200 with the length of what came; to gRPC a message and its trailers.
async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Response<Frames> {
    let (head, body) = request.into_parts();
    let Ok(collected) = body.collect().await else {
        return Response::new(Frames(VecDeque::new()));
    };
    let trailers = collected.trailers().cloned();
    let body = collected.to_bytes();
    let is_grpc = head
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/grpc");
    let mut answer = Response::new(Frames(VecDeque::from(match is_grpc {
        true => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            vec![Frame::data(body.clone()), Frame::trailers(trailers)]
        }
        false => vec![Frame::data(Bytes::from(format!("{}", body.len())))],
    })));
    if is_grpc {
        let kind = "application/grpc".parse().unwrap();
        answer.headers_mut().insert("content-type", kind);
    }
    state.lock().unwrap().seen.push(Seen {
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        version: head.version,
        headers: head.headers,
        body,
        trailers,
    });
    answer
}

/// A body of frames that are there already.
struct Frames(VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}
