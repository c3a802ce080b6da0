//! HTTP/2 to regions, and what gRPC needs of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::backend::{Kind, SecureBackend, TWO};
use crate::kit::eventually;
use crate::kit::setup::{Router, Setup};

const SINGAPORE: &str = r#"{"country":"SG"}"#;

/// The `sg` region at this server by prior knowledge, and a route that passes gRPC.
fn setup(url: String) -> Setup {
    let (mut setup, _) = Setup::recording();
    setup.set(&["regions", "sg", "endpoints"], vec![url]);
    setup.set(&["regions", "sg", "http"], "2");
    setup.set(&["data_plane", "workers"], 1);
    let route: toml::Table = r#"
        path = "/grpc/{subject}/{method...}"
        methods = ["POST"]
        format = "opaque"
        subject = "path:subject"
        country = ["query:c", "pinned"]
        categories = ["user"]
    "#
    .parse()
    .unwrap();
    let routes = setup.settings["routes"].as_array_mut().unwrap();
    routes.push(route.into());
    setup
}

fn start(server: &SecureBackend) -> Router {
    setup(server.url()).start()
}

/// One gRPC call: status, message and trailers.
fn grpc(to: SocketAddr, message: &'static [u8]) -> (StatusCode, Bytes, Option<HeaderMap>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "abc".parse().unwrap());
        let body =
            Full::new(Bytes::from_static(message)).with_trailers(std::future::ready(Some(Ok::<
                _,
                std::convert::Infallible,
            >(
                trailers,
            ))));
        let request = Request::post(format!("http://{to}/grpc/p/acme.Store/Put?c=SG"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        (head.status, collected.to_bytes(), trailers)
    })
}

#[test]
fn grpc_passes_with_its_trailers_both_ways() {
    let server = SecureBackend::start(None, TWO);
    let router = start(&server);
    let (status, message, trailers) = grpc(router.router, b"\0\0\0\0\x02hi");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(message, &b"\0\0\0\0\x02hi"[..]);
    assert_eq!(trailers.unwrap().get("grpc-status").unwrap(), "0");
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.version, seen.method.as_str()),
        (Version::HTTP_2, "POST")
    );
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.headers["content-type"], "application/grpc");
    assert_eq!(seen.body, &b"\0\0\0\0\x02hi"[..]);
    assert_eq!(seen.trailers.as_ref().unwrap()["x-checksum"], "abc");
    assert!(
        seen.uri.ends_with("/grpc/p/acme.Store/Put?c=SG"),
        "{}",
        seen.uri
    );
}

#[test]
fn requests_share_connections_until_their_streams_run_out() {
    let server = SecureBackend::start(
        None,
        Kind {
            streams: 2,
            holds: true,
            ..TWO
        },
    );
    let router = start(&server);
    // One first, so that the server's limit is known.
    server.release(1);
    assert_eq!(router.put("p0", SINGAPORE).status, 200);
    assert_eq!(server.connections(), 1);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (1..=6)
            .map(|i| {
                let router = &router;
                scope.spawn(move || router.put(&format!("p{i}"), SINGAPORE).status)
            })
            .collect();
        eventually("all six are at work at once", || {
            (server.seen().len() == 7).then_some(())
        });
        assert!(server.connections() >= 3, "{}", server.connections());
        server.release(6);
        for call in calls {
            assert_eq!(call.join().unwrap(), 200);
        }
    });
    let connections = server.connections();
    server.release(1);
    assert_eq!(router.put("p7", SINGAPORE).status, 200);
    assert_eq!(server.connections(), connections, "they are kept");
}

type Misdeed = fn(&mut h2::server::SendResponse<Bytes>);

/// A server that does to the first stream what `first` says, and answers 200 to all later ones.
fn refusing(first: Misdeed) -> (SocketAddr, Arc<AtomicUsize>) {
    misbehaving(1, first)
}

/// The same to so many.
fn misbehaving(many: usize, misdeed: Misdeed) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let streams = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&streams);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        if count.fetch_add(1, Ordering::SeqCst) < many {
                            misdeed(&mut respond);
                            continue;
                        }
                        let answer = http::Response::new(());
                        let _ = respond.send_response(answer, true);
                    }
                });
            }
        });
    });
    (address, streams)
}

#[test]
fn a_stream_that_was_refused_unprocessed_is_sent_again_and_no_other() {
    use crate::kit::http::Request;
    let cases: [(Misdeed, u16, usize); 2] = [
        (|r| r.send_reset(h2::Reason::REFUSED_STREAM), 200, 2),
        (|r| r.send_reset(h2::Reason::INTERNAL_ERROR), 502, 1),
    ];
    for (first, status, streams) in cases {
        let (address, count) = refusing(first);
        let mut setup = setup(format!("http://{address}"));
        setup.set_route("ndjson", "upstream", "batch");
        let router = setup.start();
        // POST is not idempotent: only what was surely not processed is tried again.
        let answer = Request::new("POST", "/people")
            .ndjson("{\"id\":\"a\",\"country\":\"SG\"}\n")
            .send(router.router);
        let items = answer.items();
        assert_eq!(items[0]["status"], status, "{answer:?}");
        assert_eq!(count.load(Ordering::SeqCst), streams);
    }
}

/// A gRPC call's body comes as a stream: what was taken of it is sent again, under the same permit.
#[test]
fn a_streamed_body_whose_stream_was_refused_is_sent_again_or_told_to_be_undone() {
    for (many, status, streams) in [(1, 200, 2), (2, 200, 3), (9, 503, 3)] {
        let (address, count) = misbehaving(many, |r| r.send_reset(h2::Reason::REFUSED_STREAM));
        let router = setup(format!("http://{address}")).start();
        let answer = crate::support::request_h2(
            router.router,
            "POST",
            "/grpc/p1/svc?c=SG",
            &[("content-type", "application/grpc")],
            b"\0\0\0\0\x01x",
        );
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(count.load(Ordering::SeqCst), streams);
        let entries = crate::kit::all_entries(router.admin);
        let permits = entries.iter().filter(|e| e["outcome"] == "permit");
        assert_eq!(permits.count(), 1, "{entries:?}");
        if status == 503 {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert!(answer.text().contains("nothing was done"), "{answer:?}");
        }
    }
}
