//! One record to a recipient outside the regions.
//!
//! The recipient gets the body alone: of the request's fields only those that the settings name,
//! no query, and a path of the settings' own, since whatever else went along would be disclosed
//! with no category to judge it by. Each field of the body must be listed for the recipient in
//! the organisation file; one that is not is a refusal or is cut out, as the entry says, and some
//! are replaced by a pseudonym of the recipient's own. What stays of the body stays byte for byte.
//!
//! No judgement is remembered here: what most disclosures hang on, a consent, belongs to the person.

mod order;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, uri::PathAndQuery};
use tokio::time::Instant;

use order::NoPurpose;

use super::{
    Content, Exchange, Routed,
    counted::{CountGuards, Names, Plan},
    judge,
    outcome::Outcomes,
    part,
    person::{self, Person, Traces},
    personal::Personal,
    short::{self, Buffering},
    single::{self, Taken},
    way_back,
};
use crate::{
    admit::{
        body::Incoming,
        headers::{add_via, drop_own_answers, end_to_end},
    },
    attest::{Cleared, Profile},
    classify::{
        json::Edit,
        schema::{Classified, Field},
    },
    decide::{self, Grounds, Party, Permit, Query, QueryOrder, Subject, Verdict},
    domain::{CategorySet, Circumstances, Operation},
    forward::{AnswerError, ForwardError, Outgoing, OutgoingBody},
    message::{Field as HeadField, Fields, Parts, Response},
    policy::{Recipient, Unlisted},
    respond::{RecipientFailure, Refused},
    settings::{Answers, UpstreamShape},
    shared::ReadyRecipient,
};

/// A record as it may leave, and what was done to it.
struct Cut {
    body: Bytes,
    categories: CategorySet,
    /// Pointers of the fields that may not go; cut out, or the reason of a refusal.
    unlisted: Vec<String>,
    stripped: bool,
    pseudonymised: Vec<String>,
}

impl Cut {
    /// The body, and whether it is the caller's, byte for byte.
    fn leaves(&self) -> (Bytes, bool) {
        let is_whole = !self.stripped && self.pseudonymised.is_empty();
        (self.body.clone(), is_whole)
    }
}

/// What was decided.
struct Decided {
    permit: Result<Permit, Refused>,
    /// The person's places in the counts that the permit feeds, until its entry stands.
    holds: CountGuards,
    profile: Profile,
    mechanism: Option<HeaderValue>,
}

pub async fn way(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    incoming: Incoming,
    to: &ReadyRecipient,
) -> Result<Response<Content>, Refused> {
    if parts.uri.query().is_some_and(|q| !q.is_empty()) {
        return Err(Refused::Malformed(
            "a disclosure has no query: what a recipient gets stands in the body, where it is judged"
                .to_owned(),
        ));
    }
    {
        let mut story = x.story.borrow_mut();
        story.reference = order::reference(routed);
        story.order = order::ordered(routed);
    }
    let Taken::Whole(body) = single::take(x, routed, parts, incoming).await? else {
        return Err(Refused::Internal("a disclosure without a body"));
    };
    if x.snapshot.observe_to.is_some() {
        return observe(x, routed, parts, body, to).await;
    }
    let classified = judge::classify(routed, &body)?;
    let cut = cut(x, routed, &body, &classified, to)?;
    let (decided, evidence) = decide_on(x, routed, &classified, &cut, to)?;
    let profile = Arc::new(decided.profile);
    x.story.borrow_mut().profile = Some(Arc::clone(&profile));
    let permit = decided.permit?;
    count(x, &profile, to);
    // An order is logged whatever it asks for.
    if cut.unlisted.is_empty()
        && routed.wishes.order.is_none()
        && let Some(cleared) = x.worker.journal.clear_impersonal(permit.clone())
    {
        let mut answer = send(x, routed, parts, cut.leaves(), to, &cleared, None).await?;
        say(&mut answer, to, &[], None);
        return Ok(answer);
    }
    x.worker.shared.metrics.evidence(evidence);
    let cleared = clear(x, permit, profile, decided.holds).await?;
    let outcomes = Outcomes::new(x);
    let leaves = cut.leaves();
    let mut answer = send(x, routed, parts, leaves, to, &cleared, Some(&outcomes)).await?;
    say(&mut answer, to, &cut.unlisted, decided.mechanism);
    Ok(answer)
}

