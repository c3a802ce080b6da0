//! Connections of HTTP/2 that end under many streams, and what of a request goes out on them.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use http_body::{Body, Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{bodies::stream, refused, *};
use crate::{
    forward::{
        body::{PIECE, Upload},
        slices::{Framing, Slices, Span},
    },
    settings::HttpVersion,
};

/// Answers the first stream, and says that it goes away once `streams` more have begun: none of them
/// is processed. Or just ends.
async fn ends_under(wire: &mut TcpStream, streams: usize, says_so: bool) {
    const GO_AWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    answer_first(wire, streams, b"").await;
    if says_so {
        wire.write_all(GO_AWAY).await.unwrap();
    }
    wire.shutdown().await.unwrap();
    // What is unread would make this a reset.
    let _ = wire.read_to_end(&mut Vec::new()).await;
}

/// Answers the first stream after these frames, and waits for so many more to begin.
async fn answer_first(wire: &mut TcpStream, streams: usize, frames: &[u8]) {
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const OK: &[u8] = b"\0\0\x05\x01\x05\0\0\0\x01\x08\x03200";
    let mut preface = [0; 24];
    wire.read_exact(&mut preface).await.unwrap();
    wire.write_all(SETTINGS).await.unwrap();
    let mut begun = 0;
    while begun <= streams {
        let mut head = [0; 9];
        wire.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        wire.read_exact(&mut payload).await.unwrap();
        if kind == 1 {
            begun += 1;
            if begun == 1 {
                wire.write_all(&[frames, OK].concat()).await.unwrap();
            }
        }
    }
}

/// A server that serves each connection so, told whether it is the first; and how many were opened.
async fn listening<S: Future<Output = ()> + 'static>(
    serve: impl Fn(TcpStream, bool) -> S + 'static,
) -> (String, Rc<Cell<usize>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let opened = Rc::new(Cell::new(0));
    let count = Rc::clone(&opened);
    tokio::task::spawn_local(async move {
        loop {
            let (wire, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            tokio::task::spawn_local(serve(wire, count.get() == 1));
        }
    });
    (url, opened)
}

async fn answer_all(wire: TcpStream) {
    let mut connection = h2::server::handshake(wire).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let answer = respond.send_response(http::Response::new(()), true);
        assert!(answer.is_ok());
    }
}

/// A server of which each answer breaks off after its head.
pub(super) async fn breaking() -> String {
    let serve = |wire: TcpStream, _| async {
        let mut connection = h2::server::handshake(wire).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let answer = respond.send_response(http::Response::new(()), false);
            let mut answer = answer.unwrap();
            answer.send_data("half".into(), false).unwrap();
            tokio::task::spawn_local(async move {
                // So that the head is there before it.
                tokio::time::sleep(Duration::from_millis(20)).await;
                answer.send_reset(h2::Reason::INTERNAL_ERROR);
            });
        }
    };
    listening(serve).await.0
}

/// A region whose first connection ends under `streams`, and how many were opened.
async fn region(streams: usize, says_so: bool) -> (Rc<Upstreams>, Rc<Cell<usize>>) {
    let (url, opened) = listening(move |mut wire, is_first| async move {
        match is_first {
            true => ends_under(&mut wire, streams, says_so).await,
            false => answer_all(wire).await,
        }
    })
    .await;
    let mut settings = settings("eu", &[url]);
    settings.http = HttpVersion::Two;
    let shares = Shares {
        at_work: 200,
        waiting: 0,
    };
    (Rc::new(upstreams(&[settings], &patient(), shares)), opened)
}

/// How many of so many streams are answered after all. A few may go by another connection: until it
/// is known how many the first one takes.
async fn answered(up: &Rc<Upstreams>, streams: usize) -> usize {
    text(send(up, get()).await.unwrap()).await.unwrap();
    let all = (0..streams).map(|_| {
        let up = Rc::clone(up);
        tokio::task::spawn_local(async move { send(&up, get()).await.is_ok() })
    });
    let mut answered = 0;
    for one in all.collect::<Vec<_>>() {
        answered += usize::from(one.await.unwrap());
    }
    answered
}

