//! Streams of one HTTP/2 connection: what one of them does not take is not kept from the others.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use tokio::time::timeout;

use crate::kit::eventually;
use crate::kit::setup::{Router, Setup};

/// Far less than `limits.body_stall`, which would end what is in the way.
const SOON: Duration = Duration::from_secs(10);

/// A region that takes connections and reads nothing.
fn hanging(setup: &mut Setup, name: &str) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setup.region(name, listener.local_addr().unwrap());
    listener
}

fn runs<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test)
}

async fn connect(router: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(router).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

fn begin(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    country: &str,
    length: Option<u64>,
) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::put(format!("http://a{path}"))
        .header("content-type", "application/json")
        .header("domicile-country", country);
    let request = match length {
        Some(length) => request.header("content-length", length),
        None => request,
    };
    sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap()
}

/// Sends until nothing more is taken for a while.
async fn fill(body: &mut SendStream<Bytes>) -> usize {
    let mut sent = 0;
    loop {
        body.reserve_capacity(64 << 10);
        while body.capacity() == 0 {
            let room = poll_fn(|cx| body.poll_capacity(cx));
            match timeout(Duration::from_millis(700), room).await {
                Ok(room) => drop(room.unwrap().unwrap()),
                Err(_) => return sent,
            }
        }
        let size = body.capacity();
        body.send_data(Bytes::from(vec![b'x'; size]), false)
            .unwrap();
        sent += size;
    }
}

#[test]
fn an_upload_that_its_region_does_not_take_holds_up_no_other() {
    let (mut setup, _backends) = Setup::recording();
    let _india = hanging(&mut setup, "in");
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    runs(async {
        let mut sender = connect(router.router).await;
        let mut stuck = Vec::new();
        for n in 0..3 {
            let (_answer, mut body) = begin(&mut sender, &format!("/files/p{n}/a"), "IN", None);
            assert!(fill(&mut body).await > 0);
            stuck.push((_answer, body));
        }
        let (answer, mut body) = begin(&mut sender, "/people/p", "DE", None);
        let put = async {
            body.reserve_capacity(16);
            while body.capacity() < 16 {
                poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
            }
            let record = Bytes::from_static(br#"{"country":"DE"}"#);
            body.send_data(record, true).unwrap();
            answer.await.unwrap().status()
        };
        assert_eq!(timeout(SOON, put).await, Ok(StatusCode::CREATED));
    });
}

/// What may come of an upload before its region takes it counts from the beginning, since it could
/// not be refused any more.
#[test]
fn uploads_beyond_the_memory_for_bodies_are_refused() {
    let (mut setup, _backends) = Setup::recording();
    let _india = hanging(&mut setup, "in");
    setup.set(&["data_plane", "workers"], 1);
    setup.set(&["limits", "memory"], "1MiB");
    let router = setup.start();
    runs(async {
        let mut sender = connect(router.router).await;
        let mut begun = Vec::new();
        for n in 0..4 {
            let (mut answer, body) = begin(&mut sender, &format!("/files/p{n}/a"), "IN", None);
            let waits = timeout(Duration::from_millis(200), &mut answer).await;
            assert!(waits.is_err(), "there is room for four: {n} {waits:?}");
            begun.push((answer, body));
        }
        let mut refused = async |length| {
            let (answer, _body) = begin(&mut sender, "/files/p/a", "IN", length);
            let answer = timeout(Duration::from_secs(2), answer).await;
            answer.ok().map(|answer| answer.unwrap().status())
        };
        let full = Some(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused(None).await, full);
        assert_eq!(refused(Some(1)).await, full);
        drop(begun.pop());
        // What was announced is all that may come.
        let mut more = Vec::new();
        for n in 0..8 {
            let (mut answer, body) =
                begin(&mut sender, &format!("/files/q{n}/a"), "IN", Some(32 << 10));
            let waits = timeout(Duration::from_millis(200), &mut answer).await;
            assert!(waits.is_err(), "{n} {waits:?}");
            more.push((answer, body));
        }
    });
}

/// A region of HTTP/2 of which answers below `/files` are long, and counted as they are sent.
fn lavish(sent: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        runs(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sent = Arc::clone(&sent);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let is_long = request.uri().path().starts_with("/files");
                        let answer = respond.send_response(Response::new(()), false);
                        let body = answer.unwrap();
                        tokio::spawn(give(request, body, is_long, Arc::clone(&sent)));
                    }
                });
            }
        })
    });
    address
}

async fn give(
    _request: Request<RecvStream>,
    mut body: SendStream<Bytes>,
    is_long: bool,
    sent: Arc<AtomicU64>,
) {
    let mut left: usize = if is_long { 1 << 30 } else { 4 };
    while left > 0 {
        body.reserve_capacity(left.min(16 << 10));
        while body.capacity() == 0 {
            match poll_fn(|cx| body.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                _ => return,
            }
        }
        let size = body.capacity().min(left);
        left -= size;
        if body
            .send_data(Bytes::from(vec![b'y'; size]), left == 0)
            .is_err()
        {
            return;
        }
        sent.fetch_add(size as u64, Relaxed);
    }
}

#[test]
fn callers_who_do_not_read_hold_up_no_other_answer_of_their_region() {
    let (mut setup, _backends) = Setup::recording();
    let sent = Arc::default();
    setup.region("sg", lavish(Arc::clone(&sent)));
    setup.set(&["regions", "sg", "http"], "2");
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    let lazy: Vec<TcpStream> = (0..6).map(|n| ask(&router, n)).collect();
    let mut before = 0;
    eventually("nothing more is taken", || {
        thread::sleep(Duration::from_millis(700));
        let now = sent.load(Relaxed);
        (std::mem::replace(&mut before, now) == now && now > 0).then_some(())
    });
    let began = Instant::now();
    let answer = crate::kit::http::Request::new("GET", "/people/p")
        .header("domicile-country", "SG")
        .send(router.router);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"yyyy"[..]));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(lazy);
}

/// A caller that asks for much and reads nothing.
fn ask(router: &Router, number: u32) -> TcpStream {
    let mut stream = TcpStream::connect(router.router).unwrap();
    write!(
        stream,
        "GET /files/p{number}/a HTTP/1.1\r\nHost: a\r\nDomicile-Country: SG\r\n\r\n"
    )
    .unwrap();
    stream
}
