//! The way to the collector: one connection, kept while it lasts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::encode;
use crate::{
    forward::{Endpoint, dial},
    settings::{self, HttpVersion},
    tls::{BackendSide, Live},
};

/// Of an answer more is not read: it says how many spans were rejected, and why.
const ANSWER: usize = 64 << 10;
/// A collector cannot ask for a longer rest.
const LONGEST_REST: u64 = 30;

/// The collector.
pub struct Collector {
    endpoint: Endpoint,
    target: Uri,
    headers: HeaderMap,
    side: Option<Arc<Live<BackendSide>>>,
    timeout: Duration,
    open: Option<SendRequest<Full<Bytes>>>,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Taken, but for so many.
    Taken {
        rejected: u64,
    },
    /// Not now: after this long, where the collector says so.
    Later {
        why: String,
        rest: Option<Duration>,
    },
    Refused(StatusCode),
}

impl Collector {
    /// `None`: an address that the settings' reader does not let pass.
    pub fn new(settings: &settings::Otlp, side: Option<Arc<Live<BackendSide>>>) -> Option<Self> {
        let endpoint = Endpoint::parse(&settings.endpoint).ok()?;
        let target = Uri::from(settings.endpoint.path_and_query()?.clone());
        let mut headers: HeaderMap = settings.headers.iter().cloned().collect();
        headers.insert(header::HOST, HeaderValue::from_str(endpoint.name()).ok()?);
        let kind = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, kind);
        let agent = concat!("domicile/", env!("CARGO_PKG_VERSION"));
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(agent));
        Some(Self {
            endpoint,
            target,
            headers,
            side,
            timeout: settings.timeout,
            open: None,
        })
    }

    /// `host:port` of the settings.
    pub fn name(&self) -> &str {
        self.endpoint.name()
    }

    /// Sends one request within the time limit, or `limit` if that is less. Must run inside a
    /// `LocalSet`.
    pub async fn post(&mut self, body: Bytes, limit: Duration) -> Posted {
        let later = |why| Posted::Later { why, rest: None };
        // A kept connection may have been closed just now.
        let was_kept = self.open.as_ref().is_some_and(SendRequest::is_ready);
        let limit = self.timeout.min(limit);
        let tried = timeout(limit, async {
            match self.exchange(body.clone()).await {
                Err(_) if was_kept => self.exchange(body).await,
                answered => answered,
            }
        });
        match tried.await {
            Ok(Ok(posted)) => posted,
            Ok(Err(why)) => later(why),
            Err(_) => {
                self.open = None;
                later("it did not answer in time".to_owned())
            }
        }
    }

    async fn exchange(&mut self, body: Bytes) -> Result<Posted, String> {
        let mut sender = match self.open.take().filter(SendRequest::is_ready) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = sender.send_request(request);
        let answer = answer.await.map_err(|e| e.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await;
        let body = body.map_err(|_| "its answer broke off".to_owned())?;
        self.open = Some(sender);
        let status = head.status;
        if status.is_success() {
            let rejected = encode::rejected(&body.to_bytes());
            return Ok(Posted::Taken { rejected });
        }
        // OTLP, 'Retryable Response Codes'.
        if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            let rest = head.headers.get(header::RETRY_AFTER);
            let rest = rest.and_then(|v| v.to_str().ok()?.parse().ok());
            return Ok(Posted::Later {
                why: format!("it answered {status}"),
                rest: rest.map(|s: u64| Duration::from_secs(s.min(LONGEST_REST))),
            });
        }
        Ok(Posted::Refused(status))
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, String> {
        let side = self.side.as_ref().map(|live| live.load());
        let (side, limit) = (side.as_deref(), self.timeout);
        let dialled = dial(&self.endpoint, side, HttpVersion::One, limit).await;
        let wire = dialled.map_err(|e| e.to_string())?;
        let shaken = http1::handshake(TokioIo::new(wire)).await;
        let (sender, connection) = shaken.map_err(|e| e.to_string())?;
        tokio::task::spawn_local(async move {
            // What broke it is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(sender)
    }
}
