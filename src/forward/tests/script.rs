//! A server that does what a test tells it, and keeps what it read.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

pub struct Server {
    address: SocketAddr,
    seen: Rc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: Cell<usize>,
    /// What each connection read so far.
    read: RefCell<Vec<Vec<u8>>>,
    /// Connections whose script has ended.
    ended: Cell<usize>,
    news: Notify,
}

/// One accepted connection.
pub struct Peer {
    stream: TcpStream,
    number: usize,
    seen: Rc<Seen>,
}

impl Server {
    /// Runs `script` for each connection, counted from 0; then the connection is closed.
    pub async fn start(script: impl AsyncFn(usize, &mut Peer) + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub async fn start_at(
        address: SocketAddr,
        script: impl AsyncFn(usize, &mut Peer) + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::new(Seen::default());
        let mine = Rc::clone(&seen);
        let script = Rc::new(script);
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = mine.connections.get();
                mine.connections.set(number + 1);
                mine.read.borrow_mut().push(Vec::new());
                mine.news.notify_waiters();
                let mut peer = Peer {
                    stream,
                    number,
                    seen: Rc::clone(&mine),
                };
                let script = Rc::clone(&script);
                tokio::task::spawn_local(async move {
                    script(number, &mut peer).await;
                    let seen = Rc::clone(&peer.seen);
                    drop(peer);
                    seen.ended.set(seen.ended.get() + 1);
                    seen.news.notify_waiters();
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.get()
    }

    /// Everything that one connection read.
    pub fn read(&self, connection: usize) -> String {
        String::from_utf8(self.seen.read.borrow()[connection].clone()).unwrap()
    }

    pub async fn until_connections(&self, count: usize) {
        self.until(|seen| seen.connections.get() >= count).await;
    }

    pub async fn until_ended(&self, count: usize) {
        self.until(|seen| seen.ended.get() >= count).await;
    }

    async fn until(&self, holds: impl Fn(&Seen) -> bool) {
        loop {
            let news = self.seen.news.notified();
            if holds(&self.seen) {
                return;
            }
            news.await;
        }
    }
}

/// The URL of a port that refuses connections.
pub async fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A port that takes no connection and refuses none, as a host that is gone does.
pub struct Full {
    pub address: SocketAddr,
    _listener: std::net::TcpListener,
    _waiting: Vec<std::net::TcpStream>,
}

impl Full {
    pub fn new() -> Self {
        let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
        let socket = socket2::Socket::new(domain, kind, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let wait = Duration::from_millis(100);
        let one = || std::net::TcpStream::connect_timeout(&address, wait).ok();
        let waiting = std::iter::from_fn(one).collect();
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Peer {
    /// Reads one request, its body by `Content-Length` or to the last chunk; false at the end.
    pub async fn request(&mut self) -> bool {
        let mut got = Vec::new();
        loop {
            if is_whole(&got) {
                return true;
            }
            match self.some().await {
                Some(data) => got.extend(data),
                None => return false,
            }
        }
    }

    /// Whatever comes next; `None` when the other side has closed or broken the connection.
    pub async fn some(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 16 << 10];
        let n = self.stream.read(&mut buffer).await.unwrap_or(0);
        buffer.truncate(n);
        self.seen.read.borrow_mut()[self.number].extend(&buffer);
        (n > 0).then_some(buffer)
    }

    pub async fn until_closed(&mut self) {
        while self.some().await.is_some() {}
    }

    pub async fn write(&mut self, text: &str) {
        // The other side may be gone already, which some tests want.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Answers one request and keeps the connection as long as more come.
    pub async fn answer(&mut self, status: &str, body: &str) {
        while self.request().await {
            let length = body.len();
            self.write(&format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        }
    }

    pub async fn hang(&mut self) {
        std::future::pending::<()>().await;
    }

    /// Closing will send RST instead of FIN.
    pub fn will_reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.starts_with("0\r\n") || body.contains("\r\n0\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}
