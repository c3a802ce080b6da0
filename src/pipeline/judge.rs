//! Puts a request's question to the decision, and remembers the answer: the question of most
//! requests has been asked before, since nothing in it hangs on the one person. Where something
//! does (a consent, an age, a count), it is asked each time.

use std::{rc::Rc, sync::Arc};

use http::HeaderValue;
use prometheus::IntCounter;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    Exchange, Routed,
    counted::{Holds, Names, Plan},
    exchange::Story,
    person::Person,
    personal::Personal,
    remember::{HomeKey, Homes, Judgement, PlainKey, REMEMBERED, VARIED, already_told, remember},
};
use crate::{
    attest::{self, Profile},
    classify::{json::Value, schema::Classified},
    decide::{self, Grounds, HomeFault, Party, Permit, Query, Subject, Verdict},
    domain::{CategorySet, FlowEnd, Ground, Operation, Place, RegionId, SubjectKey},
    policy::RuleId,
    respond::{Forbidden, Refused},
    settings::Route,
    telemetry::Metrics,
};

/// What is asked, without the person: two requests with equal flows get one judgement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub route: usize,
    pub operation: Operation,
    pub countries: SmallVec<[Place; 4]>,
    pub categories: CategorySet,
    pub home: RegionId,
    /// The region that is written to, read from or erased at.
    pub region: RegionId,
    pub held_in: SmallVec<[RegionId; 2]>,
    pub purpose: Option<String>,
    pub grounds: SmallVec<[Ground; 1]>,
}

/// A decision, ready for use by every later station.
#[derive(Debug)]
pub struct Judged {
    permit: Option<Permit>,
    refused: Option<Refused>,
    pub profile: Arc<Profile>,
    /// `Domicile-Mechanism`, where a border is crossed.
    pub mechanism: Option<HeaderValue>,
    pub flow_home: bool,
    counter: IntCounter,
}

impl Flow {
    pub fn new(routed: &Routed<'_>, person: &Person, region: RegionId) -> Self {
        let mut held_in: SmallVec<[RegionId; 2]> = SmallVec::new();
        if person.pinned {
            // A home that was only claimed holds nothing yet.
            held_in.extend(person.stored.then_some(person.home));
            held_in.extend(person.held_in.iter().copied());
        }
        let route = &routed.route.settings;
        Self {
            route: routed.index,
            operation: routed.operation,
            countries: person.countries.clone(),
            categories: person.categories,
            home: person.home,
            region,
            held_in,
            purpose: routed
                .wishes
                .purpose
                .clone()
                .or_else(|| route.purpose.clone()),
            grounds: routed.wishes.grounds.clone(),
        }
    }

    /// What the ledger keeps of the grounds that the caller asserted.
    pub fn reference(&self) -> Option<Arc<str>> {
        let ground = self.grounds.iter().find(|g| g.reference.is_some())?;
        ground.reference.as_deref().map(Arc::from)
    }
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

    pub fn count(&self) {
        self.counter.inc();
    }
}

/// Checks one record's body and reads what its route looks for.
pub fn classify<'b>(routed: &Routed<'_>, body: &'b [u8]) -> Result<Classified<'b>, Refused> {
    let schema = &routed.route.schema;
    let classified = schema
        .classify(body)
        .map_err(|f| Refused::Malformed(f.to_string()))?;
    if let Some(part) = classified.refused {
        return Err(Refused::UnknownField(schema.known_pointer(part).to_owned()));
    }
    if classified.overfull {
        let detail = "the record has more values under the route's pointers than are read";
        return Err(Refused::Malformed(detail.to_owned()));
    }
    Ok(classified)
}

