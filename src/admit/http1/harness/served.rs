//! A whole connection in memory: what the server's handler gets and what goes back, of any bytes.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::{HEADER_BYTES, Read, read};
use crate::{
    admit::{
        body::Incoming,
        http1::{HeadFault, Limits, Transport, serve},
    },
    forward::http1::harness as answers,
    message::{Request, Response},
};

/// Long enough to be seen: nothing here ever waits.
const NEVER: Duration = Duration::from_secs(3600);

const LIMITS: Limits = Limits {
    header_bytes: HEADER_BYTES,
    header_read: NEVER,
    body_stall: NEVER,
    idle: NEVER,
};

/// The caller's side: pieces that come when they are asked for, then an end; all is written.
struct Caller {
    pieces: Vec<Bytes>,
    /// Each second read finds nothing, and is woken at once.
    waits: bool,
    got: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Caller {}

impl AsyncRead for Caller {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.waits = !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(piece) = self.pieces.last_mut() {
            buf.put_slice(&piece.split_to(piece.len().min(buf.remaining())));
            if piece.is_empty() {
                self.pieces.pop();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Caller {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.got.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How the handler reads bodies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Frames,
    /// As records are read: what has come at once, then the rest.
    Whole,
    /// Not at all: the server has to find the next request by itself.
    Unread,
}

/// Method, target, and the body if it was read as a whole.
type Seen = (String, String, Option<Vec<u8>>);

/// Serves arbitrary bytes as a connection's and checks that the handler gets the requests that
/// [`read`] finds in them, each once and in order, and that the caller gets an answer to each and
/// nothing else. The first byte chooses how it is cut and read.
///
/// # Panics
/// If something does not hold; that is its purpose.
pub fn try_connection(bytes: &[u8]) {
    let (choice, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let way = match choice % 3 {
        0 => Way::Frames,
        1 => Way::Whole,
        _ => Way::Unread,
    };
    let step = match choice / 3 {
        0 => bytes.len().max(1),
        step => usize::from(step),
    };
    let (seen, got, refused) = connect(bytes.chunks(step), way);
    check_handed_on(&read([bytes]), &seen, refused, way);
    let to_head = seen.iter().map(|request| request.0 == "HEAD");
    check_answers(&got, to_head, seen.len(), refused.is_some());
}

#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
fn check_handed_on(known: &[Read], seen: &[Seen], refused: Option<HeadFault>, way: Way) {
    let mut heads = seen.iter();
    let mut may_refuse = vec![HeadFault::Incomplete, HeadFault::NotSecured];
    for found in known {
        match found {
            // Refused behind the parser: an https resource without TLS. Nothing after it is read.
            Read::Request(request) if is_https(&request.target) => {
                if refused != Some(HeadFault::NotSecured) && way != Way::Unread {
                    panic!("an https resource was not refused");
                }
                break;
            }
            Read::RefusedHead(_) | Read::RefusedBody(_)
                if refused == Some(HeadFault::NotSecured) => {}
            Read::Request(request) => {
                let Some((method, target, body)) = heads.next() else {
                    // A connection ends where a body that nobody reads is too dear to pass over.
                    if way == Way::Unread {
                        break;
                    }
                    panic!("a sound request was not handed on");
                };
                if *method != request.method || *target != request.target {
                    panic!("another request was handed on");
                }
                match body {
                    Some(body) if *body == request.body => {}
                    Some(_) => panic!("another body was handed on"),
                    None if way == Way::Unread => {}
                    None => panic!("the body of a sound request failed"),
                }
            }
            Read::RefusedHead(fault) => {
                if refused.is_none() && way != Way::Unread {
                    panic!("a broken head was not refused");
                }
                may_refuse = vec![*fault];
            }
            Read::RefusedBody(_) if way == Way::Unread => {}
            Read::RefusedBody(_) => {
                if heads.next().is_none_or(|seen| seen.2.is_some()) {
                    panic!("a broken body was taken for a whole one");
                }
            }
        }
    }
    // Beyond these at most one, whose body breaks off.
    if heads.next().is_some_and(|seen| seen.2.is_some()) || heads.next().is_some() {
        panic!("more requests were handed on than came");
    }
    if refused.is_some_and(|fault| !may_refuse.contains(&fault)) {
        panic!("a head was refused for another fault");
    }
}

fn is_https(target: &str) -> bool {
    target
        .get(..8)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn connect<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    way: Way,
) -> (Vec<Seen>, Vec<u8>, Option<HeadFault>) {
    thread_local! {
        static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_time().build().ok();
    }
    let mut pieces: Vec<Bytes> = pieces.map(Bytes::copy_from_slice).collect();
    pieces.reverse();
    let got = Rc::new(RefCell::new(Vec::new()));
    let caller = Caller {
        pieces,
        waits: false,
        got: Rc::clone(&got),
    };
    let seen: RefCell<Vec<Seen>> = RefCell::default();
    let refused = RefCell::new(None);
    let (_wish, stop) = watch::channel(false);
    let handle = |request: Request<Incoming>| {
        let seen = &seen;
        async move {
            let (parts, body) = request.into_parts();
            let at = seen.borrow().len();
            let head = (parts.method.to_string(), parts.uri.to_string(), None);
            seen.borrow_mut().push(head);
            let body = read_body(body, way).await;
            let status = match (&body, way) {
                (None, Way::Frames | Way::Whole) => StatusCode::BAD_REQUEST,
                _ => StatusCode::OK,
            };
            if let Some(seen) = seen.borrow_mut().get_mut(at) {
                seen.2 = body;
            }
            let mut answer = Response::new(Full::new(Bytes::from_static(b"told")));
            *answer.status_mut() = status;
            answer
        }
    };
    let tell = |fault| {
        refused.replace(Some(fault));
    };
    let serving = serve(caller, BytesMut::new(), LIMITS, stop, handle, tell);
    RUNTIME.with(|runtime| {
        if let Some(runtime) = runtime {
            runtime.block_on(serving);
        }
    });
    let got = got.take();
    (seen.take(), got, refused.into_inner())
}

async fn read_body(mut body: Incoming, way: Way) -> Option<Vec<u8>> {
    let at_once = match way {
        Way::Unread => return None,
        Way::Frames => None,
        Way::Whole => body.take_whole(),
    };
    match at_once {
        Some(whole) => Some(whole.to_vec()),
        None => Some(body.collect().await.ok()?.to_bytes().to_vec()),
    }
}

/// One answer to each request, and one to the head that was refused.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
fn check_answers(
    got: &[u8],
    mut to_head: impl Iterator<Item = bool>,
    handed_on: usize,
    refused: bool,
) {
    let mut rest = got;
    let mut count = 0;
    while !rest.is_empty() {
        // A refused HEAD may be answered either way; it is the last.
        let asked = to_head.next();
        let ends = answers::read([rest], asked.unwrap_or(false));
        let answer = match (ends, asked) {
            (answers::Read::Whole(answer), _) => answer,
            (_, None) => match answers::read([rest], true) {
                answers::Read::Whole(answer) => answer,
                _ => panic!("the refusal is no sound answer"),
            },
            _ => panic!("what went back is no sound answer"),
        };
        count += 1;
        if answer.rest > 0 && !answer.keeps_alive {
            panic!("something was sent after the last answer");
        }
        rest = rest.get(rest.len() - answer.rest..).unwrap_or_default();
    }
    if count != handed_on + usize::from(refused) {
        panic!("not each request has one answer");
    }
}
