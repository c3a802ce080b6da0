//! One record, one region at a time: formats `record` and `opaque`.

use std::{borrow::Cow, mem, sync::Arc};

use bytes::Bytes;
use http::{Method, uri::PathAndQuery};
use http_body::Body as _;

use super::{
    Content, Exchange, Flow, Judged, Judgement, Routed,
    call::Call,
    erase,
    form::check_form,
    judge, keep,
    landing::{Landing, bring_back_in_time},
    observe,
    outcome::Outcomes,
    overtake,
    person::{self, Person, Traces},
    pinning::{self, PinPlan, Pinnings, Then},
    way_back::{flow_back, pass_at_once},
};
use crate::{
    admit::{
        body::{BodyFault, Incoming, Watched},
        headers::{is_among, nominated},
        http1::FramingFault,
    },
    attest::{Cleared, Clearing, Draft, Unwritable},
    classify::{self, schema::Classified},
    domain::{Operation, RegionId},
    forward::{AnswerBody, Outgoing, OutgoingBody},
    message::{Parts, Response},
    respond::Refused,
    settings::Format,
    shared::Snapshot,
    state::WriteGuard,
};

/// The body of a request, as its route takes it.
pub enum Taken {
    None,
    Whole(Bytes),
    Stream(Incoming),
}

pub async fn way(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    mut body: Incoming,
) -> Result<Response<Content>, Refused> {
    // Here and below: what most requests need no waiting for is not polled, and what waits stands
    // apart, which makes the way shorter and its future small (docs/performance.md).
    let taken = match take_at_once(x, routed, parts, &mut body)? {
        Some(taken) => taken,
        None => Box::pin(take_waiting(x, parts, body)).await?,
    };
    if let Some(region) = x.snapshot.observe_to {
        return Box::pin(observe::single(x, routed, parts, taken, region)).await;
    }
    let mut person = find(x, routed, &taken)?;
    if routed.operation == Operation::Erase {
        return Box::pin(erase::erase(x, routed, parts, &person)).await;
    }
    let mut held = None;
    if overtake::may_concern(x, routed.operation) {
        (person, held) = Box::pin(hold(x, routed, &taken, person)).await?;
    }
    let region = target(routed, &person);
    let flow = Flow::new(routed, &person, region);
    let judged = judge::judge(x, routed, &person, &flow)?;
    let cleared = match begin(x, &person, &flow, &judged)? {
        Attested::Stands(cleared) => cleared,
        Attested::Waits(stands) => stands.await?,
    };
    if held.is_some() {
        overtake::stand(x, held, &parts.uri);
    }
    let leaves_home = !judged.flow_home;
    let mut headers = x.outgoing_headers(parts, leaves_home);
    keep::say_until(x, &flow, &judged, &mut headers);
    let mut outgoing = Outgoing {
        method: parts.method.clone(),
        path_and_query: path_and_query(parts),
        headers,
        body: outgoing_body(x, parts, taken),
        is_once: false,
    };
    let landing = Landing::new(x, &person, &flow, &judged);
    let (answer, outcomes) = send(x, region, &cleared, &mut outgoing).await?;
    let back = match pass_at_once(x, routed, &flow, answer) {
        Ok(Ok(passes)) => Ok(passes),
        Ok(Err(answer)) => flow_back(x, routed, &person, &flow, answer).await,
        Err(refused) => Err(refused),
    };
    // An answer that breaks off tells nothing, and does nothing to where data lies.
    let mut answer = back.inspect_err(|refused| {
        if refused.is_of_the_answer() {
            outcomes.broken();
        }
    })?;
    drop(outcomes);
    let strays = landing.landed(answer.status());
    if !strays.is_empty() {
        Box::pin(bring_back_in_time(Arc::clone(&x.worker.shared), strays)).await?;
    }
    landing.is_looked_at();
    if answer.status().is_success() {
        let plan = PinPlan::new(&person, &flow);
        if plan.then == Then::Moved {
            Box::pin(move_home(x, &flow, &judged)).await?;
        }
        if plan.is_first(&person) {
            pinning::mark(x, person.key, region);
        }
    }
    x.say(answer.headers_mut(), &judged, region);
    Ok(answer)
}

/// Reads what the operation needs of the body, within the limits.
pub async fn take(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    mut incoming: Incoming,
) -> Result<Taken, Refused> {
    match take_at_once(x, routed, parts, &mut incoming)? {
        Some(taken) => Ok(taken),
        None => take_waiting(x, parts, incoming).await,
    }
}

