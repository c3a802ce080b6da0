//! A caller that speaks TLS and HTTP/1.1, and shows what was agreed.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::kit::PATIENCE;
use crate::kit::http::{Answer, read_body, read_head};

pub struct Caller {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Caller {
    /// Connects and shakes hands, asking for `name`.
    pub fn connect(to: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let tcp = TcpStream::connect(to)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub fn session(&self) -> &ClientConnection {
        &self.stream.get_ref().conn
    }

    pub fn alpn(&self) -> Option<String> {
        let agreed = self.session().alpn_protocol()?;
        Some(String::from_utf8(agreed.to_vec()).unwrap())
    }

    pub fn is_resumed(&self) -> bool {
        self.session().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the server showed.
    pub fn shown(&self) -> Vec<u8> {
        self.session().peer_certificates().unwrap()[0].to_vec()
    }

    pub fn put(&mut self, id: &str, fields: &str, body: &str) -> io::Result<Answer> {
        let length = body.len();
        self.send(&format!(
            "PUT /people/{id} HTTP/1.1\r\nhost: api.test\r\ncontent-type: application/json\r\n\
             {fields}content-length: {length}\r\n\r\n{body}"
        ))
    }

    pub fn get(&mut self, path: &str, fields: &str) -> io::Result<Answer> {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: api.test\r\n{fields}\r\n"
        ))
    }

    pub fn post_to(
        &mut self,
        host: &str,
        path: &str,
        fields: &str,
        body: &str,
    ) -> io::Result<Answer> {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             {fields}content-length: {length}\r\n\r\n{body}"
        ))
    }

    fn send(&mut self, text: &str) -> io::Result<Answer> {
        self.stream.get_mut().write_all(text.as_bytes())?;
        let (first, headers) = read_head(&mut self.stream)?;
        let (body, complete) = read_body(&mut self.stream, &headers, true);
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        Ok(Answer {
            status: status.unwrap_or(0),
            headers,
            body,
            complete,
        })
    }
}
