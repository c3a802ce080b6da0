//! Many records at once: formats `array` and `ndjson`. Decided as a whole, split by region, sent
//! concurrently, answered in the caller's order.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts, uri::PathAndQuery};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    Content, Exchange, Flow, Judged, Routed, judge, observe, outcome,
    person::{self, Traces},
    reply::{BatchContent, WriteItem},
    single::{claim, is_encoded, path_and_query},
};
use crate::{
    admit::body,
    attest::{Cleared, Draft, OutcomeDraft, Pinning},
    classify::json::{Item, SplitFaultKind, split_array, split_ndjson},
    domain::{DecisionId, Operation, RegionId},
    forward::{
        EachItem, Framing, ItemAnswer, ItemProblem, Outgoing, OutgoingBody, Part, Split, Verdicts,
        batch_status, fill, join_all,
    },
    respond::Refused,
    router::Snapshot,
    settings::{Format, PathTemplate, UpstreamShape},
    telemetry::clock,
};

/// Items that are decided before other requests of the worker have their turn.
const TURN: usize = 512;

/// What became of one item so far.
enum State {
    Refused(Rc<Refused>),
    /// Permitted; the status is the region's once it has answered.
    Sent {
        region: RegionId,
        status: Cell<StatusCode>,
    },
}

struct ItemState {
    decision: DecisionId,
    state: State,
}

/// A batch, decided.
struct Decided {
    items: Vec<ItemState>,
    permits: Vec<(crate::decide::Permit, Draft)>,
    /// Entries beside those of permits: refusals, and copies of subjects that are new.
    entries: Vec<Draft>,
    /// Whether anything that goes to this region leaves its subject's home.
    leaves_home: Vec<RegionId>,
    /// By item: the entries of its move, if the region takes it.
    moves: Vec<(usize, [Draft; 2])>,
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
    if is_encoded(parts) && x.snapshot.observe_to.is_none() {
        return Err(Refused::ContentEncoding);
    }
    let body = body::read_whole(incoming, limits.batch_bytes, limits.body_stall)
        .await
        .map_err(Refused::Body)?;
    let framing = match routed.route.settings.format {
        Format::Array => Framing::Array,
        Format::Ndjson | Format::Record | Format::Opaque => Framing::Ndjson,
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
    let decided = decide(x, routed, &body, &items).await;
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
        permits,
        entries,
        leaves_home,
        moves,
    } = decided;
    let cleared = x.worker.journal.clear_all(permits, entries).await;
    let cleared = cleared.map_err(|e| Refused::Ledger(e.to_string()))?;
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
    )
    .await?;
    let taken = moves.into_iter().filter(|(index, _)| {
        let state = states.get(*index).map(|s| &s.state);
        matches!(state, Some(State::Sent { status, .. }) if status.get().is_success())
    });
    let entries = taken.flat_map(|(_, entries)| entries).collect();
    outcome::write_moves(x, entries).await?;
    Ok(answer(x, framing, states, None))
}

/// Classify, locate and decide every item; nothing is sent or written yet.
async fn decide(x: &Exchange<'_>, routed: &Routed<'_>, body: &Bytes, items: &[Item]) -> Decided {
    let mut decided = Decided {
        items: Vec::with_capacity(items.len()),
        permits: Vec::with_capacity(items.len()),
        entries: Vec::new(),
        leaves_home: Vec::new(),
        moves: Vec::new(),
    };
    for (index, item) in items.iter().enumerate() {
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        // The answer's own id is that of its first item, so that it too is found in the ledger.
        let decision = if index == 0 {
            x.decision
        } else {
            x.worker.decision_id()
        };
        let mut traces = Traces::default();
        let state = match decide_item(
            x,
            routed,
            item.of(body),
            decision,
            &mut traces,
            &mut decided,
        ) {
            Ok(region) => State::Sent {
                region,
                status: Cell::new(StatusCode::BAD_GATEWAY),
            },
            Err((refused, judged)) => {
                decided
                    .entries
                    .push(refusal(x, decision, &refused, judged.as_deref(), traces));
                State::Refused(Rc::new(refused))
            }
        };
        decided.items.push(ItemState { decision, state });
    }
    decided
}

type ItemRefused = (Refused, Option<Rc<Judged>>);

