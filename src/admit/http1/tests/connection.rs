//! Whole connections in memory, with handlers that do as each test says.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
};

use crate::admit::{
    body::{BodyFault, Incoming, read_whole},
    http1::{Limits, Transport, serve},
};

impl Transport for DuplexStream {}

const LIMITS: Limits = Limits {
    header_bytes: 4096,
    header_read: Duration::from_secs(10),
    body_stall: Duration::from_secs(30),
    idle: Duration::from_secs(75),
};

/// A served connection and the caller's end of it.
struct Served {
    caller: DuplexStream,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

fn connect<F, A, B>(handle: F) -> Served
where
    F: Fn(Request<Incoming>) -> A + 'static,
    A: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
{
    let (caller, io) = duplex(64 << 10);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::task::spawn_local(serve(io, BytesMut::new(), LIMITS, stopped, handle));
    Served { caller, task, stop }
}

impl Served {
    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.caller.write_all(text.as_ref()).await.unwrap();
    }

    /// Everything until the connection ends, which it must.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.caller.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Up to and including `end`.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            text.push(char::from(self.caller.read_u8().await.unwrap()));
        }
        text
    }
}

/// Time is tokio's own and runs ahead when everybody waits.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

type Small = Full<Bytes>;

fn text(status: u16, text: impl Into<Bytes>) -> Response<Small> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// Says what it was asked, body and all.
async fn echo(request: Request<Incoming>) -> Response<Small> {
    let (parts, body) = request.into_parts();
    match read_whole(body, 1 << 20, Duration::from_secs(30)).await {
        Ok(body) => {
            let body = String::from_utf8_lossy(&body).into_owned();
            text(200, format!("<{} {} {body}>", parts.method, parts.uri))
        }
        Err(fault) => text(400, format!("<{fault}>")),
    }
}

/// A body of given frames; `Err` breaks it, `Ok(None)` lets it wait for ever.
struct Frames(Vec<Result<Option<Frame<Bytes>>, ()>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = ();

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        match self.0.remove(0) {
            Ok(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Ok(None) => {
                self.0.insert(0, Ok(None));
                Poll::Pending
            }
            Err(()) => Poll::Ready(Some(Err(()))),
        }
    }
}

fn data(text: &str) -> Result<Option<Frame<Bytes>>, ()> {
    Ok(Some(Frame::data(Bytes::copy_from_slice(text.as_bytes()))))
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn requests_are_answered_in_order_on_one_connection() {
    run(async {
        let mut served = connect(echo);
        let two = format!("{GET}PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi{GET}");
        served.send(two).await;
        for wanted in ["<GET /a >", "<PUT /b hi>", "<GET /a >"] {
            let answer = served.until(">").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with(wanted), "{answer}");
        }
        drop(served.caller);
        served.task.await.unwrap();
    });
}

#[test]
fn a_body_in_any_pieces_is_the_same_body() {
    run(async {
        let chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let plain = "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde";
        let mut served = connect(echo);
        for request in [chunked, plain] {
            for cut in 1..request.len() {
                let (first, second) = request.split_at(cut);
                served.send(first).await;
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                served.send(second).await;
                assert!(
                    served.until(">").await.ends_with("<POST /c abcde>"),
                    "{cut}"
                );
            }
        }
    });
}

#[test]
fn a_large_body_arrives_whole() {
    run(async {
        let mut served = connect(|request: Request<Incoming>| async move {
            let body = read_whole(request.into_body(), 1 << 20, LIMITS.body_stall).await;
            let body = body.unwrap();
            assert!(body.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8));
            text(200, format!("<{}>", body.len()))
        });
        let body: Vec<u8> = (0..700_001usize).map(|i| (i % 251) as u8).collect();
        let head = format!(
            "PUT /l HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let (mut read, mut write) = tokio::io::split(&mut served.caller);
        let send = async {
            write.write_all(head.as_bytes()).await.unwrap();
            write.write_all(&body).await.unwrap();
        };
        let mut answer = vec![0; 4096];
        let ((), count) = tokio::join!(send, async { read.read(&mut answer).await.unwrap() });
        assert!(answer[..count].ends_with(b"<700001>"));
    });
}

