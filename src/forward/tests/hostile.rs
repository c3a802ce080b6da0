//! Regions that answer with more, less or other than they should, on whole connections.

use http_body::Frame;

use super::{bodies::stream, script::Server, *};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

/// Sends two requests, the first of which is answered by `first`; how many connections it took,
/// and the first answer's text.
async fn two(first: String, method: Method) -> (usize, Result<String, AnswerError>) {
    let server = Server::start(async move |n, peer| {
        peer.request().await;
        if n == 0 {
            peer.write(&first).await;
            if peer.request().await {
                peer.write(GOOD).await;
            }
        } else {
            peer.write(GOOD).await;
        }
        peer.until_closed().await;
    })
    .await;
    let up = eu(&[server.url()], &patient());
    let answer = send(&up, outgoing(method, OutgoingBody::Empty)).await;
    let first = text(answer.unwrap()).await;
    let second = text(send(&up, get()).await.unwrap()).await.unwrap();
    assert_eq!(second, "good", "nothing of another answer");
    (server.connections(), first)
}

#[test]
fn whatever_follows_an_answer_is_nobodys_and_its_connection_ends() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    run(async {
        for (answer, method) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", Method::GET),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Method::GET),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                Method::GET,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", Method::GET),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
                Method::GET,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", Method::HEAD),
        ] {
            for after in [EVIL, "x", "\r\n", "0\r\n\r\n"] {
                let (connections, first) = two(format!("{answer}{after}"), method.clone()).await;
                assert!(first.is_ok_and(|text| text.len() < 2), "{answer}{after}");
                assert_eq!(connections, 2, "{answer}{after}");
            }
            let (connections, _) = two(answer.to_owned(), method).await;
            assert_eq!(connections, 1, "{answer}");
        }
    });
}

#[test]
fn endless_informational_answers_are_a_bad_answer() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            for _ in 0..200 {
                peer.write("HTTP/1.1 102 Processing\r\n\r\n").await;
            }
            peer.write(GOOD).await;
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let bad = ForwardError::BadAnswer { region: name() };
        assert_eq!(send(&up, get()).await.err(), Some(bad));
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_answer_that_ends_with_the_connection_passes_and_no_other_follows() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\n\r\nall").await;
            peer.write(" of it").await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        for n in 1..=2 {
            let answer = send(&up, get()).await.unwrap();
            assert_eq!(text(answer).await.unwrap(), "all of it");
            assert_eq!(server.connections(), n);
        }
    });
}

#[test]
fn large_pieces_go_out_whole_in_whatever_framing() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write(GOOD).await;
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let large = "0123456789".repeat(100_000);
        let whole = Bytes::from(large.clone());
        let answer = send(&up, outgoing(Method::PUT, OutgoingBody::Whole(whole))).await;
        text(answer.unwrap()).await.unwrap();
        assert!(
            server
                .read(0)
                .ends_with(&format!("content-length: 1000000\r\n\r\n{large}"))
        );
        drop(up);

        let up = eu(&[server.url()], &patient());
        let pieces = [large.clone(), "x".to_owned(), large.clone()];
        let (feed, body) = stream(None);
        for piece in pieces {
            feed.send(Ok(Frame::data(Bytes::from(piece)))).unwrap();
        }
        drop(feed);
        text(send(&up, outgoing(Method::PUT, body)).await.unwrap())
            .await
            .unwrap();
        let chunk = format!("f4240\r\n{large}\r\n");
        let read = server.read(1);
        assert!(read.ends_with(&format!("\r\n\r\n{chunk}1\r\nx\r\n{chunk}0\r\n\r\n")));
    });
}