fn decide_item(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    bytes: &[u8],
    decision: DecisionId,
    traces: &mut Traces,
    decided: &mut Decided,
) -> Result<RegionId, ItemRefused> {
    let plain = |refused| (refused, None);
    let classified = judge::classify(routed, bytes).map_err(plain)?;
    let person = person::find(x, routed, Some(&classified), routed.operation, traces);
    let person = person.map_err(plain)?;
    traces.evidence = person.evidence;
    if let UpstreamShape::Each { path, .. } = &routed.route.settings.upstream {
        each_path(routed, path, bytes).map_err(plain)?;
    }
    let region = routed.wishes.target.unwrap_or(person.home);
    let flow = Flow::new(routed, &person, region);
    let judged = judge::judge(x, routed, &person, &flow).map_err(plain)?;
    let permit = match judged.permit(x) {
        Ok(permit) => permit,
        Err(refused) => return Err((refused, Some(judged.shared()))),
    };
    let mut draft = x.draft(&judged, *traces);
    draft.decision = decision;
    draft.reference = flow.reference();
    draft.holds = judged.take_holds();
    let abroad = region != person.home;
    if person.claims {
        draft.pin = claim(x, &person).map_err(plain)?;
    }
    if abroad {
        let copy = Pinning::Copy {
            region: x.snapshot.regions.name(region).into(),
        };
        if draft.pin.is_none() {
            draft.pin = Some(copy);
        } else {
            let mut second = x.draft(&judged, *traces);
            second.decision = decision;
            second.pin = Some(copy);
            decided.entries.push(second);
        }
    }
    if flow.operation == Operation::Relocate {
        let entries = outcome::moved(x, &person, &flow, || Draft {
            decision,
            ..x.draft(&judged, *traces)
        });
        decided.moves.push((decided.items.len(), entries));
    }
    if !judged.flow_home && !decided.leaves_home.contains(&region) {
        decided.leaves_home.push(region);
    }
    judged.count();
    x.worker.shared.metrics.evidence(person.evidence);
    decided.permits.push((permit, draft));
    Ok(region)
}

/// The path of an item's own request. Ids that could lead out of the collection, once somebody
/// decodes them, are refused before anything is sent.
fn each_path(
    routed: &Routed<'_>,
    template: &PathTemplate,
    item: &[u8],
) -> Result<PathAndQuery, Refused> {
    let subject = judge::subject_text(routed, item).ok_or(Refused::NoSubject)?;
    if subject.split(['/', '\\']).any(|s| matches!(s, "." | "..")) {
        let detail = "the record's id has a `.` or `..` segment, which no path can carry";
        return Err(Refused::Malformed(detail.to_owned()));
    }
    fill(template, |name| {
        (name == "subject")
            .then_some(subject.as_str())
            .or_else(|| routed.head.capture(name))
    })
    .map_err(|fault| Refused::Malformed(fault.to_string()))
}

fn refusal(
    x: &Exchange<'_>,
    decision: DecisionId,
    refused: &Refused,
    judged: Option<&Judged>,
    traces: Traces,
) -> Draft {
    let mut draft = match judged {
        Some(judged) => x.draft(judged, traces),
        None => {
            let profile = judge::plain_refusal(x, &x.story.borrow(), refused);
            x.plain_draft(profile, traces)
        }
    };
    draft.decision = decision;
    judge::count_decision(&x.worker.shared.metrics, &draft.profile);
    draft
}

/// Nothing is sent and nobody pinned: the claims go with the drafts that are dropped here.
async fn atomic_refusal(
    x: &Exchange<'_>,
    framing: Framing,
    decided: Decided,
    refused: &Refused,
) -> Result<Response<Content>, Refused> {
    let Decided {
        items,
        permits,
        entries,
        ..
    } = decided;
    drop(permits);
    let whole = Refused::AtomicBatch {
        status: refused.status(),
    };
    let mut refusals: Vec<Draft> = entries.into_iter().filter(|e| e.pin.is_none()).collect();
    if let Some(State::Sent { .. }) = items.first().map(|i| &i.state) {
        // Its id is the answer's own, which is to be found in the ledger.
        refusals.push(refusal(x, x.decision, &whole, None, Traces::default()));
    }
    let written = x.worker.journal.clear_all(Vec::new(), refusals).await;
    written.map_err(|e| Refused::Ledger(e.to_string()))?;
    for item in &items {
        if let State::Sent { status, .. } = &item.state {
            status.set(StatusCode::FAILED_DEPENDENCY);
        }
    }
    let mut fields = http::HeaderMap::new();
    refused.headers(x.snapshot.settings.operator_uri.as_deref(), &mut fields);
    fields.remove(header::CONTENT_TYPE);
    let mut answer = answer(x, framing, items.into(), Some(whole.status()));
    answer.headers_mut().extend(fields);
    Ok(answer)
}

