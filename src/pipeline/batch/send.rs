//! The parts of a decided batch on their way to their regions, all at once.

use std::{cell::Cell, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use jiff::civil::Date;

use super::{ItemState, State, each_path};
use crate::{
    attest::{Cleared, ClearedBundle, Outcomes, Profile},
    classify::json::Item,
    domain::{EvidenceSet, RegionId},
    forward::{EachItem, Framing, Outgoing, OutgoingBody, Part, Split, Verdicts, join_all},
    message::{Field, Parts},
    pipeline::{
        Exchange, Routed,
        call::{Call, Calls},
        keep,
        landing::{self, Sent, Stray},
        overtake, part,
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
    cleared: ClearedBundle,
    leaves_home: &[RegionId],
    until: &[(usize, Date)],
    first: Vec<usize>,
    kinds: Vec<(Arc<Profile>, EvidenceSet)>,
) -> Result<(), Refused> {
    let groups = split(body, framing, items, states, until)?;
    let guard = Unanswered {
        x,
        states: Rc::clone(states),
        first,
        kinds,
        is_looked_at: Cell::new(false),
    };
    let lanes = groups.into_iter().flat_map(|(until, split)| {
        let parts = split.into_parts().into_iter();
        parts.map(move |part| (until, part))
    });
    let lanes = lanes.map(|(until, part)| {
        let leaves = leaves_home.contains(&part.region);
        send_part(x, routed, parts, part, &cleared, states, leaves, until)
    });
    join_all(lanes).await;
    let strays = guard.strays();
    if !strays.is_empty() {
        Box::pin(landing::bring_back(Arc::clone(&x.worker.shared), strays)).await?;
    }
    guard.is_looked_at.set(true);
    drop(guard);
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
    if until.is_empty() {
        let regions = states.iter().map(|s| match &s.state {
            State::Sent { region, .. } => Some(*region),
            State::Refused(_) => None,
        });
        let ranges = items.iter().map(Item::range);
        let split = match framing {
            Framing::Array => Split::new(body, framing, ranges.zip(regions)),
            // They were split at each line feed: none holds one.
            Framing::Ndjson => {
                let sends = ranges.zip(regions).enumerate();
                let sends = sends.filter_map(|(i, (range, region))| Some((i, range, region?)));
                Split::of_lines(body, sends)
            }
        };
        let split = split.map_err(|e| Refused::Malformed(e.to_string()))?;
        return Ok(vec![(None, split)]);
    }
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
    cleared: &ClearedBundle,
    states: &[ItemState],
    leaves_home: bool,
    until: Option<Date>,
) {
    let upstreams = &x.upstreams;
    let region = part.region;
    let indices = part.indices.iter().filter_map(|i| usize::try_from(*i).ok());
    let like = |i: usize| match states.get(i).map(|s| &s.state) {
        Some(State::Sent { like, .. }) => Some(*like),
        Some(State::Refused(_)) | None => None,
    };
    // The region's own status, or that of a refusal.
    let settle = |i: usize, told: Result<StatusCode, StatusCode>| {
        if let Some(State::Sent { status, came, .. }) = states.get(i).map(|s| &s.state) {
            status.set(told.unwrap_or_else(|ours| ours));
            came.set(told.is_ok());
        }
    };
    let decision = |i: usize| states.get(i).map(|s| s.decision);
    let first = indices.clone().next().and_then(decision);
    let first = first.unwrap_or(x.decision);
    let mut headers = part::head(x, parts, first, leaves_home);
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
                    decision: decision(i)?,
                    cleared: cleared.of(like(i)?)?,
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
                settle(i, outcome.map_err(|refused| refused.status()));
            })
            .await;
        calls.end();
        return;
    }
    let cleared: Vec<&Cleared> = cleared.each(indices.clone().filter_map(like));
    let call = Call::begin(x, region, &parts.method, &mut headers);
    let mut outgoing = Outgoing {
        method: parts.method.clone(),
        path_and_query: path_and_query(parts),
        headers,
        body: OutgoingBody::Slices(part.body.clone()),
        is_once: false,
    };
    let answer = upstreams.send(cleared, &mut outgoing).await;
    match answer {
        Ok(mut answer) => {
            call.answered(answer.status(), answer.body().arrived());
            answer.body_mut().keep_pace();
            let verdicts = Verdicts::read(answer, part.body.items()).await;
            for (position, i) in indices.enumerate() {
                let status = verdicts.as_ref().map_err(|why| why.status());
                let status = status.map(|v| v.status(position));
                settle(i, status.and_then(|s| s.ok_or(StatusCode::BAD_GATEWAY)));
            }
        }
        Err(error) => {
            let refused = Exchange::forward_refused(&error);
            call.failed(refused.name());
            let status = refused.status();
            indices.for_each(|i| settle(i, Err(status)));
        }
    }
}

/// Writes the outcome of every permitted item, and notes which homes hold a record now, also when the
/// caller goes away before the end: of what a region answered by then, its answer.
struct Unanswered<'x, 'w> {
    x: &'x Exchange<'w>,
    states: Rc<[ItemState]>,
    /// Items whose subjects' homes are not known to hold a record yet.
    first: Vec<usize>,
    /// What entries have in common, by their number.
    kinds: Vec<(Arc<Profile>, EvidenceSet)>,
    /// What landed late was brought back.
    is_looked_at: Cell<bool>,
}

impl Unanswered<'_, '_> {
    /// What the region answered; 0: nothing that can be used, so what it did is unknown.
    fn answer(state: &State) -> Option<u16> {
        match state {
            State::Sent { status, came, .. } if came.get() => Some(status.get().as_u16()),
            State::Sent { .. } => Some(0),
            State::Refused(_) => None,
        }
    }

    fn strays(&self) -> Vec<Stray> {
        let sent = self.states.iter().filter_map(|item| self.sent(item));
        landing::strays(self.x, sent)
    }

    /// The item, if it went out and its subject's home stands in the directory.
    fn sent<'s>(&'s self, item: &'s ItemState) -> Option<Sent<'s>> {
        let State::Sent {
            whose: Some(whose),
            region,
            like,
            ..
        } = &item.state
        else {
            return None;
        };
        let (profile, evidence) = self.kinds.get(like.number())?;
        Some(Sent {
            whose: *whose,
            region: *region,
            status: Self::answer(&item.state)?,
            decision: item.decision,
            profile,
            evidence: *evidence,
            countries: &[],
        })
    }
}

impl Drop for Unanswered<'_, '_> {
    fn drop(&mut self) {
        let at = clock::now();
        let mut outcomes = Outcomes::new(at, self.states.len());
        for item in self.states.iter() {
            if let Some(status) = Self::answer(&item.state) {
                outcomes.push(item.decision, status);
            }
        }
        self.x.worker.journal.outcomes(outcomes);
        let first = self.first.iter().filter_map(|at| self.states.get(*at));
        for sent in first.filter_map(|item| self.sent(item)) {
            if (200..300).contains(&sent.status) {
                overtake::mark(self.x, sent.whose.key, sent.region);
            }
        }
        if !self.is_looked_at.get() {
            landing::bring_back_aside(self.x, self.strays());
        }
    }
}
