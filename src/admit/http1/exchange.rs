//! One request and its answer on a connection, and what becomes of the connection after it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Version;
use http_body::Body as HttpBody;
use tokio::time::Instant;

use super::{
    Limits, Transport,
    answer::{Sender, Sent, watch_upload},
    body::{Body, Source},
    encode::{Asked, wants_close},
    fault::HeadFault,
    head::Head,
    link::{Link, Meanwhile},
    stop::Stop,
};
use crate::{
    admit::{body::Incoming, refusal::refusal},
    http1::{pool, pulse::Pulse},
    message::{Request, Response},
};

/// So much of a body that nobody reads is taken for the connection's sake.
const SPARED: u64 = 64 << 10;

/// How long a caller may go on sending to a connection that was ended, so that it gets to read
/// the answer before the reset that its bytes would cause.
const LINGER: Duration = Duration::from_secs(2);

/// Serves one request; whether the connection serves another one after it.
pub(super) async fn serve<S, F, A, B>(
    link: &Rc<Link<S>>,
    head: Head,
    limits: &Limits,
    pulse: &mut Pulse,
    stop: &mut Stop,
    handle: &F,
) -> bool
where
    S: Transport,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>>,
    B: HttpBody<Data = Bytes>,
{
    let asked = Asked::new(&head.parts.method, head.parts.version, head.takes_trailers);
    let (keeps_alive, stall) = (head.keeps_alive, limits.body_stall);
    let answer = {
        let mut answer = pin!(handle(request(link, head)));
        poll_fn(|cx| poll_answer(answer.as_mut(), link, pulse, stall, cx)).await
    };
    let Some(answer) = answer else {
        link.wire().end();
        return false;
    };
    let (parts, body) = answer.into_parts();
    let (keeps, before) = {
        let mut wire = link.wire();
        let keeps = keeps_alive
            && !stop.is_wanted()
            && !wants_close(&parts.headers)
            && (wire.is_whole() || spares(&mut wire));
        (keeps, wire.settle_continue())
    };
    // What the answer holds is let go when it is out, whatever the connection waits for then.
    let (sent, keeps, ends_with_connection) = {
        let mut body = pin!(body);
        let (mut sender, keeps) = Sender::new(&parts, body.as_mut(), asked, keeps, before);
        drop(parts);
        let mut torn = Torn(sender.ends_with_connection().then_some(link));
        let sent = poll_fn(|cx| sender.poll(cx, link, pulse, stall)).await;
        if sent == Sent::Whole {
            torn.0 = None;
        }
        (sent, keeps, sender.ends_with_connection())
    };
    match sent {
        Sent::Whole => {}
        Sent::Broken if !ends_with_connection => {
            end(link, pulse, stall, false).await;
            return false;
        }
        Sent::Broken | Sent::Gone => {
            let mut wire = link.wire();
            wire.io.tear();
            wire.end();
            return false;
        }
    }
    if keeps && !link.wire().is_whole() {
        let until = Instant::now() + stall;
        poll_fn(|cx| poll_rest(link, pulse, until, cx)).await;
        let is_whole = link.wire().is_whole();
        link.wire().end();
        return is_whole;
    }
    if !keeps {
        end(link, pulse, stall, false).await;
    }
    keeps
}

/// An answer that ends with its connection and is not whole. Its end is no orderly one, even where
/// nobody is left to see to that: the drain is over, or the task has panicked.
struct Torn<'l, S: Transport>(Option<&'l Link<S>>);

impl<S: Transport> Drop for Torn<'_, S> {
    fn drop(&mut self) {
        if let Some(link) = self.0 {
            link.tear();
        }
    }
}

fn request<S: Transport>(link: &Rc<Link<S>>, head: Head) -> Request<Incoming> {
    let decoder = head.framing.into();
    let turn = link.wire().begin(decoder, head.expects_continue);
    let body = if decoder.is_done() {
        Body::EMPTY
    } else {
        Body::new(Rc::clone(link) as Rc<dyn Source>, turn)
    };
    Request {
        parts: head.parts,
        body: Incoming::Http1(body),
    }
}