#[test]
fn a_broken_head_is_answered_and_ends_the_connection() {
    run(async {
        let called = Rc::new(Cell::new(0));
        let count = Rc::clone(&called);
        let mut served = connect(move |request| {
            count.set(count.get() + 1);
            echo(request)
        });
        served
            .send(format!("{GET}GET /b HTTP/1.1\r\nHost : a\r\n\r\n{GET}"))
            .await;
        let answer = served.until(">").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let refused = served.rest().await;
        assert!(
            refused.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{refused}"
        );
        assert!(refused.contains("\r\ncontent-type: application/problem+json\r\n"));
        assert!(refused.contains("\r\nconnection: close\r\n"));
        assert!(refused.contains("\r\ncache-control: no-store\r\n"));
        assert!(
            refused.contains("urn:domicile:problem:bad-field"),
            "{refused}"
        );
        assert_eq!(refused.matches("HTTP/1.1").count(), 1);
        assert_eq!(called.get(), 1);
    });
}

#[test]
fn a_broken_chunk_fails_the_body_and_ends_the_connection() {
    run(async {
        let mut served = connect(echo);
        let head = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        served
            .send(format!("{head}3;x=y\r\nabc\r\n0\r\n\r\n{GET}"))
            .await;
        let answer = served.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("extension") && answer.contains("\r\nconnection: close\r\n"));
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    });
}

