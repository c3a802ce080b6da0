//! A backend that records each byte it is sent and answers by script.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::message::{Headers, Input, find};
use super::script::{Act, Gate, Reply, Wait};

/// One request, from its head on; the body grows as it arrives.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: String,
    /// The request target as it came, query included.
    pub target: String,
    pub headers: Headers,
    /// Without the framing of chunks.
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// Whether the body arrived whole.
    pub complete: bool,
    /// When its head had arrived.
    pub at: Instant,
    /// Which connection, counted from 0.
    pub connection: usize,
}

impl Recorded {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// An HTTP/1.1 server on a port of its own. Its port stays reserved while it is down, so that no
/// other test can take it. Dropping it kills it.
pub struct RecordingBackend {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    _reservation: Socket,
}

type Decide = dyn FnMut(&Recorded) -> Reply + Send;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    requests: Vec<Recorded>,
    connections: usize,
    open: HashMap<usize, TcpStream>,
    queue: VecDeque<Reply>,
    decide: Box<Decide>,
    /// Opened when the present life of the server ends; ends all waiting.
    death: Gate,
    alive: bool,
}

impl RecordingBackend {
    /// Answers each request with `reply`.
    pub fn start(reply: Reply) -> Self {
        let reservation = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = reservation
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .expect("a bound socket");
        let mut backend = Self {
            address,
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    requests: Vec::new(),
                    connections: 0,
                    open: HashMap::new(),
                    queue: VecDeque::new(),
                    decide: Box::new(move |_| reply.clone()),
                    death: Gate::new(),
                    alive: false,
                }),
                changed: Condvar::new(),
            }),
            acceptor: None,
            _reservation: reservation,
        };
        backend.restart();
        backend
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on each request is answered so, when the queue is empty.
    pub fn always(&self, reply: Reply) {
        self.answer_with(move |_| reply.clone());
    }

    /// The next requests are answered so, one reply each.
    pub fn queue(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().queue.extend(replies);
    }

    /// From now on `decide` sees each head (the body is still empty) and gives its reply.
    pub fn answer_with(&self, decide: impl FnMut(&Recorded) -> Reply + Send + 'static) {
        self.shared.lock().decide = Box::new(decide);
    }

    /// All requests so far, those that are not complete included, in the order of their heads.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().requests.clone()
    }

    /// Forgets the requests so far. Only when none is under way.
    pub fn clear(&self) {
        self.shared.lock().requests.clear();
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until `count` requests have arrived whole.
    pub fn wait_for(&self, count: usize) -> Vec<Recorded> {
        self.wait_until(|requests| {
            requests.iter().filter(|request| request.complete).count() >= count
        })
    }

    /// Waits until `reached` holds for the requests so far.
    pub fn wait_until(&self, mut reached: impl FnMut(&[Recorded]) -> bool) -> Vec<Recorded> {
        let state = self.shared.lock();
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !reached(&state.requests))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "only {} requests arrived",
            state.requests.len()
        );
        state.requests.clone()
    }

    /// Resets all connections and refuses new ones, until [`Self::restart`].
    pub fn kill(&mut self) {
        let open: Vec<TcpStream> = {
            let mut state = self.shared.lock();
            if !std::mem::take(&mut state.alive) {
                return;
            }
            state.death.open();
            state.open.drain().map(|(_, stream)| stream).collect()
        };
        for stream in open {
            close_by_reset(&stream);
            // Wakes the thread that may be reading, which then closes the last handle.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the acceptor, which then sees that it is dead.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the acceptor does not panic");
        }
    }

    /// Listens again on the same port; script and records stay.
    pub fn restart(&mut self) {
        self.kill();
        let listener = bound(self.address);
        listener.listen(1024).expect("a bound socket");
        let listener = TcpListener::from(listener);
        let shared = Arc::clone(&self.shared);
        {
            let mut state = self.shared.lock();
            state.alive = true;
            state.death = Gate::new();
        }
        self.acceptor = Some(std::thread::spawn(move || accept(&listener, &shared)));
    }
}

impl Drop for RecordingBackend {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Several sockets of ours may hold the port: the reservation, and the listener while it is up.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a fresh socket");
    socket.set_reuse_port(true).expect("a fresh socket");
    socket.bind(&address.into()).expect("a free port");
    socket
}

