use super::{script::Server, *};
use crate::settings::HttpVersion;

#[test]
fn refused_connections_go_to_the_next_endpoint_at_once() {
    run(async {
        let good = Server::start(async |_, peer| peer.answer("201 Created", "").await).await;
        let up = eu(
            &[
                script::refusing().await,
                script::refusing().await,
                script::refusing().await,
                good.url(),
            ],
            &patient(),
        );
        for _ in 0..4 {
            let answer = send(&up, post("record")).await.unwrap();
            assert_eq!(answer.status(), 201);
        }
        let gone = eu(&[script::refusing().await], &patient());
        assert_eq!(
            send(&gone, post("record")).await.err(),
            Some(ForwardError::Unreachable {
                region: name(),
                why: Unreachable::Refused
            })
        );
    });
}

#[test]
fn a_name_without_an_address_is_unreachable() {
    run(async {
        let up = eu(&["http://store.invalid:1".to_owned()], &patient());
        let error = send(&up, get()).await.err().unwrap();
        assert!(matches!(
            error,
            ForwardError::Unreachable {
                why: Unreachable::Unresolved,
                ..
            }
        ));
    });
}

#[test]
fn no_answer_in_time_is_a_timeout_and_never_tried_again() {
    run(async {
        let server = Server::start(async |_, peer| peer.hang().await).await;
        let up = eu(&[server.url()], &hasty());
        assert_eq!(
            send(&up, get()).await.err(),
            Some(ForwardError::Timeout {
                region: name(),
                sent: Sent::Perhaps
            })
        );
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_region_that_stops_taking_the_body_is_a_timeout() {
    run(async {
        let server = Server::start(async |_, peer| peer.hang().await).await;
        let up = eu(&[server.url()], &hasty());
        let large = OutgoingBody::Whole(Bytes::from(vec![b'x'; 32 << 20]));
        let error = send(&up, outgoing(Method::PUT, large)).await.err();
        assert!(matches!(error, Some(ForwardError::Timeout { .. })));
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_region_that_answers_a_large_body_early_and_closes_never_hangs() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.some().await;
            peer.write("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n")
                .await;
            peer.write("Content-Length: 3\r\n\r\nbig").await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let large = OutgoingBody::Whole(Bytes::from(vec![b'x'; 32 << 20]));
        // The close may destroy the answer on its way (RFC 9112 §9.6): both are true.
        match send(&up, outgoing(Method::POST, large)).await {
            Ok(answer) => assert_eq!(answer.status(), 413),
            Err(error) => {
                let region = name();
                let sent = Sent::Perhaps;
                assert_eq!(error, ForwardError::Reset { region, sent });
            }
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_broken_connection_repeats_a_get_twice_and_a_post_never() {
    run(async {
        for reset in [false, true] {
            let server = Server::start(async move |_, peer| {
                peer.request().await;
                if reset {
                    peer.will_reset();
                }
            })
            .await;
            let up = eu(&[server.url()], &patient());
            let broken = ForwardError::Reset {
                region: name(),
                sent: Sent::Perhaps,
            };
            assert_eq!(send(&up, post("record")).await.err(), Some(broken.clone()));
            assert_eq!(server.connections(), 1);
            assert_eq!(send(&up, get()).await.err(), Some(broken));
            assert_eq!(server.connections(), 4);
            let (_, tally) = up.tallies().next().unwrap();
            assert_eq!(tally.read().retries, 2);
            assert_eq!(tally.read().failures, 2);
        }
    });
}

#[test]
fn a_put_with_its_body_at_hand_is_repeated_whole() {
    run(async {
        let server = Server::start(async |n, peer| {
            if n == 0 {
                peer.request().await;
                return;
            }
            peer.answer("204 No Content", "").await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let put = outgoing(Method::PUT, OutgoingBody::Whole(Bytes::from("record")));
        assert_eq!(send(&up, put).await.unwrap().status(), 204);
        assert_eq!(server.read(0), server.read(1));
        assert!(server.read(1).ends_with("\r\n\r\nrecord"));
    });
}

#[test]
fn a_put_that_may_not_be_twice_is_not_repeated() {
    run(async {
        let put = || outgoing(Method::PUT, OutgoingBody::Whole(Bytes::from("record")));
        let mut once = put();
        once.is_once = true;
        let mut cases = vec![(once, 1)];
        for name in ["if-match", "if-none-match", "if-unmodified-since"] {
            for (mut out, connections) in [(put(), 1), (get(), 3)] {
                out.headers.insert(name, "\"a\"");
                cases.push((out, connections));
            }
        }
        for (out, connections) in cases {
            let shown = format!("{:?}", out.headers);
            let server = Server::start(async |_, peer| {
                peer.request().await;
            })
            .await;
            let up = eu(&[server.url()], &patient());
            let error = send(&up, out).await.err().unwrap();
            assert_eq!(error.sent(), Sent::Perhaps);
            assert_eq!(server.connections(), connections, "{shown}");
        }
    });
}

#[test]
fn garbage_is_a_bad_answer_and_not_repeated() {
    run(async {
        for garbage in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        ] {
            let server = Server::start(async move |_, peer| {
                peer.request().await;
                peer.write(garbage).await;
                peer.until_closed().await;
            })
            .await;
            let up = eu(&[server.url()], &patient());
            assert_eq!(
                send(&up, get()).await.err(),
                Some(ForwardError::BadAnswer { region: name() }),
                "{garbage}"
            );
            assert_eq!(server.connections(), 1, "{garbage}");
        }
    });
}

#[test]
fn an_endless_head_is_a_bad_answer() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\n").await;
            for _ in 0..200 {
                peer.write(&format!("X-A: {}\r\n", "a".repeat(1_000))).await;
            }
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        assert_eq!(
            send(&up, get()).await.err(),
            Some(ForwardError::BadAnswer { region: name() })
        );
    });
}

#[test]
fn a_head_that_breaks_off_is_not_repeated() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\nContent-").await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        assert!(send(&up, get()).await.is_err());
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_body_that_breaks_off_or_stands_still_is_an_error_of_the_body() {
    run(async {
        let stalls = Limits {
            body_stall: Duration::from_millis(100),
            ..patient()
        };
        for (answer, limits, fault) in [
            (
                "Content-Length: 10\r\n\r\nhalf",
                patient(),
                AnswerFault::Broken,
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                patient(),
                AnswerFault::Broken,
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n",
                patient(),
                AnswerFault::Broken,
            ),
            (
                "Content-Length: 10\r\n\r\nhalf",
                stalls,
                AnswerFault::Stalled,
            ),
        ] {
            let server = Server::start(async move |_, peer| {
                peer.request().await;
                peer.write(&format!("HTTP/1.1 200 OK\r\n{answer}")).await;
                if fault == AnswerFault::Stalled {
                    peer.until_closed().await;
                }
            })
            .await;
            let up = eu(&[server.url()], &limits);
            let answer = send(&up, get()).await.unwrap();
            let error = text(answer).await.err();
            let region = name();
            assert_eq!(error, Some(AnswerError { region, fault }));
            server.until_ended(1).await;
            assert_eq!(up.health().report()[0].failures_in_a_row, 1);
        }
    });
}

fn in_a_row(up: &Upstreams) -> Vec<u32> {
    let all = up.health().report();
    all.iter().map(|e| e.failures_in_a_row).collect()
}

/// A head alone says little of a server whose answers never end.
#[test]
fn a_server_whose_answers_break_off_is_put_aside() {
    for http in [HttpVersion::One, HttpVersion::Two] {
        run(async {
            let bad = match http {
                HttpVersion::One => breaking().await,
                HttpVersion::Two => shared::breaking().await,
            };
            let good = match http {
                HttpVersion::One => {
                    let good = Server::start(async |_, peer| peer.answer("200 OK", "x").await);
                    good.await.url()
                }
                HttpVersion::Two => refused::answering().await,
            };
            let mut settings = settings("eu", &[bad, good]);
            settings.http = http;
            let up = upstreams(&[settings], &patient(), MANY);
            let mut broken = 0;
            for _ in 0..12 {
                broken += usize::from(text(send(&up, get()).await.unwrap()).await.is_err());
            }
            assert_eq!(broken, 3, "then it is put aside");
        });
    }
}

async fn breaking() -> String {
    let server = Server::start(async |_, peer| {
        peer.request().await;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
    });
    server.await.url()
}

/// It comes to its end here, later than its head.
#[test]
fn an_answer_that_ends_whole_forgives_and_one_that_was_left_does_not() {
    run(async {
        let server = Server::start(async |number, peer| {
            peer.request().await;
            if number < 2 {
                return;
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                .await;
            if number > 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                peer.write("whole.").await;
            }
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        for _ in 0..2 {
            assert!(send(&up, post("a")).await.is_err());
        }
        assert_eq!(in_a_row(&up), [2]);
        drop(send(&up, get()).await.unwrap());
        assert_eq!(in_a_row(&up), [2], "the caller left: it is neither");
        assert_eq!(
            text(send(&up, get()).await.unwrap()).await.unwrap(),
            "halfwhole."
        );
        assert_eq!(in_a_row(&up), [0]);
    });
}

/// Events may come for ever.
#[test]
fn an_answer_that_has_come_for_long_forgives_before_its_end() {
    run(async {
        let server = Server::start(async |number, peer| {
            peer.request().await;
            if number < 2 {
                return;
            }
            peer.write("HTTP/1.1 200 OK\r\n\r\n").await;
            loop {
                peer.write("event").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let up = eu(&[server.url()], &patient());
        for _ in 0..2 {
            assert!(send(&up, post("a")).await.is_err());
        }
        let mut answer = send(&up, get()).await.unwrap().into_body();
        answer.frame().await.unwrap().unwrap();
        assert_eq!(in_a_row(&up), [2]);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(11)).await;
        answer.frame().await.unwrap().unwrap();
        answer.frame().await.unwrap().unwrap();
        assert_eq!(in_a_row(&up), [0]);
    });
}

/// What the first server took of the time is not the second one's fault.
#[test]
fn a_server_that_had_less_than_the_whole_time_is_not_blamed_for_being_late() {
    run(async {
        let slow = || async {
            Server::start(async |_, peer| {
                peer.request().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            })
            .await
        };
        let hangs = Server::start(async |_, peer| peer.hang().await).await;
        let limits = Limits {
            response: Duration::from_millis(1_500),
            ..patient()
        };
        let first = slow().await;
        let up = eu(&[first.url(), hangs.url()], &limits);
        let error = send(&up, get()).await.err().unwrap();
        assert!(matches!(error, ForwardError::Timeout { .. }), "{error:?}");
        assert_eq!(in_a_row(&up), [1, 0]);
        // Nor is one that takes no connection in what is left.
        let full = script::Full::new();
        let first = slow().await;
        let up = eu(&[first.url(), full.url()], &limits);
        let error = send(&up, get()).await.err().unwrap();
        assert!(matches!(error, ForwardError::Reset { .. }), "{error:?}");
        assert_eq!(in_a_row(&up), [1, 0]);
        // With all of the time it is.
        let up = eu(&[hangs.url()], &limits);
        assert!(send(&up, get()).await.is_err());
        assert_eq!(in_a_row(&up), [1]);
    });
}

#[test]
fn an_endpoint_put_aside_is_passed_over_until_its_time_comes() {
    run(async {
        let bad = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("garbage\r\n\r\n").await;
        })
        .await;
        let good = Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let up = eu(&[bad.url(), good.url()], &patient());
        let mut bad_answers = 0;
        for _ in 0..10 {
            bad_answers += usize::from(send(&up, get()).await.is_err());
        }
        assert_eq!(bad_answers, 3, "then it is put aside");
        assert_eq!(bad.connections(), 3);
        assert_eq!(up.health().is_region_up("eu"), Some(true));
        assert!(matches!(
            up.health().report()[0].state,
            EndpointState::Ejected { .. }
        ));
    });
}

#[test]
fn a_region_whose_endpoints_are_all_aside_works_with_the_first_request_after_its_repair() {
    run(async {
        let url = script::refusing().await;
        let up = eu(std::slice::from_ref(&url), &patient());
        for _ in 0..5 {
            assert!(send(&up, get()).await.is_err());
        }
        assert_eq!(up.health().is_region_up("eu"), Some(false));
        let address = url.trim_start_matches("http://").parse().unwrap();
        let _server =
            Server::start_at(address, async |_, peer| peer.answer("200 OK", "x").await).await;
        assert!(send(&up, get()).await.is_ok());
        assert_eq!(up.health().is_region_up("eu"), Some(true));
    });
}
