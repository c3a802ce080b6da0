//! The way of a record: admit → classify → locate → decide → attest → forward → answer.
//!
//! [`handle`] is the outer function: it alone turns refusals into answers, writes their ledger
//! entries and measures. [`way`] tells the story; the modules below are its stations' callers.

mod batch;
mod bulk;
mod call;
mod counted;
mod disclose;
mod erase;
mod exchange;
mod form;
mod judge;
mod keep;
mod landing;
mod led;
mod observe;
mod outcome;
mod overtake;
mod part;
mod person;
mod personal;
mod pinning;
mod query;
mod remember;
mod reply;
mod retry;
mod rounds;
mod short;
mod single;
mod way_back;
mod wishes;
mod worker;

use http::{Method, Version};

pub use exchange::{Exchange, Routed};
pub use judge::{Flow, Judged};
pub(crate) use person::{number_id, usable};
pub use remember::{Judgement, Judgements};
pub use reply::{Content, Reply};
pub use retry::{Kept, Lanes, keep_trying};
pub use worker::Worker;

use crate::{
    admit::{body::Incoming, handshake::Peer, hops, pace::AtWork, path, route::NoRoute},
    message::{Field, FieldSet, Request, Response},
    respond::Refused,
    settings::Format,
};

/// Fields by which a backend may be told to take the request for one of another method: what was
/// judged as a store could erase, or the other way round.
const METHOD_OVERRIDES: FieldSet = FieldSet::of(&[
    Field::XHttpMethodOverride,
    Field::XHttpMethod,
    Field::XMethodOverride,
]);

/// Fields by which some frameworks and gateways take a request for one of another path: whose record
/// it is, and by which route, would have been judged of the path that nobody goes by.
const TARGET_OVERRIDES: FieldSet = FieldSet::of(&[Field::XOriginalUrl, Field::XRewriteUrl]);

/// Answers one request, whatever it is.
///
/// Cancel safety: when the caller goes away the future is dropped; a region's call under way is
/// broken off, and the outcome entry of a permit whose bytes may have left is still written.
pub async fn handle(
    worker: &Worker,
    peer: &Peer,
    request: Request<Incoming>,
    at_work: AtWork,
) -> Response<Reply> {
    let x = Exchange::new(worker, peer, &request);
    let reader = bulk::reader(&x.snapshot, &request.parts);
    let limit = x.snapshot.settings.data_plane.concurrent_requests;
    let place = worker.at_work.enter(limit);
    let answered = match place {
        Some(_) => way(&x, request).await,
        None => Err(Refused::Overloaded),
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(refused) => {
            let answer = x.refuse(refused).await;
            match reader {
                Some(reader) => bulk::shape(answer, reader),
                None => answer,
            }
        }
    };
    let answer = x.finish(answer);
    let pending = x.entry(&answer);
    answer.map(|content| Reply::new(content, at_work, place, x.held, pending))
}

/// One request, station by station.
async fn way(x: &Exchange<'_>, request: Request<Incoming>) -> Result<Response<Content>, Refused> {
    if x.uncertified {
        return Err(Refused::CallerCertificate);
    }
    let (parts, body) = request.into_parts();
    // An `Upgrade` is not followed (RFC 9110 §7.8 allows that, and some clients offer h2c with
    // every first request); the field is dropped with the other hop-by-hop ones.
    let overrides = parts.uri.query().is_some_and(query::overrides_method);
    if overrides || parts.headers.may_have(METHOD_OVERRIDES) {
        return Err(Refused::MethodOverride);
    }
    if parts.headers.may_have(TARGET_OVERRIDES) {
        return Err(Refused::TargetOverride);
    }
    if parts.method == Method::CONNECT {
        return Err(Refused::Tunnel);
    }
    let spent = hops::are_spent(&parts.method, &parts.headers).map_err(Refused::Head)?;
    if spent || parts.method == Method::TRACE {
        return Err(Refused::LastHop);
    }
    if hops::is_circle(&parts.headers) {
        return Err(Refused::Circle);
    }
    // RFC 9112 §3.2: one Host, no more and no less.
    let hosts = parts.headers.get_all(Field::Host).count();
    let named = hosts > 0 || parts.uri.authority().is_some() || parts.version == Version::HTTP_10;
    if hosts > 1 || !named {
        return Err(Refused::Host);
    }
    path::check(parts.uri.path()).map_err(Refused::Path)?;
    let (index, captures) = x.route(&x.snapshot, &parts).map_err(|none| match none {
        NoRoute::Path => Refused::NoRoute,
        NoRoute::Method(methods) => Refused::MethodNotAllowed(methods),
        NoRoute::MediaType(types) => Refused::MediaType(types),
        NoRoute::Folded(fault) => Refused::Folded(fault),
    })?;
    let routed = x.admit(&x.snapshot, index, captures, &parts)?;
    if let Some(recipient) = &routed.route.recipient {
        return Box::pin(disclose::way(x, &routed, &parts, body, recipient)).await;
    }
    match routed.route.settings.format {
        Format::Record | Format::Form | Format::Opaque => {
            single::way(x, &routed, &parts, body).await
        }
        // Boxed, here and below: a request's future is moved to its place as a whole, so the rare
        // ways must not make it large.
        Format::Array | Format::Ndjson => Box::pin(batch::way(x, &routed, &parts, body)).await,
        Format::Bulk => Box::pin(bulk::way(x, routed, &parts, body)).await,
    }
}
