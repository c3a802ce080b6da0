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
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep, sleep_until, timeout},
};

use super::{
    ahead::{self, Ahead, Piece},
    body::BodyFault,
    http1::{FramingFault, HeadFault},
    http2::check_trailers,
    memory::Held,
};
use crate::{
    http2::{Guarded, Requests, Scheme, Seen, Undocumented, Unseen},
    message::never_indexed,
    settings::Limits,
    telemetry::clock,
};

/// Streams of one connection at one time.
const STREAMS: u32 = 256;

/// What a caller may send of a stream's content before it is read.
const WINDOW: u32 = 256 << 10;

/// The same on the connection: as much as its streams together, so that one whose content nobody takes
/// leaves room to the others. What is held is bounded by streams at work alone.
const WINDOWS: u32 = STREAMS * WINDOW;

/// Streams that were reset before anybody looked at them; more is a flood.
const RESET: usize = 64;

/// Streams that this side had to reset; more is a flood.
const MISDEEDS: usize = 1024;

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
    open: RefCell<Vec<Weak<RefCell<SendResponse<Piece>>>>>,
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
            ahead: Ahead::new(),
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
            if let Some(respond) = open.upgrade() {
                respond.borrow_mut().send_reset(Reason::INTERNAL_ERROR);
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

fn remember(open: &RefCell<Vec<Weak<RefCell<SendResponse<Piece>>>>>, reply: &Reply) {
    let mut open = open.borrow_mut();
    if open.len() >= 2 * STREAMS as usize {
        open.retain(|respond| respond.strong_count() > 0);
    }
    open.push(Rc::downgrade(&reply.0));
}

fn is_any_open(open: &RefCell<Vec<Weak<RefCell<SendResponse<Piece>>>>>) -> bool {
    open.borrow().iter().any(|r| r.strong_count() > 0)
}

/// After a fault: requests that are not whole, and never will be, end.
fn break_off(open: &RefCell<Vec<Weak<RefCell<SendResponse<Piece>>>>>, seen: &Seen, reason: Reason) {
    for respond in open.borrow().iter().filter_map(Weak::upgrade) {
        let mut respond = respond.borrow_mut();
        if seen.is_unended(respond.stream_id().into()) {
            respond.send_reset(reason);
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

type Respond = Rc<RefCell<SendResponse<Piece>>>;

/// A request, and the way to answer it.
pub struct Stream {
    pub request: Request<Body>,
    /// As it was sent, or that the target had a fragment, which h2 takes off.
    pub scheme: Result<Scheme, HeadFault>,
    pub reply: Reply,
}

pub struct Reply(Respond, Ahead);

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
        let respond = Rc::new(RefCell::new(respond));
        let waits = !received.is_end_stream() && head.headers.contains_key(header::EXPECT);
        let body = Body {
            left: match received.is_end_stream() {
                true => Some(0),
                false => length(&head.headers),
            },
            received,
            continues: waits.then(|| Rc::clone(&respond)),
            has_data: true,
            last: None,
            trailers: None,
            room: None,
            seen: Rc::clone(seen),
        };
        Some(Self {
            request: Request::from_parts(head, body),
            scheme,
            reply: Reply(respond, ahead.clone()),
        })
    }
}

/// What `Content-Length` announces. h2 sees to it that so much comes.
fn length(fields: &HeaderMap) -> Option<u64> {
    let text = fields.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

impl Reply {
    /// Waits for the answer, and sends it; ends without if the caller resets the stream.
    pub async fn with<B>(self, answer: impl Future<Output = Response<B>>)
    where
        B: HttpBody<Data = Bytes>,
    {
        let mut answer = pin!(answer);
        let answer = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            self.0.borrow_mut().poll_reset(cx).map(|_| None)
        });
        if let Some(answer) = answer.await {
            // What fails here is the caller's connection, or stream: nobody is left to be told.
            let _ = self.send(answer).await;
        }
    }

    async fn send<B>(self, answer: Response<B>) -> Result<(), h2::Error>
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
        let mut out = self.0.borrow_mut().send_response(head, is_over)?;
        if is_over {
            return Ok(());
        }
        let mut body = pin!(body);
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
                        let piece = self.1.piece(&mut out, &mut data).await?;
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

/// The content of a request, as it comes. Dropping it at any point is safe.
pub struct Body {
    received: RecvStream,
    /// Whom the caller waits to hear a 100 from, until it did.
    continues: Option<Respond>,
    /// Trailer fields may follow.
    has_data: bool,
    /// Still to come, where that is known.
    left: Option<u64>,
    /// All that was announced has come with this, but not the stream's end: trailers may follow that
    /// make the request malformed, and who has all of its content could take it for whole.
    last: Option<Bytes>,
    /// They follow what is kept.
    trailers: Option<Box<HeaderMap>>,
    /// For what comes before it is read.
    room: Option<Held>,
    seen: Rc<Seen>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.seen.forget(self.received.stream_id().into());
    }
}

impl Body {
    /// Takes room for as much as may come before it is read: for content that is read no faster than a
    /// region takes it. The caller may send all of it at once, and that can be refused now alone.
    ///
    /// # Errors
    /// [`BodyFault::NoRoom`].
    pub fn make_room(&mut self, held: &Held) -> Result<(), BodyFault> {
        let most = WINDOW as usize;
        let left = self.size_hint().exact().map(usize::try_from);
        let room = held.beside();
        room.grow(left.map_or(most, |left| left.unwrap_or(most).min(most)))?;
        self.room = Some(room);
        Ok(())
    }

    /// Content that may be handed on; what it announced ends with is kept until the stream ends.
    fn unless_last(&mut self, data: Bytes) -> Option<Bytes> {
        if self.last.is_some() {
            // Empty: h2 takes no more than was announced.
            return None;
        }
        self.left = self.left.map(|n| n.saturating_sub(data.len() as u64));
        if self.left == Some(0) && !self.received.is_end_stream() {
            self.last = Some(data);
            return None;
        }
        Some(data)
    }

    /// Whether the trailers are what was seen, and may be taken.
    fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), BodyFault> {
        let stream = self.received.stream_id().into();
        match self.seen.trailers(stream, trailers) {
            Ok(()) => Ok(check_trailers(trailers)?),
            Err(Unseen::Otherwise) => Err(BodyFault::Broken),
            Err(_) => Err(FramingFault::Trailer.into()),
        }
    }

    /// Of content that is wanted and has not begun to come (RFC 9110 §10.1.1).
    fn say_continue(&mut self) {
        if let Some(respond) = self.continues.take() {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            let _ = respond.borrow_mut().send_informational(go_on);
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        while this.has_data {
            let Poll::Ready(data) = this.received.poll_data(cx) else {
                this.say_continue();
                return Poll::Pending;
            };
            match data {
                Some(Ok(data)) => {
                    this.continues = None;
                    // Fails only for more than came.
                    let _ = this.received.flow_control().release_capacity(data.len());
                    if let Some(data) = this.unless_last(data) {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                // Whatever the code: a stream that was reset did not come to its end.
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyFault::Broken))),
                None => this.has_data = false,
            }
        }
        if this.trailers.is_none()
            && let Some(trailers) = ready!(this.received.poll_trailers(cx)).transpose()
        {
            let trailers = trailers.map_err(|_| BodyFault::Broken);
            let checked = trailers.and_then(|t| this.check_trailers(&t).map(|()| never_indexed(t)));
            match checked {
                Ok(trailers) => this.trailers = Some(Box::new(trailers)),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
        }
        let last = this.last.take().map(Frame::data);
        let frame = last.or_else(|| this.trailers.take().map(|t| Frame::trailers(*t)));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_end_stream() && self.last.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.last.as_ref().map_or(0, Bytes::len) as u64;
        match self.left.map(|left| left + kept) {
            // Empty it is only when its stream has ended.
            Some(length) if length > 0 || self.is_end_stream() => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
