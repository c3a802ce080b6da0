//! Clients: raw bytes in and out, and small ones that speak HTTP properly.

use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::PATIENCE;
use super::message::{Headers, Input, find};

/// What came back, the body without its framing.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
}

impl Answer {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// One value a line.
    pub fn ndjson(&self) -> Vec<serde_json::Value> {
        let lines = self.text().lines();
        lines
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect()
    }
}

/// One connection that sends exactly what it is told.
pub struct RawClient {
    stream: TcpStream,
    input: Input<TcpStream>,
}

impl RawClient {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the server accepts connections")
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let input = Input::new(stream.try_clone()?);
        Ok(Self { stream, input })
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes the bytes");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends the sending half. A peer that has hung up by then has ended it already.
    pub fn finish(&mut self) {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                panic!("cannot end the sending half: {error}")
            }
            _ => {}
        }
    }

    /// Hangs up with a reset: what was not delivered is lost.
    pub fn reset(self) {
        super::backend::close_by_reset(&self.stream);
    }

    /// The next answer to a request other than HEAD; 1xx answers count as answers.
    pub fn read_answer(&mut self) -> Answer {
        self.try_read_answer(false).expect("a whole answer")
    }

    /// The next answer, whose body is absent whatever its head says if `head_only`.
    ///
    /// # Errors
    /// The connection ended or was reset before the answer was whole, or what came is no HTTP.
    pub fn try_read_answer(&mut self, head_only: bool) -> io::Result<Answer> {
        let head = self.input.head()?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut words = head.start.split(' ');
        let status = match (words.next(), words.next().map(str::parse::<u16>)) {
            (Some("HTTP/1.1" | "HTTP/1.0"), Some(Ok(status))) => status,
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        let mut body = Vec::new();
        let mut sink = |bytes: &[u8]| body.extend_from_slice(bytes);
        let mut trailers = Headers::new();
        if head_only || status < 200 || status == 204 || status == 304 {
            // No body, whatever the headers say (RFC 9112 §6.3).
        } else if head.chunked() {
            trailers = self.input.chunks(&mut sink)?;
        } else if let Some(length) = head.length() {
            self.input.exact(length, &mut sink)?;
        } else {
            self.input.rest(&mut sink)?;
        }
        Ok(Answer {
            status,
            headers: head.headers,
            body,
            trailers,
        })
    }

    /// Everything until the server closes.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.input.rest(&mut |some| bytes.extend_from_slice(some))?;
        Ok(bytes)
    }

    /// Some bytes as they come; empty when the server closed.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        self.input.some(usize::MAX)
    }

    /// Whether nothing comes for `pause`. For behaviours that consist in silence.
    pub fn silent_for(&mut self, pause: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(pause))
            .expect("a timeout above zero");
        let silent = self.input.some(1).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        });
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        silent
    }
}

/// A keep-alive HTTP/1.1 client on one connection.
pub struct HttpClient {
    address: SocketAddr,
    connection: RawClient,
}

impl HttpClient {
    pub fn connect(address: SocketAddr) -> Self {
        Self {
            address,
            connection: RawClient::connect(address),
        }
    }

    /// Sends one request (`Host` and, with a body, `Content-Length` added) and reads its answer.
    /// A connection that the server closed in between is opened anew for the next one.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let answer = self
            .try_request(method, target, headers, body)
            .expect("a whole answer");
        if answer.header("connection") == Some("close") {
            self.connection = RawClient::connect(self.address);
        }
        answer
    }

    pub fn try_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<Answer> {
        let body = body.as_ref();
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "PUT" | "POST" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // One write for small requests, no second copy of large ones.
        if body.len() < 16 << 10 {
            let mut whole = head.into_bytes();
            whole.extend_from_slice(body);
            self.connection.try_send(whole)?;
        } else {
            self.connection.try_send(head)?;
            self.connection.try_send(body)?;
        }
        self.connection.try_read_answer(method == "HEAD")
    }
}

/// One request on a connection of its own.
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    HttpClient::connect(address).request(method, target, headers, body)
}

/// One request over cleartext HTTP/2 with prior knowledge.
pub fn request_h2(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let exchange = async {
            let stream = tokio::net::TcpStream::connect(address)
                .await
                .expect("a connection");
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .expect("an HTTP/2 handshake");
            tokio::spawn(connection);
            let mut request = http::Request::builder()
                .method(method)
                .uri(format!("http://{address}{target}"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let body = Full::new(Bytes::copy_from_slice(body.as_ref()));
            let request = request.body(body).expect("a request");
            let (head, body) = sender
                .send_request(request)
                .await
                .expect("an answer")
                .into_parts();
            let body = body.collect().await.expect("a whole answer");
            Answer {
                status: head.status.as_u16(),
                headers: headers_of(&head.headers),
                trailers: body.trailers().map(headers_of).unwrap_or_default(),
                body: body.to_bytes().to_vec(),
            }
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .expect("an answer in time")
    })
}

fn headers_of(map: &http::HeaderMap) -> Headers {
    map.iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}
