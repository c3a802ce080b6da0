//! Many records at once: formats `array` and `ndjson`. Decided as a whole, split by region, sent
//! concurrently, answered in the caller's order.

mod decide;
mod facts;
mod merge;
mod send;

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use http::{StatusCode, uri::PathAndQuery};

use super::{
    Content, Exchange, Routed, form::check_form, judge, observe, overtake, part, person::Traces,
    pinning,
};
use crate::{
    admit::{body::Incoming, path},
    attest::Like,
    classify::json::{Item, SplitFaultKind, split_array, split_ndjson},
    domain::{DecisionId, Operation, RegionId, SubjectKey},
    forward::{Framing, fill},
    message::{Field, Fields, Parts, Response},
    respond::Refused,
    settings::{Format, PathTemplate, UpstreamShape},
    state::{Address, WriteGuard},
};
use decide::{Decided, decide, refusal};
use merge::{Failure, answer};
use send::send;

/// What is held of an item beside its bytes until the answer is out, at most: its place, what
/// becomes of it, its entry and outcome on their way into the ledger, and its place in a part.
const ITEM_BYTES: usize = 192;

/// What became of one item so far.
enum State {
    Refused(Rc<Refused>),
    /// Permitted; the status is the region's once it has answered.
    Sent {
        region: RegionId,
        key: SubjectKey,
        /// Where the directory has its subject's home, if it is to know it.
        home: Option<RegionId>,
        /// What its entry is like.
        like: Like,
        status: Cell<StatusCode>,
        /// Why that is not the region's own.
        failed: Cell<Option<Failure>>,
    },
}

struct ItemState {
    decision: DecisionId,
    state: State,
}

pub async fn way(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    incoming: Incoming,
) -> Result<Response<Content>, Refused> {
    let limits = &x.snapshot.settings.limits;
    if routed.operation != Operation::Store
        && !matches!(routed.operation, Operation::Replicate | Operation::Relocate)
    {
        return Err(Refused::MethodNotAllowed(vec![http::Method::POST]));
    }
    if x.snapshot.observe_to.is_none() {
        check_form(parts, &routed.route.settings)?;
        check_key(parts, &routed.route.settings.upstream)?;
    }
    let body = x.read(incoming, limits.batch_bytes).await?;
    let framing = match routed.route.settings.format {
        Format::Array => Framing::Array,
        Format::Ndjson | Format::Record | Format::Form | Format::Opaque | Format::Bulk => {
            Framing::Ndjson
        }
    };
    let items = match framing {
        Framing::Array => split_array(&body, limits.batch_items),
        Framing::Ndjson => split_ndjson(&body, limits.batch_items),
    };
    if let Some(region) = x.snapshot.observe_to {
        return observe::batch(x, routed, parts, body, &items.unwrap_or_default(), region).await;
    }
    let items = items.map_err(|fault| match fault.kind {
        SplitFaultKind::TooMany(limit) => Refused::TooManyItems(limit),
        _ => Refused::Malformed(format!("the batch cannot be split: {fault}")),
    })?;
    x.held
        .grow(items.len().saturating_mul(ITEM_BYTES))
        .map_err(Refused::Body)?;
    let mut decided = decide(x, routed, &body, &items).await?;
    let mut held = None;
    if overtake::may_concern(x, routed.operation) {
        (decided, held) = Box::pin(hold(x, routed, (&body, &items), decided)).await?;
    }
    let refused = decided.items.iter().find_map(|i| match &i.state {
        State::Refused(refused) => Some(Rc::clone(refused)),
        State::Sent { .. } => None,
    });
    if let Some(refused) = refused
        && routed.route.settings.atomic
    {
        return atomic_refusal(x, framing, decided, &refused).await;
    }
    let Decided {
        items: states,
        bundle,
        leaves_home,
        moves,
        first,
        until,
    } = decided;
    let kinds = bundle.shared();
    let cleared = x.worker.journal.clear_bundle(bundle).await;
    let cleared = cleared.map_err(|e| Refused::Ledger(e.to_string()))?;
    if held.is_some() {
        overtake::stand_each(x, held, &written(&states), |index| {
            place(x, routed, parts, items.get(index)?.of(&body))
        });
    }
    let states: Rc<[ItemState]> = states.into();
    send(
        x,
        routed,
        parts,
        &body,
        framing,
        &items,
        &states,
        cleared,
        &leaves_home,
        &until,
        first,
        kinds,
    )
    .await?;
    let is_taken = |index: usize| {
        let state = states.get(index).map(|s| &s.state);
        matches!(state, Some(State::Sent { status, .. }) if status.get().is_success())
    };
    let taken = moves.into_iter().filter(|(index, _)| is_taken(*index));
    let entries = taken.map(|(_, entry)| entry).collect();
    pinning::write_moves(x, entries).await?;
    Ok(answer(x, framing, states, None))
}

