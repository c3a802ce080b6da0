use std::borrow::Cow;

use http_body::Body as _;

use super::{script::Server, *};

#[test]
fn a_request_arrives_as_it_was_and_the_connection_is_kept() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("200 OK", "stored").await).await;
        let up = eu(&[format!("{}/base", server.url())], &patient());
        let mut out = post("{ \"a\" : 1 }");
        for (name, value) in [
            ("host", "caller.example"),
            ("content-length", "99"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("x-kept", "as it was"),
        ] {
            out.headers.insert(name, value);
        }
        let answer = send(&up, out).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "stored");
        let host = server.url().replace("http://", "");
        assert_eq!(
            server.read(0),
            format!(
                "POST /base/people/1?q HTTP/1.1\r\nhost: {host}\r\nx-kept: as it was\r\n\
                 content-length: 11\r\n\r\n{{ \"a\" : 1 }}"
            )
        );
        for _ in 0..5 {
            text(send(&up, get()).await.unwrap()).await.unwrap();
        }
        assert_eq!(server.connections(), 1);
        let (region, tally) = up.tallies().next().unwrap();
        assert_eq!((region.as_ref(), tally.read().connects), ("eu", 1));
        assert_eq!(tally.read().requests, 6);
    });
}

#[test]
fn answers_without_a_body_keep_the_connection() {
    run(async {
        let server = Server::start(async |_, peer| {
            for answer in [
                "200 OK\r\nContent-Length: 5",
                "204 No Content\r\nContent-Length: 5",
                "304 Not Modified\r\nContent-Length: 5",
                "200 OK\r\nContent-Length: 0",
            ] {
                peer.request().await;
                peer.write(&format!("HTTP/1.1 {answer}\r\n\r\n")).await;
            }
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let head = send(&up, outgoing(Method::HEAD, OutgoingBody::Empty)).await;
        let head = head.unwrap();
        assert_eq!(head.headers().get("content-length").unwrap(), "5");
        assert_eq!(text(head).await.unwrap(), "");
        for status in [204, 304, 200] {
            let answer = send(&up, get()).await.unwrap();
            assert_eq!(answer.status(), status);
            let has_length = answer.headers().contains_key("content-length");
            assert_eq!(has_length, status != 204);
            assert_eq!(text(answer).await.unwrap(), "");
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_answer_that_came_whole_frees_its_connection_before_anybody_reads_it() {
    run(async {
        let server = Server::start(async |_, peer| {
            for body in ["one", "another", ""] {
                peer.request().await;
                let length = body.len();
                peer.write(&format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
                ))
                .await;
            }
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(send(&up, get()).await.unwrap());
        }
        assert_eq!(server.connections(), 1);
        for (answer, body) in answers.into_iter().zip(["one", "another", ""]) {
            assert_eq!(answer.body().size_hint().exact(), Some(body.len() as u64));
            assert_eq!(answer.body().is_end_stream(), body.is_empty());
            assert_eq!(text(answer).await.unwrap(), body);
        }
    });
}

#[test]
fn informational_answers_are_passed_over_and_hop_by_hop_headers_taken_off() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                 HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                 X-End: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            )
            .await;
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let answer = send(&up, get()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let names: Vec<_> = answer.headers().iter().map(|(_, n, _)| n).collect();
        assert_eq!(names, ["x-end"]);
        assert_eq!(text(answer).await.unwrap(), "x");
        let answer = send(&up, get()).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "x");
        assert_eq!(server.connections(), 2, "`close` is not reused");
    });
}

#[test]
fn a_kept_connection_that_was_closed_is_not_used() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
                .await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        for n in 1..=3 {
            text(send(&up, post("record")).await.unwrap())
                .await
                .unwrap();
            server.until_ended(n).await;
        }
        assert_eq!(server.connections(), 3);
        assert_eq!(up.health().report()[0].failures_in_a_row, 0);
    });
}

