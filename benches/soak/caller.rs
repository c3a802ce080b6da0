//! A caller over TLS: HTTP/1.1 on a connection of its own, or HTTP/2 on one that several share.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, task::spawn_local, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{store::Local, work::Asked};

/// Longer than all limits of the router together: who waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(40);

type Body = Full<Bytes>;
type Two = Rc<RefCell<Option<http2::SendRequest<Body>>>>;

pub struct Caller {
    to: SocketAddr,
    tls: Arc<ClientConfig>,
    way: Way,
}

enum Way {
    One(Option<http1::SendRequest<Body>>),
    Two(Two),
}

/// Why there is no whole answer.
pub enum Trouble {
    /// No connection, or it broke before the head of an answer.
    NoHead(String),
    BrokenOff,
    Hangs,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoHead(why) => write!(f, "no head: {why}"),
            Self::BrokenOff => f.write_str("broken off"),
            Self::Hangs => f.write_str("hangs"),
        }
    }
}

pub type Answer = Result<(StatusCode, HeaderMap, Bytes), Trouble>;

impl Caller {
    pub fn one(to: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        let way = Way::One(None);
        Self { to, tls, way }
    }

    /// So many that share a connection.
    pub fn two(to: SocketAddr, tls: &Arc<ClientConfig>, count: usize) -> Vec<Self> {
        let shared = Two::default();
        let one = |_| Self {
            to,
            tls: Arc::clone(tls),
            way: Way::Two(Rc::clone(&shared)),
        };
        (0..count).map(one).collect()
    }

    pub async fn ask(&mut self, asked: &Asked) -> Answer {
        let answer = timeout(PATIENCE, async {
            let response = self.send(asked).await.map_err(Trouble::NoHead)?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|_| Trouble::BrokenOff)?;
            Ok((head.status, head.headers, body.to_bytes()))
        });
        let answer = answer.await.unwrap_or(Err(Trouble::Hangs));
        if answer.is_err()
            && let Way::One(connection) = &mut self.way
        {
            *connection = None;
        }
        answer
    }

    async fn send(&mut self, asked: &Asked) -> Result<Response<Incoming>, String> {
        let (to, tls) = (self.to, &self.tls);
        match &mut self.way {
            Way::One(connection) => {
                let is_open = match connection {
                    Some(sender) => sender.ready().await.is_ok(),
                    None => false,
                };
                if !is_open {
                    let stream = secure(to, tls).await?;
                    let made = http1::handshake(TokioIo::new(stream)).await;
                    let (sender, driver) = made.map_err(|e| e.to_string())?;
                    spawn_local(driver);
                    *connection = Some(sender);
                }
                let sender = connection.as_mut().ok_or("no connection")?;
                let answer = sender.send_request(asked.request(None)).await;
                answer.map_err(|e| format!("{e:?}"))
            }
            Way::Two(shared) => {
                let known = shared.borrow().clone();
                let sender = match known {
                    Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
                    None => None,
                };
                let mut sender = match sender {
                    Some(sender) => sender,
                    None => {
                        let stream = secure(to, tls).await?;
                        let made = http2::handshake(Local, TokioIo::new(stream)).await;
                        let (sender, driver) = made.map_err(|e| e.to_string())?;
                        spawn_local(driver);
                        *shared.borrow_mut() = Some(sender.clone());
                        sender
                    }
                };
                let answer = sender.send_request(asked.request(Some("api.test"))).await;
                answer.map_err(|e| format!("{e:?}"))
            }
        }
    }
}

pub async fn secure(
    to: SocketAddr,
    tls: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, String> {
    let stream = TcpStream::connect(to).await.map_err(|e| e.to_string())?;
    let _ = stream.set_nodelay(true);
    let name = ServerName::try_from("api.test").map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    stream.await.map_err(|e| e.to_string())
}
