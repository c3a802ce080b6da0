//! Observe mode: everything is decided and logged, and goes where it goes today.
//!
//! Nobody is pinned, since the records do not lie where the policy would have put them.

use bytes::Bytes;

use super::{
    Content, Exchange, Flow, Routed, judge,
    person::{self, Traces},
    single::{self, Taken},
};
use crate::{
    attest::{Draft, Profile},
    classify::json::Item,
    domain::{DecisionId, RegionId},
    forward::{Outgoing, OutgoingBody},
    message::{Parts, Response},
    respond::Refused,
};

pub async fn single(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    taken: Taken,
    to: RegionId,
) -> Result<Response<Content>, Refused> {
    let would = single::find(x, routed, &taken).and_then(|person| {
        let region = routed.wishes.target.unwrap_or(person.home);
        let judged = judge::judge(x, routed, &person, &Flow::new(routed, &person, region))?;
        x.story.borrow_mut().profile = Some(std::sync::Arc::clone(&judged.profile));
        judged.permit(x).map(drop)
    });
    let draft = note(x, &would, None);
    let body = single::outgoing_body(x, taken);
    pass(x, parts, body, vec![draft], to).await
}

pub async fn batch(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    body: Bytes,
    items: &[Item],
    to: RegionId,
) -> Result<Response<Content>, Refused> {
    let drafts = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let mut traces = Traces::default();
            x.story.borrow_mut().profile = None;
            let would = judge::classify(routed, item.of(&body)).and_then(|classified| {
                let body = Some(&classified);
                let person = person::find(x, routed, body, routed.operation, &mut traces)?;
                let region = routed.wishes.target.unwrap_or(person.home);
                let judged = judge::judge(x, routed, &person, &Flow::new(routed, &person, region))?;
                x.story.borrow_mut().profile = Some(std::sync::Arc::clone(&judged.profile));
                judged.permit(x).map(drop)
            });
            x.story.borrow_mut().traces = traces;
            note(x, &would, own_id(x, index))
        })
        .collect();
    pass(x, parts, OutgoingBody::Whole(body), drafts, to).await
}

/// The id of an item: the first has the request's own, which the caller and the region are told, so
/// that it is found in the ledger.
pub(super) fn own_id(x: &Exchange<'_>, index: usize) -> Option<DecisionId> {
    (index > 0).then(|| x.worker.decision_id(x.at))
}

/// The entry of what the policy would have done.
pub(super) fn note(
    x: &Exchange<'_>,
    would: &Result<(), Refused>,
    decision: Option<DecisionId>,
) -> Draft {
    let story = x.story.borrow();
    let reached = x.snapshot.observe_to.map(|to| x.snapshot.regions.name(to));
    let observed = |profile: &Profile| judge::observed_profile(profile, reached);
    // Permitted or not, what happens is that the flow goes elsewhere: `observe` says so, and
    // `problem` stands where the policy would have refused.
    let profile = match (would, &story.profile) {
        (Ok(()) | Err(Refused::Forbidden(_)), Some(profile)) => observed(profile),
        (Ok(()), None) => observed(&judge::plain_refusal(x, &story, &Refused::NoEvidence)),
        (Err(refused), _) => observed(&judge::plain_refusal(x, &story, refused)),
    };
    let metrics = &x.worker.shared.metrics;
    match would {
        Ok(()) => judge::Metered::of(metrics, &profile).count(),
        Err(refused) => judge::count_refusal(metrics, &profile, refused),
    }
    metrics.evidence(story.traces.evidence);
    let mut draft = x.plain_draft(profile, story.traces);
    if let Some(decision) = decision {
        draft.decision = decision;
    }
    draft
}

pub(super) async fn pass(
    x: &Exchange<'_>,
    parts: &Parts,
    body: OutgoingBody,
    mut drafts: Vec<Draft>,
    to: RegionId,
) -> Result<Response<Content>, Refused> {
    let permit = judge::observed(x, to);
    if drafts.is_empty() {
        // An empty batch, or one that cannot be split: it goes on all the same.
        let nothing = Refused::Malformed("the body holds no record that can be read".to_owned());
        drafts.push(note(x, &Err(nothing), None));
    }
    let first = drafts.remove(0);
    let journal = &x.worker.journal;
    let cleared = journal.clear_all(vec![(permit, first)], drafts).await;
    let cleared = cleared.map_err(|e| Refused::Ledger(e.to_string()))?;
    let cleared = cleared
        .first()
        .ok_or(Refused::Internal("the ledger gave no proof"))?;
    let mut outgoing = Outgoing {
        method: parts.method.clone(),
        path_and_query: single::path_and_query(parts),
        headers: x.outgoing_headers(parts, false),
        body,
    };
    let answer = single::send(x, to, cleared, &mut outgoing).await?;
    let mut answer = answer.map(|body| Content::Region(Box::new(body)));
    crate::admit::headers::drop_own_answers(answer.headers_mut());
    x.say_region(answer.headers_mut(), to);
    Ok(answer)
}