/// All regions at once; what each answered lands in the items' states.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one batch, used together once"
)]
async fn send(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    body: &Bytes,
    framing: Framing,
    items: &[Item],
    states: &Rc<[ItemState]>,
    cleared: Vec<Cleared>,
    leaves_home: &[RegionId],
) -> Result<(), Refused> {
    let regions = states.iter().map(|s| match &s.state {
        State::Sent { region, .. } => Some(*region),
        State::Refused(_) => None,
    });
    let ranges = items.iter().map(Item::range);
    let split = Split::new(body, framing, ranges.zip(regions))
        .map_err(|e| Refused::Malformed(e.to_string()))?;
    // `cleared` stands in the order of the permitted items.
    let mut proofs: Vec<Option<Cleared>> = Vec::with_capacity(states.len());
    let mut cleared = cleared.into_iter();
    for state in states.iter() {
        proofs.push(match state.state {
            State::Sent { .. } => cleared.next(),
            State::Refused(_) => None,
        });
    }
    let guard = Unanswered {
        x,
        states: Rc::clone(states),
        told: Cell::new(false),
    };
    let lanes = split.into_parts().into_iter().map(|part| {
        let leaves = leaves_home.contains(&part.region);
        send_part(x, routed, parts, part, &proofs, states, leaves)
    });
    join_all(lanes).await;
    guard.tell();
    Ok(())
}

async fn send_part(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    part: Part,
    proofs: &[Option<Cleared>],
    states: &[ItemState],
    leaves_home: bool,
) {
    let upstreams = &x.upstreams;
    let region = part.region;
    let indices = part.indices.iter().filter_map(|i| usize::try_from(*i).ok());
    let proof = |i: usize| proofs.get(i).and_then(Option::as_ref);
    let settle = |i: usize, status: StatusCode| {
        if let Some(State::Sent { status: cell, .. }) = states.get(i).map(|s| &s.state) {
            cell.set(status);
        }
    };
    let headers = x.outgoing_headers(parts, leaves_home);
    if let UpstreamShape::Each { method, path } = &routed.route.settings.upstream {
        let each = indices.clone().zip(0..).filter_map(|(i, position)| {
            let body = part.body.item(position)?;
            let path = each_path(routed, path, &body).ok()?;
            Some((
                i,
                EachItem {
                    cleared: proof(i)?,
                    path,
                    body,
                },
            ))
        });
        let sent: std::cell::RefCell<Vec<usize>> = std::cell::RefCell::default();
        let each = each.map(|(i, item)| {
            sent.borrow_mut().push(i);
            item
        });
        let mut headers = headers;
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let started = Instant::now();
        upstreams
            .send_each(method, &headers, each, |position, outcome| {
                let Some(i) = sent.borrow().get(position).copied() else {
                    return;
                };
                settle(i, status_of(x, region, started, outcome));
            })
            .await;
        return;
    }
    let cleared: Vec<&Cleared> = indices.clone().filter_map(proof).collect();
    let outgoing = Outgoing {
        method: parts.method.clone(),
        path_and_query: path_and_query(parts),
        headers,
        body: OutgoingBody::Slices(part.body.clone()),
    };
    let started = Instant::now();
    let answer = upstreams.send(cleared, outgoing).await;
    match answer {
        Ok(answer) => {
            x.count_call(region, started, "answered");
            let verdicts = Verdicts::read(answer, part.body.items()).await;
            for (position, i) in indices.enumerate() {
                let status = verdicts.as_ref().ok().and_then(|v| v.status(position));
                settle(i, status.unwrap_or(StatusCode::BAD_GATEWAY));
            }
        }
        Err(error) => {
            let status = status_of(x, region, started, Err(error));
            indices.for_each(|i| settle(i, status));
        }
    }
}

