//! HTTP/2 to callers: the streams of one connection, each served in a task.
//!
//! Flow control, the states of streams and floods are h2's, behind a second reader of frames and field
//! sections ([`Guarded`]); what a request may be is [`http2`](super::http2)'s. hyper's server would do between the two but for what RFC 9110 §10.1.1
//! demands and it has no way to: the 100 that a caller waits for before it sends its content.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep, sleep_until, timeout},
};

use super::{
    ahead::{self, Ahead, Piece},
    http1::HeadFault,
};
use crate::{
    clock,
    http2::{Guarded, Requests, Scheme, Seen, Undocumented, Unseen},
    settings::Limits,
};
use content::Shared;

pub use content::Body;

mod content;

/// Streams of one connection at one time.
const STREAMS: u32 = 256;

/// What a caller may send of a stream's content before it is read.
const WINDOW: u32 = 256 << 10;

/// The same on the connection: as much as its streams together, so that one whose content nobody takes
/// leaves room to the others. What is held is bounded by streams at work alone.
const WINDOWS: u32 = STREAMS * WINDOW;

/// Streams that were reset before anybody looked at them; more is a flood.
const RESET: usize = 64;

/// Streams that this side reset, and for how long, of which it is remembered that more may be on its way
/// (RFC 9113 §5.1). h2 remembers no newer ones while it has so many: each frame of those is a misdeed.
const REMEMBERED: usize = 4 * STREAMS as usize;
const REMEMBERS: Duration = Duration::from_secs(10);

/// What this side had to reset streams for, as long as the connection lasts; more is a flood.
const MISDEEDS: usize = 4096;

/// What short DATA frames that wait to be read, or came on streams that this side had reset, may fall
/// short of 256 bytes each; more is a flood. Of the latter h2 forgives none, unless by longer ones. So
/// eight streams may fill their windows with frames of 28 bytes, as gRPC's messages are, that nobody
/// reads.
const SHORT_FRAMES: usize = 16 << 20;

/// How long a caller that was asked whether it is there may take to say so.
const ANSWERS: Duration = Duration::from_secs(20);

/// How soon it is looked whether a connection that has to end may, and, of one that may not for long,
/// how often.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A connection after its preface.
pub struct Streams<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Guarded<S, Requests>, Piece>,
    pings: Option<PingPong>,
    seen: Rc<Seen>,
    /// How long the rest of a head may take.
    head: Duration,
    ahead: Ahead,
    /// Requests whose answers are not over, and some whose are.
    open: RefCell<Vec<Weak<Shared>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Streams<S> {
    /// Waits for the preface within `limits.header_read`; `None` if it does not come. Cancel safe
    /// in so far as the connection is lost with it.
    pub async fn accept(io: S, limits: &Limits) -> Option<Self> {
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESET)
            .max_local_error_reset_streams(Some(MISDEEDS))
            .max_concurrent_reset_streams(REMEMBERED)
            .reset_stream_duration(REMEMBERS)
            .data_frame_budget(SHORT_FRAMES)
            .max_send_buffer_size(ahead::STREAM);
        let (io, seen) = Guarded::requests(io, limits.header_bytes);
        let shaken = timeout(limits.header_read, builder.handshake(io)).await;
        let mut connection = shaken.ok()?.ok()?;
        let pings = connection.ping_pong();
        Some(Self {
            connection,
            pings,
            seen,
            head: limits.header_read,
            ahead: Ahead::new(limits.body_stall),
            open: RefCell::default(),
        })
    }

    /// Hands each stream to `begin`, which starts a task for it, until the connection is over. After a fault,
    /// or where the rest of a head does not come in time, what is whole is answered before the end.
    /// Cancel safe.
    pub async fn serve(
        &mut self,
        begin: impl Fn(Stream),
        refused: impl Fn(HeadFault),
        every: Duration,
    ) {
        let Self {
            connection,
            pings,
            seen,
            head,
            ahead,
            open,
        } = self;
        let mut is_ending = false;
        let mut late = Late::new(*head);
        let mut leaving: Option<Pin<Box<Sleep>>> = None;
        let mut pause = LOOK.0;
        let accept = poll_fn(|cx| {
            loop {
                let accepted = connection.poll_accept(cx);
                tell(seen.undocumented(), &refused);
                match accepted {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        if let Some(stream) = Stream::new(request, respond, seen, ahead) {
                            remember(open, &stream.reply);
                            begin(stream);
                        }
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if is_ending => return Poll::Pending,
                    Poll::Pending => {
                        if seen.fault().is_none() && late.poll(cx, seen).is_ready() {
                            seen.found_late();
                            tell(seen.undocumented(), &refused);
                        }
                        let Some(reason) = seen.fault() else {
                            return Poll::Pending;
                        };
                        if leaving.is_none() {
                            break_off(open, seen, reason);
                        }
                        // Whole requests are answered first, unless what was read of them is in doubt.
                        // Nothing more is read of the caller meanwhile.
                        let is_at_work = seen.writes() || is_any_open(open);
                        if is_at_work && reason != Reason::INTERNAL_ERROR {
                            let look = leaving.get_or_insert_with(|| Box::pin(sleep(pause)));
                            while look.as_mut().poll(cx).is_ready() {
                                pause = (pause * 2).min(LOOK.1);
                                look.set(sleep(pause));
                            }
                            return Poll::Pending;
                        }
                        is_ending = true;
                        connection.abrupt_shutdown(reason);
                    }
                }
            }
        });
        let Some(pings) = pings else {
            return accept.await;
        };
        tokio::select! {
            () = accept => {}
            () = lives(pings, every, seen) => {}
        }
    }

    /// Whether something is written that the caller does not take at present.
    pub fn writes(&self) -> impl Fn() -> bool + use<S> {
        let seen = Rc::clone(&self.seen);
        move || seen.writes()
    }

    /// Ends the streams that are left, so that their callers are told that no answer, or no more of
    /// it, will come. What became of their requests is not known (RFC 9113 §8.7).
    pub fn cut(&mut self) {
        for open in self.open.take() {
            if let Some(stream) = open.upgrade() {
                stream.end(Reason::INTERNAL_ERROR);
            }
        }
    }

    /// Lets the streams that were begun end, and takes no others.
    pub fn close(&mut self) {
        self.connection.graceful_shutdown();
    }
}

