//! The parts of a decided bulk request on their way to their regions, all at once.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use bytes::Bytes;
use http::{StatusCode, uri::PathAndQuery};
use jiff::civil::Date;

use super::{Fate, Heard, ItemState, SendState, Verdict, erasures::is_refused_at_home};
use crate::{
    attest::{Cleared, Outcomes},
    classify::bulk::BulkItem,
    clock,
    domain::{DecisionId, RegionId},
    forward::{
        BulkAnswer, BulkVerdict, Expected, Framing, Outgoing, OutgoingBody, Part, Split, join_all,
    },
    message::{Field, Fields, Parts},
    pipeline::{
        Exchange,
        call::Call,
        keep,
        landing::{self, Sent, Stray},
        part, pinning,
        rounds::{self, Group},
    },
    respond::Refused,
};

/// Elastic's clients take answers only from servers that say this of themselves.
pub const PRODUCT: &str = "x-elastic-product";

/// What is sent.
pub struct Load<'a> {
    pub parts: &'a Parts,
    pub path: PathAndQuery,
    pub body: &'a Bytes,
    pub items: &'a [BulkItem],
}

/// All regions at once, but for copies to be erased, after their homes; what each answered lands in
/// the states.
pub async fn send(
    x: &Exchange<'_>,
    load: &Load<'_>,
    states: &[ItemState],
    sends: &[SendState],
    cleared: &[Cleared],
    leaves_home: &[RegionId],
    first: &[usize],
) -> Result<Heard, Refused> {
    let rounds = rounds(load, sends)?;
    let guard = Unanswered {
        x,
        states,
        sends,
        first,
        is_looked_at: Cell::new(false),
    };
    let heard = Shared::default();
    for (number, round) in rounds.into_iter().enumerate() {
        // Homes may have taken long: what came into force meanwhile decides of the next try.
        let is_late = number > 0 && x.still_holds().is_err();
        let is_left = |at: &usize| {
            let send = sends.get(*at).filter(|send| !send.is_main);
            send.is_some_and(|copy| is_late || is_refused_at_home(sends, copy))
        };
        let mut ready = Vec::with_capacity(round.len());
        for (mut group, mut split) in round {
            if group.sends.iter().any(is_left) {
                group.sends.retain(|at| !is_left(at));
                split = cut(load, sends, &group)?;
            }
            ready.push((group, split));
        }
        let lanes = ready.into_iter().flat_map(|(group, split)| {
            let parts = split.into_parts().into_iter();
            parts
                .map(move |part| {
                    // Of one region, in the order of the items: so they stand in the part.
                    let own = group.sends.iter();
                    let own = own.filter_map(|at| sends.get(*at).zip(cleared.get(*at)));
                    let own: Vec<_> = own.filter(|(s, _)| s.region == part.region).collect();
                    (group.until, part, own)
                })
                .collect::<Vec<_>>()
        });
        let lanes = lanes.map(|(until, part, own)| {
            let leaves = leaves_home.contains(&part.region);
            let said = Said {
                leaves_home: leaves,
                until,
            };
            send_part(x, load, states, part, own, said, &heard)
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
    Ok(Heard {
        answers: heard.answers.into_inner(),
        is_elastic: heard.is_elastic.get(),
        left: HashMap::new(),
    })
}

/// The rounds, each cut into parts of one region and one last day.
fn rounds(load: &Load<'_>, sends: &[SendState]) -> Result<Vec<Vec<(Group, Split)>>, Refused> {
    let days: Vec<_> = sends.iter().map(|s| s.until).collect();
    let is_copy = |at: usize| sends.get(at).is_some_and(|s| !s.is_main);
    let document = |at: usize| load.items.get(sends.get(at)?.item)?.id(load.body);
    let of_group = |group: Group| {
        let split = cut(load, sends, &group)?;
        Ok((group, split))
    };
    let rounds = rounds::rounds(&days, is_copy, document).into_iter();
    let rounds = rounds.map(|groups| groups.into_iter().map(of_group).collect());
    rounds.collect()
}

fn cut(load: &Load<'_>, sends: &[SendState], group: &Group) -> Result<Split, Refused> {
    let own = group.sends.iter().filter_map(|at| sends.get(*at));
    let ranges = own.map(|s| {
        let range = load.items.get(s.item).map_or(0..0, BulkItem::range);
        (s.item, range, s.region)
    });
    let split = Split::of_items(load.body, Framing::Ndjson, ranges);
    split.map_err(|e| Refused::Malformed(e.to_string()))
}

/// What the head of a part says of all its items.
struct Said {
    leaves_home: bool,
    until: Option<Date>,
}

#[derive(Default)]
struct Shared {
    answers: RefCell<Vec<BulkAnswer>>,
    is_elastic: Cell<bool>,
}

async fn send_part(
    x: &Exchange<'_>,
    load: &Load<'_>,
    states: &[ItemState],
    part: Part,
    own: Vec<(&SendState, &Cleared)>,
    said: Said,
    heard: &Shared,
) {
    let region = part.region;
    let first = own.first().and_then(|(s, _)| states.get(s.item));
    let first = first.map_or(x.decision, |s| s.decision);
    let mut headers = headers(x, load.parts, first, said.leaves_home);
    if let Some(day) = said.until {
        keep::say(day, &mut headers);
    }
    let tell = |send: &SendState, status: StatusCode, verdict: Verdict| {
        send.status.set(status.as_u16());
        if !matches!(verdict, Verdict::Failed(_)) {
            send.came.set(status.as_u16());
        }
        if let Some(Fate::Sent { verdict: cell, .. }) = states.get(send.item).map(|s| &s.fate)
            && send.is_main
        {
            cell.set(verdict);
        }
    };
    let call = Call::begin(x, region, &load.parts.method, &mut headers);
    let mut outgoing = Outgoing {
        method: load.parts.method.clone(),
        path_and_query: Cow::Borrowed(&load.path),
        headers,
        body: OutgoingBody::Slices(part.body.clone()),
        // Its items are not idempotent, though it be a PUT.
        is_once: true,
    };
    let answer = x
        .upstreams
        .send(own.iter().map(|(_, c)| *c), &mut outgoing)
        .await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let refused = Exchange::forward_refused(&error);
            call.failed(refused.name());
            let status = refused.status();
            own.iter()
                .for_each(|(s, _)| tell(s, status, Verdict::Failed(status)));
            return;
        }
    };
    call.answered(answer.status(), answer.body().arrived());
    let product = answer.headers().get(PRODUCT);
    if product.is_some_and(|p| p == "Elasticsearch") {
        heard.is_elastic.set(true);
    }
    let expected = |position: usize| {
        let item = load.items.get(own.get(position)?.0.item)?;
        let id = item.id(load.body).filter(|id| !id.is_empty());
        Some(Expected {
            action: item.action,
            id,
        })
    };
    answer.body_mut().keep_pace();
    let room = |bytes| x.held.grow(bytes).is_ok();
    let sent = (own.len(), part.body.length());
    match BulkAnswer::read(answer, sent, expected, room).await {
        Ok(BulkVerdict::Items(answer)) => {
            let place = heard.answers.borrow().len();
            for (at, ((send, _), told)) in own.iter().zip(answer.items()).enumerate() {
                let verdict = Verdict::BulkItemAnswer {
                    answer: u32::try_from(place).unwrap_or(u32::MAX),
                    at: u32::try_from(at).unwrap_or(u32::MAX),
                    withheld: false,
                };
                tell(send, told.status, verdict);
                send.is_own.set(!told.is_error);
            }
            heard.answers.borrow_mut().push(answer);
        }
        Ok(BulkVerdict::All(status)) => {
            own.iter()
                .for_each(|(s, _)| tell(s, status, Verdict::All(status)));
        }
        Err(why) => {
            let status = why.status();
            own.iter()
                .for_each(|(s, _)| tell(s, status, Verdict::Failed(status)));
        }
    }
}

/// The body goes out unpacked. `first`: the decision of the first item that is sent.
pub fn headers(x: &Exchange<'_>, parts: &Parts, first: DecisionId, leaves_home: bool) -> Fields {
    // Search servers know no key, and an erasure may be sent many times.
    let mut headers = part::head(x, parts, first, leaves_home, false);
    headers.remove(Field::ContentEncoding);
    headers
}

/// Writes the outcome of everything that was permitted, and notes which homes hold a record now,
/// also when the caller goes away before the end: of what a region answered by then, its answer.
struct Unanswered<'g, 'x, 'w> {
    x: &'x Exchange<'w>,
    states: &'g [ItemState],
    sends: &'g [SendState],
    /// Of `sends`, those whose subjects' homes are not known to hold a record yet.
    first: &'g [usize],
    /// What landed late was brought back.
    is_looked_at: Cell<bool>,
}

impl Unanswered<'_, '_, '_> {
    fn strays(&self) -> Vec<Stray> {
        let sent = self.sends.iter().filter_map(|send| {
            Some(Sent {
                whose: send.whose?,
                region: send.region,
                status: send.came.get(),
                decision: self.states.get(send.item)?.decision,
                profile: &send.profile,
                evidence: send.evidence,
                countries: &[],
            })
        });
        landing::strays(self.x, sent)
    }
}

impl Drop for Unanswered<'_, '_, '_> {
    fn drop(&mut self) {
        let at = clock::now();
        let mut outcomes = Outcomes::new(at, self.sends.len());
        for send in self.sends {
            if let Some(state) = self.states.get(send.item) {
                outcomes.push(state.decision, send.came.get());
            }
        }
        self.x.worker.journal.outcomes(outcomes);
        let first = self.first.iter().filter_map(|at| self.sends.get(*at));
        for send in first.filter(|s| (200..300).contains(&s.came.get())) {
            if let Some(whose) = send.whose {
                pinning::mark(self.x, whose.key, send.region);
            }
        }
        if !self.is_looked_at.get() {
            landing::bring_back_aside(self.x, self.strays());
        }
    }
}
