//! Many records at once: formats `array` and `ndjson`. Decided as a whole, split by region, sent
//! concurrently, answered in the caller's order.

mod merge;
mod send;

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use http::{StatusCode, uri::PathAndQuery};
use jiff::civil::Date;

use super::{
    Content, Exchange, Flow, Judged, Routed, judge, keep, observe, outcome, overtake,
    person::{self, Traces},
    single::{claim, is_encoded},
};
use crate::{
    admit::body::Incoming,
    attest::{Draft, Pinning},
    classify::json::{Item, SplitFaultKind, split_array, split_ndjson},
    decide::Permit,
    domain::{DecisionId, Operation, RegionId, SubjectKey},
    forward::{Framing, fill},
    message::{Field, Fields, Parts, Response},
    respond::Refused,
    settings::{Format, PathTemplate, UpstreamShape},
};
use merge::answer;
use send::send;

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
    permits: Vec<Permit>,
    /// Of the permits.
    drafts: Vec<Draft>,
    /// Entries beside those of permits: refusals, and copies of subjects that are new.
    entries: Vec<Draft>,
    /// Whether anything that goes to this region leaves its subject's home.
    leaves_home: Vec<RegionId>,
    /// By item: the entries of its move, if the region takes it.
    moves: Vec<(usize, [Draft; 2])>,
    /// By item: the subjects whose homes are not known to hold a record yet.
    first: Vec<(usize, SubjectKey)>,
    /// By item: the last day on which it is kept, where the policy says one.
    until: Vec<(usize, Date)>,
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
    let body = x.read(incoming, limits.batch_bytes).await?;
    let framing = match routed.route.settings.format {
        Format::Array => Framing::Array,
        Format::Ndjson | Format::Record | Format::Opaque | Format::Bulk => Framing::Ndjson,
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
        drafts,
        entries,
        leaves_home,
        moves,
        first,
        until,
    } = decided;
    let write = written_by(x, parts, &states, &drafts);
    let held = overtake::hold(x, routed.operation, &write).await?;
    let cleared = x.worker.journal.clear_batch(permits, drafts, entries).await;
    let cleared = cleared.map_err(|e| Refused::Ledger(e.to_string()))?;
    overtake::stand(x, held, &write);
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
    )
    .await?;
    let is_taken = |index: usize| {
        let state = states.get(index).map(|s| &s.state);
        matches!(state, Some(State::Sent { status, .. }) if status.get().is_success())
    };
    for (_, key) in first.into_iter().filter(|(index, _)| is_taken(*index)) {
        overtake::mark(x, key);
    }
    let taken = moves.into_iter().filter(|(index, _)| is_taken(*index));
    let entries = taken.flat_map(|(_, entries)| entries).collect();
    outcome::write_moves(x, entries).await?;
    Ok(answer(x, framing, states, None))
}

/// Whose records go where; empty while no erasure is open that they could overtake.
fn written_by<'p>(
    x: &Exchange<'_>,
    parts: &'p Parts,
    states: &[ItemState],
    drafts: &[Draft],
) -> overtake::Write<'p> {
    if x.worker.shared.erasures.is_empty() {
        return overtake::Write::of(parts.uri.path(), []);
    }
    let regions = states.iter().filter_map(|s| match &s.state {
        State::Sent { region, .. } => Some(*region),
        State::Refused(_) => None,
    });
    // Drafts stand in the order of the permitted items.
    let written = drafts.iter().zip(regions);
    let subjects = written.filter_map(|(draft, region)| Some((draft.subject?, region)));
    overtake::Write::of(parts.uri.path(), subjects)
}

/// Classify, locate and decide every item; nothing is sent or written yet.
async fn decide(x: &Exchange<'_>, routed: &Routed<'_>, body: &Bytes, items: &[Item]) -> Decided {
    let mut decided = Decided {
        items: Vec::with_capacity(items.len()),
        permits: Vec::with_capacity(items.len()),
        drafts: Vec::with_capacity(items.len()),
        entries: Vec::new(),
        leaves_home: Vec::new(),
        moves: Vec::new(),
        first: Vec::new(),
        until: Vec::new(),
    };
    for (index, item) in items.iter().enumerate() {
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        // The answer's own id is that of its first item, so that it too is found in the ledger.
        let decision = if index == 0 {
            x.decision
        } else {
            x.worker.decision_id(x.at)
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
    let index = decided.items.len();
    if flow.operation == Operation::Store && !abroad && !person.stored {
        decided.first.push((index, person.key));
    }
    if let Some(day) = keep::until(x, &flow, &judged) {
        decided.until.push((index, day));
    }
    if !judged.flow_home && !decided.leaves_home.contains(&region) {
        decided.leaves_home.push(region);
    }
    judged.count();
    x.worker.shared.metrics.evidence(person.evidence);
    decided.permits.push(permit);
    decided.drafts.push(draft);
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
    judge::count_refusal(&x.worker.shared.metrics, &draft.profile, refused);
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
        drafts,
        entries,
        ..
    } = decided;
    drop((permits, drafts));
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
    let mut fields = Fields::default();
    refused.headers(x.snapshot.settings.operator_uri.as_deref(), &mut fields);
    fields.remove(Field::ContentType);
    let mut answer = answer(x, framing, items.into(), Some(whole.status()));
    answer.headers_mut().extend(&fields, |_, _, _| true);
    Ok(answer)
}