fn info<'x>(x: &'x Exchange<'_>, to: &ReadyRecipient) -> Result<&'x Recipient, Refused> {
    let info = x.snapshot.checked.recipient_info(to.id);
    info.ok_or(Refused::Internal(
        "a route names a recipient that the policy does not have",
    ))
}

/// Lays the recipient's list over the body.
fn cut(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    body: &Bytes,
    classified: &Classified<'_>,
    to: &ReadyRecipient,
) -> Result<Cut, Refused> {
    let info = info(x, to)?;
    let personal = x.snapshot.checked.personal();
    let allowed = info.categories.union(info.pseudonymise);
    let (mut unlisted, mut pseudonymised) = (Vec::new(), Vec::new());
    let mut judge = |field: Field<'_>| {
        let name = || match field.is_known {
            true => field.pointer.to_owned(),
            false => format!("{}/…", field.pointer),
        };
        let note = |list: &mut Vec<String>| {
            let name = name();
            if !list.contains(&name) {
                list.push(name);
            }
        };
        let concerns = field.categories.intersection(personal);
        if !concerns.is_subset(allowed) {
            note(&mut unlisted);
            return Edit::Cut;
        }
        if concerns.intersects(info.pseudonymise) {
            note(&mut pseudonymised);
            return Edit::Replace;
        }
        Edit::Keep
    };
    let mut replace = |value: &[u8]| x.worker.shared.hasher.pseudonym(&to.name, value);
    let edited = routed
        .route
        .schema
        .edit(body, &mut judge, &mut replace)
        .map_err(|fault| Refused::Malformed(fault.to_string()))?;
    let strip = info.unlisted == Unlisted::Strip;
    let mut cut = Cut {
        body: body.clone(),
        categories: classified.categories,
        stripped: strip && !unlisted.is_empty(),
        unlisted,
        pseudonymised,
    };
    if let Some(edited) = edited
        && (strip || cut.unlisted.is_empty())
    {
        // Read again as it will leave: what is judged is what goes.
        cut.categories = judge::classify(routed, &edited)?.categories;
        cut.body = edited.into();
    }
    Ok(cut)
}

fn decide_on(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    classified: &Classified<'_>,
    cut: &Cut,
    to: &ReadyRecipient,
) -> Result<(Decided, crate::domain::EvidenceSet), Refused> {
    let policy = &x.snapshot.policy;
    let concerns_somebody = policy.possible(cut.categories).intersects(policy.personal);
    // An aggregate is about nobody: whose it is need not be known, nor where that person lives.
    let anonymous = !concerns_somebody && cut.unlisted.is_empty() && routed.wishes.order.is_none();
    let mut traces = Traces::default();
    let person = if anonymous {
        None
    } else {
        let body = Some(classified);
        let found = person::find(x, routed, body, Operation::Disclose, &mut traces);
        if let Ok(person) = &found {
            traces.evidence = person.evidence;
        }
        x.story.borrow_mut().traces = traces;
        Some(found?)
    };
    let asked = routed.wishes.purpose.as_deref();
    let asked = asked.or(routed.route.settings.purpose.as_deref());
    let purpose = match order::purpose(asked, routed.wishes.order.as_ref()) {
        Ok(purpose) => purpose,
        Err(NoPurpose::Contradicted(detail)) => return Err(Refused::Steering(detail)),
        Err(NoPurpose::Unordered(what)) => {
            return Err(order::refuse(x, routed, cut, person.as_ref(), to, what)?);
        }
    };
    let mut query = question(x, routed, cut, person.as_ref(), to, purpose);
    let (verdict, holds, counted) = match &person {
        None => (
            decide::decide(policy, &query),
            CountGuards::new(),
            Names::new(),
        ),
        Some(person) => {
            Personal::of(x, person)?.tell(x, purpose, &mut query);
            let plan = Plan::of(x, &query);
            judge::decide_counted(x, person.key, plan.as_ref(), &mut query)?
        }
    };
    let mut decided = decided(x, routed, cut, to, &query, &verdict)?;
    decided.holds = holds;
    decided.profile.counted = counted.to_vec();
    Ok((decided, traces.evidence))
}

