//! One answer to a batch, in the caller's order.

use std::rc::Rc;

use http::StatusCode;

use super::{ItemState, State};
use crate::{
    forward::{Framing, ItemAnswer, ItemProblem, NoVerdict, batch_status},
    message::{Field, Response},
    pipeline::{
        Content, Exchange,
        reply::{BatchContent, WriteItem},
    },
    respond::Refused,
    shared::Snapshot,
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
        State::Sent {
            region,
            status,
            failed,
            ..
        } => {
            let region = snapshot.regions.name(*region);
            let status = status.get();
            let failed = failed.get().map(|why| why.refused(region).problem(None));
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

/// Why a permitted item has no status of its region's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Busy,
    Unreachable,
    Late,
    /// What the region answered cannot be used, or it has not answered.
    Broken,
    /// Another item of an atomic batch is refused.
    Atomic,
    /// A fault of ours.
    Internal,
}

impl Failure {
    /// Of what a failed call of a region means.
    pub fn of(refused: &Refused) -> Self {
        match refused {
            Refused::RegionBusy { .. } => Self::Busy,
            Refused::BackendUnreachable { .. } => Self::Unreachable,
            Refused::BackendTimeout { .. } => Self::Late,
            Refused::BackendBroken { .. } => Self::Broken,
            _ => Self::Internal,
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::Busy | Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Broken => StatusCode::BAD_GATEWAY,
            Self::Atomic => StatusCode::FAILED_DEPENDENCY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn refused(self, region: &str) -> Refused {
        let said = |what: &str| format!("region `{region}` {what}");
        let region = region.to_owned();
        match self {
            Self::Busy => Refused::RegionBusy { region },
            Self::Unreachable => Refused::BackendUnreachable {
                detail: said("cannot be reached"),
                region,
            },
            Self::Late => Refused::BackendTimeout {
                detail: said("did not answer in time"),
                region,
            },
            Self::Broken => Refused::BackendBroken {
                detail: said("did not say what became of the item"),
                region,
            },
            Self::Atomic => Refused::AtomicBatch {
                status: self.status(),
            },
            Self::Internal => Refused::Internal("a region was called wrongly"),
        }
    }
}

impl From<NoVerdict> for Failure {
    fn from(why: NoVerdict) -> Self {
        match why {
            NoVerdict::Unclear => Self::Broken,
            NoVerdict::Late => Self::Late,
        }
    }
}

fn item_problem(problem: &crate::problem::Problem) -> ItemProblem<'_> {
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