#[test]
fn streams_that_a_region_went_away_from_share_the_next_connection() {
    run(async {
        let (up, opened) = region(50, true).await;
        assert_eq!(answered(&up, 60).await, 60);
        assert!(opened.get() < 12, "{}", opened.get());
        let tally = up.tallies().next().unwrap().1.read();
        assert_eq!(tally.unretried, 0, "free");
        assert!(tally.retries >= 50, "{tally:?}");
    });
}

#[test]
fn streams_at_work_on_a_connection_that_breaks_are_sent_again_within_the_budget() {
    run(async {
        let (up, _) = region(80, false).await;
        let answered = answered(&up, 90).await;
        let tally = up.tallies().next().unwrap().1.read();
        assert_eq!(answered as u64 + tally.unretried, 90);
        assert!(tally.unretried > 30, "{tally:?}");
        let reports = up.health().report();
        assert_eq!(reports[0].state, EndpointState::Healthy);
    });
}

#[test]
fn a_caller_whose_body_breaks_off_leaves_its_connection_to_others() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let opened = Rc::new(Cell::new(0));
        let count = Rc::clone(&opened);
        tokio::task::spawn_local(async move {
            loop {
                let (wire, _) = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                tokio::task::spawn_local(async move {
                    let mut connection = h2::server::handshake(wire).await.unwrap();
                    let mut kept = Vec::new();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        if request.method() == Method::GET {
                            let _ = respond.send_response(http::Response::new(()), true);
                        }
                        kept.push((request, respond));
                    }
                });
            }
        });
        let mut settings = settings("eu", &[url]);
        settings.http = HttpVersion::Two;
        let up = upstreams(&[settings], &patient(), MANY);
        let (feed, body) = stream(None);
        feed.send(Ok(Frame::data(Bytes::from("one")))).unwrap();
        feed.send(Err("it broke off".into())).unwrap();
        let error = send(&up, outgoing(Method::POST, body)).await.err().unwrap();
        assert!(
            matches!(error, ForwardError::CallerBody { .. }),
            "{error:?}"
        );
        text(send(&up, get()).await.unwrap()).await.unwrap();
        assert_eq!(opened.get(), 1);
    });
}

/// Pieces as a connection takes them, each with whether all are out then.
fn pieces(body: OutgoingBody) -> Vec<(usize, bool)> {
    let mut upload = Upload::new(body, Instant::now());
    let progress = upload.progress();
    let mut cx = Context::from_waker(Waker::noop());
    let mut pieces = Vec::new();
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut upload).poll_frame(&mut cx) {
        let length = frame.data_ref().map_or(0, Bytes::len);
        pieces.push((length, progress.is_done()));
    }
    pieces
}

#[test]
fn a_long_body_goes_out_in_pieces_and_is_done_with_the_last() {
    let whole = Bytes::from(vec![b'x'; 2 * PIECE + 1]);
    let wanted = [(PIECE, false), (PIECE, false), (1, true)];
    assert_eq!(pieces(OutgoingBody::Whole(whole.clone())), wanted);
    let span = Span::new(0..2 * PIECE, whole.len()).unwrap();
    let slices = Slices::new(whole, vec![span], Framing::Ndjson);
    assert_eq!(pieces(OutgoingBody::Slices(slices)), wanted);
}

#[test]
fn a_body_of_unknown_length_is_done_with_its_trailers() {
    let (feed, body) = stream(None);
    feed.send(Ok(Frame::data(Bytes::from("one")))).unwrap();
    feed.send(Ok(Frame::trailers(http::HeaderMap::new())))
        .unwrap();
    assert_eq!(pieces(body), [(3, false), (0, true)]);
}

/// A region that counts its connections and resets every stream.
async fn resetting(reason: h2::Reason) -> (Rc<Upstreams>, Rc<Cell<usize>>) {
    let (url, opened) = resetting_at(reason).await;
    (over_http2(url), opened)
}

async fn resetting_at(reason: h2::Reason) -> (String, Rc<Cell<usize>>) {
    listening(move |wire, _| async move {
        let mut connection = h2::server::handshake(wire).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(reason);
        }
    })
    .await
}

