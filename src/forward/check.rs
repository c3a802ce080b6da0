//! Active checks of a server's health.
//!
//! A check is a bare GET of a path that the settings name. No record moves with it and nothing of
//! a caller's is in it, so it needs no permit and leaves no ledger entry. It goes over a
//! connection of its own, with the region's TLS and identity: what it finds is whether a request
//! could be sent there now. For HTTP/1.1 it is spoken by hand, in a dozen lines that no body,
//! pool or retry can complicate.

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, StatusCode, Version, uri::PathAndQuery};
use hyper::client::conn::http2::Builder;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Endpoint, dial::dial, wire::Wire};
use crate::{settings::HttpVersion, tls::BackendSide};

/// `HTTP/1.1 200` and the byte after it.
const STATUS_LINE: usize = 13;

/// Whether the endpoint answered with a 2xx within `limit`, name lookup and handshake included.
/// Must run inside a `LocalSet`. Cancel safe.
pub async fn check(
    endpoint: &Endpoint,
    side: Option<Arc<BackendSide>>,
    http: HttpVersion,
    path: &PathAndQuery,
    limit: Duration,
) -> bool {
    let side = side.filter(|_| endpoint.server().is_some());
    let checked = timeout(limit, async {
        let wire = dial(endpoint, side.as_deref(), http, limit).await.ok()?;
        match http {
            HttpVersion::One => ask(endpoint, path, wire).await,
            HttpVersion::Two => ask_h2(endpoint, path, wire).await,
        }
    });
    checked.await.ok().flatten().is_some_and(|s| s.is_success())
}

async fn ask(endpoint: &Endpoint, path: &PathAndQuery, mut wire: Wire) -> Option<StatusCode> {
    let target = endpoint.target(path).ok()?;
    let host = endpoint.name();
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: domicile-health\r\naccept: */*\r\n\
         connection: close\r\n\r\n"
    );
    wire.write_all(request.as_bytes()).await.ok()?;
    wire.flush().await.ok()?;
    let mut line = [0; STATUS_LINE];
    wire.read_exact(&mut line).await.ok()?;
    status(&line)
}

/// RFC 9112 §4.
fn status(line: &[u8; STATUS_LINE]) -> Option<StatusCode> {
    let code = line
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    match code {
        [code @ .., b' ' | b'\r'] => StatusCode::from_bytes(code).ok(),
        _ => None,
    }
}

async fn ask_h2(endpoint: &Endpoint, path: &PathAndQuery, wire: Wire) -> Option<StatusCode> {
    let mut request = Request::new(http_body_util::Empty::<bytes::Bytes>::new());
    *request.uri_mut() = endpoint.whole(endpoint.target(path).ok()?.as_ref());
    *request.version_mut() = Version::HTTP_2;
    let (mut sender, connection) = Builder::new(Local)
        .handshake(TokioIo::new(wire))
        .await
        .ok()?;
    let driven = async {
        let _ = connection.await;
        None
    };
    let asked = async { sender.send_request(request).await.ok().map(|a| a.status()) };
    tokio::select! {
        status = asked => status,
        ended = driven => ended,
    }
}

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 204 "), Some(StatusCode::NO_CONTENT));
        assert_eq!(
            status(b"HTTP/1.0 503\r"),
            Some(StatusCode::SERVICE_UNAVAILABLE)
        );
        for bad in [
            b"HTTP/1.1 20x ",
            b"HTTP/2.0 200 ",
            b"HTTP/1.1 2000",
            b"220 smtp here",
        ] {
            assert_eq!(status(bad), None);
        }
    }
}
