//! Puts a request's question to the decision, and remembers the answer: the question of most
//! requests has been asked before, since nothing in it hangs on the one person. Where something
//! does (a consent, an age, a count), it is asked each time.

mod flow;
mod homes;
mod metered;
mod told;

use std::{rc::Rc, sync::Arc};

use http::HeaderValue;
use tokio::time::Instant;

pub use flow::Flow;
pub use homes::homes;
pub use metered::{Metered, count_reason, count_refusal};
pub use told::{forbidden, mechanism, observed, observed_profile, plain_refusal, profile};

use super::{
    Exchange, Routed,
    counted::{CountGuards, Names, Plan},
    person::{Person, number_id},
    personal::Personal,
    remember::{Judgement, VARIED, Varied, already_told, remember},
};
use crate::{
    attest::Profile,
    classify::{
        json::Value,
        schema::{Alike, Classified},
    },
    decide::{self, Permit, Query, Verdict},
    domain::SubjectKey,
    respond::Refused,
    settings::Route,
};

/// A decision, ready for use by every later station.
#[derive(Debug)]
pub struct Judged {
    permit: Option<Permit>,
    refused: Option<Refused>,
    pub profile: Arc<Profile>,
    /// `Domicile-Mechanism`, where a border is crossed.
    pub mechanism: Option<HeaderValue>,
    pub flow_home: bool,
    metered: Metered,
}

impl Judged {
    /// The permit, once per flow that is sent.
    ///
    /// # Errors
    /// The refusal as it is answered; the story keeps its entry's profile.
    pub fn permit(&self, x: &Exchange<'_>) -> Result<Permit, Refused> {
        match (&self.permit, &self.refused) {
            (Some(permit), None) => Ok(permit.clone()),
            (_, Some(refused)) => {
                x.story.borrow_mut().profile = Some(Arc::clone(&self.profile));
                Err(refused.clone())
            }
            (None, None) => Err(Refused::Internal("a decision without permit and refusal")),
        }
    }

    /// The permit, where a refusal is told to nobody.
    pub fn if_permitted(&self) -> Option<Permit> {
        match &self.refused {
            None => self.permit.clone(),
            Some(_) => None,
        }
    }

    pub fn count(&self) {
        self.metered.count();
    }

    /// Counts so many decisions like this one.
    pub fn count_all(&self, decisions: u64) {
        self.metered.count_all(decisions);
    }
}

/// Checks one record's body and reads what its route looks for.
pub fn classify<'b>(routed: &Routed<'_>, body: &'b [u8]) -> Result<Classified<'b>, Refused> {
    let schema = &routed.route.schema;
    let classified = schema
        .classify(body)
        .map_err(|f| Refused::Malformed(f.to_string()))?;
    readable(routed, &classified)?;
    Ok(classified)
}

fn readable(routed: &Routed<'_>, classified: &Classified<'_>) -> Result<(), Refused> {
    if let Some(part) = classified.refused {
        let pointer = routed.route.schema.known_pointer(part);
        return Err(Refused::UnknownField(pointer.to_owned()));
    }
    if classified.overfull {
        let detail = "the record has more values under the route's pointers than are read";
        return Err(Refused::Malformed(detail.to_owned()));
    }
    Ok(())
}

/// # Errors
/// A record of a batch is longer than one by itself may be.
pub fn has_length(x: &Exchange<'_>, record: &[u8]) -> Result<(), Refused> {
    let limit = x.snapshot.settings.limits.record_bytes;
    match record.len() > limit {
        true => Err(Refused::RecordTooLong(limit)),
        false => Ok(()),
    }
}

/// [`classify`] for the items of a batch, into `found`.
pub fn classify_alike<'b>(
    routed: &Routed<'_>,
    body: &'b [u8],
    alike: &mut Alike,
    found: &mut Classified<'b>,
) -> Result<(), Refused> {
    let schema = &routed.route.schema;
    schema
        .classify_alike(body, alike, found)
        .map_err(|f| Refused::Malformed(f.to_string()))?;
    readable(routed, found)
}

/// [`classify`] for the next record of a route, which probably looks like those before, into
/// `found`.
pub fn classify_next<'b>(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    body: &'b [u8],
    found: &mut Classified<'b>,
) -> Result<(), Refused> {
    match x.worker.alike(&x.snapshot, routed.index) {
        Some(mut alike) => classify_alike(routed, body, &mut alike, found),
        None => {
            *found = classify(routed, body)?;
            Ok(())
        }
    }
}

