//! The caller: keep-alive connections, one request at a time on each, every answer checked.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::pace::Pace;
use crate::work::{Asked, Expected, REGIONS, Work};

pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    pub requests: usize,
    pub rate: Option<u32>,
    pub limit: Duration,
    /// Whether the proxy chooses a store, or spreads what comes.
    pub routes: bool,
}

#[derive(Default)]
pub struct Outcome {
    pub answered: usize,
    pub wrong: usize,
    pub failed: usize,
    /// Of the first that was wrong: what came.
    pub example: Option<String>,
    pub seconds: f64,
    /// Microseconds from when a request was due until its answer was read, sorted.
    pub latencies: Vec<u32>,
}

impl Outcome {
    /// Says what was wrong; whether nothing was.
    pub fn tell(&self, proxy: &str) -> bool {
        if self.wrong + self.failed > 0 {
            println!(
                "{proxy}: {} answers wrong, {} requests without an answer; the first: {}",
                self.wrong,
                self.failed,
                self.example.as_deref().unwrap_or("a broken connection")
            );
        }
        self.wrong + self.failed == 0 && self.answered > 0
    }

    pub fn percentile(&self, share: f64) -> u32 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

impl Load {
    pub async fn run(&self, work: Work, round: usize) -> Outcome {
        let next = Rc::new(Cell::new(0));
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let began = Instant::now();
        let pace = self
            .rate
            .map(|rate| Rc::new(Pace::new(rate, self.requests)));
        let mut callers = JoinSet::new();
        for _ in 0..self.connections {
            let (next, outcome) = (Rc::clone(&next), Rc::clone(&outcome));
            let (address, requests, pace) = (self.address, self.requests, pace.clone());
            let routes = self.routes;
            callers.spawn_local(async move {
                let mut connection = Connection::open(address).await;
                loop {
                    let number = next.get();
                    if number >= requests {
                        return;
                    }
                    next.set(number + 1);
                    let asked = work.request(round, number);
                    let due = match &pace {
                        Some(pace) => pace.next(number).await,
                        None => Instant::now(),
                    };
                    let answer = connection.ask(&asked).await;
                    let mut expected = asked.expected;
                    if !routes {
                        expected.store = None;
                    }
                    outcome.borrow_mut().note(&expected, answer, due);
                    if answer.is_none() {
                        connection = Connection::open(address).await;
                    }
                }
            });
        }
        if timeout(self.limit, async {
            while callers.join_next().await.is_some() {}
        })
        .await
        .is_err()
        {
            println!("not done within {:?}", self.limit);
        }
        callers.abort_all();
        let mut outcome = outcome.take();
        outcome.seconds = began.elapsed().as_secs_f64();
        outcome.latencies.sort_unstable();
        outcome
    }
}

impl Outcome {
    fn note(&mut self, expected: &Expected, answer: Option<Expected>, due: Instant) {
        let micros = due.elapsed().as_micros();
        self.latencies
            .push(u32::try_from(micros).unwrap_or(u32::MAX));
        match answer {
            None => self.failed += 1,
            Some(answer) => {
                self.answered += 1;
                let is_right = answer.status == expected.status
                    && (expected.store.is_none() || answer.store == expected.store);
                if !is_right {
                    self.wrong += 1;
                    self.example
                        .get_or_insert_with(|| format!("{answer:?} in place of {expected:?}"));
                }
            }
        }
    }
}

/// Opens connections, asks once on each, and holds them.
pub async fn hold(address: SocketAddr, work: Work, count: usize) -> Vec<Connection> {
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        let mut connection = Connection::open(address).await;
        connection.ask(&work.request(1, number)).await;
        connection.buffer = Vec::new();
        held.push(connection);
    }
    held
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// `None` when the connection broke.
    async fn ask(&mut self, asked: &Asked) -> Option<Expected> {
        self.stream.write_all(&asked.bytes).await.ok()?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = head_end(&self.buffer) {
                break end;
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        };
        let fields = &self.buffer[..head];
        let status = std::str::from_utf8(fields.get(9..12)?).ok()?.parse().ok()?;
        // The router keeps a store's own fields back where that read would not be lawful; then it
        // says itself which region answered.
        let store = field(fields, b"x-store")
            .and_then(|v| v.parse().ok())
            .or_else(|| {
                let region = field(fields, b"domicile-region")?;
                REGIONS.iter().position(|r| *r == region)
            });
        if is_chunked(fields) {
            while !self.buffer.ends_with(b"0\r\n\r\n") {
                if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                    return None;
                }
            }
        } else {
            let end = head + content_length(fields);
            while self.buffer.len() < end {
                if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                    return None;
                }
            }
        }
        Some(Expected { status, store })
    }
}

/// Where the head ends, its empty line included.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = bytes.get(from..)?.iter().position(|b| *b == b'\r') {
        let at = from + found;
        if bytes.get(at..at + 4) == Some(b"\r\n\r\n") {
            return Some(at + 4);
        }
        from = at + 1;
    }
    None
}

pub fn content_length(head: &[u8]) -> usize {
    field(head, b"content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}

pub fn is_chunked(head: &[u8]) -> bool {
    field(head, b"transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
}

fn field<'h>(head: &'h [u8], name: &[u8]) -> Option<&'h str> {
    head.split(|b| *b == b'\n').find_map(|line| {
        let rest = line.get(name.len()..)?;
        let is_it =
            line.get(..name.len())?.eq_ignore_ascii_case(name) && rest.first() == Some(&b':');
        is_it
            .then(|| std::str::from_utf8(rest.get(1..)?).ok().map(str::trim))
            .flatten()
    })
}