/// What [`take`] gives, if that needs no waiting.
fn take_at_once(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    incoming: &mut Incoming,
) -> Result<Option<Taken>, Refused> {
    if !writes(parts) {
        return Ok(incoming.is_end_stream().then_some(Taken::None));
    }
    if routed.route.settings.format == Format::Opaque {
        let mut incoming = mem::replace(incoming, Incoming::EMPTY);
        incoming.make_room(&x.held).map_err(Refused::Body)?;
        return Ok(Some(Taken::Stream(incoming)));
    }
    if x.snapshot.observe_to.is_none() {
        check_form(parts, &routed.route.settings)?;
    }
    let read = x.read_at_once(incoming, x.snapshot.settings.limits.record_bytes)?;
    Ok(read.map(Taken::Whole))
}

async fn take_waiting(
    x: &Exchange<'_>,
    parts: &Parts,
    incoming: Incoming,
) -> Result<Taken, Refused> {
    if !writes(parts) {
        return take_nothing(x, parts, incoming).await;
    }
    let limit = x.snapshot.settings.limits.record_bytes;
    x.read(incoming, limit).await.map(Taken::Whole)
}

fn writes(parts: &Parts) -> bool {
    matches!(parts.method, Method::PUT | Method::POST | Method::PATCH)
}

/// A body where none is wanted has no meaning that two readers would agree on (RFC 9110 §9.3.1).
/// One that turns out to be empty is none: some senders end a request by an empty frame or chunk.
async fn take_nothing(
    x: &Exchange<'_>,
    parts: &Parts,
    incoming: Incoming,
) -> Result<Taken, Refused> {
    match x.read(incoming, 0).await {
        Ok(_) => Ok(Taken::None),
        Err(Refused::Body(BodyFault::TooLong { .. })) => Err(Refused::Malformed(format!(
            "a {} request on this route has no body",
            parts.method
        ))),
        Err(other) => Err(other),
    }
}

/// Classify and locate; what was found stays in the story, refused or not.
pub fn find(x: &Exchange<'_>, routed: &Routed<'_>, taken: &Taken) -> Result<Person, Refused> {
    let as_json;
    let mut classified = Classified::default();
    let body = match taken {
        Taken::Whole(bytes) if routed.route.settings.format == Format::Form => {
            as_json = form_as_json(bytes)?;
            judge::classify_next(x, routed, &as_json, &mut classified)?;
            Some(&classified)
        }
        Taken::Whole(bytes) => {
            judge::classify_next(x, routed, bytes, &mut classified)?;
            Some(&classified)
        }
        Taken::None | Taken::Stream(_) => None,
    };
    let mut traces = Traces::default();
    let person = person::find(x, routed, body, routed.operation, &mut traces);
    if let Ok(person) = &person {
        traces.evidence = person.evidence;
    }
    x.story.borrow_mut().traces = traces;
    person
}

#[inline(never)]
fn form_as_json(form: &[u8]) -> Result<Vec<u8>, Refused> {
    classify::form::as_json(form).map_err(|fault| Refused::MalformedForm(fault.to_string()))
}

fn target(routed: &Routed<'_>, person: &Person) -> RegionId {
    routed.wishes.target.unwrap_or(person.home)
}

/// Holds what is open of the person where the record goes, and finds the person again if that had to be
/// waited for.
async fn hold(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    taken: &Taken,
    person: Person,
) -> Result<(Person, Option<WriteGuard>), Refused> {
    let to = target(routed, &person);
    let held = overtake::hold(x, [(person.key, to)].into_iter()).await?;
    if !held.as_ref().is_some_and(WriteGuard::has_waited) {
        return Ok((person, held));
    }
    x.still_holds()?;
    let person = find(x, routed, taken)?;
    if target(routed, &person) != to {
        return Err(overtake::moved());
    }
    Ok((person, held))
}

/// The entry stands, or is queued to, before anything is sent; a first home is claimed with it.
pub async fn attest(
    x: &Exchange<'_>,
    person: &Person,
    flow: &Flow,
    judged: &Judgement,
) -> Result<Cleared, Refused> {
    match begin(x, person, flow, judged)? {
        Attested::Stands(cleared) => Ok(cleared),
        Attested::Waits(stands) => stands.await,
    }
}

/// How far [`attest`] comes without waiting.
enum Attested<'x> {
    Stands(Cleared),
    Waits(std::pin::Pin<Box<dyn Future<Output = Result<Cleared, Refused>> + 'x>>),
}

