use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame};
use tokio::sync::mpsc;

use super::{script::Server, *};
use crate::admit::memory::Reservation;

/// A caller's body, fed by a test. Dropping the sender ends it.
struct Fed(mpsc::UnboundedReceiver<Result<Frame<Bytes>, BoxError>>);

pub(super) type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

impl Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

pub(super) fn stream(length: Option<u64>) -> (Feed, OutgoingBody) {
    let (feed, fed) = mpsc::unbounded_channel();
    let body = Box::pin(Fed(fed));
    let held = Reservation::uncounted();
    (feed, OutgoingBody::Stream { body, length, held })
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from(text)))
}

async fn recording() -> Server {
    Server::start(async |_, peer| peer.answer("200 OK", "x").await).await
}

#[test]
fn streams_pass_with_their_length_or_in_chunks_with_trailers() {
    run(async {
        let server = recording().await;
        let up = eu(&[server.url()], &patient());
        let (feed, body) = stream(Some(6));
        feed.send(data("rec")).unwrap();
        feed.send(data("ord")).unwrap();
        drop(feed);
        text(send(&up, outgoing(Method::PUT, body)).await.unwrap())
            .await
            .unwrap();
        assert!(server.read(0).ends_with("content-length: 6\r\n\r\nrecord"));

        let (feed, body) = stream(None);
        feed.send(data("rec")).unwrap();
        feed.send(data("ord")).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        feed.send(Ok(Frame::trailers(trailers))).unwrap();
        drop(feed);
        let mut out = outgoing(Method::PUT, body);
        out.headers.insert("trailer", "x-sum");
        text(send(&up, out).await.unwrap()).await.unwrap();
        let read = server.read(0);
        assert!(
            read.ends_with("\r\n\r\n3\r\nrec\r\n3\r\nord\r\n0\r\nx-sum: 7\r\n\r\n"),
            "{read}"
        );
        assert_eq!(read.matches("content-length").count(), 1);
    });
}

#[test]
fn a_post_without_a_body_says_so() {
    run(async {
        let server = recording().await;
        let up = eu(&[server.url()], &patient());
        for body in [OutgoingBody::Empty, stream(Some(0)).1] {
            let answer = send(&up, outgoing(Method::POST, body)).await.unwrap();
            text(answer).await.unwrap();
        }
        text(send(&up, get()).await.unwrap()).await.unwrap();
        let read = server.read(0);
        assert_eq!(
            read.matches("\r\ncontent-length: 0\r\n").count(),
            2,
            "{read}"
        );
    });
}

#[test]
fn a_get_with_a_body_of_unknown_length_keeps_its_body() {
    run(async {
        let server = recording().await;
        let up = eu(&[server.url()], &patient());
        let (feed, body) = stream(None);
        feed.send(data("query")).unwrap();
        drop(feed);
        send(&up, outgoing(Method::GET, body)).await.unwrap();
        assert!(server.read(0).ends_with("5\r\nquery\r\n0\r\n\r\n"));
    });
}

#[test]
fn a_callers_body_that_fails_breaks_the_request_visibly() {
    run(async {
        for (length, end) in [
            (None, Some("the caller hung up")),
            (Some(10), Some("the caller hung up")),
            (Some(10), None),
            (Some(2), None),
        ] {
            let server = Server::start(async |_, peer| peer.until_closed().await).await;
            let up = eu(&[server.url()], &patient());
            let (feed, body) = stream(length);
            feed.send(data("half")).unwrap();
            let sending = tokio::task::spawn_local(async move {
                send(&up, outgoing(Method::PUT, body)).await.err()
            });
            server.until_connections(1).await;
            if let Some(error) = end {
                feed.send(Err(error.into())).unwrap();
            }
            drop(feed);
            let error = sending.await.unwrap();
            assert!(
                matches!(error, Some(ForwardError::CallerBody { .. })),
                "{length:?} {end:?} {error:?}"
            );
            server.until_ended(1).await;
            assert_eq!(server.connections(), 1, "nothing is repeated");
            let read = server.read(0);
            assert!(!read.contains("\r\n0\r\n"), "no last chunk: {read}");
            if length == Some(10) {
                assert!(
                    !read.contains("\r\n\r\n") || read.len() < read.find("\r\n\r\n").unwrap() + 14
                );
            }
            if length == Some(2) {
                assert!(!read.ends_with("ha"), "no shorter valid request: {read}");
            }
        }
    });
}

