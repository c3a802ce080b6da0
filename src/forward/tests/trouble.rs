//! Servers that answer, but that they cannot serve.

use http::StatusCode;

use super::{script::Server, *};

async fn saying(status: &'static str, body: &'static str) -> Server {
    Server::start(async move |_, peer| peer.answer(status, body).await).await
}

async fn status(up: &Upstreams, out: Outgoing<'_>) -> u16 {
    send(up, out).await.unwrap().status().as_u16()
}

fn retries(up: &Upstreams) -> u64 {
    up.tallies().next().unwrap().1.read().retries
}

fn is_up(up: &Upstreams) -> Vec<bool> {
    let all = up.health().report();
    all.iter()
        .map(|e| e.state == EndpointState::Healthy)
        .collect()
}

#[test]
fn a_server_that_answers_that_it_is_in_trouble_is_put_aside_while_another_serves() {
    for trouble in [
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        run(async {
            let (bad, good) = (saying(trouble, "").await, saying("200 OK", "x").await);
            let up = eu(&[bad.url(), good.url()], &patient());
            let mut bad_answers = 0;
            for _ in 0..10 {
                bad_answers += usize::from(status(&up, post("a")).await != 200);
            }
            assert_eq!(bad_answers, 3, "{trouble}: then it is put aside");
            assert_eq!(is_up(&up), [false, true]);
            assert_eq!(retries(&up), 0, "a POST is never asked of another");
        });
    }
}

#[test]
fn bad_answers_put_a_server_aside_only_while_another_serves() {
    run(async {
        let garbage = || async {
            Server::start(async |_, peer| {
                peer.request().await;
                peer.write("SSH-2.0-x\r\n\r\n").await;
                peer.until_closed().await;
            })
            .await
        };
        let (bad, good) = (garbage().await, saying("200 OK", "x").await);
        let up = eu(&[bad.url(), good.url()], &patient());
        for _ in 0..10 {
            let _ = send(&up, get()).await;
        }
        assert_eq!(is_up(&up), [false, true]);
        let both = [garbage().await, garbage().await];
        let up = eu(&[both[0].url(), both[1].url()], &patient());
        for _ in 0..10 {
            assert!(send(&up, get()).await.is_err());
        }
        assert_eq!(is_up(&up), [true, true]);
    });
}

#[test]
fn answers_that_speak_of_the_request_put_no_server_aside() {
    for fine in [
        "429 Too Many Requests",
        "501 Not Implemented",
        "507 Insufficient Storage",
    ] {
        run(async {
            let (one, other) = (saying(fine, "").await, saying("200 OK", "x").await);
            let up = eu(&[one.url(), other.url()], &patient());
            for _ in 0..10 {
                status(&up, get()).await;
            }
            assert_eq!(is_up(&up), [true, true], "{fine}");
            assert_eq!(retries(&up), 0);
        });
    }
}

/// As when each of them meets the record that none can digest, or all are overloaded.
#[test]
fn servers_that_are_all_in_trouble_are_all_kept() {
    run(async {
        let trouble = "500 Internal Server Error";
        let (one, other) = (saying(trouble, "").await, saying(trouble, "").await);
        let up = eu(&[one.url(), other.url()], &patient());
        for _ in 0..20 {
            assert_eq!(status(&up, post("poison")).await, 500);
        }
        assert_eq!(is_up(&up), [true, true]);
        let alone = eu(&[one.url()], &patient());
        for _ in 0..10 {
            status(&alone, post("poison")).await;
        }
        assert_eq!(is_up(&alone), [true]);
    });
}

#[test]
fn at_most_half_of_the_servers_rounded_up_are_aside_for_their_answers() {
    run(async {
        let mut servers = Vec::new();
        for _ in 0..4 {
            servers.push(saying("503 Service Unavailable", "").await);
        }
        servers.push(saying("200 OK", "x").await);
        let urls: Vec<_> = servers.iter().map(Server::url).collect();
        let up = eu(&urls, &patient());
        for _ in 0..60 {
            status(&up, post("a")).await;
        }
        let aside = is_up(&up).iter().filter(|up| !**up).count();
        assert_eq!(aside, 3);
        assert!(is_up(&up)[4]);
    });
}

#[test]
fn what_only_reads_is_asked_of_another_server_and_nothing_else_is() {
    let unavailable = "503 Service Unavailable";
    for (trouble, out, told) in [
        (unavailable, get(), 200),
        ("502 Bad Gateway", get(), 200),
        ("504 Gateway Timeout", get(), 200),
        (
            unavailable,
            outgoing(Method::OPTIONS, OutgoingBody::Empty),
            200,
        ),
        ("500 Internal Server Error", get(), 500),
        (unavailable, post("a"), 503),
        (
            unavailable,
            outgoing(Method::PUT, OutgoingBody::Whole("a".into())),
            503,
        ),
        (
            unavailable,
            outgoing(Method::DELETE, OutgoingBody::Empty),
            503,
        ),
    ] {
        run(async {
            let (bad, good) = (saying(trouble, "").await, saying("200 OK", "x").await);
            let up = eu(&[bad.url(), good.url()], &patient());
            let method = out.method.clone();
            assert_eq!(status(&up, out).await, told, "{method} {trouble}");
            assert_eq!(retries(&up), u64::from(told == 200));
            assert_eq!(good.connections(), usize::from(told == 200));
        });
    }
}

#[test]
fn an_answer_that_no_other_server_betters_is_passed_on_as_it_came() {
    run(async {
        let head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n";
        for answer in [
            format!("{head}Content-Length: 5\r\n\r\nfirst"),
            // Not whole with its head.
            format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"),
        ] {
            for second in [
                "HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\nsecond",
                "HTTP/1.1 507 X\r\nContent-Length: 6\r\n\r\nsecond",
                "garbage\r\n\r\n",
                "",
            ] {
                let answer = answer.clone();
                let first = Server::start(async move |_, peer| {
                    peer.request().await;
                    peer.write(&answer).await;
                    peer.until_closed().await;
                })
                .await;
                let other = Server::start(async move |_, peer| {
                    peer.request().await;
                    peer.write(second).await;
                })
                .await;
                let up = eu(&[first.url(), other.url()], &patient());
                let answer = send(&up, get()).await.unwrap();
                assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                let after = answer.headers().get("retry-after").unwrap();
                assert_eq!(after.to_str(), Ok("7"));
                assert_eq!(text(answer).await.unwrap(), "first", "{second}");
                assert_eq!((first.connections(), other.connections()), (1, 1));
                assert_eq!(up.tallies().next().unwrap().1.read().failures, 0);
            }
        }
    });
}

#[test]
fn the_seat_of_a_request_that_was_asked_twice_is_given_back() {
    run(async {
        let (bad, good) = (
            saying("503 Service Unavailable", "").await,
            saying("200 OK", "x").await,
        );
        let settings = settings("eu", &[bad.url(), good.url()]);
        let shares = Shares {
            at_work: 1,
            waiting: 0,
        };
        let up = upstreams(&[settings], &patient(), shares);
        for _ in 0..6 {
            assert_eq!(status(&up, get()).await, 200);
        }
    });
}
