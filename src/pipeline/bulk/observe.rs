//! Observe mode: every item is decided and logged, and the request goes where it goes today, just
//! as it came.

use bytes::Bytes;

use super::{decide::Homes, lanes::Lanes, look::look};
use crate::{
    classify::bulk::{Action, BulkItem},
    domain::RegionId,
    forward::OutgoingBody,
    message::{Parts, Response},
    pipeline::{
        Content, Exchange,
        observe::{self, Noted},
        person::Traces,
    },
    respond::Refused,
};

/// `read` is the unpacked body and its items, as far as it could be read; `sent` what goes on.
pub async fn way(
    x: &Exchange<'_>,
    lanes: &Lanes<'_>,
    parts: &Parts,
    (body, items): (&Bytes, &[BulkItem]),
    sent: Bytes,
    to: RegionId,
) -> Result<Response<Content>, Refused> {
    let homes = Homes::default();
    let mut noted = Noted::default();
    for (index, item) in items.iter().enumerate() {
        let mut traces = Traces::default();
        x.story.borrow_mut().profile = None;
        let would = (|| {
            let lane = lanes.of(item, body).map_err(Refused::Bulk)?;
            let (routed, person) = look(x, lane, item, body, &homes, &mut traces)?;
            traces.evidence = person.evidence;
            let region = match item.action {
                Action::Delete => person.home,
                _ => routed.wishes.target.unwrap_or(person.home),
            };
            observe::judged(x, routed, &person, region)
        })();
        x.story.borrow_mut().traces = traces;
        noted.add(x, would, observe::own_id(x, index));
    }
    lanes.call_by_first(x);
    // As when it enforces: its items are not idempotent, though it be a PUT.
    let body = (OutgoingBody::Whole(sent), true);
    observe::pass(x, parts, body, noted, to).await
}