#[test]
fn a_stream_no_byte_of_which_was_sent_goes_to_the_next_endpoint() {
    run(async {
        let server = recording().await;
        let up = eu(&[script::refusing().await, server.url()], &patient());
        for _ in 0..2 {
            let (feed, body) = stream(None);
            feed.send(data("record")).unwrap();
            drop(feed);
            let answer = send(&up, outgoing(Method::POST, body)).await.unwrap();
            text(answer).await.unwrap();
        }
        assert_eq!(server.read(0).matches("6\r\nrecord\r\n0\r\n").count(), 2);
    });
}

#[test]
fn a_stream_that_was_begun_is_never_repeated() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let (feed, body) = stream(None);
        feed.send(data("record")).unwrap();
        drop(feed);
        let error = send(&up, outgoing(Method::PUT, body)).await.err();
        assert!(matches!(error, Some(ForwardError::Reset { .. })));
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_answer_before_the_end_of_the_body_passes_and_its_connection_is_closed() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.some().await;
            peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                .await;
            peer.until_closed().await;
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let (feed, body) = stream(None);
        feed.send(data("half")).unwrap();
        let answer = send(&up, outgoing(Method::PUT, body)).await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(text(answer).await.unwrap(), "big");
        server.until_ended(1).await;
        assert!(!server.read(0).contains("\r\n0\r\n"));
        feed.closed().await;
    });
}

#[test]
fn a_slow_caller_is_not_the_regions_fault() {
    run(async {
        let server = recording().await;
        let limits = Limits {
            body_stall: Duration::from_millis(50),
            ..patient()
        };
        let up = eu(&[server.url()], &limits);
        let (feed, body) = stream(None);
        feed.send(data("rec")).unwrap();
        tokio::task::spawn_local(async move {
            // Longer than the region would be given.
            tokio::time::sleep(Duration::from_millis(200)).await;
            feed.send(data("ord")).unwrap();
        });
        let answer = send(&up, outgoing(Method::PUT, body)).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "x");
    });
}

#[test]
fn a_part_of_a_batch_arrives_byte_for_byte() {
    run(async {
        let server = recording().await;
        let up = eu(&[server.url()], &patient());
        let long = "9".repeat(20_000);
        let body = Bytes::from(format!("1 , 22,\n{long},333"));
        let ranges = [0..1, 4..6, 8..8 + long.len(), body.len() - 3..body.len()];
        for (framing, wanted) in [
            (Framing::Array, format!("[1,{long},333]")),
            (Framing::Ndjson, format!("1\n{long}\n333\n")),
        ] {
            let items = ranges.iter().cloned().zip([0, 1, 0, 0]);
            let items = items.map(|(range, region)| (range, Some(RegionId(region))));
            let split = Split::new(&body, framing, items).unwrap();
            let part = split.into_parts().swap_remove(0);
            assert_eq!(part.indices, [0, 2, 3]);
            let out = outgoing(Method::POST, OutgoingBody::Slices(part.body));
            text(send(&up, out).await.unwrap()).await.unwrap();
            let read = server.read(0);
            let head = format!("content-length: {}\r\n\r\n", wanted.len());
            assert!(read.ends_with(&format!("{head}{wanted}")));
        }
    });
}

/// Ten bytes a second and no stall: at 500 bytes a second after the time of one stall, this is late.
#[test]
fn an_answer_that_must_keep_pace_and_trickles_breaks_off_and_a_streamed_one_does_not() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n")
                .await;
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                peer.write("x").await;
            }
        })
        .await;
        let limits = Limits {
            body_stall: Duration::from_secs(1),
            ..patient()
        };
        let streamed = send(&eu(&[server.url()], &patient()), get()).await.unwrap();
        assert_eq!(text(streamed).await, Ok("x".repeat(20)));
        let up = eu(&[server.url()], &limits);
        let mut whole = send(&up, get()).await.unwrap();
        whole.body_mut().keep_pace();
        let error = text(whole).await.unwrap_err();
        assert!(error.fault.is_late(), "{error}");
        assert_eq!(up.health().report()[0].failures_in_a_row, 1);
    });
}
