//! Backends that remember what they were sent and misbehave as they are told.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::http::{read_body, read_head};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a backend does once it has read a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An orderly answer.
    Answer {
        status: u16,
        media: &'static str,
        body: Vec<u8>,
    },
    /// These bytes, then an orderly close.
    Raw(Vec<u8>),
    /// These bytes, then a reset.
    Reset(Vec<u8>),
    /// These bytes, then nothing until the peer gives up.
    Stall(Vec<u8>),
    /// One more byte now and then: progress that never leads anywhere.
    Drip(Vec<u8>),
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            media: "application/json",
            body: Vec::new(),
        }
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

pub struct Backend {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Backend {
    /// Says 201 to everything.
    pub fn recording() -> Self {
        Self::scripted(|_| Reply::status(201))
    }

    pub fn scripted(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(script), true)
    }

    /// For a script that knows where it is.
    pub fn scripted_at(
        address: SocketAddr,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(address, Arc::new(script), true)
    }

    /// Says 200 to everything and keeps no body.
    pub fn discarding() -> Self {
        Self::start(Arc::new(|_: &Seen| Reply::status(200)), false)
    }

    fn start(script: Arc<Script>, keep: bool) -> Self {
        Self::serve((Ipv4Addr::LOCALHOST, 0).into(), script, keep)
    }

    fn serve(address: SocketAddr, script: Arc<Script>, keep: bool) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (script, seen) = (Arc::clone(&script), Arc::clone(&shared));
                thread::spawn(move || serve(stream, &*script, &seen, keep));
            }
        });
        Self {
            address,
            seen,
            stop,
        }
    }

    /// Every request, in the order in which they were read.
    pub fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests about people and files, in the order in which they were read. Health probes, if
    /// any, are none of them.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.path.starts_with("/people") || seen.path.starts_with("/files"))
            .cloned()
            .collect()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, script: &Script, seen: &Mutex<Vec<Seen>>, keep: bool) {
    let _ = stream.set_nodelay(true);
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    loop {
        let Ok((first, headers)) = read_head(&mut reader) else {
            return;
        };
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if headers.iter().any(|(name, _)| name == "expect") {
            let _ = writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let (body, complete) = if keep {
            read_body(&mut reader, &headers, false)
        } else {
            // Counted and let go, so that the test's own memory stays small.
            let (body, complete) = read_body(&mut reader, &headers, false);
            drop(body);
            (Vec::new(), complete)
        };
        if !complete {
            return;
        }
        let request = Seen {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body,
        };
        let reply = script(&request);
        seen.lock().unwrap().push(request);
        let (bytes, then) = match reply {
            Reply::Answer {
                status,
                media,
                body,
            } => {
                let mut bytes = format!(
                    "HTTP/1.1 {status} Scripted\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                )
                .into_bytes();
                bytes.extend_from_slice(&body);
                if writer.write_all(&bytes).is_err() {
                    return;
                }
                continue;
            }
            Reply::Raw(bytes) => (bytes, Then::Close),
            Reply::Reset(bytes) => (bytes, Then::Reset),
            Reply::Stall(bytes) => (bytes, Then::Stall),
            Reply::Drip(bytes) => (bytes, Then::Drip),
        };
        let _ = writer.write_all(&bytes);
        match then {
            Then::Close => {}
            Then::Reset => {
                let _ = SockRef::from(&writer).set_linger(Some(Duration::ZERO));
            }
            Then::Stall => {
                let _ = reader.read(&mut [0]);
            }
            // Pacing, not synchronisation: nothing in a test waits for these pauses.
            Then::Drip => {
                while writer.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
        return;
    }
}

enum Then {
    Close,
    Reset,
    Stall,
    Drip,
}

#[test]
fn client_and_backend_understand_each_other() {
    use super::http::{Client, Request};

    let backend = Backend::scripted(|seen| match seen.path.as_str() {
        "/people/ok" => Reply::Answer {
            status: 200,
            media: "text/plain",
            body: seen.body.clone(),
        },
        "/people/cut" => Reply::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut".to_vec()),
        _ => Reply::Raw(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
        ),
    });
    let mut client = Client::new(backend.address);
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let request = Request::new("PUT", "/people/ok").body("application/octet-stream", body.clone());
    for request in [request.clone(), request.chunked()] {
        let answer = client.send(&request).unwrap();
        assert!(answer.complete && answer.body == body);
    }
    let answer = client
        .send(&Request::new("GET", "/people/chunked"))
        .unwrap();
    assert!(answer.complete && answer.body == b"abc", "{answer:?}");
    let cut = Client::new(backend.address).send(&Request::new("GET", "/people/cut"));
    assert!(cut.is_err() || cut.is_ok_and(|answer| !answer.complete));
    assert_eq!(backend.seen().len(), 4);
}
