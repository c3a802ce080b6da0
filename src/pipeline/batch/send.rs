//! The parts of a decided batch on their way to their regions, all at once.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use http::StatusCode;
use jiff::civil::Date;

use super::{ItemState, State, each_path};
use crate::{
    attest::{Cleared, OutcomeDraft},
    classify::json::Item,
    domain::RegionId,
    forward::{EachItem, Framing, Outgoing, OutgoingBody, Part, Split, Verdicts, join_all},
    message::{Field, Parts},
    pipeline::{
        Exchange, Routed,
        call::{Call, Calls},
        keep,
        single::path_and_query,
    },
    respond::Refused,
    settings::UpstreamShape,
    telemetry::clock,
};

/// All regions at once; what each answered lands in the items' states.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one batch, used together once"
)]
pub(super) async fn send(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    body: &Bytes,
    framing: Framing,
    items: &[Item],
    states: &Rc<[ItemState]>,
    cleared: Vec<Cleared>,
    leaves_home: &[RegionId],
    until: &[(usize, Date)],
) -> Result<(), Refused> {
    let groups = split(body, framing, items, states, until)?;
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
    let lanes = groups.into_iter().flat_map(|(until, split)| {
        let parts = split.into_parts().into_iter();
        parts.map(move |part| (until, part))
    });
    let lanes = lanes.map(|(until, part)| {
        let leaves = leaves_home.contains(&part.region);
        send_part(x, routed, parts, part, &proofs, states, leaves, until)
    });
    join_all(lanes).await;
    guard.tell();
    Ok(())
}

/// One split for each last day that the items have, so that `Domicile-Retain-Until` is true of
/// every record in a part. There are no more of them than retention rules, and mostly one.
fn split(
    body: &Bytes,
    framing: Framing,
    items: &[Item],
    states: &[ItemState],
    until: &[(usize, Date)],
) -> Result<Vec<(Option<Date>, Split)>, Refused> {
    let mut days: Vec<Option<Date>> = vec![None; states.len()];
    let mut groups: Vec<Option<Date>> = Vec::new();
    for (index, day) in until {
        if let Some(slot) = days.get_mut(*index) {
            *slot = Some(*day);
        }
    }
    for (state, day) in states.iter().zip(&days) {
        if matches!(state.state, State::Sent { .. }) && !groups.contains(day) {
            groups.push(*day);
        }
    }
    let of_group = |group: Option<Date>| {
        let regions = states.iter().zip(&days).map(|(s, day)| match &s.state {
            State::Sent { region, .. } if *day == group => Some(*region),
            State::Sent { .. } | State::Refused(_) => None,
        });
        let ranges = items.iter().map(Item::range);
        let split = Split::new(body, framing, ranges.zip(regions));
        split.map(|split| (group, split))
    };
    let split: Result<Vec<_>, _> = groups.into_iter().map(of_group).collect();
    split.map_err(|e| Refused::Malformed(e.to_string()))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one batch, used together once"
)]
async fn send_part(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    part: Part,
    proofs: &[Option<Cleared>],
    states: &[ItemState],
    leaves_home: bool,
    until: Option<Date>,
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
    let mut headers = x.outgoing_headers(parts, leaves_home);
    if let Some(day) = until {
        keep::say(day, &mut headers);
    }
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
        headers.insert(Field::ContentType, "application/json");
        let calls = Calls::begin(x, region, method, &mut headers);
        upstreams
            .send_each(method, &headers, each, |position, outcome| {
                let Some(i) = sent.borrow().get(position).copied() else {
                    return;
                };
                let outcome = outcome.map_err(|e| Exchange::forward_refused(&e));
                calls.one(outcome.as_ref().copied().map_err(Refused::name));
                settle(i, outcome.unwrap_or_else(|refused| refused.status()));
            })
            .await;
        calls.end();
        return;
    }
    let cleared: Vec<&Cleared> = indices.clone().filter_map(proof).collect();
    let call = Call::begin(x, region, &parts.method, &mut headers);
    let outgoing = Outgoing {
        method: parts.method.clone(),
        path_and_query: path_and_query(parts),
        headers,
        body: OutgoingBody::Slices(part.body.clone()),
    };
    let answer = upstreams.send(cleared, outgoing).await;
    match answer {
        Ok(answer) => {
            call.answered(answer.status(), answer.body().arrived());
            let verdicts = Verdicts::read(answer, part.body.items()).await;
            for (position, i) in indices.enumerate() {
                let status = verdicts.as_ref().ok().and_then(|v| v.status(position));
                settle(i, status.unwrap_or(StatusCode::BAD_GATEWAY));
            }
        }
        Err(error) => {
            let refused = Exchange::forward_refused(&error);
            call.failed(refused.name());
            let status = refused.status();
            indices.for_each(|i| settle(i, status));
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
        let told = self.told.get();
        let outcomes = self.states.iter().filter_map(|item| {
            let State::Sent { status, .. } = &item.state else {
                return None;
            };
            Some(OutcomeDraft {
                at,
                decision: item.decision,
                status: if told { status.get().as_u16() } else { 0 },
            })
        });
        self.x.worker.journal.outcomes(outcomes);
    }
}