/// Makes the closing of the last handle on the connection send RST instead of FIN.
pub fn close_by_reset(stream: &TcpStream) {
    // A peer may have gone first.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let mut state = shared.lock();
        if !state.alive {
            return;
        }
        let number = state.connections;
        state.connections += 1;
        let Ok(handle) = stream.try_clone() else {
            continue;
        };
        state.open.insert(number, handle);
        let death = state.death.clone();
        drop(state);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let connection = Connection {
                shared: &shared,
                death: &death,
                stream: &stream,
                number,
            };
            // Peers may vanish at any time; what arrived until then is on record.
            let _ = connection.serve();
            shared.lock().open.remove(&number);
        });
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    death: &'a Gate,
    stream: &'a TcpStream,
    number: usize,
}

impl Connection<'_> {
    fn serve(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut input = Input::new(self.stream);
        while let Some(head) = input.head()? {
            let mut words = head.start.split(' ').map(str::to_owned);
            let (length, chunked) = (head.length().unwrap_or(0), head.chunked());
            let continues = head.header("expect") == Some("100-continue");
            let request = Recorded {
                method: words.next().unwrap_or_default(),
                target: words.next().unwrap_or_default(),
                headers: head.headers,
                body: Vec::new(),
                trailers: Headers::new(),
                complete: false,
                at: Instant::now(),
                connection: self.number,
            };
            let head_only = request.method == "HEAD";
            let (index, reply) = self.record(request);
            if continues {
                (&*self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            if let Some(bytes) = reply.reset_request_after {
                input.exact(bytes.min(length), &mut |some| self.grow(index, some))?;
                self.reset();
                return Ok(());
            }
            let mut trailers = Headers::new();
            if chunked {
                trailers = input.chunks(&mut |some| self.grow(index, some))?;
            } else {
                input.exact(length, &mut |some| self.grow(index, some))?;
            }
            let request = self.complete(index, trailers);
            if !self.answer(&reply, &request, head_only)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn record(&self, request: Recorded) -> (usize, Reply) {
        let mut state = self.shared.lock();
        let queued = state.queue.pop_front();
        let reply = queued.unwrap_or_else(|| (state.decide)(&request));
        state.requests.push(request);
        self.shared.changed.notify_all();
        (state.requests.len() - 1, reply)
    }

    fn grow(&self, index: usize, bytes: &[u8]) {
        if let Some(request) = self.shared.lock().requests.get_mut(index) {
            request.body.extend_from_slice(bytes);
        }
        self.shared.changed.notify_all();
    }

    fn complete(&self, index: usize, trailers: Headers) -> Recorded {
        let mut state = self.shared.lock();
        let request = &mut state.requests[index];
        request.trailers = trailers;
        request.complete = true;
        let request = request.clone();
        self.shared.changed.notify_all();
        request
    }

    /// Whether the connection goes on.
    fn answer(&self, reply: &Reply, request: &Recorded, head_only: bool) -> io::Result<bool> {
        self.wait(&reply.head);
        match reply.act {
            Act::Close => return Ok(false),
            Act::Stall => {
                self.death.wait(PATIENCE);
                return Ok(false);
            }
            Act::Fixed { .. } | Act::Echo | Act::EachItem(_) | Act::Bytes(_) => {}
        }
        let content_type = request.header("content-type").unwrap_or("text/plain");
        let (mut bytes, body_at) = reply.render(content_type, &request.body);
        if head_only && body_at > 0 {
            bytes.truncate(body_at);
        }
        let end = reply.reset_after.or(reply.cut_after);
        bytes.truncate(end.unwrap_or(bytes.len()));
        let pause = reply.pause.as_ref();
        let first = pause.map_or(bytes.len(), |(after, _)| bytes.len().min(body_at + after));
        let mut stream = self.stream;
        stream.write_all(&bytes[..first])?;
        if let Some((_, wait)) = pause {
            self.wait(wait);
            stream.write_all(&bytes[first..])?;
        }
        if reply.reset_after.is_some() {
            self.reset();
        }
        Ok(end.is_none() && !reply.close)
    }

    /// Waits as told, or until the backend is killed.
    fn wait(&self, wait: &Wait) {
        match wait {
            Wait::Not => {}
            Wait::For(delay) => {
                self.death.wait(*delay);
            }
            Wait::Until(gate) => {
                gate.wait(PATIENCE);
            }
        }
    }

    fn reset(&self) {
        self.shared.lock().open.remove(&self.number);
        // The last handle is closed when the thread ends.
        close_by_reset(self.stream);
    }
}