fn status_of(
    x: &Exchange<'_>,
    region: RegionId,
    started: Instant,
    outcome: Result<StatusCode, crate::forward::ForwardError>,
) -> StatusCode {
    match outcome {
        Ok(status) => {
            x.count_call(region, started, "answered");
            status
        }
        Err(error) => {
            let refused = Exchange::forward_refused(&error);
            x.count_call(region, started, refused.name());
            refused.status()
        }
    }
}

/// Writes the outcome of every permitted item, also when the caller goes away before the end.
struct Unanswered<'x, 'w> {
    x: &'x Exchange<'w>,
    states: Rc<[ItemState]>,
    told: Cell<bool>,
}

impl Unanswered<'_, '_> {
    fn tell(&self) {
        self.told.set(true);
    }
}

impl Drop for Unanswered<'_, '_> {
    fn drop(&mut self) {
        let at = clock::now();
        for item in self.states.iter() {
            if let State::Sent { status, .. } = &item.state {
                let status = if self.told.get() {
                    status.get().as_u16()
                } else {
                    0
                };
                let outcome = OutcomeDraft {
                    at,
                    decision: item.decision,
                    status,
                };
                self.x.worker.journal.outcome(outcome);
            }
        }
    }
}

/// The merged answer: one line or element per item, in order.
fn answer(
    x: &Exchange<'_>,
    framing: Framing,
    states: Rc<[ItemState]>,
    status: Option<StatusCode>,
) -> Response<Content> {
    let statuses = states.iter().map(|s| match &s.state {
        State::Refused(refused) => refused.status(),
        State::Sent { status, .. } => status.get(),
    });
    let status = status.unwrap_or_else(|| batch_status(statuses));
    let count = u32::try_from(states.len()).unwrap_or(u32::MAX);
    let snapshot = std::sync::Arc::clone(&x.snapshot);
    let write: WriteItem = Box::new(move |index, writer| {
        let item = usize::try_from(index).ok().and_then(|i| states.get(i));
        write_item(&snapshot, item, writer)
    });
    let mut answer = Response::new(Content::Batch(BatchContent::new(framing, count, write)));
    *answer.status_mut() = status;
    let media = match framing {
        Framing::Array => "application/json",
        Framing::Ndjson => "application/x-ndjson",
    };
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

fn write_item(
    snapshot: &Snapshot,
    item: Option<&ItemState>,
    writer: crate::forward::ItemWriter<'_>,
) -> crate::forward::Written {
    let Some(item) = item else {
        return writer.answer(&ItemAnswer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            region: None,
            decision: None,
            problem: None,
        });
    };
    match &item.state {
        State::Sent { region, status } => {
            let region = snapshot.regions.name(*region);
            let status = status.get();
            let failed = failure(status, region).map(|r| r.problem(None));
            writer.answer(&ItemAnswer {
                status,
                region: Some(region),
                decision: Some(item.decision),
                problem: failed.as_ref().map(item_problem),
            })
        }
        State::Refused(refused) => {
            let problem = refused.problem(None);
            writer.answer(&ItemAnswer {
                status: refused.status(),
                region: problem.region.as_deref(),
                decision: Some(item.decision),
                problem: Some(item_problem(&problem)),
            })
        }
    }
}

/// What a permitted item's failing status means, where it is the router that set it.
fn failure(status: StatusCode, region: &str) -> Option<Refused> {
    let region = region.to_owned();
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            let detail = format!("region `{region}` cannot be reached or is busy");
            Some(Refused::BackendUnreachable { region, detail })
        }
        StatusCode::GATEWAY_TIMEOUT => {
            let detail = format!("region `{region}` did not answer in time");
            Some(Refused::BackendTimeout { region, detail })
        }
        StatusCode::BAD_GATEWAY => {
            let detail = format!("region `{region}` did not say what became of the item");
            Some(Refused::BackendBroken { region, detail })
        }
        StatusCode::FAILED_DEPENDENCY => Some(Refused::AtomicBatch { status }),
        _ => None,
    }
}

fn item_problem(problem: &crate::respond::Problem) -> ItemProblem<'_> {
    ItemProblem {
        kind: &problem.kind,
        title: problem.title,
        detail: Some(&problem.detail),
        rule: problem.rule.as_deref(),
        citation: problem.citation.as_deref(),
        from: problem.from.as_ref(),
        to: problem.to.as_ref(),
        missing: problem.missing.as_deref(),
    }
}