/// Tells of requests that nobody got to see.
fn tell(undocumented: Undocumented, refused: impl Fn(HeadFault)) {
    let Undocumented {
        malformed,
        too_large,
        too_slow,
    } = undocumented;
    for (count, fault) in [
        (malformed, HeadFault::Malformed),
        (too_large, HeadFault::TooLarge),
        (too_slow, HeadFault::TooSlow),
    ] {
        (0..count).for_each(|_| refused(fault));
    }
}

fn remember(open: &RefCell<Vec<Weak<Shared>>>, reply: &Reply) {
    let mut open = open.borrow_mut();
    if open.len() >= 2 * STREAMS as usize {
        open.retain(|stream| stream.strong_count() > 0);
    }
    open.push(Rc::downgrade(&reply.0));
}

fn is_any_open(open: &RefCell<Vec<Weak<Shared>>>) -> bool {
    let open = open.borrow();
    let mut open = open.iter().filter_map(Weak::upgrade);
    open.any(|stream| !stream.is_answered())
}

/// After a fault: requests that are not whole, and never will be, end.
fn break_off(open: &RefCell<Vec<Weak<Shared>>>, seen: &Seen, reason: Reason) {
    for stream in open.borrow().iter().filter_map(Weak::upgrade) {
        let id = stream.respond.borrow().stream_id();
        if seen.is_unended(id.into()) {
            stream.end(reason);
        }
    }
}

/// Sees when the rest of a head is waited for too long ([`Seen::waits_since`]).
struct Late {
    limit: Duration,
    /// Set for the first that does not come at once, and looked at when it ends: not for each.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Late {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    /// To be asked whenever something may have been read.
    fn poll(&mut self, cx: &mut Context<'_>, seen: &Seen) -> Poll<()> {
        loop {
            let since = seen.waits_since();
            let timer = match (&mut self.timer, since) {
                (None, None) => return Poll::Pending,
                (Some(timer), _) => timer,
                (timer @ None, Some(since)) => {
                    timer.insert(Box::pin(sleep_until(since + self.limit)))
                }
            };
            ready!(timer.as_mut().poll(cx));
            match since {
                Some(since) if since.elapsed() >= self.limit => return Poll::Ready(()),
                Some(since) => timer.set(sleep_until(since + self.limit)),
                None => self.timer = None,
            }
        }
    }
}

/// Ends when the caller does not answer a ping. After a fault nothing is read that could be an answer.
async fn lives(pings: &mut PingPong, every: Duration, seen: &Seen) {
    loop {
        sleep(every).await;
        let is_there = seen.fault().is_some() || answers(pings).await;
        if seen.fault().is_some() {
            return std::future::pending().await;
        }
        if !is_there {
            return;
        }
    }
}

async fn answers(pings: &mut PingPong) -> bool {
    match pings.send_ping(Ping::opaque()) {
        // One may be under way, of before the connection was told to stop.
        Err(error) if error.is_io() => return false,
        _ => {}
    }
    let pong = timeout(ANSWERS, poll_fn(|cx| pings.poll_pong(cx))).await;
    matches!(pong, Ok(Ok(_)))
}