/// The server closes when it has the second request, which no look at the socket can foresee.
async fn closes_on_the_second_request() -> Server {
    Server::start(async |n, peer| {
        peer.request().await;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
            .await;
        if n == 0 {
            peer.request().await;
        } else {
            peer.until_closed().await;
        }
    })
    .await
}

#[test]
fn a_kept_connection_closed_under_a_request_repeats_a_get_on_a_new_one() {
    run(async {
        let server = closes_on_the_second_request().await;
        let up = eu(&[server.url()], &patient());
        for _ in 0..2 {
            text(send(&up, get()).await.unwrap()).await.unwrap();
        }
        assert_eq!(server.connections(), 2);
        assert_eq!(server.read(0), server.read(1).repeat(2));
        assert_eq!(up.health().report()[0].failures_in_a_row, 0);
    });
}

#[test]
fn a_kept_connection_closed_under_a_post_is_an_error() {
    run(async {
        let server = closes_on_the_second_request().await;
        let up = eu(&[server.url()], &patient());
        text(send(&up, post("1")).await.unwrap()).await.unwrap();
        assert_eq!(
            send(&up, post("2")).await.err(),
            Some(ForwardError::Reset {
                region: name(),
                sent: Sent::Perhaps
            })
        );
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn connections_idle_for_too_long_are_closed() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let limits = Limits {
            idle: Duration::from_millis(20),
            ..patient()
        };
        let up = eu(&[server.url()], &limits);
        text(send(&up, get()).await.unwrap()).await.unwrap();
        server.until_ended(1).await;
        text(send(&up, get()).await.unwrap()).await.unwrap();
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn a_dropped_answer_or_wait_closes_the_connection() {
    run(async {
        let server = Server::start(async |n, peer| {
            peer.request().await;
            if n == 0 {
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                    .await;
            }
            peer.until_closed().await;
        })
        .await;
        let up = Rc::new(eu(&[server.url()], &patient()));
        drop(send(&up, get()).await.unwrap());
        server.until_ended(1).await;
        let waiting = Rc::clone(&up);
        let waiting = tokio::task::spawn_local(async move { send(&waiting, get()).await.is_ok() });
        server.until_connections(2).await;
        waiting.abort();
        server.until_ended(2).await;
    });
}

#[test]
fn renewal_keeps_the_connections_of_regions_that_stay() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let before = [settings("eu", &[server.url()])];
        let up = upstreams(&before, &patient(), MANY);
        text(send(&up, get()).await.unwrap()).await.unwrap();

        // A region that sorts before it changes its number.
        let after = [
            settings("cn", &[script::refusing().await]),
            before[0].clone(),
        ];
        let health = Arc::new(up.health().renewed(&after));
        let next = up
            .renewed(&regions(&after), &after, &patient(), health, &[])
            .unwrap();
        let answer = next.send(&[cleared(1)], &mut get()).await.unwrap();
        text(answer).await.unwrap();
        assert_eq!(server.connections(), 1);

        let mut moved = after.clone();
        moved[1].place = "FR".parse().unwrap();
        let health = Arc::new(next.health().renewed(&moved));
        let moved = next
            .renewed(&regions(&moved), &moved, &patient(), health, &[])
            .unwrap();
        text(moved.send(&[cleared(1)], &mut get()).await.unwrap())
            .await
            .unwrap();
        assert_eq!(server.connections(), 2, "another place is another region");
    });
}

