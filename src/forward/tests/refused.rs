//! Streams that a region of HTTP/2 refuses unread, or after it took some of them.

use std::cell::Cell;

use super::{bodies::stream, *};
use crate::settings::HttpVersion;

/// How the first streams end.
#[derive(Clone, Copy)]
struct Refusal {
    streams: usize,
    /// After so many bytes of the body, or its end.
    after: usize,
}

/// Refuses streams, and answers those that follow with what it was sent.
async fn refusing(refusal: Refusal) -> (String, Rc<Cell<usize>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let streams = Rc::new(Cell::new(0));
    let count = Rc::clone(&streams);
    tokio::task::spawn_local(async move {
        loop {
            let (wire, _) = listener.accept().await.unwrap();
            let count = Rc::clone(&count);
            tokio::task::spawn_local(async move {
                let mut connection = h2::server::handshake(wire).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    count.set(count.get() + 1);
                    let refused = count.get() <= refusal.streams;
                    let after = refused.then_some(refusal.after);
                    tokio::task::spawn_local(serve(request, respond, after));
                }
            });
        }
    });
    (url, streams)
}

/// Answers every stream.
pub(super) async fn answering() -> String {
    let none = Refusal {
        streams: 0,
        after: 0,
    };
    refusing(none).await.0
}

async fn serve(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    refused_after: Option<usize>,
) {
    let mut body = request.into_body();
    let mut taken = Vec::new();
    while refused_after.is_none_or(|after| taken.len() < after) {
        let Some(data) = body.data().await else { break };
        let Ok(data) = data else { return };
        body.flow_control().release_capacity(data.len()).unwrap();
        taken.extend(data);
    }
    if refused_after.is_some() {
        return respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    let mut answer = respond
        .send_response(http::Response::new(()), false)
        .unwrap();
    answer.send_data(taken.into(), true).unwrap();
}

fn two(url: String) -> Upstreams {
    two_within(url, &patient())
}

fn two_within(url: String, limits: &Limits) -> Upstreams {
    let mut settings = settings("eu", &[url]);
    settings.http = HttpVersion::Two;
    upstreams(&[settings], limits, MANY)
}

fn data(text: impl Into<Bytes>) -> Result<http_body::Frame<Bytes>, BoxError> {
    Ok(http_body::Frame::data(text.into()))
}

#[test]
fn a_streamed_body_that_was_refused_is_sent_again_from_its_first_byte() {
    for length in [None, Some(6)] {
        for after in [0, 1, 4, usize::MAX] {
            for streams in [1, 2] {
                run(async {
                    let (url, count) = refusing(Refusal { streams, after }).await;
                    let up = two(url);
                    let (feed, body) = stream(length);
                    feed.send(data("one")).unwrap();
                    // More comes only once it is asked for.
                    tokio::task::spawn_local(async move {
                        tokio::task::yield_now().await;
                        feed.send(data("two")).unwrap();
                    });
                    // POST: nothing but what was not processed may be sent again.
                    let answer = send(&up, outgoing(Method::POST, body)).await.unwrap();
                    assert_eq!(text(answer).await.unwrap(), "onetwo");
                    assert_eq!(count.get(), streams + 1);
                });
            }
        }
    }
}

#[test]
fn what_was_refused_and_cannot_be_sent_again_was_not_done() {
    run(async {
        for (refusal, length, tries) in [
            (
                Refusal {
                    streams: 9,
                    after: 0,
                },
                3,
                3,
            ),
            // Too much was taken to be kept.
            (
                Refusal {
                    streams: 9,
                    after: usize::MAX,
                },
                100 << 10,
                1,
            ),
        ] {
            let (url, count) = refusing(refusal).await;
            let up = two(url);
            let (feed, body) = stream(None);
            feed.send(data(vec![b'x'; length])).unwrap();
            drop(feed);
            let error = send(&up, outgoing(Method::POST, body)).await.err().unwrap();
            assert_eq!(error, ForwardError::Refused { region: name() });
            assert_eq!(error.sent(), Sent::Nothing);
            assert_eq!(count.get(), tries);
        }
    });
}

/// The limit of an answer begins with the end of its request, of a second try as of the first.
#[test]
fn a_stream_that_is_sent_again_may_last_as_long_as_one_that_was_not_refused() {
    run(async {
        let (url, count) = refusing(Refusal {
            streams: 1,
            after: 0,
        })
        .await;
        let limits = Limits {
            response: Duration::from_secs(2),
            ..patient()
        };
        let up = two_within(url, &limits);
        let (feed, body) = stream(None);
        feed.send(data("one")).unwrap();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            feed.send(data("two")).unwrap();
        });
        let answer = send(&up, outgoing(Method::POST, body)).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "onetwo");
        assert_eq!(count.get(), 2);
    });
}
