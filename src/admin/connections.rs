//! The connections of a listener beside the data plane's: few, and none for long that asks nothing.
//! Whoever opens more than there is room for pushes out its own, the oldest first, and takes no
//! descriptor from the data plane.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    admit::{
        descriptors,
        handshake::{expect_tls, why},
    },
    shared::Shared,
    tls::{Live, ServerSide, TlsPeer},
};

/// The other end of a connection over TLS: the certificate it has shown.
#[derive(Clone)]
pub(super) struct Operator(pub(super) Arc<TlsPeer>);

struct Open {
    task: JoinHandle<()>,
    /// Requests that are being answered.
    at_work: Arc<AtomicUsize>,
}

/// Serves all who connect, until it is dropped. `secured`: over TLS.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    secured: Option<Arc<Live<ServerSide>>>,
    router: Router,
) -> Infallible {
    let most = descriptors::beside_callers();
    // The oldest first.
    let mut open: Vec<Open> = Vec::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if descriptors::is_exhausted(&error) {
                    tokio::time::sleep(descriptors::REST).await;
                }
                continue;
            }
        };
        open.retain(|one| !one.task.is_finished());
        if open.len() >= most {
            let idle = |one: &Open| one.at_work.load(Ordering::Relaxed) == 0;
            let oldest = open.iter().position(idle).unwrap_or_default();
            open.remove(oldest).task.abort();
        }
        let at_work = Arc::default();
        let connection = Connection {
            router: router.clone(),
            at_work: Arc::clone(&at_work),
            head_within: shared.snapshot.load().settings.limits.header_read,
        };
        let secured = secured.clone();
        let task = tokio::spawn(async move {
            match secured {
                None => connection.answer(stream, None).await,
                Some(live) => connection.shake_hands(stream, &live).await,
            }
        });
        open.push(Open { task, at_work });
    }
}

struct Connection {
    router: Router,
    at_work: Arc<AtomicUsize>,
    /// For the handshake, and for each head, from the end of what came before it.
    head_within: Duration,
}

impl Connection {
    async fn shake_hands(self, stream: TcpStream, live: &Live<ServerSide>) {
        let side = live.load();
        let shake = async {
            let stream = expect_tls(stream).await.ok()?;
            let acceptor = TlsAcceptor::from(side.config());
            let shaken = acceptor.accept(stream).await;
            shaken.map_err(|error| why(&error)).ok()
        };
        if let Ok(Some(stream)) = timeout(self.head_within, shake).await {
            let (_, session) = stream.get_ref();
            let operator = Operator(Arc::new(side.peer(session)));
            self.answer(stream, Some(operator)).await;
        }
    }

    async fn answer(self, stream: impl AsyncRead + AsyncWrite + Unpin, operator: Option<Operator>) {
        let Self {
            router, at_work, ..
        } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(operator) = &operator {
                request
                    .extensions_mut()
                    .insert(ConnectInfo(operator.clone()));
            }
            counted(Arc::clone(&at_work), call(router.clone(), request))
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_within)
            .serve_connection(TokioIo::new(stream), service);
        // Whoever breaks off has its own reasons.
        let _ = serving.await;
    }
}

fn call(
    router: Router,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    hyper::service::Service::call(&TowerToHyperService::new(router), request)
}

async fn counted<T>(at_work: Arc<AtomicUsize>, answer: impl Future<Output = T>) -> T {
    at_work.fetch_add(1, Ordering::Relaxed);
    let answer = answer.await;
    at_work.fetch_sub(1, Ordering::Relaxed);
    answer
}
