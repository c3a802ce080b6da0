//! Whole connections in memory: answers on their way out.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
};

use super::served::{Frames, GET, LIMITS, Small, connect, data, echo, run, text};
use crate::{
    admit::{
        body::Incoming,
        http1::{Transport, serve},
    },
    message::{Request, Response},
};

#[test]
fn a_caller_that_takes_nothing_is_cut_off() {
    run(async {
        let dropped = Rc::new(Cell::new(false));
        struct ResponseParts(Rc<Cell<bool>>);
        impl Drop for ResponseParts {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let told = Rc::clone(&dropped);
        let mut served = connect(move |_| {
            let told = ResponseParts(Rc::clone(&told));
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
                .parts
                .uri
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
            let names = "grpc-status, content-length";
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
        serve(
            io,
            BytesMut::new(),
            LIMITS,
            stopped,
            |_| pending::<Response<Small>>(),
            |_| {},
        )
        .await;
        assert!(!wrote.get());
    });
}

#[test]
fn an_answer_that_ends_with_its_connection_is_torn_unless_it_is_whole() {
    struct Torn(DuplexStream, Rc<Cell<bool>>);
    impl tokio::io::AsyncRead for Torn {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }
    impl tokio::io::AsyncWrite for Torn {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
    impl Transport for Torn {
        fn tear(&self) {
            self.1.set(true);
        }
    }
    for (version, is_whole, wanted) in [
        ("1.0", false, true),
        ("1.0", true, false),
        ("1.1", false, false),
    ] {
        run(async {
            let (mut caller, io) = duplex(1 << 10);
            let torn = Rc::new(Cell::new(false));
            let io = Torn(io, Rc::clone(&torn));
            let (_stop, stopped) = watch::channel(false);
            let handle = move |_| async move {
                let rest = if is_whole { data("def") } else { Ok(None) };
                Response::new(Frames(vec![data("abc"), rest]))
            };
            let served = serve(io, BytesMut::new(), LIMITS, stopped, handle, |_| {});
            let served = tokio::task::spawn_local(served);
            let asked = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
            caller.write_all(asked.as_bytes()).await.unwrap();
            let mut came = Vec::new();
            while !came.windows(3).any(|w| w == b"abc") {
                came.push(caller.read_u8().await.unwrap());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            served.abort();
            let _ = served.await;
            assert_eq!(torn.get(), wanted, "{version} {is_whole}");
        });
    }
}

#[test]
fn an_answered_request_whose_body_nobody_reads_on_ends_with_its_connection() {
    run(async {
        let mut served = connect(|request: Request<Incoming>| async {
            // As a region of HTTP/2 that answers in full, and leaves the stream open.
            tokio::task::spawn_local(async move {
                let _request = request;
                pending::<()>().await;
            });
            text(200, "x")
        });
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
        served.send(head).await;
        let ended = tokio::time::timeout(Duration::from_secs(300), &mut served.task).await;
        ended.unwrap().unwrap();
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
        serve(
            io,
            BytesMut::new(),
            LIMITS,
            stopped,
            |_| async { Response::new(Frames(vec![data("abc"), data("def")])) },
            |_| {},
        )
        .await;
        assert_eq!(writes.get(), 1);
    });
}
