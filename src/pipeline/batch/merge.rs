//! One answer to a batch, in the caller's order.

use std::rc::Rc;

use http::StatusCode;

use super::{ItemState, State};
use crate::{
    forward::{Framing, ItemAnswer, ItemProblem, batch_status},
    message::{Field, Response},
    pipeline::{
        Content, Exchange,
        reply::{BatchContent, WriteItem},
    },
    respond::Refused,
    router::Snapshot,
};

/// The merged answer: one line or element per item, in order.
pub(super) fn answer(
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
    answer.headers_mut().insert(Field::ContentType, media);
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
        State::Sent { region, status, .. } => {
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
    if status.is_success() {
        return None;
    }
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
