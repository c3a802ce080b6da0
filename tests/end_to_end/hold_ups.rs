//! Callers that hold things up, or say one method and mean another.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Request, read_head};
use crate::kit::setup::{Setup, metrics};
use crate::kit::{eventually, problem};

#[test]
fn a_caller_that_does_not_read_its_answer_loses_its_connection() {
    let (mut setup, _backends) = Setup::recording();
    let mut large = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n".to_vec();
    large.resize(large.len() + (64 << 20), b'x');
    let backend = Backend::scripted(move |_| Reply::Raw(large.clone()));
    setup.region("sg", backend.address);
    setup.set(&["limits", "body_stall"], "1s");
    let router = setup.start();
    assert!(router.put("p", r#"{"country":"SG"}"#).is_success());

    let mut lazy = TcpStream::connect(router.router).unwrap();
    lazy.write_all(b"GET /people/p HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut head = [0; 64];
    lazy.read_exact(&mut head).unwrap();
    // It reads no further, and the router gives it up by itself.
    eventually("the connection is ended", || {
        metrics(router.admin)
            .contains("\ndomicile_connections 0\n")
            .then_some(())
    });
}

#[test]
fn a_caller_of_http2_that_does_not_read_its_answer_holds_nothing_for_ever() {
    let (mut setup, _backends) = Setup::recording();
    let mut large = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n".to_vec();
    large.resize(large.len() + (64 << 20), b'x');
    let backend = Backend::scripted(move |_| Reply::Raw(large.clone()));
    setup.region("sg", backend.address);
    setup.set(&["limits", "body_stall"], "1s");
    setup.set(&["limits", "header_read"], "1s");
    let router = setup.start();
    assert!(router.put("p", r#"{"country":"SG"}"#).is_success());

    let to = router.router;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(to).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let request = http::Request::get(format!("http://{to}/people/p"));
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let lazy = sender.send_request(request).await.unwrap();
            tell.send(lazy.status()).unwrap();
            // Neither read nor dropped for as long as the connection lives.
            let _ = connection.await;
            drop((lazy, sender));
        });
    });
    assert_eq!(told.recv().unwrap(), 200);
    // Its stream's window is closed, its socket is not: the router lets go of the answer, and of no more.
    eventually("the answer is let go", || {
        metrics(router.admin)
            .contains("\nhttp_server_active_requests 0\n")
            .then_some(())
    });
    assert!(metrics(router.admin).contains("\ndomicile_connections 1\n"));
}

/// Of what a slow peer reads each tenth of a second. That the router holds of a long message would
/// last it for many times the stall limit.
const BIT: usize = 30_000;
const STALL: &str = "2s";

/// Reads for three times the stall limit: how much, and whether more may come.
fn read_slowly(mut stream: impl Read) -> (usize, bool) {
    let (began, mut bit, mut read) = (Instant::now(), vec![0; BIT], 0);
    while began.elapsed() < Duration::from_secs(6) {
        match stream.read(&mut bit) {
            Ok(some) if some > 0 => read += some,
            _ => return (read, false),
        }
        // The pace is what is tested.
        thread::sleep(Duration::from_millis(100));
    }
    (read, true)
}

#[test]
fn a_caller_that_reads_slowly_but_all_the_time_keeps_its_answer() {
    let (mut setup, _backends) = Setup::recording();
    let mut large = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n".to_vec();
    large.resize(large.len() + (64 << 20), b'x');
    let backend = Backend::scripted(move |_| Reply::Raw(large.clone()));
    setup.region("sg", backend.address);
    setup.set(&["limits", "body_stall"], STALL);
    let router = setup.start();
    assert!(router.put("p", r#"{"country":"SG"}"#).is_success());
    let mut slow = TcpStream::connect(router.router).unwrap();
    slow.write_all(b"GET /people/p HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let (read, goes_on) = read_slowly(slow);
    assert!(goes_on, "cut after {read} bytes");
}

#[test]
fn a_region_that_reads_slowly_but_all_the_time_gets_the_request() {
    let (mut setup, _backends) = Setup::recording();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setup.region("sg", listener.local_addr().unwrap());
    setup.set(&["limits", "body_stall"], STALL);
    setup.set(&["limits", "response"], STALL);
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        read_slowly(stream);
    });
    let router = setup.start();
    let mut caller = TcpStream::connect(router.router).unwrap();
    let mut answer = caller.try_clone().unwrap();
    thread::spawn(move || {
        let head = "PUT /files/p/a HTTP/1.1\r\nHost: a\r\nDomicile-Country: SG\r\n";
        write!(caller, "{head}Content-Length: 67108864\r\n\r\n").unwrap();
        // It ends with the test, if not before.
        let _ = caller.write_all(&vec![b'x'; 64 << 20]);
    });
    let patience = Some(Duration::from_secs(5));
    answer.set_read_timeout(patience).unwrap();
    let mut text = [0; 64];
    let come = answer.read(&mut text).map_err(|e| e.kind());
    let text = String::from_utf8_lossy(&text);
    assert_eq!(come, Err(ErrorKind::WouldBlock), "no answer yet: {text}");
}

#[test]
fn another_method_in_a_field_is_refused_and_goes_nowhere() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    for name in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
    ] {
        let answer = Request::new("PUT", "/people/p")
            .header(name, "DELETE")
            .json(r#"{"country":"SG"}"#)
            .send(router.router);
        problem(&answer, 400);
    }
    assert!(backends.touched().is_empty());
}

#[test]
fn without_a_token_the_admin_listener_answers_to_addresses_only() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(router.admin).unwrap();
        write!(stream, "GET /v1/regions HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let (line, _) = read_head(&mut BufReader::new(stream)).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("rebound.example"), "403");
    assert_eq!(ask("rebound.example:9090"), "403");
    for host in ["127.0.0.1:9090", "localhost", "[::1]:1"] {
        assert_eq!(ask(host), "200", "{host}");
    }
}

#[test]
fn a_request_without_a_host_is_refused() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let mut stream = TcpStream::connect(router.router).unwrap();
    stream
        .write_all(b"GET /people/p HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("urn:domicile:problem:bad-host"), "{answer}");
    assert!(backends.touched().is_empty());
}