/// From the location to the recipient (docs/decision.md).
fn question(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    cut: &Cut,
    person: Option<&Person>,
    to: &ReadyRecipient,
    purpose: Option<&str>,
) -> Query {
    let snapshot = &x.snapshot;
    let mut from = Party::new(snapshot.location, snapshot.location_entity);
    from.role = routed.route.settings.role;
    let mut subject = Subject::default();
    if let Some(person) = person {
        subject.countries = person.countries.iter().copied().collect();
    }
    let mut query = Query::new(
        &snapshot.policy,
        x.at(),
        Operation::Disclose,
        subject,
        cut.categories,
        from,
        Party::new(to.place, to.entity),
    );
    // What is left of it is known: where that is nothing, nothing is disclosed.
    query.set_categories(&snapshot.policy, cut.categories);
    query.recipient = Some(to.id);
    query.purpose = purpose.map(|p| snapshot.checked.purpose(p));
    let mut grounds = Grounds::default();
    for ground in &routed.wishes.grounds {
        grounds.insert(ground.kind, ground.occasional);
    }
    query.grounds = grounds;
    let of_recipient = Circumstances {
        transaction: to.transaction,
        ..Circumstances::default()
    };
    let said = routed.wishes.circumstances;
    let of_route = routed.route.settings.circumstances;
    query.set_circumstances(said.or(of_route).or(of_recipient));
    query.order = routed.wishes.order.as_ref().map(|order| QueryOrder {
        authority: order.authority_country,
        approved: order.approval.is_some(),
    });
    if let Some(person) = person.filter(|p| p.pinned) {
        let holders = std::iter::once(&person.home).chain(&person.held_in);
        query.held_in = holders
            .filter_map(|r| snapshot.regions.get(*r).map(|r| r.place))
            .collect();
    }
    query
}

fn decided(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    cut: &Cut,
    to: &ReadyRecipient,
    query: &Query,
    verdict: &Verdict,
) -> Result<Decided, Refused> {
    let mut profile = judge::profile(x, &routed.route.settings, None, query, verdict);
    let rule = x.snapshot.checked.rule(info(x, to)?.rule);
    let rule: Arc<str> = rule.map_or_else(|| Arc::clone(&to.name), |r| Arc::clone(&r.id));
    if !profile.rules.contains(&rule) {
        profile.rules.push(rule);
    }
    let refused_fields = !cut.unlisted.is_empty() && !cut.stripped;
    if refused_fields {
        profile.problem = Some("unlisted-field".into());
        let fields = cut.unlisted.iter().map(|p| format!("field {p}").into());
        profile.missing.extend(fields);
    } else {
        let stripped = cut.unlisted.iter().map(|p| format!("stripped {p}").into());
        profile.duties.extend(stripped);
    }
    let replaced = cut.pseudonymised.iter();
    if verdict.is_permit() {
        let replaced = replaced.map(|p| format!("pseudonymised {p}").into());
        profile.duties.extend(replaced);
    }
    let mechanism = (query.from.place.country() != query.to.place.country())
        .then(|| judge::mechanism(&profile))
        .flatten();
    let permit = match decide::permit_disclosure(verdict, to.id) {
        // Should the list and the decision ever disagree, the stricter one counts.
        Ok(permit) if !refused_fields => Ok(permit),
        _ => {
            let fields = match refused_fields {
                true => cut.unlisted.clone(),
                false => Vec::new(),
            };
            Err(judge::forbidden(x, query, verdict, fields))
        }
    };
    Ok(Decided {
        permit,
        holds: CountGuards::new(),
        profile,
        mechanism,
    })
}

