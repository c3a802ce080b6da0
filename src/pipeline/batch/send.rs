//! The parts of a decided batch on their way to their regions, all at once.

use std::{cell::Cell, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use jiff::civil::Date;

use super::{Failure, ItemState, State, each_path};
use crate::{
    attest::{Cleared, ClearedBundle, Outcomes, Profile},
    classify::json::Item,
    clock,
    domain::{EvidenceSet, RegionId},
    forward::{
        EachItem, Framing, Outgoing, OutgoingBody, Part, Split, SplitError, Verdicts, join_all,
    },
    message::{Field, Parts},
    pipeline::{
        Exchange, Routed,
        call::{Call, Calls},
        keep,
        landing::{self, Sent, Stray, Whose},
        part, pinning,
        rounds::{Group, rounds},
        single::path_and_query,
    },
    respond::Refused,
    settings::UpstreamShape,
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
    let rounds = split(body, framing, items, states, until)?;
    let guard = Unanswered {
        x,
        states: Rc::clone(states),
        first,
        kinds,
        is_looked_at: Cell::new(false),
    };
    let is_each = matches!(routed.route.settings.upstream, UpstreamShape::Each { .. });
    let has_key = !is_each && matches!(rounds.as_slice(), [round] if round.len() <= 1);
    for round in rounds {
        let lanes = round.into_iter().flat_map(|(until, split)| {
            let parts = split.into_parts().into_iter();
            parts.map(move |part| (until, part))
        });
        let lanes = lanes.map(|(until, part)| {
            let leaves = leaves_home.contains(&part.region);
            let head = Head {
                leaves_home: leaves,
                until,
                has_key,
            };
            send_part(x, routed, parts, part, &cleared, states, head)
        });
        join_all(lanes).await;
    }
    let strays = guard.strays();
    if !strays.is_empty() {
        Box::pin(landing::bring_back_in_time(
            Arc::clone(&x.worker.shared),
            strays,
        ))
        .await?;
    }
    guard.is_looked_at.set(true);
    drop(guard);
    Ok(())
}

/// What goes at the same time, by last day.
type Round = Vec<(Option<Date>, Split)>;

/// The rounds, each cut by last day, so that `Domicile-Retain-Until` is true of every record in a part.
/// There are no more days than retention rules, and mostly one; more than one round only where the
/// records of one person have several.
fn split(
    body: &Bytes,
    framing: Framing,
    items: &[Item],
    states: &[ItemState],
    until: &[(usize, Date)],
) -> Result<Vec<Round>, Refused> {
    let malformed = |e: SplitError| Refused::Malformed(e.to_string());
    let sends = states.iter().zip(items).enumerate();
    let sends = sends.filter_map(|(index, (state, item))| match &state.state {
        State::Sent { region, key, .. } => Some((index, item.range(), *region, *key)),
        State::Refused(_) => None,
    });
    if until.is_empty() {
        let sends = sends.map(|(index, range, region, _)| (index, range, region));
        let split = Split::of_items(body, framing, sends).map_err(malformed)?;
        return Ok(vec![vec![(None, split)]]);
    }
    let mut of_items: Vec<Option<Date>> = vec![None; states.len()];
    for (index, day) in until {
        if let Some(slot) = of_items.get_mut(*index) {
            *slot = Some(*day);
        }
    }
    let sends: Vec<_> = sends.collect();
    let days = sends.iter().map(|(index, ..)| of_items.get(*index));
    let days: Vec<_> = days.map(|day| day.copied().flatten()).collect();
    let whose = |at: usize| sends.get(at).map(|(_, _, _, key)| *key);
    let of_group = |group: Group| {
        let own = group.sends.iter().filter_map(|at| sends.get(*at));
        let own = own.map(|(index, range, region, _)| (*index, range.clone(), *region));
        let split = Split::of_items(body, framing, own);
        split.map(|split| (group.until, split)).map_err(malformed)
    };
    let rounds = rounds(&days, |_| false, whose).into_iter();
    let rounds = rounds.map(|groups| groups.into_iter().map(of_group).collect());
    rounds.collect()
}

/// What the head of a part says of all its items.
struct Head {
    leaves_home: bool,
    until: Option<Date>,
    has_key: bool,
}

async fn send_part(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    part: Part,
    cleared: &ClearedBundle,
    states: &[ItemState],
    head: Head,
) {
    let upstreams = &x.upstreams;
    let region = part.region;
    let indices = part.indices.iter().filter_map(|i| usize::try_from(*i).ok());
    let like = |i: usize| match states.get(i).map(|s| &s.state) {
        Some(State::Sent { like, .. }) => Some(*like),
        Some(State::Refused(_)) | None => None,
    };
    let whose = |i: usize| match states.get(i).map(|s| &s.state) {
        Some(State::Sent { key, .. }) => Some(*key),
        Some(State::Refused(_)) | None => None,
    };
    let settle = |i: usize, told: Result<StatusCode, Failure>| {
        if let Some(State::Sent { status, failed, .. }) = states.get(i).map(|s| &s.state) {
            status.set(told.unwrap_or_else(Failure::status));
            failed.set(told.err());
        }
    };
    let decision = |i: usize| states.get(i).map(|s| s.decision);
    let first = indices.clone().next().and_then(decision);
    let first = first.unwrap_or(x.decision);
    let mut headers = part::head(x, parts, first, head.leaves_home, head.has_key);
    if let Some(day) = head.until {
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
                    whose: whose(i)?,
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
                settle(i, outcome.map_err(|refused| Failure::of(&refused)));
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
                let told = verdicts.as_ref().map_err(|why| Failure::from(*why));
                let told = told.map(|v| v.status(position));
                settle(i, told.and_then(|s| s.ok_or(Failure::Broken)));
            }
        }
        Err(error) => {
            let refused = Exchange::forward_refused(&error);
            call.failed(refused.name());
            let failure = Failure::of(&refused);
            indices.for_each(|i| settle(i, Err(failure)));
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
            State::Sent { status, failed, .. } if failed.get().is_none() => {
                Some(status.get().as_u16())
            }
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
            key,
            home: Some(home),
            region,
            like,
            ..
        } = &item.state
        else {
            return None;
        };
        let (profile, evidence) = self.kinds.get(like.number())?;
        Some(Sent {
            whose: Whose {
                key: *key,
                home: *home,
            },
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
                pinning::mark(self.x, sent.whose.key, sent.region);
            }
        }
        if !self.is_looked_at.get() {
            landing::bring_back_aside(self.x, self.strays());
        }
    }
}