#[test]
fn a_region_that_was_gone_for_a_while_has_the_health_that_others_see() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let one = [settings("eu", &[server.url()])];
        let mut up = upstreams(&one, &patient(), MANY);
        let again = Arc::new(up.health().renewed(&[]).renewed(&one));
        // Of another health, then of the same.
        for _ in 0..3 {
            text(send(&up, get()).await.unwrap()).await.unwrap();
            up = up
                .renewed(&regions(&one), &one, &patient(), Arc::clone(&again), &[])
                .unwrap();
        }
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn regions_without_settings_or_usable_endpoints_are_refused() {
    let known = [settings("eu", &["http://a:1".to_owned()])];
    let all = regions(&known);
    let build = |settings: &[RegionSettings]| {
        let health = Arc::new(SharedHealth::new(settings));
        Upstreams::new(&all, settings, &patient(), MANY, health, &[]).err()
    };
    assert_eq!(build(&known), None);
    assert_eq!(build(&[]), Some(SetupError::NoSettings(name())));
    let none = [settings("eu", &[])];
    assert_eq!(build(&none), Some(SetupError::NoEndpoints(name())));
    let tls = [settings("eu", &["ftp://a:1".to_owned()])];
    assert!(matches!(build(&tls), Some(SetupError::Endpoint { .. })));
}

#[test]
fn an_answer_nobody_asked_for_is_never_given_to_the_next_request() {
    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    run(async {
        for at_once in [true, false] {
            let go = Rc::new(tokio::sync::Notify::new());
            let gone = Rc::clone(&go);
            let server = Server::start(async move |n, peer| {
                peer.request().await;
                if n > 0 {
                    peer.write(GOOD).await;
                } else if at_once {
                    peer.write(&format!("{GOOD}{EVIL}")).await;
                } else {
                    peer.write(GOOD).await;
                    gone.notified().await;
                    peer.write(EVIL).await;
                }
                peer.until_closed().await;
            })
            .await;
            let up = eu(&[server.url()], &patient());
            assert_eq!(text(send(&up, get()).await.unwrap()).await.unwrap(), "good");
            go.notify_one();
            if !at_once {
                server.until_ended(1).await;
            }
            assert_eq!(text(send(&up, get()).await.unwrap()).await.unwrap(), "good");
            assert_eq!(server.connections(), 2);
        }
    });
}

#[test]
fn endpoints_are_used_in_turn() {
    run(async {
        let a = Server::start(async |_, peer| peer.answer("200 OK", "a").await).await;
        let b = Server::start(async |_, peer| peer.answer("200 OK", "b").await).await;
        let up = eu(&[a.url(), b.url()], &patient());
        let mut answers = String::new();
        for _ in 0..6 {
            answers += &text(send(&up, get()).await.unwrap()).await.unwrap();
        }
        assert_eq!(answers, "ababab");
        assert_eq!((a.connections(), b.connections()), (1, 1));
    });
}

#[test]
fn a_body_thrown_away_keeps_its_connection_if_it_is_short() {
    run(async {
        let server = Server::start(async |_, peer| {
            let long = "x".repeat(1 << 20);
            let length = long.len();
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshort")
                .await;
            peer.request().await;
            peer.write(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{long}"
            ))
            .await;
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        throw_away(send(&up, get()).await.unwrap().into_body()).await;
        throw_away(send(&up, get()).await.unwrap().into_body()).await;
        assert_eq!(server.connections(), 1);
        server.until_ended(1).await;
    });
}

#[test]
fn what_goes_out_is_not_shown_by_debug() {
    let mut out = post("secret body");
    out.headers.insert("x-id", "secret");
    out.path_and_query = Cow::Owned("/people/secret".parse().unwrap());
    let shown = format!("{out:?}");
    assert!(
        shown.contains("POST") && !shown.contains("secret"),
        "{shown}"
    );
}

/// A connection that rests holds nothing of what it sent.
#[test]
fn a_body_that_was_sent_is_let_go() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("200 OK", "stored").await).await;
        let up = eu(&[server.url()], &patient());
        let body = Bytes::from(vec![b'a'; 300_000]);
        let out = outgoing(Method::POST, OutgoingBody::Whole(body.clone()));
        let answer = send(&up, out).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "stored");
        assert!(body.is_unique());
        text(send(&up, get()).await.unwrap()).await.unwrap();
        assert_eq!(server.connections(), 1, "it rested");
    });
}
