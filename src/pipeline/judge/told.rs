//! How a decision is told to the ledger and to the caller.

use std::sync::Arc;

use http::HeaderValue;

use super::super::{
    Exchange,
    exchange::Story,
    remember::{PlainKey, REMEMBERED},
    wishes::plain_operation,
};
use crate::{
    attest::{self, Asserted, Profile, Stated},
    decide::{self, Party, Permit, Query, Verdict},
    domain::{Circumstances, FlowEnd, GroundKind, Operation, Outcome, RegionId},
    respond::{Forbidden, Refused},
    settings::Route,
};

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
        settings: Some(snapshot.settings_digest),
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
        observed: observed_rules(x, query, verdict),
        circumstances: query.circumstances(),
        reached: None,
        stated: stated(x, query),
    }
}

/// What the decision hung on beside the flow itself: any past decision can be replayed.
fn stated(x: &Exchange<'_>, query: &Query) -> Stated {
    let snapshot = &x.snapshot;
    let checked = &snapshot.checked;
    let asserted = GroundKind::WORDS.into_iter().filter_map(|(_, kind)| {
        let occasional = query.grounds.contains(kind, true);
        let said = occasional || query.grounds.contains(kind, false);
        said.then_some(Asserted { kind, occasional })
    });
    let lifted = decide::lifted(&snapshot.policy, query);
    let lifted = lifted.into_iter().filter_map(|rule| checked.rule(rule));
    Stated {
        purpose: query.purpose.map(|p| checked.purpose_name(p)),
        grounds: asserted.collect(),
        lifted: lifted.map(|rule| Arc::clone(&rule.id)).collect(),
    }
}

/// The rules under observation that would have turned the verdict.
fn observed_rules(x: &Exchange<'_>, query: &Query, verdict: &Verdict) -> Vec<attest::Observed> {
    let said = decide::observed(&x.snapshot.policy, query, verdict);
    said.into_iter()
        .filter_map(|o| {
            let rule = x.snapshot.checked.rule(o.rule)?;
            Some(attest::Observed {
                rule: Arc::clone(&rule.id),
                outcome: match o.outcome {
                    Outcome::Permit => attest::Verdict::Permit,
                    Outcome::Refuse => attest::Verdict::Refuse,
                },
            })
        })
        .collect()
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

/// The profile of a refusal that no judgement stands behind; remembered, since it names nobody, and
/// all of a batch may be refused alike.
pub fn plain_refusal(x: &Exchange<'_>, story: &Story, refused: &Refused) -> Arc<Profile> {
    let why = match refused {
        Refused::Forbidden(why) => Some(why),
        _ => None,
    };
    let address = why.map_or(0, |why| Arc::as_ptr(why).addr());
    let operation = story.operation.or_else(|| plain_operation(&x.method));
    // What stands for nothing, such as OPTIONS, writes nothing either.
    let operation = operation.unwrap_or(Operation::Read);
    let key: PlainKey = (story.route.clone(), operation, refused.name(), address);
    if let Some(remembered) = x.worker.judgements(&x.snapshot)
        && let Some((known, _)) = remembered.plain.get(&key)
    {
        return Arc::clone(known);
    }
    let bare = bare(x, story, operation, refused);
    let profile = Arc::new(match why {
        Some(why) => reasoned(x, bare, why),
        None => bare,
    });
    if let Some(mut remembered) = x.worker.judgements(&x.snapshot) {
        if remembered.plain.len() >= REMEMBERED {
            remembered.plain.clear();
        }
        let told = (Arc::clone(&profile), why.map(Arc::clone));
        remembered.plain.insert(key, told);
    }
    profile
}

/// With what the caller is told of the reasons.
fn reasoned(x: &Exchange<'_>, bare: Profile, why: &Forbidden) -> Profile {
    let end = |end: &FlowEnd| attest::Party {
        place: end.country,
        entity: end.entity.as_deref().map(Arc::from),
    };
    let mut rules = x.snapshot.checked.rules().map(|(_, rule)| rule);
    let rule = rules.find(|rule| why.rule.as_deref() == Some(&rule.id));
    let law = rule.and_then(|rule| rule.law);
    let missing = why.missing.iter();
    Profile {
        from: why.from.as_ref().map_or(bare.from, end),
        to: why.to.as_ref().map_or(bare.to, end),
        laws: law
            .map(|law| x.snapshot.checked.law_id(law).into())
            .into_iter()
            .collect(),
        rules: rule.iter().map(|rule| Arc::clone(&rule.id)).collect(),
        missing: missing
            .map(|m| format!("{}: {}", m.law, m.mechanism).into())
            .collect(),
        ..bare
    }
}

fn bare(x: &Exchange<'_>, story: &Story, operation: Operation, refused: &Refused) -> Profile {
    let snapshot = &x.snapshot;
    let here = attest::Party {
        place: snapshot.location,
        entity: Some(snapshot.checked.entity_id(snapshot.location_entity).into()),
    };
    Profile {
        policy: snapshot.checked.digest(),
        settings: Some(snapshot.settings_digest),
        route: story.route.clone().unwrap_or_else(|| "-".into()),
        operation,
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
        observed: Vec::new(),
        circumstances: Circumstances::default(),
        reached: None,
        stated: Stated::default(),
    }
}

/// The same decision, where observe mode lets the flow go all the same. Nobody is counted: the
/// flow that was decided on did not take place. `reached` is the region where the flow goes.
pub fn observed_profile(profile: &Profile, reached: Option<&str>) -> Arc<Profile> {
    Arc::new(Profile {
        outcome: attest::Verdict::Observe,
        counted: Vec::new(),
        reached: reached.map(Arc::from),
        ..profile.clone()
    })
}

/// The permit of observe mode: to the one region where everything goes today.
pub fn observed(x: &Exchange<'_>, region: RegionId) -> Permit {
    let operation = x.story.borrow().operation.unwrap_or(Operation::Read);
    Permit::observed(region, operation)
}
