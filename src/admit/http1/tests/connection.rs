//! Whole connections in memory: requests, and how connections end.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::watch,
};

use super::served::{GET, LIMITS, connect, echo, run, text};
use crate::{
    admit::{
        body::{BodyFault, Incoming, read_whole},
        farewell::GRACE,
        http1::serve,
    },
    message::Request,
};

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
            let body = read_whole(request.body, 1 << 20, LIMITS.body_stall).await;
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
fn an_empty_line_before_a_head_is_no_part_of_it_however_it_comes() {
    run(async {
        let start = "GET /a HTTP/1.1\r\nHost: a\r\nX: ";
        let most = LIMITS.header_bytes - start.len() - 4;
        for (length, status) in [(most, "200"), (most + 1, "431")] {
            let head = format!("{start}{}\r\n\r\n", "x".repeat(length));
            for cut in [0, 1, 2, 3] {
                let mut served = connect(echo);
                let text = format!("\r\n{head}");
                let (first, second) = text.split_at(cut);
                served.send(first).await;
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                served.send(second).await;
                served.caller.shutdown().await.unwrap();
                let answer = served.rest().await;
                let wanted = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&wanted), "{length} {cut}: {answer}");
            }
        }
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
fn a_fault_in_trailers_ends_the_connection_whatever_is_answered() {
    run(async {
        let head = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for trailer in [
            "Host: b",
            "X : a",
            "Content_Length: 3",
            "X",
            "GET / HTTP/1.1",
        ] {
            for reads in [true, false] {
                let mut served = connect(move |request| async move {
                    match reads {
                        true => echo(request).await,
                        false => text(200, "<unread>"),
                    }
                });
                served
                    .send(format!("{head}3\r\nabc\r\n0\r\n{trailer}\r\n\r\n{GET}"))
                    .await;
                let answer = served.rest().await;
                assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
                assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{trailer}: {answer}");
            }
        }
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
            .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
            .await;
        for byte in ["a", "b"] {
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
fn a_stop_leaves_a_request_that_is_on_its_way_an_answer() {
    run(async {
        let mut served = connect(echo);
        served.send(GET).await;
        served.until(">").await;
        served.stop.send(true).unwrap();
        // The connection knows of it before the request comes.
        tokio::time::sleep(GRACE / 3).await;
        served.send(GET).await;
        let answer = served.rest().await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("<GET /a >"), "{answer}");
        served.task.await.unwrap();
    });
}

#[test]
fn a_stop_ends_idle_connections_soon_and_others_after_their_answer() {
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
fn a_body_outlives_neither_its_request_nor_its_connection() {
    run(async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&kept);
        let mut served = connect(move |request: Request<Incoming>| {
            keep.borrow_mut().push(request.body);
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
                keep.borrow_mut().push(request.body);
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
fn a_body_that_drips_is_given_up() {
    for framing in [
        "Content-Length: 100\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n64\r\n",
    ] {
        run(async {
            let mut served = connect(echo);
            served
                .send(format!("POST /a HTTP/1.1\r\nHost: a\r\n{framing}x"))
                .await;
            // Each in time, and 99 of them would take longer than anybody waits.
            let mut dripped = 0;
            while dripped < 99 && served.caller.write_all(b"x").await.is_ok() {
                dripped += 1;
                tokio::time::sleep(LIMITS.body_stall / 2).await;
            }
            assert!(dripped < 20, "{dripped}");
            let answer = served.until(">").await;
            assert!(answer.contains("more slowly"), "{answer}");
        });
    }
}

#[test]
fn bytes_that_were_read_before_are_the_first() {
    run(async {
        let (mut caller, io) = duplex(1024);
        let (_stop, stopped) = watch::channel(false);
        let first = BytesMut::from(&GET.as_bytes()[..10]);
        tokio::task::spawn_local(serve(io, first, LIMITS, stopped, echo, |_| {}));
        caller.write_all(&GET.as_bytes()[10..]).await.unwrap();
        let mut answer = vec![0; 1024];
        let count = caller.read(&mut answer).await.unwrap();
        assert!(answer[..count].ends_with(b"<GET /a >"));
    });
}