/// The entry is durable before anything is sent.
async fn clear(
    x: &Exchange<'_>,
    permit: Permit,
    profile: Arc<Profile>,
    holds: CountGuards,
) -> Result<Cleared, Refused> {
    let draft = {
        let story = x.story.borrow();
        let mut draft = x.plain_draft(profile, story.traces);
        draft.reference = story.reference.clone();
        draft.order = story.order.clone();
        draft.holds = holds;
        draft
    };
    let written = x.worker.journal.clear(permit, draft).await;
    written.map_err(|e| Refused::Ledger(e.to_string()))
}

fn count(x: &Exchange<'_>, profile: &Profile, to: &ReadyRecipient) {
    let metrics = &x.worker.shared.metrics;
    judge::Metered::towards(metrics, profile, &to.link.name).count();
}

async fn send(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    (body, is_whole): (Bytes, bool),
    to: &ReadyRecipient,
    cleared: &Cleared,
    outcomes: Option<&Outcomes<'_, '_>>,
) -> Result<Response<Content>, Refused> {
    let (method, path_and_query) = target(routed, parts);
    let mut headers = fields(x, parts, to, is_whole);
    let span = x.client_span(&to.link.name, &method);
    // Our traces are none of a third party's business, unless the settings send it theirs.
    if let Some(span) = &span
        && headers.contains_key(HeadField::Traceparent)
    {
        span.hand_on(&mut headers);
    }
    let mut outgoing = Outgoing {
        method,
        path_and_query: Cow::Owned(path_and_query),
        headers,
        body: OutgoingBody::Whole(body),
        is_once: false,
    };
    let started = Instant::now();
    let answer = x.upstreams.send([cleared], &mut outgoing).await;
    let answer = answer.map_err(|error| unanswered(to, &error));
    if let Some(span) = span {
        span.end(answer.as_ref().map(Response::status).map_err(Refused::name));
    }
    measure(x, routed, to, started, answer.as_ref().err());
    let answer = answer?;
    if let Some(outcomes) = outcomes {
        outcomes.answered(answer.status(), Some(answer.body().arrived()));
    }
    let broken = |error: AnswerError| {
        if let Some(outcomes) = outcomes {
            outcomes.broken();
        }
        match error.fault.is_late() {
            true => failed(to, RecipientFailure::Timeout, "its answer came too slowly"),
            false => failed(to, RecipientFailure::Broken, "its answer broke off"),
        }
    };
    if routed.route.settings.answers == Answers::StatusOnly {
        let mut bare = way_back::safe(&answer);
        bare.headers_mut()
            .insert(HeadField::DomicileBody, "withheld");
        let mut body = answer.into_body();
        body.keep_pace();
        crate::forward::read_off(body).await.map_err(broken)?;
        return Ok(bare);
    }
    let buffering = Buffering::of(Operation::Disclose, routed.route.settings.format, &answer);
    let (head, body) = answer.into_parts();
    let body = short::read(body, buffering).await.map_err(broken)?;
    let mut answer = Response::from_parts(head, body);
    drop_own_answers(answer.headers_mut());
    Ok(answer)
}

/// What the caller is told of a recipient that gave no answer.
fn unanswered(to: &ReadyRecipient, error: &ForwardError) -> Refused {
    use RecipientFailure as F;
    let (failure, detail) = match error {
        ForwardError::NotCleared
        | ForwardError::Unknown(_)
        | ForwardError::BadTarget { .. }
        | ForwardError::CallerBody { .. } => {
            return Refused::Internal("a recipient was called wrongly");
        }
        ForwardError::Busy { .. } => (F::Busy, "try again later"),
        ForwardError::Unreachable { .. } | ForwardError::GivenUp { .. } => {
            (F::Unreachable, "it took no connection; nothing was sent")
        }
        ForwardError::Refused { .. } => (
            F::Unreachable,
            "it refused the request before it began with it",
        ),
        ForwardError::Timeout { .. } => (F::Timeout, "it may have got the record"),
        ForwardError::Reset { .. } | ForwardError::BadAnswer { .. } => {
            (F::Broken, "it may have got the record")
        }
    };
    failed(to, failure, detail)
}

fn failed(to: &ReadyRecipient, failure: RecipientFailure, detail: &str) -> Refused {
    Refused::Recipient {
        recipient: to.name.to_string(),
        failure,
        detail: detail.to_owned(),
    }
}

