//! Answers flow too: what in a region's items could carry parts of documents is a read from there.
//!
//! Most items hold only what the server counts and numbers, and pass as they came. Of the rest,
//! above all errors, whose reasons may quote a field, those from the location's own country pass;
//! those from abroad pass with an entry of their own where that read is permitted, and are
//! withheld else: the caller then gets status, what was done, and the class of the error.

use super::{
    Fate, Heard, ItemState, Load, Verdict,
    decide::{Homes, TURN},
    lanes::Lanes,
    look::look,
};
use crate::{
    attest::Draft,
    classify::bulk::{Action, BulkItem},
    decide::Permit,
    domain::RegionId,
    pipeline::{Exchange, Flow, judge, person::Traces},
    respond::Refused,
    settings::Answers,
};

/// Marks what is withheld; durable when it returns are the entries of what is not.
///
/// # Errors
/// When the ledger cannot be written.
pub async fn back(
    x: &Exchange<'_>,
    lanes: &Lanes<'_>,
    load: &Load<'_>,
    states: &[ItemState],
    heard: &Heard,
) -> Result<(), Refused> {
    let mut reads = Vec::new();
    for (index, (state, item)) in states.iter().zip(load.items).enumerate() {
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        let Fate::Sent { region, verdict } = &state.fate else {
            continue;
        };
        let Verdict::BulkItemAnswer { answer, at, .. } = verdict.get() else {
            continue;
        };
        if heard.told(answer, at).is_none_or(|(_, told)| told.is_plain) {
            continue;
        }
        match may_pass(x, lanes, item, load.body, *region, state) {
            Passes::Freely => {}
            Passes::With(read) => reads.push(*read),
            Passes::Not => verdict.set(Verdict::BulkItemAnswer {
                answer,
                at,
                withheld: true,
            }),
        }
    }
    if reads.is_empty() {
        return Ok(());
    }
    let written = x.worker.journal.clear_all(reads, Vec::new()).await;
    written
        .map(drop)
        .map_err(|e| Refused::Ledger(e.to_string()))
}

enum Passes {
    Freely,
    With(Box<(Permit, Draft)>),
    Not,
}

fn may_pass(
    x: &Exchange<'_>,
    lanes: &Lanes<'_>,
    item: &BulkItem,
    body: &[u8],
    region: RegionId,
    state: &ItemState,
) -> Passes {
    let Ok(lane) = lanes.of(item, body) else {
        return Passes::Not;
    };
    if lane.store.route.settings.answers == Answers::StatusOnly {
        return Passes::Not;
    }
    let place = x.snapshot.regions.get(region).map(|r| r.place);
    // An erasure's answer has no document to quote.
    if place == Some(x.snapshot.location) || item.action == Action::Delete {
        return Passes::Freely;
    }
    let mut traces = Traces::default();
    let read =
        look(x, lane, item, body, &Homes::default(), &mut traces).and_then(|(routed, person)| {
            traces.evidence = person.evidence;
            let flow = Flow::new(routed, &person, region).back(routed);
            let judged = judge::judge(x, routed, &person, &flow)?;
            let mut draft = x.draft(&judged, traces);
            draft.decision = state.decision;
            let Some(permit) = judged.if_permitted() else {
                return Ok(None);
            };
            draft.holds = judged.take_holds();
            judged.count();
            Ok(Some(Box::new((permit, draft))))
        });
    match read {
        Ok(Some(read)) => Passes::With(read),
        Ok(None) | Err(_) => Passes::Not,
    }
}