/// A batch item's id, for its path of its own.
pub fn subject_text(routed: &Routed<'_>, body: &[u8]) -> Option<String> {
    let slot = routed.route.subject_slot?;
    match classify(routed, body).ok()?.first(slot)? {
        Value::String(text) => Some(text.unescape().into_owned()),
        Value::Number(digits) => Some(digits.as_str().to_owned()),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

/// The regions that can be the home of a person of `countries`, best first; never empty.
pub fn homes(
    x: &Exchange<'_>,
    place: Place,
    categories: CategorySet,
    countries: &[Place],
) -> Homes {
    let mut who: SmallVec<[Place; 4]> = SmallVec::from_elem(place, 1);
    who.extend(countries.iter().copied().filter(|c| *c != place));
    let key = (who, categories);
    if let Some(remembered) = x.worker.judgements(&x.snapshot)
        && let Some(known) = remembered.homes.get(&key)
    {
        return known.clone();
    }
    let found = find_homes(x, &key);
    if let Some(mut remembered) = x.worker.judgements(&x.snapshot) {
        if remembered.homes.len() >= REMEMBERED {
            remembered.homes.clear();
        }
        remembered.homes.insert(key, found.clone());
    }
    found
}

fn find_homes(x: &Exchange<'_>, (countries, categories): &HomeKey) -> Homes {
    let snapshot = &x.snapshot;
    let location = Party::new(snapshot.location, snapshot.location_entity);
    // Only the strongest evidence gives the home; the other laws are asked when it is judged.
    let strongest = countries.first().copied();
    let subject = Subject {
        countries: strongest.into_iter().collect(),
        ..Subject::default()
    };
    let query = Query::new(
        &snapshot.policy,
        x.at,
        Operation::Store,
        subject,
        *categories,
        location,
        location,
    );
    match decide::home_candidates(&snapshot.policy, &snapshot.regions, &query) {
        Ok(found) if found.is_empty() => Err(Refused::NoHome(
            "no region of the settings can be the home of a person of this country; name one under [homes]"
                .to_owned(),
        )),
        Ok(found) => Ok(found.into_iter().collect()),
        Err(fault) => Err(home_refused(x, fault)),
    }
}

fn home_refused(x: &Exchange<'_>, fault: HomeFault) -> Refused {
    let rules: &[RuleId] = match &fault {
        HomeFault::Unknown => return Refused::NoEvidence,
        HomeFault::Conflict { rules } => rules,
        HomeFault::NoRegionOfLaw { rule } => std::slice::from_ref(rule),
        HomeFault::NoneAllowed => &[],
    };
    let rule = rules.first().and_then(|r| x.snapshot.checked.rule(*r));
    Refused::Forbidden(Arc::new(Forbidden {
        rule: rule.map(|r| r.id.to_string()),
        citation: rule.map(|r| r.citation.to_string()),
        detail: fault.to_string(),
        conflict: rules.len() > 1,
        ..Forbidden::default()
    }))
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
    let personal = Personal::of(x, person)?;
    let mut plan = None;
    if let Some(remembered) = x.worker.judgements(&x.snapshot)
        && let Some(known) = remembered.flows.get(flow)
    {
        if let Some(plain) = known.plain.as_ref().filter(|_| personal.is_empty()) {
            return Ok(Judgement::new(Rc::clone(plain), Holds::new()));
        }
        plan.clone_from(&known.plan);
    }
    let started = Instant::now();
    let mut query = question(x, route, flow)?;
    personal.tell(x, flow.purpose.as_deref(), &mut query);
    let plan = if personal.may_be_child() {
        Plan::of(x, &query).map(Rc::new)
    } else {
        let fresh = |p: &Option<Rc<Plan>>| p.as_ref().is_none_or(|p| p.holds_at(x.at));
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
    let told = if plain {
        None
    } else {
        already_told(x, flow, &verdict, &counted)
    };
    let judged = match told {
        Some(judged) => judged,
        None => {
            let judged = Rc::new(tell(x, route, flow, &query, &verdict, &counted));
            let permit = verdict.is_permit();
            let new = Rc::clone(&judged);
            remember(x, flow, |known| {
                if plain {
                    known.plain = Some(new);
                } else if permit {
                    if known.varied.len() >= VARIED {
                        known.varied.clear();
                    }
                    known.varied.push((verdict, counted, new));
                }
            });
            judged
        }
    };
    let metrics = &x.worker.shared.metrics;
    metrics
        .decision_seconds
        .observe(started.elapsed().as_secs_f64());
    Ok(Judgement::new(judged, holds))
}

/// The verdict on a question about the person of `key`, with the counts that `plan` asks; and where
/// a permit counts the person.
pub fn decide_counted(
    x: &Exchange<'_>,
    key: SubjectKey,
    plan: Option<&Plan>,
    query: &mut Query,
) -> Result<(Verdict, Holds, Names), Refused> {
    let Some(plan) = plan else {
        let verdict = decide::decide(&x.snapshot.policy, query);
        return Ok((verdict, Holds::new(), Names::new()));
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
    let counter = x
        .worker
        .shared
        .metrics
        .decisions
        .with_label_values(&labels(&profile));
    Judged {
        flow_home: permit.as_ref().is_some_and(Permit::is_flow_home),
        mechanism: crosses.then(|| mechanism(&profile)).flatten(),
        permit,
        refused,
        profile,
        counter,
    }
}

/// POLICY §1, 'From a request to a question'.
fn question(x: &Exchange<'_>, route: &Route, flow: &Flow) -> Result<Query, Refused> {
    let snapshot = &x.snapshot;
    let mut location = Party::new(snapshot.location, snapshot.location_entity);
    location.role = route.role;
    let at = |region: RegionId| {
        let place = snapshot.regions.get(region).map(|r| r.place);
        place
            .zip(snapshot.region_entity(region))
            .map(|(place, entity)| Party::new(place, entity))
            .ok_or(Refused::Internal(
                "a flow names a region that the snapshot does not have",
            ))
    };
    let (from, to, via) = match flow.operation {
        Operation::Store if flow.region == flow.home => (location, at(flow.region)?, None),
        // A new collection that leaves home, by way of the location.
        Operation::Store | Operation::Replicate | Operation::Relocate => {
            (at(flow.home)?, at(flow.region)?, Some(location))
        }
        Operation::Read => (at(flow.region)?, location, None),
        Operation::Erase | Operation::Disclose => (location, at(flow.region)?, None),
    };
    let subject = Subject {
        countries: flow.countries.iter().copied().collect(),
        ..Subject::default()
    };
    let mut query = Query::new(
        &snapshot.policy,
        x.at,
        flow.operation,
        subject,
        flow.categories,
        from,
        to,
    );
    query.via = via;
    query.purpose = flow.purpose.as_deref().map(|p| snapshot.checked.purpose(p));
    let mut grounds = Grounds::default();
    for ground in &flow.grounds {
        grounds.insert(ground.kind, ground.occasional);
    }
    query.grounds = grounds;
    query.held_in = flow
        .held_in
        .iter()
        .filter_map(|r| snapshot.regions.get(*r).map(|r| r.place))
        .collect();
    Ok(query)
}

/// The refusal of a flow as it is answered; for a disclosure with the fields that may not go.
pub fn forbidden(
    x: &Exchange<'_>,
    query: &Query,
    verdict: &Verdict,
    unlisted: Vec<String>,
) -> Refused {
    let snapshot = &x.snapshot;
    let answer = decide::answer(&snapshot.policy, query, verdict, Some(&snapshot.regions));
    let named = |rule: &Option<String>, citation: &Option<String>| match (rule, citation) {
        (Some(rule), Some(citation)) => format!("rule `{rule}` ({citation}) refuses it"),
        (Some(rule), None) => format!("`{rule}` refuses it"),
        _ => "no law's mechanism permits it".to_owned(),
    };
    let detail = if !unlisted.is_empty() {
        format!(
            "{}: it does not list what stands at {}",
            named(&answer.rule, &None),
            unlisted.join(", ")
        )
    } else if answer.missing.is_empty() {
        named(&answer.rule, &answer.citation)
    } else {
        format!(
            "{}; `missing` lists what would permit it",
            named(&answer.rule, &answer.citation)
        )
    };
    let end = |party: &Party| FlowEnd {
        country: party.place,
        entity: party
            .entity
            .map(|e| snapshot.checked.entity_id(e).to_owned()),
    };
    Refused::Forbidden(Arc::new(Forbidden {
        rule: answer.rule,
        citation: answer.citation,
        detail,
        from: Some(end(&query.from)),
        to: Some(end(&query.to)),
        missing: answer.missing,
        conflict: false,
        unlisted,
        held: false,
    }))
}

/// What the ledger says of a decision; `region` is the one that is called.
pub fn profile(
    x: &Exchange<'_>,
    route: &Route,
    region: Option<Arc<str>>,
    query: &Query,
    verdict: &Verdict,
) -> Profile {
    let snapshot = &x.snapshot;
    let checked = &snapshot.checked;
    let end = |party: &Party| attest::Party {
        place: party.place,
        entity: party.entity.map(|e| checked.entity_id(e).into()),
    };
    let instrument = verdict.instrument(checked);
    let permit = verdict.is_permit();
    let missing = if permit {
        Vec::new()
    } else {
        let found = decide::missing(&snapshot.policy, query, verdict);
        found
            .iter()
            .map(|m| format!("{}: {}", m.law, m.mechanism).into())
            .collect()
    };
    let rules = verdict.rules().filter_map(|r| checked.rule(r));
    Profile {
        policy: checked.digest(),
        route: Arc::clone(&route.name),
        operation: query.operation,
        laws: verdict.laws(checked).map(Arc::from).collect(),
        categories: query
            .categories()
            .iter()
            .filter_map(|c| checked.category_key(c).cloned())
            .collect(),
        from: end(&query.from),
        to: end(&query.to),
        via: query.via.as_ref().map(end),
        region,
        mechanism: verdict.mechanism(checked).map(Arc::from),
        module: verdict.module(),
        instrument: instrument.map(|i| Arc::clone(&i.id)),
        exporter: instrument.and(end(&query.from).entity),
        importer: instrument.and(end(&query.to).entity),
        rules: rules.map(|r| Arc::clone(&r.id)).collect(),
        outcome: if permit {
            attest::Verdict::Permit
        } else {
            attest::Verdict::Refuse
        },
        problem: (!permit).then(|| "transfer-forbidden".into()),
        duties: verdict.duties(checked).into_iter().map(Arc::from).collect(),
        missing,
        counted: Vec::new(),
    }
}

fn snapshot_region(x: &Exchange<'_>, flow: &Flow) -> Arc<str> {
    x.snapshot.regions.name(flow.region).into()
}

/// `scc; module=2; instrument="eu-sg-2024"`.
pub fn mechanism(profile: &Profile) -> Option<HeaderValue> {
    let mut text = profile.mechanism.as_deref()?.to_owned();
    if let Some(module) = profile.module {
        text.push_str(&format!("; module={module}"));
    }
    if let Some(instrument) = &profile.instrument {
        text.push_str(&format!("; instrument=\"{instrument}\""));
    }
    HeaderValue::try_from(text).ok()
}

/// The profile of a refusal that no judgement stands behind; remembered, since it names nobody.
pub fn plain_refusal(x: &Exchange<'_>, story: &Story, refused: &Refused) -> Arc<Profile> {
    let key: PlainKey = (story.route.clone(), story.operation, refused.name());
    if let Some(remembered) = x.worker.judgements(&x.snapshot)
        && let Some(known) = remembered.plain.get(&key)
    {
        return Arc::clone(known);
    }
    let snapshot = &x.snapshot;
    let here = attest::Party {
        place: snapshot.location,
        entity: Some(snapshot.checked.entity_id(snapshot.location_entity).into()),
    };
    let profile = Arc::new(Profile {
        policy: snapshot.checked.digest(),
        route: story.route.clone().unwrap_or_else(|| "-".into()),
        operation: story.operation.unwrap_or(Operation::Read),
        laws: Vec::new(),
        categories: Vec::new(),
        from: here.clone(),
        to: here,
        via: None,
        region: None,
        mechanism: None,
        instrument: None,
        module: None,
        exporter: None,
        importer: None,
        rules: Vec::new(),
        outcome: attest::Verdict::Refuse,
        problem: Some(refused.name().into()),
        duties: Vec::new(),
        missing: Vec::new(),
        counted: Vec::new(),
    });
    if let Some(mut remembered) = x.worker.judgements(&x.snapshot) {
        remembered.plain.insert(key, Arc::clone(&profile));
    }
    profile
}

/// The same decision, where observe mode lets the flow go all the same. Nobody is counted: the
/// flow that was decided on did not take place.
pub fn observed_profile(profile: &Profile) -> Arc<Profile> {
    Arc::new(Profile {
        outcome: attest::Verdict::Observe,
        counted: Vec::new(),
        ..profile.clone()
    })
}

/// The permit of observe mode: to the one region where everything goes today.
pub fn observed(x: &Exchange<'_>, region: RegionId) -> Permit {
    let operation = x.story.borrow().operation.unwrap_or(Operation::Read);
    Permit::observed(region, operation)
}

pub fn count_decision(metrics: &Metrics, profile: &Profile) {
    metrics.decisions.with_label_values(&labels(profile)).inc();
}

fn labels(profile: &Profile) -> [&str; 5] {
    [
        profile.outcome.as_str(),
        profile.operation.as_str(),
        profile.laws.first().map_or("none", AsRef::as_ref),
        profile.region.as_deref().unwrap_or("none"),
        profile.mechanism.as_deref().unwrap_or("none"),
    ]
}