/// Counts a call and how long it took. `refused`: no answer came.
fn measure(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    to: &ReadyRecipient,
    started: Instant,
    refused: Option<&Refused>,
) {
    let word = refused.map_or("answered", Refused::name);
    let metrics = &x.worker.shared.metrics;
    let name = to.link.name.as_ref();
    let labels = [name, word];
    metrics.upstream_requests.with_label_values(&labels).inc();
    let seconds = started.elapsed().as_secs_f64();
    metrics
        .upstream_seconds
        .with_label_values(&[name, &routed.route.settings.name])
        .observe(seconds);
}

/// The path at the recipient has no names in it: the settings' reader has seen to that.
fn target(routed: &Routed<'_>, parts: &Parts) -> (Method, PathAndQuery) {
    let route = &routed.route.settings;
    let (method, path) = match &route.upstream {
        UpstreamShape::Each { method, path } => (method.clone(), path),
        UpstreamShape::Batch => (parts.method.clone(), &route.path),
    };
    let path = PathAndQuery::try_from(path.text.as_str());
    (
        method,
        path.unwrap_or_else(|_| PathAndQuery::from_static("/")),
    )
}

/// What goes along: the body's type, what the settings name, and what hops add. `is_whole`: the body
/// is the caller's, and its digests are of it.
fn fields(x: &Exchange<'_>, parts: &Parts, to: &ReadyRecipient, is_whole: bool) -> Fields {
    let all = end_to_end(&parts.headers, &x.snapshot.steering, x.caller.trusted);
    let mut fields = Fields::default();
    let named = to.headers.iter().map(http::HeaderName::as_str);
    let named = named.filter(|name| is_whole || !part::is_digest(name));
    for name in ["content-type", "accept"].into_iter().chain(named) {
        for value in all.get_all(name) {
            fields.append(name, value.as_bytes());
        }
    }
    add_via(&mut fields, x.version);
    fields.insert(HeadField::DomicileDecision, x.decision_text);
    fields
}

fn say(
    answer: &mut Response<Content>,
    to: &ReadyRecipient,
    stripped: &[String],
    mechanism: Option<HeaderValue>,
) {
    let fields = answer.headers_mut();
    fields.insert(HeadField::DomicileRecipient, to.name.as_ref());
    if !stripped.is_empty() {
        fields.insert(HeadField::DomicileStripped, stripped.join(", "));
    }
    if let Some(mechanism) = mechanism {
        fields.insert(HeadField::DomicileMechanism, mechanism);
    }
}

/// Observe mode: decided and logged, and the recipient gets what it gets today.
async fn observe(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    body: Bytes,
    to: &ReadyRecipient,
) -> Result<Response<Content>, Refused> {
    let would = judge::classify(routed, &body).and_then(|classified| {
        let cut = cut(x, routed, &body, &classified, to)?;
        let (decided, _) = decide_on(x, routed, &classified, &cut, to)?;
        // Nobody is counted in a flow that the policy did not let go.
        let mut profile = decided.profile;
        profile.counted.clear();
        x.story.borrow_mut().profile = Some(Arc::new(profile));
        decided.permit.map(drop)
    });
    let profile = {
        let story = x.story.borrow();
        match (&story.profile, &would) {
            (Some(profile), Ok(()) | Err(Refused::Forbidden(_))) => {
                judge::observed_profile(profile, None)
            }
            (_, Err(refused)) => {
                judge::observed_profile(&judge::plain_refusal(x, &story, refused), None)
            }
            (None, Ok(())) => return Err(Refused::Internal("a decision without a profile")),
        }
    };
    count(x, &profile, to);
    if let Err(refused) = &would {
        judge::count_reason(&x.worker.shared.metrics, &profile, refused);
    }
    let cleared = clear(
        x,
        Permit::observed_disclosure(to.id),
        profile,
        CountGuards::new(),
    )
    .await?;
    let outcomes = Outcomes::new(x);
    let leaves = (body, true);
    let mut answer = send(x, routed, parts, leaves, to, &cleared, Some(&outcomes)).await?;
    say(&mut answer, to, &[], None);
    Ok(answer)
}