/// The handler's answer; `None` if the connection broke meanwhile.
fn poll_answer<S, A, B>(
    answer: Pin<&mut A>,
    link: &Link<S>,
    pulse: &mut Pulse,
    stall: Duration,
    cx: &mut Context<'_>,
) -> Poll<Option<Response<B>>>
where
    S: Transport,
    A: Future<Output = Response<B>>,
{
    if let Poll::Ready(answer) = answer.poll(cx) {
        return Poll::Ready(Some(answer));
    }
    let meanwhile = link.wire().watch(cx);
    if meanwhile == Meanwhile::Gone {
        return Poll::Ready(None);
    }
    watch_upload(cx, link, pulse, stall);
    Poll::Pending
}

/// Whether what is left of a body that is not whole can be taken for the connection's sake.
fn spares<S: Transport>(wire: &mut super::link::Wire<S>) -> bool {
    // A reader that is still at it reads in its own time; a caller that waits for a 100 sends
    // nothing, or everything.
    if wire.has_reader() || !wire.discard() {
        return false;
    }
    let is_short = wire.left().is_some_and(|left| left <= SPARED);
    wire.is_whole() || (is_short && !wire.awaits_continue())
}

/// Reads the rest of a body that nobody wants.
fn poll_rest<S: Transport>(
    link: &Link<S>,
    pulse: &mut Pulse,
    until: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let mut wire = link.wire();
    loop {
        if !wire.discard() || wire.is_whole() || wire.ended {
            return Poll::Ready(());
        }
        match wire.poll_fill(cx, pool::SIZE / 2) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => break,
        }
    }
    pulse.poll(cx, until)
}

/// Ends a connection in order, so that the caller gets to read its answer. `sends`: the caller may
/// be sending in any case.
pub(super) async fn end<S: Transport>(
    link: &Link<S>,
    pulse: &mut Pulse,
    stall: Duration,
    sends: bool,
) {
    let until = Instant::now() + stall;
    let shut = poll_fn(|cx| {
        let polled = Pin::new(&mut link.wire().io).poll_shutdown(cx);
        match polled {
            Poll::Ready(shut) => Poll::Ready(shut.is_ok()),
            Poll::Pending => {
                ready!(pulse.poll(cx, until));
                Poll::Ready(false)
            }
        }
    });
    let shut = shut.await;
    if !shut {
        link.wire().end();
        return;
    }
    // A region that answered early may still take the body: as long as it does.
    let (mut seen, mut since) = (link.wire().reads, Instant::now());
    poll_fn(|cx| {
        watch_upload(cx, link, pulse, stall);
        let mut wire = link.wire();
        if wire.is_whole() || !wire.has_reader() {
            return Poll::Ready(());
        }
        if wire.reads != seen {
            (seen, since) = (wire.reads, Instant::now());
        }
        let _ = wire.watch(cx);
        pulse.poll(cx, since + stall)
    })
    .await;
    let lingers = {
        let mut wire = link.wire();
        wire.end();
        !wire.ended && (sends || !wire.is_whole() || !wire.bytes.is_empty())
    };
    if lingers {
        linger(link, pulse).await;
    }
}

/// Takes what the caller still sends, for a short time.
async fn linger<S: Transport>(link: &Link<S>, pulse: &mut Pulse) {
    let until = Instant::now() + LINGER;
    poll_fn(|cx| {
        let mut wire = link.wire();
        loop {
            wire.bytes.clear();
            if wire.ended || Instant::now() >= until {
                return Poll::Ready(());
            }
            match wire.poll_fill(cx, 1024) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        pulse.poll(cx, until)
    })
    .await;
}

/// Answers a request whose head cannot be served, and ends the connection.
pub(super) async fn refuse<S: Transport>(
    link: &Link<S>,
    fault: HeadFault,
    is_head: bool,
    limits: &Limits,
    pulse: &mut Pulse,
) {
    // Of HEAD the content is left out as it is sent.
    let (parts, body) = refusal(fault, "1.1 domicile", true).into_parts();
    let asked = Asked {
        version: Version::HTTP_11,
        is_head,
        takes_trailers: false,
    };
    let mut body = pin!(body);
    let (mut sender, _) = Sender::new(&parts, body.as_mut(), asked, false, b"");
    let sent = poll_fn(|cx| sender.poll(cx, link, pulse, limits.body_stall)).await;
    drop(sender);
    match sent {
        Sent::Whole | Sent::Broken => {
            // Whatever follows a broken head is not looked at.
            end(link, pulse, limits.body_stall, true).await;
        }
        Sent::Gone => link.wire().io.tear(),
    }
}