#[test]
fn the_100_is_sent_when_the_body_is_first_read() {
    run(async {
        let head =
            "PUT /e HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        let mut served = connect(echo);
        served.send(head).await;
        let answer = served.until("\r\n\r\n").await;
        assert_eq!(answer, "HTTP/1.1 100 Continue\r\n\r\n");
        served.send("hi").await;
        assert!(served.until(">").await.ends_with("<PUT /e hi>"));
        // A caller that does not wait needs none.
        served.send(format!("{head}hi")).await;
        assert!(served.until(">").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn a_refusal_goes_before_the_100() {
    run(async {
        let head =
            "PUT /e HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        let mut served = connect(|_| async { text(403, "<no>") });
        served.send(head).await;
        let answer = served.rest().await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    });
}

#[test]
fn what_nobody_reads_of_a_body_is_no_request() {
    run(async {
        let mut served = connect(|_| async { text(404, "<no>") });
        let smuggled = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = smuggled.len();
        let post = format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        served.send(format!("{post}{smuggled}{GET}")).await;
        for _ in 0..2 {
            assert!(served.until(">").await.starts_with("HTTP/1.1 404 "));
        }
        // Its second half comes after the answer, and is thrown away.
        served.send(&post).await;
        assert!(served.until(">").await.starts_with("HTTP/1.1 404 "));
        served.send(smuggled).await;
        served.send(GET).await;
        assert!(served.until(">").await.starts_with("HTTP/1.1 404 "));
        // One that is too long to throw away ends the connection, but not before it is read.
        served
            .send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nabc")
            .await;
        let answer = served.until(">").await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        served.send(vec![b'x'; 200_000]).await;
        assert_eq!(served.rest().await, "");
    });
}

#[test]
fn a_caller_that_ends_its_sending_gets_its_answer() {
    run(async {
        let mut served = connect(|request| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            echo(request).await
        });
        served.send(GET).await;
        served.caller.shutdown().await.unwrap();
        assert!(served.rest().await.ends_with("<GET /a >"));
        served.task.await.unwrap();
    });
}

#[test]
fn half_a_head_and_an_end_is_refused() {
    run(async {
        let mut served = connect(echo);
        served.send("GET /a HTTP/1.1\r\nHo").await;
        served.caller.shutdown().await.unwrap();
        let answer = served.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let mut served = connect(echo);
        served.caller.shutdown().await.unwrap();
        assert_eq!(served.rest().await, "");
    });
}

#[test]
fn half_a_body_and_an_end_is_a_broken_body() {
    run(async {
        for head in [
            "Content-Length: 5\r\n\r\nab",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        ] {
            let mut served = connect(echo);
            served
                .send(format!("POST /a HTTP/1.1\r\nHost: a\r\n{head}"))
                .await;
            served.caller.shutdown().await.unwrap();
            let answer = served.rest().await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
    });
}

#[test]
fn slow_heads_are_told_and_idle_connections_ended() {
    run(async {
        let began = tokio::time::Instant::now();
        let mut served = connect(echo);
        assert_eq!(served.rest().await, "");
        assert_eq!(began.elapsed().as_secs(), 75);

        let began = tokio::time::Instant::now();
        let mut served = connect(echo);
        served.send("GET /a HTTP/1.1\r\n").await;
        let answer = served.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(
            answer.contains("urn:domicile:problem:head-too-slow"),
            "{answer}"
        );
        assert_eq!(began.elapsed().as_secs(), 10);

        // The time between two requests is another than that of a head.
        let mut served = connect(echo);
        served.send(GET).await;
        served.until(">").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        served.send(format!("\r\n{GET}\r\n")).await;
        served.until(">").await;
        let began = tokio::time::Instant::now();
        assert_eq!(served.rest().await, "");
        assert_eq!(began.elapsed().as_secs(), 75);
    });
}

#[test]
fn a_body_that_stands_still_is_told_and_one_that_creeps_is_not() {
    run(async {
        let mut served = connect(echo);
        served
            .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            .await;
        for byte in ["a", "b", "c"] {
            tokio::time::sleep(Duration::from_secs(29)).await;
            served.send(byte).await;
        }
        let began = tokio::time::Instant::now();
        let answer = served.until(">").await;
        assert!(
            answer.contains("no byte of the body came for 30 seconds"),
            "{answer}"
        );
        assert_eq!(began.elapsed().as_secs(), 30);
    });
}

#[test]
fn a_handler_may_leave_a_body_for_as_long_as_it_likes() {
    run(async {
        let mut served = connect(|request| async move {
            tokio::time::sleep(Duration::from_secs(300)).await;
            echo(request).await
        });
        served
            .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
            .await;
        tokio::time::sleep(Duration::from_secs(310)).await;
        served.send("b").await;
        assert!(served.until(">").await.ends_with("<POST /a ab>"));
    });
}

#[test]
fn a_caller_that_takes_nothing_is_cut_off() {
    run(async {
        let dropped = Rc::new(Cell::new(false));
        struct Told(Rc<Cell<bool>>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let told = Rc::clone(&dropped);
        let mut served = connect(move |_| {
            let told = Told(Rc::clone(&told));
            let body = Full::new(Bytes::from(vec![b'x'; 1 << 20]));
            async move {
                Response::new(body.map_frame(move |frame| {
                    let _ = &told;
                    frame
                }))
            }
        });
        served.send(GET).await;
        let began = tokio::time::Instant::now();
        (&mut served.task).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 30);
        assert!(dropped.get());
    });
}

#[test]
fn a_stop_ends_idle_connections_at_once_and_others_after_their_answer() {
    run(async {
        let mut idle = connect(echo);
        idle.send(GET).await;
        idle.until(">").await;
        let mut busy = connect(|request| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            echo(request).await
        });
        busy.send(GET).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        idle.stop.send(true).unwrap();
        busy.stop.send(true).unwrap();
        assert_eq!(idle.rest().await, "");
        assert_eq!(began.elapsed().as_secs(), 0);
        let answer = busy.rest().await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("<GET /a >"), "{answer}");
        busy.task.await.unwrap();
    });
}

#[test]
fn answers_are_framed_by_what_the_caller_knows() {
    run(async {
        let frames = || {
            Frames(vec![
                data("abc"),
                data(""),
                data(&"x".repeat(5000)),
                data("end"),
            ])
        };
        let handle = move |_| async move { Response::new(frames()) };
        let mut served = connect(handle);
        served.send(GET).await;
        let answer = served.until("\r\n0\r\n\r\n").await;
        assert!(
            answer.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{answer}"
        );
        assert!(!answer.contains("content-length"), "{answer}");
        let body = format!(
            "\r\n\r\n3\r\nabc\r\n1388\r\n{}\r\n3\r\nend\r\n0\r\n\r\n",
            "x".repeat(5000)
        );
        assert!(answer.ends_with(&body), "{answer}");
        served.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = served.until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // Nothing more came: the next answer begins right here.
        served.send("GET /a HTTP/1.0\r\n\r\n").await;
        let answer = served.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(!answer.contains("chunked"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\nabc{}end", "x".repeat(5000))));
    });
}

#[test]
fn http_1_0_is_kept_alive_only_when_asked() {
    run(async {
        let mut served = connect(echo);
        served
            .send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let answer = served.until(">").await;
        assert!(
            answer.contains("\r\nconnection: keep-alive\r\n"),
            "{answer}"
        );
        served.send("GET /b HTTP/1.0\r\n\r\n").await;
        let answer = served.rest().await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("<GET /b >"), "{answer}");
    });
}

#[test]
fn statuses_without_a_body_have_none() {
    run(async {
        let mut served = connect(|request: Request<Incoming>| async move {
            let status = request
                .uri()
                .path()
                .trim_start_matches('/')
                .parse()
                .unwrap();
            text(status, "body")
        });
        for status in [204, 304, 205] {
            served
                .send(format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            let answer = served.until("\r\n\r\n").await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert_eq!(
                answer.contains("content-length: 0"),
                status == 205,
                "{answer}"
            );
            assert!(!answer.contains("content-length: 4"), "{answer}");
        }
    });
}

#[test]
fn an_answer_that_breaks_off_never_ends_well() {
    run(async {
        let mut served = connect(|_| async { Response::new(Frames(vec![data("abc"), Err(())])) });
        served.send(format!("{GET}{GET}")).await;
        let answer = served.rest().await;
        assert!(answer.ends_with("\r\n\r\n3\r\nabc\r\n"), "{answer}");

        struct Short(Frames);
        impl Body for Short {
            type Data = Bytes;
            type Error = ();
            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
                Pin::new(&mut self.0).poll_frame(cx)
            }
            fn size_hint(&self) -> http_body::SizeHint {
                http_body::SizeHint::with_exact(5)
            }
        }
        // Shorter than announced, then longer: the caller sees neither as whole.
        for (frames, seen) in [
            (vec![data("abc")], "abc"),
            (vec![data("abc"), data("defg")], "abc"),
        ] {
            let frames = RefCell::new(Some(frames));
            let mut served = connect(move |_| {
                let frames = frames.borrow_mut().take().unwrap();
                async move { Response::new(Short(Frames(frames))) }
            });
            served.send(format!("{GET}{GET}")).await;
            let answer = served.rest().await;
            assert!(answer.contains("\r\ncontent-length: 5\r\n"), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{seen}")), "{answer}");
        }
    });
}

#[test]
fn a_head_goes_out_while_its_body_waits() {
    run(async {
        let mut served = connect(|_| async { Response::new(Frames(vec![data("abc"), Ok(None)])) });
        served.send(GET).await;
        assert!(served.until("abc\r\n").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn trailers_go_to_callers_that_take_them_and_only_those_announced() {
    run(async {
        let handle = |_| async {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("x-other", "1".parse().unwrap());
            trailers.insert("content-length", "9".parse().unwrap());
            let frames = vec![data("a"), Ok(Some(Frame::trailers(trailers)))];
            let mut answer = Response::new(Frames(frames));
            let names = "grpc-status, content-length".parse().unwrap();
            answer.headers_mut().insert("trailer", names);
            answer
        };
        let mut served = connect(handle);
        served
            .send("GET /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
            .await;
        let answer = served.until("\r\n0\r\ngrpc-status: 0\r\n\r\n").await;
        assert!(!answer.contains("x-other"), "{answer}");
        served.send(GET).await;
        served.until("1\r\na\r\n0\r\n\r\n").await;
    });
}

#[test]
fn a_body_outlives_neither_its_request_nor_its_connection() {
    run(async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&kept);
        let mut served = connect(move |request: Request<Incoming>| {
            keep.borrow_mut().push(request.into_body());
            async { text(200, "<early>") }
        });
        served
            .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
            .await;
        let answer = served.until(">").await;
        // Somebody may still read it, so the connection cannot be promised to anybody.
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        let mut body = kept.borrow_mut().pop().unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "ab"
        );
        served.send("cd").await;
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "cd"
        );
        assert!(body.frame().await.is_none());
        assert_eq!(served.rest().await, "");
        served.task.await.unwrap();

        served = {
            let keep = Rc::clone(&kept);
            connect(move |request: Request<Incoming>| {
                keep.borrow_mut().push(request.into_body());
                async { text(200, "<early>") }
            })
        };
        served
            .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            .await;
        served.until(">").await;
        let mut body = kept.borrow_mut().pop().unwrap();
        let fault = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(fault, BodyFault::Stalled(_)), "{fault:?}");
    });
}

#[test]
fn a_handler_is_dropped_when_its_connection_breaks() {
    /// A stream whose peer resets it once the request was read.
    struct Reset(&'static [u8], Rc<Cell<bool>>);
    impl tokio::io::AsyncRead for Reset {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            if self.0.is_empty() {
                return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
            buffer.put_slice(std::mem::take(&mut self.0));
            Poll::Ready(Ok(()))
        }
    }
    impl tokio::io::AsyncWrite for Reset {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.1.set(true);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    impl Transport for Reset {}
    run(async {
        let wrote = Rc::new(Cell::new(false));
        let io = Reset(GET.as_bytes(), Rc::clone(&wrote));
        let (_stop, stopped) = watch::channel(false);
        serve(io, BytesMut::new(), LIMITS, stopped, |_| {
            pending::<Response<Small>>()
        })
        .await;
        assert!(!wrote.get());
    });
}

#[test]
fn bytes_that_were_read_before_are_the_first() {
    run(async {
        let (mut caller, io) = duplex(1024);
        let (_stop, stopped) = watch::channel(false);
        let first = BytesMut::from(&GET.as_bytes()[..10]);
        tokio::task::spawn_local(serve(io, first, LIMITS, stopped, echo));
        caller.write_all(&GET.as_bytes()[10..]).await.unwrap();
        let mut answer = vec![0; 1024];
        let count = caller.read(&mut answer).await.unwrap();
        assert!(answer[..count].ends_with(b"<GET /a >"));
    });
}

#[test]
fn a_head_and_a_small_body_are_one_write() {
    struct Counting(&'static [u8], Rc<Cell<usize>>);
    impl tokio::io::AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            buffer.put_slice(std::mem::take(&mut self.0));
            Poll::Ready(Ok(()))
        }
    }
    impl tokio::io::AsyncWrite for Counting {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.1.set(self.1.get() + 1);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    impl Transport for Counting {}
    run(async {
        let writes = Rc::new(Cell::new(0));
        let io = Counting(GET.as_bytes(), Rc::clone(&writes));
        let (_stop, stopped) = watch::channel(false);
        serve(io, BytesMut::new(), LIMITS, stopped, |_| async {
            Response::new(Frames(vec![data("abc"), data("def")]))
        })
        .await;
        assert_eq!(writes.get(), 1);
    });
}