/// A request, and the way to answer it.
pub struct Stream {
    pub request: Request<Body>,
    /// As it was sent, or that the target had a fragment, which h2 takes off.
    pub scheme: Result<Scheme, HeadFault>,
    pub reply: Reply,
}

pub struct Reply(Rc<Shared>, Ahead);

impl Stream {
    /// `None` of a request that is malformed, or was seen otherwise; its stream is reset.
    fn new(
        request: Request<RecvStream>,
        mut respond: SendResponse<Piece>,
        seen: &Rc<Seen>,
        ahead: &Ahead,
    ) -> Option<Self> {
        let (head, received) = request.into_parts();
        let stream = received.stream_id().into();
        let scheme = match seen.head(stream, &head.method, &head.uri, &head.headers) {
            Ok(scheme) => Ok(scheme),
            Err(Unseen::Fragment) => Err(HeadFault::TargetCharacter),
            // RFC 9113 §8.1.1.
            Err(Unseen::Malformed) => {
                respond.send_reset(Reason::PROTOCOL_ERROR);
                return None;
            }
            Err(Unseen::Otherwise) => {
                tracing::error!("h2 reads a request otherwise than it was sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
                return None;
            }
        };
        let shared = Shared::new(respond);
        let body = Body::new(received, &head.headers, &shared, seen);
        Some(Self {
            request: Request::from_parts(head, body),
            scheme,
            reply: Reply(shared, ahead.clone()),
        })
    }
}

impl Reply {
    /// Waits for the answer, and sends it; ends without if the caller resets the stream.
    pub async fn with<B>(self, answer: impl Future<Output = Response<B>>)
    where
        B: HttpBody<Data = Bytes>,
    {
        let mut answered = pin!(self.answer(answer));
        poll_fn(|cx| self.0.poll_answer(cx, answered.as_mut())).await;
    }

    async fn answer<B>(&self, answer: impl Future<Output = Response<B>>)
    where
        B: HttpBody<Data = Bytes>,
    {
        let answer = {
            let mut answer = pin!(answer);
            let answer = poll_fn(|cx| {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                self.0.respond.borrow_mut().poll_reset(cx).map(|_| None)
            });
            answer.await
        };
        if let Some(answer) = answer {
            // What fails here is the caller's connection, or stream: nobody is left to be told.
            let _ = self.send(answer).await;
        }
    }

    async fn send<B>(&self, answer: Response<B>) -> Result<(), h2::Error>
    where
        B: HttpBody<Data = Bytes>,
    {
        let (mut head, body) = answer.into_parts();
        clean(&mut head.headers);
        // RFC 9110 §15.3.6: nothing follows, whatever a region sent.
        let is_reset = head.status == StatusCode::RESET_CONTENT;
        if is_reset {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let is_over = is_reset || body.is_end_stream();
        if let Some(length) = body.size_hint().exact()
            && !is_over
            && head.status != StatusCode::NO_CONTENT
        {
            let fields = head.headers.entry(header::CONTENT_LENGTH);
            fields.or_insert_with(|| length.into());
        }
        let head = Response::from_parts(head, ());
        let mut out = self.0.respond.borrow_mut().send_response(head, is_over)?;
        if is_over {
            return Ok(());
        }
        let mut body = pin!(body);
        let mut patience = None;
        loop {
            let frame = poll_fn(|cx| {
                if let Poll::Ready(reset) = out.poll_reset(cx) {
                    return Poll::Ready(Err(reset.map_or_else(|e| e, h2::Error::from)));
                }
                body.as_mut().poll_frame(cx).map(Ok)
            });
            let frame = match frame.await? {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    out.send_reset(Reason::INTERNAL_ERROR);
                    return Ok(());
                }
                None => return out.send_data(Piece::none(), true),
            };
            match frame.into_data() {
                Ok(mut data) => {
                    let is_last = body.is_end_stream();
                    while !data.is_empty() {
                        let piece = self.1.piece(&mut out, &mut data, &mut patience).await?;
                        let Some(piece) = piece else {
                            tracing::debug!("a caller took nothing of an answer for too long");
                            out.send_reset(Reason::CANCEL);
                            return Ok(());
                        };
                        let ends = is_last && data.is_empty();
                        out.send_data(piece, ends)?;
                        if ends {
                            return Ok(());
                        }
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return out.send_trailers(trailers);
                    }
                }
            }
        }
    }
}

/// RFC 9113 §8.2.2: fields of HTTP/1.1 connections may not stand here. RFC 9110 §6.6.1: a date may.
fn clean(fields: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        fields.remove(name);
    }
    if !fields.contains_key(header::DATE) {
        let now = httpdate::fmt_http_date(SystemTime::from(clock::now()));
        if let Ok(now) = HeaderValue::try_from(now) {
            fields.insert(header::DATE, now);
        }
    }
}
