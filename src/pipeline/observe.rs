//! Observe mode: everything is decided and logged, and goes where it goes today.
//!
//! Nobody is pinned, since the records do not lie where the policy would have put them. The homes
//! that people would have are remembered all the same ([`Supposed`](crate::state::Supposed)), as
//! long as the router runs: else nobody who has written would be known to who reads.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::{
    Content, Exchange, Flow, Routed,
    erase::Said,
    judge, keep,
    person::{self, Person, Traces},
    pinning::{PinPlan, Then},
    single::{self, Taken},
};
use crate::{
    admit::headers::drop_own_answers,
    attest::{Draft, Profile},
    classify::json::Item,
    domain::{DecisionId, Operation, RegionId, SubjectKey},
    forward::{Outgoing, OutgoingBody},
    locate::PinChange,
    message::{Parts, Response},
    respond::Refused,
    settings::Erase,
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
        judged(x, routed, &person, region)
    });
    let mut noted = Noted::default();
    noted.add(x, would, None);
    let body = single::outgoing_body(x, parts, taken);
    pass(x, parts, (body, false), noted, to).await
}

pub async fn batch(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    body: Bytes,
    items: &[Item],
    to: RegionId,
) -> Result<Response<Content>, Refused> {
    let mut noted = Noted::default();
    for (index, item) in items.iter().enumerate() {
        let mut traces = Traces::default();
        x.story.borrow_mut().profile = None;
        let record = item.of(&body);
        let read = judge::has_length(x, record).and_then(|()| judge::classify(routed, record));
        let would = read.and_then(|classified| {
            let body = Some(&classified);
            let person = person::find(x, routed, body, routed.operation, &mut traces)?;
            let region = routed.wishes.target.unwrap_or(person.home);
            judged(x, routed, &person, region)
        });
        x.story.borrow_mut().traces = traces;
        noted.add(x, would, own_id(x, index));
    }
    pass(x, parts, (OutgoingBody::Whole(body), false), noted, to).await
}

/// What the policy would have done, item by item.
#[derive(Default)]
pub(super) struct Noted {
    drafts: Vec<Draft>,
    effects: Vec<Effect>,
}

impl Noted {
    pub fn add(
        &mut self,
        x: &Exchange<'_>,
        would: Result<Option<Effect>, Refused>,
        decision: Option<DecisionId>,
    ) {
        let would = would.map(|effect| self.effects.extend(effect));
        self.drafts.push(note(x, &would, decision));
    }
}

/// What becomes of the home that a person would have, once the flow has gone through.
pub(super) struct Effect(SubjectKey, Success);

enum Success {
    Stored,
    Moved(PinChange),
    Ended(PinChange),
}

/// The judgement on a flow that would be permitted, and what it would do to its person's home.
///
/// # Errors
/// As the flow would be refused.
pub(super) fn judged(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    region: RegionId,
) -> Result<Option<Effect>, Refused> {
    let flow = Flow::new(routed, person, region);
    if flow.operation == Operation::Erase {
        keep::not_held(x, &routed.route.settings, person, &flow)?;
        // The home last: the entry is its.
        for holder in person.holders().into_iter().skip(1) {
            permitted(x, routed, person, &Flow::new(routed, person, holder))?;
        }
    }
    permitted(x, routed, person, &flow)?;
    suppose(x, routed, person, &flow)
}

fn permitted(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    flow: &Flow,
) -> Result<(), Refused> {
    let judged = judge::judge(x, routed, person, flow)?;
    x.story.borrow_mut().profile = Some(Arc::clone(&judged.profile));
    let _permit = judged.permit(x)?;
    Ok(())
}

/// A first home is known from here on, to later items of the same batch too, as a claim would be.
fn suppose(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    flow: &Flow,
) -> Result<Option<Effect>, Refused> {
    let is_pinned = person.pinned && {
        let mut pins = x.worker.pins.borrow_mut();
        let pin = pins.lookup(&person.key);
        pin.map_err(|e| Refused::Directory(e.to_string()))?
            .is_some()
    };
    // Of whom the directory knows a home, nothing else counts.
    if is_pinned || !(person.pinned || person.claims) {
        return Ok(None);
    }
    let name = |region| Arc::<str>::from(x.snapshot.regions.name(region));
    let plan = PinPlan::new(person, flow);
    if plan.claims {
        let claim = PinChange::Claim {
            region: name(person.home),
            countries: person.countries.iter().copied().collect(),
        };
        x.worker.shared.supposed.change(person.key, &claim);
    }
    let region = name(flow.region);
    if plan.copies {
        let region = Arc::clone(&region);
        let copy = PinChange::Copy { region };
        x.worker.shared.supposed.change(person.key, &copy);
    }
    let ends = flow.operation == Operation::Erase && routed.route.settings.erase == Erase::Subject;
    let success = match plan.then {
        Then::Stored => Success::Stored,
        Then::Moved => Success::Moved(PinChange::Move { region }),
        Then::Nothing if ends => Success::Ended(PinChange::Drop { region }),
        Then::Nothing => return Ok(None),
    };
    Ok(Some(Effect(person.key, success)))
}

/// Of a batch its answer as a whole counts: what an item got is the region's own word.
fn take_effect(x: &Exchange<'_>, effects: Vec<Effect>, status: StatusCode) {
    for Effect(key, success) in effects {
        let supposed = &x.worker.shared.supposed;
        match success {
            Success::Ended(end) if Said::of(status) == Said::Gone => supposed.change(key, &end),
            Success::Moved(moved) if status.is_success() => supposed.change(key, &moved),
            Success::Stored if status.is_success() => supposed.stored(key),
            Success::Ended(_) | Success::Moved(_) | Success::Stored => {}
        }
    }
}

/// The id of an item: the first has the request's own, which the caller and the region are told, so
/// that it is found in the ledger.
pub(super) fn own_id(x: &Exchange<'_>, index: usize) -> Option<DecisionId> {
    (index > 0).then(|| x.worker.decision_id(x.at()))
}

/// The entry of what the policy would have done.
fn note(x: &Exchange<'_>, would: &Result<(), Refused>, decision: Option<DecisionId>) -> Draft {
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

/// `is_once`: the body is not to be sent again, whatever the method says.
pub(super) async fn pass(
    x: &Exchange<'_>,
    parts: &Parts,
    (body, is_once): (OutgoingBody, bool),
    noted: Noted,
    to: RegionId,
) -> Result<Response<Content>, Refused> {
    let permit = judge::observed(x, to);
    let Noted {
        mut drafts,
        effects,
    } = noted;
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
        is_once,
    };
    let (answer, _) = single::send(x, to, cleared, &mut outgoing).await?;
    take_effect(x, effects, answer.status());
    let mut answer = answer.map(|body| Content::Region(Box::new(body)));
    drop_own_answers(answer.headers_mut());
    x.say_region(answer.headers_mut(), to);
    Ok(answer)
}
