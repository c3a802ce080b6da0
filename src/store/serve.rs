//! The listener, its connections, and their end.

use std::convert::Infallible;
use std::future::Future;
use std::net::TcpListener as StdListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::sniff::{Protocol, sniff};
use super::{Shared, StoreError, handle};

const MAX_HEAD: usize = 64 << 10;

/// Serves until `shutdown`. See [`super::Store::serve`].
pub(super) async fn serve(
    listener: StdListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StoreError> {
    let listener = TcpListener::from_std(listener).map_err(StoreError::Start)?;
    let slots = Arc::new(Semaphore::new(shared.limits.connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (slot, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    let stopping = stopping.clone();
                    connections.spawn(async move {
                        connection(stream, shared, stopping).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: the connection stays queued, so without a pause
                    // this would spin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    drop(listener);
    // Nobody may be listening any more.
    let _ = stop.send(true);
    let ended = timeout(shared.limits.grace, async {
        while connections.join_next().await.is_some() {}
    });
    if ended.await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

/// Serves one connection to its end. A peer's mistakes end only its own connection.
async fn connection(stream: TcpStream, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    // Answers are small and whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let idle = shared.limits.idle;
    let sniffed = tokio::select! {
        sniffed = timeout(idle, sniff(stream)) => sniffed,
        _ = stopping.changed() => return,
    };
    let Ok(Ok((protocol, stream))) = sniffed else {
        return;
    };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(handle::answer(&shared, request).await) }
    });
    let io = TokioIo::new(stream);
    let ended = match protocol {
        Protocol::Http1 => {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(idle)
                .max_buf_size(MAX_HEAD)
                .serve_connection(io, service);
            let mut served = pin!(served);
            tokio::select! {
                ended = served.as_mut() => ended,
                _ = stopping.changed() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            }
        }
        Protocol::Http2 => {
            let served = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(MAX_HEAD as u32)
                .keep_alive_interval(idle)
                .max_concurrent_streams(256)
                .serve_connection(io, service);
            let mut served = pin!(served);
            tokio::select! {
                ended = served.as_mut() => ended,
                _ = stopping.changed() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the store ended early");
    }
}
