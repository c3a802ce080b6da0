//! The answer on its way back: what of it flows from abroad is judged, and what only the router may
//! say is taken out.

use bytes::Bytes;
use http_body::Body as _;

use super::{
    Content, Exchange, Flow, Routed, judge,
    led::mend_leads,
    person::Person,
    short::{self, Buffering},
};
use crate::{
    admit::headers::drop_own_answers,
    domain::{Operation, RegionId},
    forward::{AnswerBody, throw_away},
    message::{Field, FieldSet, Fields, Response, ResponseParts},
    respond::Refused,
    settings::Answers,
};

/// Fields that tell nothing of the record.
const SAFE: [Field; 7] = [
    Field::Date,
    Field::Etag,
    Field::LastModified,
    Field::RetryAfter,
    Field::Allow,
    Field::CacheControl,
    // Without it nobody could ever show who he is (RFC 9110 §11.6.1).
    Field::WwwAuthenticate,
];

/// Fields by which an answer without content tells what was done, so that its caller misses them. To
/// ask for whatever a server may add would be another decision and another entry for nearly each write.
const TELLING: FieldSet = FieldSet::of(&[
    Field::ContentLocation,
    Field::Link,
    Field::Location,
    Field::SetCookie,
]);
const TELLING_OTHERS: [&str; 3] = ["grpc-message", "grpc-status", "x-amz-version-id"];

/// What [`flow_back`] gives, if it needs neither a judgement nor waiting; else the answer again.
///
/// # Errors
/// The answer leads past the router.
pub fn pass_at_once(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    flow: &Flow,
    answer: Response<AnswerBody>,
) -> Result<Result<Response<Content>, Response<AnswerBody>>, Refused> {
    if routed.route.settings.answers != Answers::Full || !is_free(x, flow) {
        return Ok(Err(answer));
    }
    whole(x, flow.region, answer)
}

/// An answer that passes and is here as a whole, as most are; else the answer again.
fn whole(
    x: &Exchange<'_>,
    region: RegionId,
    mut answer: Response<AnswerBody>,
) -> Result<Result<Response<Content>, Response<AnswerBody>>, Refused> {
    let whole = match answer.body_mut().take_here() {
        Some(whole) => whole,
        None if answer.body().is_end_stream() => Bytes::new(),
        None => return Ok(Err(answer)),
    };
    let mut answer = answer.map(|_| Content::Whole(whole));
    tidy(x, region, &mut answer)?;
    Ok(Ok(answer))
}

/// Takes out what a region may not say.
///
/// # Errors
/// The answer leads past the router.
fn tidy(x: &Exchange<'_>, region: RegionId, answer: &mut Response<Content>) -> Result<(), Refused> {
    let is_redirection = answer.status().is_redirection();
    drop_own_answers(answer.headers_mut());
    mend_leads(x, region, is_redirection, answer.headers_mut())
}

/// Whether an answer's body crosses no border that was not judged with the flow.
fn is_free(x: &Exchange<'_>, flow: &Flow) -> bool {
    let region = x.snapshot.regions.get(flow.region);
    flow.operation == Operation::Read || region.is_some_and(|r| r.place == x.snapshot.location)
}

/// The answer on its way back. What an answer to a write that went abroad holds is a read from
/// there, of whatever lies there: it passes if that read is permitted, with an entry of its own, and
/// is withheld else.
pub async fn flow_back(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    flow: &Flow,
    mut answer: Response<AnswerBody>,
) -> Result<Response<Content>, Refused> {
    drop_own_answers(answer.headers_mut());
    let empty = answer.body().is_end_stream() || answer.body().size_hint().exact() == Some(0);
    let tells = !empty || tell_more(answer.headers());
    let passes = routed.route.settings.answers == Answers::Full
        && match (is_free(x, flow), tells) {
            (true, _) => true,
            (false, false) => false,
            (false, true) => match may_read_back(x, routed, person, flow).await {
                // The write is done, and what an empty answer tells beside its status can be left out.
                Err(Refused::Ledger(_)) if empty => false,
                asked => asked?,
            },
        };
    let answer = match passes {
        true => match whole(x, flow.region, answer)? {
            Ok(answer) => return Ok(answer),
            Err(answer) => answer,
        },
        false => answer,
    };
    // Fields, too, can carry what stands in a record, so those that may stay behind.
    let bare = (!passes).then(|| safe(&answer));
    let buffering = Buffering::of(flow.operation, routed.route.settings.format, &answer);
    let (head, body) = answer.into_parts();
    // Of what is withheld, too, nothing is told before it is known to be whole (RFC 9112 §8).
    let body = Box::pin(short::read(body, buffering))
        .await
        .map_err(|error| {
            let region = x.snapshot.regions.name(flow.region).to_owned();
            let detail = error.to_string();
            match error.fault.is_late() {
                true => Refused::BackendTimeout { region, detail },
                false => Refused::BackendBroken { region, detail },
            }
        })?;
    let Some(mut bare) = bare else {
        let mut answer = Response::from_parts(head, body);
        tidy(x, flow.region, &mut answer)?;
        return Ok(answer);
    };
    if tells {
        bare.headers_mut().insert(Field::DomicileBody, "withheld");
    }
    if let Content::Region(body) = body {
        Box::pin(throw_away(*body)).await;
    }
    Ok(bare)
}

/// Whether fields are there that would be missed.
fn tell_more(fields: &Fields) -> bool {
    fields.may_have(TELLING) || TELLING_OTHERS.iter().any(|name| fields.contains_key(*name))
}

/// Judges the read that an answer to a write is, and writes its entry. One that is refused has none: it
/// is nobody's request, and to tell why would cost as much as the write.
async fn may_read_back(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    flow: &Flow,
) -> Result<bool, Refused> {
    let back = flow.back(routed);
    let cleared = {
        let Some(judged) = judge::judge_if_permitted(x, routed, person, &back)? else {
            return Ok(false);
        };
        let Some(permit) = judged.if_permitted() else {
            return Ok(false);
        };
        let mut traces = x.story.borrow().traces;
        traces.evidence = person.evidence;
        let mut draft = x.draft(&judged, traces);
        draft.holds = judged.take_holds();
        judged.count();
        x.worker.journal.clear(permit, draft)
    };
    match cleared.await {
        Ok(_cleared) => Ok(true),
        Err(error) => Err(Refused::Ledger(error.to_string())),
    }
}

/// Status and fields that tell nothing of the record.
pub fn safe(answer: &Response<AnswerBody>) -> Response<Content> {
    let mut head = ResponseParts::new(answer.status(), Fields::default());
    head.version = answer.version();
    let mut bare = Response::from_parts(Box::new(head), Content::Whole(Bytes::new()));
    for name in SAFE {
        for value in answer.headers().get_all(name) {
            bare.headers_mut().append(name, value.as_bytes());
        }
    }
    // How a call of gRPC went is a number, without which its caller knows nothing; the message beside
    // it may quote the record.
    let media = answer.headers().get(Field::ContentType);
    let media = media.filter(|m| m.as_bytes().starts_with(b"application/grpc"));
    let status = answer.headers().get("grpc-status");
    let status = status.filter(|s| s.as_bytes().iter().all(u8::is_ascii_digit));
    if let (Some(media), Some(status)) = (media, status) {
        bare.headers_mut()
            .append(Field::ContentType, media.as_bytes());
        bare.headers_mut().append("grpc-status", status.as_bytes());
    }
    bare
}
