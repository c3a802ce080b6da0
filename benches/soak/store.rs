//! A region's store: answers what it can vouch for, misbehaves now and then, and looks at
//! everything it gets for records that are not its own.

use std::{
    cell::{Cell, RefCell},
    collections::{HashSet, VecDeque},
    convert::Infallible,
    fmt::Write as _,
    future::pending,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::spawn_local,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{chance::Chance, report::Report, work::foreign};

pub struct Store {
    pub region: usize,
    pub address: SocketAddr,
    pub http2: bool,
    /// What new connections are met with, and whether it is another region's certificate.
    pub tls: RefCell<(Option<Arc<ServerConfig>>, bool)>,
    pub is_rough: Cell<bool>,
    chance: Rc<Chance>,
    report: Report,
    /// Marks of the writes that came, each of which may come once.
    had: RefCell<HashSet<String>>,
}

impl Store {
    pub async fn start(
        region: usize,
        tls: Option<ServerConfig>,
        http2: bool,
        chance: Rc<Chance>,
        report: Report,
    ) -> Rc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Rc::new(Self {
            region,
            address: listener.local_addr().unwrap(),
            http2,
            tls: RefCell::new((tls.map(Arc::new), false)),
            is_rough: Cell::new(false),
            chance,
            report,
            had: RefCell::default(),
        });
        let this = Rc::clone(&store);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (tls, is_imposter) = this.tls.borrow().clone();
                let this = Rc::clone(&this);
                spawn_local(async move {
                    match tls {
                        None => this.serve(stream, is_imposter).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                this.serve(stream, is_imposter).await;
                            }
                        }
                    }
                });
            }
        });
        store
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        self: Rc<Self>,
        stream: S,
        is_imposter: bool,
    ) {
        let http2 = self.http2;
        let service = service_fn(move |request| {
            let this = Rc::clone(&self);
            async move {
                if is_imposter {
                    this.report
                        .wrong("a request to a server that is another's", String::new);
                }
                this.answer(request).await
            }
        });
        let io = TokioIo::new(stream);
        let _ = match http2 {
            true => {
                hyper::server::conn::http2::Builder::new(Local)
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

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Pieces>, Broken> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        if path == "/healthz" {
            return Ok(Response::new(Pieces::of("")));
        }
        // A body that breaks off is nothing that was sent here.
        let whole = body.collect().await.map_err(|_| Broken)?.to_bytes();
        for text in [path.as_bytes(), &whole] {
            if let Some(other) = foreign(text, self.region) {
                self.report.wrong("a record in a wrong region", || {
                    format!("one of {other} in {}: {} {path}", self.region, head.method)
                });
            }
        }
        self.report.count("requests at the stores");
        let mark = head.headers.get("x-mark").map(|v| v.to_str().unwrap());
        let mark = mark.unwrap_or_default().to_owned();
        let is_one = path == "/records" || path.starts_with("/files");
        if is_one && head.method == Method::POST && !self.had.borrow_mut().insert(mark.clone()) {
            self.report
                .wrong("a POST that came twice", || format!("{path} {mark}"));
        }
        let text = match path.ends_with("/_bulk") {
            true => bulk(&whole),
            false => format!("{{\"store\":{},\"mark\":\"{mark}\"}}", self.region),
        };
        let mut pieces = Pieces::of(&text);
        if self.is_rough.get() {
            match self.chance.below(1000) {
                0..3 => return Err(Broken),
                3..5 => {
                    self.report.count("stores: no answer");
                    pending::<()>().await;
                }
                5..8 => pieces = Pieces::broken(&text),
                8..40 => sleep(self.chance.between(10, 400)).await,
                _ => {}
            }
        }
        let answer = Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ETAG, format!("\"{mark}\""));
        Ok(answer.body(pieces).unwrap())
    }

    pub fn become_(&self, tls: ServerConfig, is_imposter: bool) {
        *self.tls.borrow_mut() = (Some(Arc::new(tls)), is_imposter);
    }
}

/// As Elasticsearch answers `_bulk`: each item was created.
fn bulk(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let mut items = String::from("{\"took\":1,\"errors\":false,\"items\":[");
    for (number, line) in text.lines().step_by(2).enumerate() {
        let action: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let id = &action["index"]["_id"];
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            items,
            r#"{comma}{{"index":{{"_index":"people","_id":{id},"_version":1,"result":"created","_shards":{{"total":1,"successful":1,"failed":0}},"_seq_no":{number},"_primary_term":1,"status":201}}}}"#
        );
    }
    items.push_str("]}");
    items
}

/// Ends a connection, or an answer, before its end.
#[derive(Debug, thiserror::Error)]
#[error("broken off")]
pub struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

pub struct Pieces(VecDeque<Result<Frame<Bytes>, Broken>>);

impl Pieces {
    fn of(text: &str) -> Self {
        let frame = Frame::data(Bytes::copy_from_slice(text.as_bytes()));
        Self(VecDeque::from(match text {
            "" => vec![],
            _ => vec![Ok(frame)],
        }))
    }

    fn broken(text: &str) -> Self {
        let mut pieces = Self::of(text.get(..text.len() / 2).unwrap_or_default());
        pieces.0.push_back(Err(Broken));
        pieces
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(self.0.pop_front())
    }
}

#[derive(Clone, Copy)]
pub struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}