/// A batch item's id, for its path of its own.
pub fn subject_text(routed: &Routed<'_>, body: &[u8]) -> Option<String> {
    let slot = routed.route.subject_slot?;
    match classify(routed, body).ok()?.first(slot)? {
        Value::String(text) => Some(text.unescape().into_owned()),
        Value::Number(digits) => number_id(digits.as_str()).map(str::to_owned),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

/// The judgement on a person's flow. What hangs on this one person, by consents, age or a count,
/// is decided anew each time; the rest is remembered.
pub fn judge(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    flow: &Flow,
) -> Result<Judgement, Refused> {
    judge_on(x, &routed.route.settings, person, flow)
}

/// As [`judge`], where there is no request of a caller.
pub fn judge_on(
    x: &Exchange<'_>,
    route: &Route,
    person: &Person,
    flow: &Flow,
) -> Result<Judgement, Refused> {
    judged(x, route, person, flow, true)?.ok_or(Refused::Internal("a judgement without a verdict"))
}

/// As [`judge`], for a flow that is left undone without a word when it is refused: to tell why costs
/// more than to decide.
pub fn judge_if_permitted(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
    flow: &Flow,
) -> Result<Option<Judgement>, Refused> {
    judged(x, &routed.route.settings, person, flow, false)
}

fn judged(
    x: &Exchange<'_>,
    route: &Route,
    person: &Person,
    flow: &Flow,
    tells_refusals: bool,
) -> Result<Option<Judgement>, Refused> {
    let personal = Personal::of(x, person)?;
    let mut plan = None;
    if let Some(remembered) = x.worker.judgements(&x.snapshot)
        && let Some(known) = remembered.flows.get(flow)
    {
        if let Some(plain) = known.plain.as_ref().filter(|_| personal.is_empty()) {
            return Ok(Some(Judgement::on_everybody(Rc::clone(plain))));
        }
        plan.clone_from(&known.plan);
    }
    let started = Instant::now();
    let mut query = flow::question(x, route, flow)?;
    personal.tell(x, flow.purpose.as_deref(), &mut query);
    let plan = if personal.has_age() {
        Plan::of(x, &query).map(Rc::new)
    } else {
        let fresh = |p: &Option<Rc<Plan>>| p.as_ref().is_none_or(|p| p.holds_at(x.at()));
        match plan.filter(fresh) {
            Some(plan) => plan,
            None => {
                let plan = Plan::of(x, &query).map(Rc::new);
                remember(x, flow, |known| known.plan = Some(plan.clone()));
                plan
            }
        }
    };
    let (verdict, holds, counted) = decide_counted(x, person.key, plan.as_deref(), &mut query)?;
    let plain = plan.is_none() && personal.is_empty();
    if !plain && !tells_refusals && !verdict.is_permit() {
        return Ok(None);
    }
    let varied = (!plain).then(|| Varied {
        observed: decide::observed(&x.snapshot.policy, &query, &verdict),
        lifted: decide::lifted(&x.snapshot.policy, &query),
        verdict: verdict.clone(),
        counted: counted.clone(),
    });
    let told = varied.as_ref().and_then(|v| already_told(x, flow, v));
    let judged = match told {
        Some(judged) => judged,
        None => {
            let judged = Rc::new(tell(x, route, flow, &query, &verdict, &counted));
            let permit = verdict.is_permit();
            let new = Rc::clone(&judged);
            remember(x, flow, |known| {
                let Some(varied) = varied else {
                    known.plain = Some(new);
                    return;
                };
                if permit {
                    if known.varied.len() >= VARIED {
                        known.varied.clear();
                    }
                    known.varied.push((varied, new));
                }
            });
            judged
        }
    };
    let metrics = &x.worker.shared.metrics;
    metrics
        .decision_seconds
        .observe(started.elapsed().as_secs_f64());
    Ok(Some(match plain {
        true => Judgement::on_everybody(judged),
        false => Judgement::new(judged, holds),
    }))
}

/// The verdict on a question about the person of `key`, with the counts that `plan` asks; and where
/// a permit counts the person.
pub fn decide_counted(
    x: &Exchange<'_>,
    key: SubjectKey,
    plan: Option<&Plan>,
    query: &mut Query,
) -> Result<(Verdict, CountGuards, Names), Refused> {
    let Some(plan) = plan else {
        let verdict = decide::decide(&x.snapshot.policy, query);
        return Ok((verdict, CountGuards::new(), Names::new()));
    };
    let holds = plan.enter(x, key, query)?;
    let verdict = decide::decide(&x.snapshot.policy, query);
    let (holds, counted) = plan.keep(x, &verdict, holds);
    Ok((verdict, holds, counted))
}

/// The verdict, ready for use.
fn tell(
    x: &Exchange<'_>,
    route: &Route,
    flow: &Flow,
    query: &Query,
    verdict: &Verdict,
    counted: &Names,
) -> Judged {
    let mut profile = profile(x, route, Some(snapshot_region(x, flow)), query, verdict);
    profile.counted = counted.to_vec();
    let profile = Arc::new(profile);
    let permit = decide::permit(verdict, flow.region, flow.operation).ok();
    let refused = (!verdict.is_permit()).then(|| forbidden(x, query, verdict, Vec::new()));
    let crosses = query.from.place.country() != query.to.place.country();
    let metered = Metered::of(&x.worker.shared.metrics, &profile);
    Judged {
        flow_home: permit.as_ref().is_some_and(Permit::is_flow_home),
        mechanism: crosses.then(|| mechanism(&profile)).flatten(),
        permit,
        refused,
        profile,
        metered,
    }
}

fn snapshot_region(x: &Exchange<'_>, flow: &Flow) -> Arc<str> {
    x.snapshot.regions.name(flow.region).into()
}
