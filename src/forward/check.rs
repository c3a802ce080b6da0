//! Active checks of a server's health.
//!
//! A check is a bare GET of a path that the settings name. No record moves with it and nothing of
//! a caller's is in it, so it needs no permit and leaves no ledger entry. It goes over a
//! connection of its own, with the region's TLS and identity: what it finds is whether a request
//! could be sent there now.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::Builder;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::{
    Endpoint,
    body::{OutgoingBody, Upload},
    dial::dial,
    http1::{Call, Connection},
    wire::Wire,
};
use crate::{message::Fields, settings::HttpVersion, tls::BackendSide};

/// Most bytes that are read of an answer's content.
const MOST: usize = 64 << 10;

/// The rest of an answer, read so that the server's connection ends in order: one that is closed with
/// bytes unread is reset.
type Rest = Pin<Box<dyn Future<Output = ()>>>;

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
    let asked = timeout(limit, async {
        let wire = dial(endpoint, side.as_deref(), http, limit).await.ok()?;
        match http {
            HttpVersion::One => ask(endpoint, path, wire).await,
            HttpVersion::Two => ask_h2(endpoint, path, wire).await,
        }
    });
    let Some((status, rest)) = asked.await.ok().flatten() else {
        return false;
    };
    // Nobody waits for it: the head is the answer.
    tokio::task::spawn_local(timeout(limit, rest));
    status.is_success()
}

async fn ask(endpoint: &Endpoint, path: &PathAndQuery, wire: Wire) -> Option<(StatusCode, Rest)> {
    let mut headers = Fields::default();
    headers.append("user-agent", "domicile-health");
    headers.append("accept", "*/*");
    let call = Call {
        endpoint,
        method: &Method::GET,
        target: &*endpoint.target(path).ok()?,
        headers: &headers,
    };
    let now = Instant::now();
    let mut connection = Connection::new(wire);
    connection.begin(&call, Upload::new(OutgoingBody::Empty, now), now);
    let told = poll_fn(|cx| connection.poll_answer(cx)).await.ok()?;
    let rest = async move {
        let mut read = 0;
        while read < MOST
            && let Some(Ok(frame)) = poll_fn(|cx| connection.poll_frame(cx)).await
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    Some((told.status, Box::pin(rest)))
}

async fn ask_h2(
    endpoint: &Endpoint,
    path: &PathAndQuery,
    wire: Wire,
) -> Option<(StatusCode, Rest)> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = endpoint.whole(endpoint.target(path).ok()?.as_ref());
    *request.version_mut() = Version::HTTP_2;
    let (mut sender, connection) = Builder::new(Local)
        .handshake(TokioIo::new(wire))
        .await
        .ok()?;
    let mut driven = Box::pin(connection);
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer.ok()?,
        _ = &mut driven => return None,
    };
    let status = answer.status();
    let rest = async move {
        let mut body = answer.into_body();
        let mut read = 0;
        let all = async {
            while read < MOST
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        tokio::select! {
            () = all => {}
            _ = driven => {}
        }
        drop(sender);
    };
    Some((status, Box::pin(rest)))
}

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