fn begin<'x>(
    x: &'x Exchange<'_>,
    person: &Person,
    flow: &Flow,
    judged: &Judgement,
) -> Result<Attested<'x>, Refused> {
    let permit = judged.permit(x)?;
    let traces = x.story.borrow().traces;
    let mut draft = x.draft(judged, traces);
    draft.reference = flow.reference();
    draft.holds = judged.take_holds();
    let Pinnings { own, second } = PinPlan::new(person, flow).pinnings(x, person, flow.region)?;
    draft.pin = own;
    let second = second.map(|copy| Draft {
        pin: Some(copy),
        ..x.draft(judged, traces)
    });
    judged.count();
    x.worker.shared.metrics.evidence(person.evidence);
    let journal = &x.worker.journal;
    let unwritable = |e: Unwritable| Refused::Ledger(e.to_string());
    let Some(second) = second else {
        return Ok(match journal.begin(permit, draft).map_err(unwritable)? {
            Clearing::Done(cleared) => Attested::Stands(cleared),
            waits => Attested::Waits(Box::pin(async move {
                journal.stands(waits).await.map_err(unwritable)
            })),
        });
    };
    Ok(Attested::Waits(Box::pin(async move {
        let cleared = journal.clear_all(vec![(permit, draft)], vec![second]).await;
        let first = cleared.map_err(unwritable)?.into_iter().next();
        first.ok_or(Refused::Internal("the ledger gave no proof"))
    })))
}

/// The primary lies in the new region now; the old one holds a copy until it is erased.
async fn move_home(x: &Exchange<'_>, flow: &Flow, judged: &Judged) -> Result<(), Refused> {
    let traces = x.story.borrow().traces;
    let entry = pinning::moved(x, flow, x.draft(judged, traces));
    pinning::write_moves(x, vec![entry]).await
}

/// Calls the region; what it answered is written down even if the caller goes away meanwhile, once
/// the second part of what this gives is dropped.
pub async fn send<'x, 'w>(
    x: &'x Exchange<'w>,
    region: RegionId,
    cleared: &Cleared,
    outgoing: &mut Outgoing<'_>,
) -> Result<(Response<AnswerBody>, Outcomes<'x, 'w>), Refused> {
    let outcomes = Outcomes::new(x);
    let call = Call::begin(x, region, &outgoing.method, &mut outgoing.headers);
    let answer = match x.upstreams.way([cleared]) {
        Ok(way) => way.send(outgoing).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => {
            let arrived = answer.body().arrived();
            call.answered(answer.status(), arrived);
            outcomes.answered(answer.status(), Some(arrived));
            Ok((answer, outcomes))
        }
        Err(error) => {
            let refused = Exchange::forward_refused(&error);
            call.failed(refused.name());
            Err(refused)
        }
    }
}

/// Lent: most requests need no copy of it.
pub fn path_and_query(parts: &Parts) -> Cow<'_, PathAndQuery> {
    let own = parts.uri.path_and_query().map(Cow::Borrowed);
    own.unwrap_or_else(|| Cow::Owned(PathAndQuery::from_static("/")))
}

pub fn outgoing_body(x: &Exchange<'_>, parts: &Parts, taken: Taken) -> OutgoingBody {
    match taken {
        Taken::None => OutgoingBody::Empty,
        Taken::Whole(bytes) => OutgoingBody::Whole(bytes),
        Taken::Stream(mut incoming) => {
            // Most short bodies came with their head.
            if let Some(whole) = incoming.take_whole() {
                return OutgoingBody::Whole(whole);
            }
            let length = incoming.size_hint().exact();
            let stall = x.snapshot.settings.limits.body_stall;
            let body = Box::pin(Lifted {
                body: Watched::new(incoming, stall),
                snapshot: Arc::clone(&x.snapshot),
                nominated: nominated(&parts.headers),
            });
            let held = x.held.beside();
            OutgoingBody::Stream { body, length, held }
        }
    }
}

/// [`Watched`] with the error type that bodies on their way out have. Trailer fields that steer a
/// route would come after it was taken; those that `Connection` names end here (RFC 9110 §7.6.1).
struct Lifted {
    body: Watched,
    snapshot: Arc<Snapshot>,
    nominated: Vec<String>,
}

impl http_body::Body for Lifted {
    type Data = Bytes;
    type Error = crate::forward::BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(std::pin::Pin::new(&mut this.body).poll_frame(cx));
        let frame = match frame {
            Some(Ok(frame)) => frame,
            other => return std::task::Poll::Ready(other.map(|f| f.map_err(Into::into))),
        };
        let mut fields = match frame.into_trailers() {
            Ok(fields) => fields,
            Err(frame) => return std::task::Poll::Ready(Some(Ok(frame))),
        };
        let steering = &this.snapshot.steering;
        if fields
            .keys()
            .any(|n| is_among(steering, n.as_str().as_bytes()))
        {
            let fault = BodyFault::Framing(FramingFault::ForbiddenTrailer);
            return std::task::Poll::Ready(Some(Err(fault.into())));
        }
        for name in &this.nominated {
            fields.remove(name.as_str());
        }
        std::task::Poll::Ready(Some(Ok(http_body::Frame::trailers(fields))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