/// A caller that sends a key may try again without harm: where each record has a request of its own,
/// these cannot share it.
fn check_key(parts: &Parts, upstream: &UpstreamShape) -> Result<(), Refused> {
    match upstream {
        UpstreamShape::Each { method, .. }
            if !method.is_idempotent() && parts.headers.contains_key(part::IDEMPOTENCY_KEY) =>
        {
            Err(Refused::Malformed(format!(
                "`Idempotency-Key` is of one request, and each record of this batch goes as a {method} of its own: send the records by themselves, or without it"
            )))
        }
        UpstreamShape::Each { .. } | UpstreamShape::Batch => Ok(()),
    }
}

/// Holds what is open where the records go, and decides again if that had to be waited for.
async fn hold(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    (body, items): (&Bytes, &[Item]),
    decided: Decided,
) -> Result<(Decided, Option<WriteGuard>), Refused> {
    let to = written(&decided.items);
    let held = overtake::hold(x, to.iter().map(|(key, region, _)| (*key, *region))).await?;
    if !held.as_ref().is_some_and(WriteGuard::has_waited) {
        return Ok((decided, held));
    }
    x.still_holds()?;
    // Its claims go with it.
    drop(decided);
    let decided = decide(x, routed, body, items).await?;
    if !overtake::is_among(&written(&decided.items), &to) {
        return Err(overtake::moved());
    }
    Ok((decided, held))
}

/// Whose records go where, by item.
fn written(items: &[ItemState]) -> Vec<(SubjectKey, RegionId, usize)> {
    let items = items.iter().enumerate();
    let sent = items.filter_map(|(index, item)| match &item.state {
        State::Sent { region, key, .. } => Some((*key, *region, index)),
        State::Refused(_) => None,
    });
    sent.collect()
}

/// Where an item is written: its own request says, or that of the whole batch.
fn place(x: &Exchange<'_>, routed: &Routed<'_>, parts: &Parts, item: &[u8]) -> Option<Address> {
    match &routed.route.settings.upstream {
        UpstreamShape::Each { path, .. } => {
            let own = each_path(routed, path, item).ok()?;
            Some(overtake::address(x, own.path(), own.query()))
        }
        UpstreamShape::Batch => {
            let uri = &parts.uri;
            Some(overtake::address(x, uri.path(), uri.query()))
        }
    }
}

/// The path of an item's own request, which has to be one that a caller could send ([`path::check`]).
/// Ids that are none are refused before anything is sent.
fn each_path(
    routed: &Routed<'_>,
    template: &PathTemplate,
    item: &[u8],
) -> Result<PathAndQuery, Refused> {
    let subject = judge::subject_text(routed, item).ok_or(Refused::NoSubject)?;
    let filled = fill(template, |name| match name {
        "subject" => Some(subject.as_str().into()),
        // Without its escapes, which are written anew.
        _ => path::decode(routed.head.capture(name)?).ok(),
    })
    .map_err(|fault| fault.to_string());
    let checked = filled.and_then(|filled| match path::check(filled.path()) {
        Ok(()) => Ok(filled),
        Err(fault) => Err(fault.to_string()),
    });
    checked.map_err(|fault| {
        let source = routed.route.settings.subject.as_ref();
        let source = source.map(ToString::to_string).unwrap_or_default();
        Refused::Malformed(format!(
            "the id in `{source}` makes no path of its own (`{}`): {fault}; give the record another id",
            template.text
        ))
    })
}

/// Nothing is sent and nobody pinned: the claims go with the drafts that are dropped here.
async fn atomic_refusal(
    x: &Exchange<'_>,
    framing: Framing,
    decided: Decided,
    refused: &Refused,
) -> Result<Response<Content>, Refused> {
    let Decided { items, bundle, .. } = decided;
    let whole = Refused::AtomicBatch {
        status: refused.status(),
    };
    let mut refusals = bundle.into_refusals();
    if let Some(State::Sent { .. }) = items.first().map(|i| &i.state) {
        // Its id is the answer's own, which is to be found in the ledger.
        let entry = refusal(x, x.decision, &whole, None, Traces::default());
        refusals.push(None, entry);
    }
    let written = x.worker.journal.clear_bundle(refusals).await;
    written
        .map(drop)
        .map_err(|e| Refused::Ledger(e.to_string()))?;
    for item in &items {
        if let State::Sent { status, failed, .. } = &item.state {
            status.set(StatusCode::FAILED_DEPENDENCY);
            failed.set(Some(Failure::Atomic));
        }
    }
    let mut fields = Fields::default();
    refused.headers(x.snapshot.settings.operator_uri.as_deref(), &mut fields);
    fields.remove(Field::ContentType);
    let mut answer = answer(x, framing, items.into(), Some(whole.status()));
    answer.headers_mut().extend(&fields, |_, _, _| true);
    Ok(answer)
}
