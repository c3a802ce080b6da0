//! Whole connections whose heads and bodies end where reads and buffers do.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::served::{LIMITS, Served, connect, run, text};
use crate::{
    admit::body::{Incoming, read_whole},
    http1::pool,
    message::{Field, Request},
};

/// A request for whoever loses count of a body.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

fn content(length: usize) -> String {
    let mut content = SMUGGLED.repeat(length / SMUGGLED.len() + 1);
    content.truncate(length);
    content
}

/// How a request's body is read, by its path.
fn serve() -> Served {
    connect(|request: Request<Incoming>| async move {
        let (parts, mut body) = request.into_parts();
        let whole = match parts.uri.path() {
            // As of a body that is streamed, if it has come.
            "/taken" => body.take_whole(),
            "/left" => return text(200, "<left>"),
            _ => None,
        };
        let whole = match whole {
            Some(whole) => whole,
            None => match read_whole(body, 1 << 20, LIMITS.body_stall).await {
                Ok(whole) => whole,
                Err(fault) => return text(400, format!("<{fault}>")),
            },
        };
        let wanted: Bytes = content(whole.len()).into();
        assert_eq!(whole, wanted, "the body is another");
        let framing = parts.headers.get(Field::ContentLength).is_some();
        text(200, format!("<{} {} {framing}>", parts.uri, whole.len()))
    })
}

fn head(path: &str, framing: &str, length: usize) -> String {
    let begin = format!("PUT {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\nX: ");
    let padding = length.saturating_sub(begin.len() + 4);
    format!("{begin}{}\r\n\r\n", "x".repeat(padding))
}

/// Sends in pieces, each of which is read before the next is sent, and reads two answers.
async fn ask(served: &mut Served, text: &str, cuts: &[usize]) -> [String; 2] {
    let (mut read, mut write) = tokio::io::split(&mut served.caller);
    let send = async {
        let mut from = 0;
        for cut in cuts.iter().copied().chain([text.len()]) {
            let cut = cut.clamp(from, text.len());
            write.write_all(&text.as_bytes()[from..cut]).await.unwrap();
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            from = cut;
        }
    };
    let receive = async {
        let mut answers = [String::new(), String::new()];
        for answer in &mut answers {
            while !answer.ends_with('>') {
                answer.push(char::from(read.read_u8().await.unwrap()));
            }
        }
        answers
    };
    tokio::join!(send, receive).1
}

fn edges() -> impl Iterator<Item = usize> {
    let sizes = [
        pool::SIZE / 2,
        8 << 10,
        16 << 10,
        pool::SIZE,
        2 * pool::SIZE,
    ];
    sizes.into_iter().flat_map(|size| size - 2..=size + 2)
}

async fn is_two_requests(
    served: &mut Served,
    path: &str,
    first: &str,
    length: usize,
    chunked: bool,
) {
    let text = format!("{first}{NEXT}");
    let body = first.find("\r\n\r\n").unwrap() + 4;
    let all: [&[usize]; 6] = [
        &[],
        &[body],
        &[body - 1, body + 1],
        &[first.len()],
        &[first.len() - 1, first.len() + 1],
        &[pool::SIZE, pool::SIZE + 1],
    ];
    for cuts in all {
        let [one, two] = ask(served, &text, cuts).await;
        let wanted = match path {
            "/left" => "<left>".to_owned(),
            _ => format!("<{path} {length} {}>", !chunked),
        };
        assert!(one.ends_with(&wanted), "{path} {length} {cuts:?}: {one}");
        assert!(two.ends_with("</next 0 false>"), "{path} {length}: {two}");
    }
}

#[test]
fn a_body_that_ends_where_a_read_does_is_followed_by_the_next_request() {
    run(async {
        let mut served = serve();
        for path in ["/read", "/taken", "/left"] {
            for length in edges() {
                let framing = format!("Content-Length: {length}");
                let first = head(path, &framing, 60) + &content(length);
                is_two_requests(&mut served, path, &first, length, false).await;
            }
        }
    });
}

#[test]
fn a_head_and_its_body_together_end_where_a_read_does() {
    run(async {
        let mut served = serve();
        for path in ["/read", "/taken", "/left"] {
            for whole in edges() {
                for before in [100, LIMITS.header_bytes] {
                    let Some(length) = whole.checked_sub(before) else {
                        continue;
                    };
                    let framing = format!("Content-Length: {length}");
                    let first = head(path, &framing, before) + &content(length);
                    assert_eq!(first.len(), whole);
                    is_two_requests(&mut served, path, &first, length, false).await;
                }
            }
        }
    });
}

#[test]
fn a_chunk_that_ends_where_a_read_does_is_followed_by_the_next_one() {
    run(async {
        let mut served = serve();
        for path in ["/read", "/taken"] {
            for length in edges() {
                let whole = content(length + 7);
                let (one, two) = whole.split_at(length);
                let mut first = head(path, "Transfer-Encoding: chunked", 60);
                first += &format!("{length:x}\r\n{one}\r\n7\r\n{two}\r\n0\r\n\r\n");
                is_two_requests(&mut served, path, &first, length + 7, true).await;
            }
        }
    });
}