fn over_http2(url: String) -> Rc<Upstreams> {
    let mut settings = settings("eu", &[url]);
    settings.http = HttpVersion::Two;
    Rc::new(upstreams(&[settings], &patient(), MANY))
}

/// Whatever else is at work there, a server that resets what it is asked is none to ask.
#[test]
fn a_server_that_resets_streams_is_put_aside_while_another_serves() {
    run(async {
        let broken = resetting_at(h2::Reason::INTERNAL_ERROR).await.0;
        let sound = refused::answering().await;
        let mut settings = settings("eu", &[broken, sound]);
        settings.http = HttpVersion::Two;
        let up = upstreams(&[settings], &patient(), MANY);
        let mut failed = 0;
        for _ in 0..20 {
            let body = OutgoingBody::Whole("x".into());
            failed += usize::from(send(&up, outgoing(Method::POST, body)).await.is_err());
        }
        assert_eq!(failed, 3);
    });
}

/// RFC 9113 §5.4.2.
#[test]
fn a_stream_that_the_region_resets_ends_alone() {
    for reason in [h2::Reason::INTERNAL_ERROR, h2::Reason::REFUSED_STREAM] {
        run(async {
            let (up, opened) = resetting(reason).await;
            for _ in 0..5 {
                let body = OutgoingBody::Whole("x".into());
                let failed = send(&up, outgoing(Method::POST, body)).await;
                assert!(failed.is_err());
            }
            assert_eq!(opened.get(), 1, "{reason:?}");
        });
    }
}

/// Streams that the server allows no more are not waited for while another connection may have some.
#[test]
fn a_connection_that_allows_no_stream_any_more_is_left_alone() {
    run(async {
        const NO_STREAMS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\0";
        let (url, opened) = listening(|mut wire, is_first| async move {
            if !is_first {
                return answer_all(wire).await;
            }
            answer_first(&mut wire, 0, NO_STREAMS).await;
            // Whatever comes, nothing more is said.
            let _ = wire.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let up = over_http2(url);
        for _ in 0..3 {
            let body = OutgoingBody::Whole("x".into());
            let answer = send(&up, outgoing(Method::POST, body)).await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(opened.get(), 2);
    });
}

/// Callers that hang up, all of which an answer was on its way to (RFC 9113 §5.1).
#[test]
fn what_comes_for_callers_that_went_away_costs_the_others_nothing() {
    const GONE: usize = 1500;
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    /// Status 200 and an octet, but for the length and the stream's number.
    const OK: &[u8] = b"\0\0\x01\x01\x04";
    const END: &[u8] = b"\0\0\x01\0\x01";
    let answer = |stream: &[u8]| [OK, stream, b"\x88", END, stream, b"x"].concat();
    run(async move {
        let (url, opened) = listening(move |mut wire, _| async move {
            wire.read_exact(&mut [0; 24]).await.unwrap();
            wire.write_all(SETTINGS).await.unwrap();
            let mut gone = 0;
            loop {
                let mut head = [0; 9];
                if wire.read_exact(&mut head).await.is_err() {
                    return;
                }
                let [a, b, c, kind, _, stream @ ..] = head;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
                wire.read_exact(&mut payload).await.unwrap();
                if kind == 3 {
                    gone += 1;
                    wire.write_all(&answer(&stream)).await.unwrap();
                }
                if gone == GONE {
                    wire.write_all(&answer(&[0, 0, 0, 1])).await.unwrap();
                }
            }
        })
        .await;
        let up = over_http2(url);
        let begin = || {
            let up = Rc::clone(&up);
            tokio::task::spawn_local(async move { text(send(&up, get()).await.unwrap()).await })
        };
        let stays = begin();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..GONE / 50 {
            let all: Vec<_> = (0..50).map(|_| begin()).collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            all.iter().for_each(|one| one.abort());
        }
        assert_eq!(stays.await.unwrap().unwrap(), "x");
        assert_eq!(opened.get(), 1);
    });
}
