//! The verdict in words: the JSON answer of `explain`, the admin API and `policy test`.

use crate::{
    domain::{
        Answer, Finding, HoldFinding, Missing, ObservedRule, Operation, Outcome, PromiseFinding,
        Regions, RuleFinding,
    },
    policy::{Checked, Compiled, RuleId},
};

use super::{
    evaluate::promises,
    flow::Attached,
    missing::of_finding,
    query::Query,
    shadow::observed,
    verdict::{FindingKind, FindingLaw, LawFinding, Verdict},
};

/// The answer to `query`, with each law's own finding. `region` is null without `regions`.
pub fn answer(
    policy: &Compiled,
    query: &Query,
    verdict: &Verdict,
    regions: Option<&Regions>,
) -> Answer {
    let checked = policy.checked().as_ref();
    let attached = Attached::of(policy, query);
    let laws: Vec<Finding> = verdict
        .findings()
        .iter()
        .map(|f| finding(policy, &attached, f))
        .collect();
    let missing: Vec<Missing> = laws.iter().flat_map(|l| l.missing.clone()).collect();
    let region = regions.filter(|_| verdict.is_permit()).and_then(|all| {
        let entity = checked.entity_id(query.to.entity?);
        let found = all
            .iter()
            .find(|(_, r)| r.place == query.to.place && *r.entity == *entity);
        found.map(|(_, r)| r.name.to_string())
    });
    let rule = verdict.rule(checked);
    let told = Answer {
        outcome: verdict.outcome(),
        region,
        mechanism: verdict.mechanism(checked).map(str::to_owned),
        module: verdict.module(),
        instrument: verdict.instrument(checked).map(|i| i.id.to_string()),
        rule: rule.map(|r| r.id.to_string()),
        citation: rule.map(|r| r.citation.to_string()),
        laws,
        promises: promises(policy, query)
            .into_iter()
            .filter_map(|(id, outcome)| {
                let promise = checked.organisation.promises.get(id.index())?;
                Some(PromiseFinding {
                    id: promise.id.to_string(),
                    outcome,
                })
            })
            .collect(),
        duties: verdict
            .duties(checked)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        missing,
        observed: observed(policy, query, verdict)
            .into_iter()
            .filter_map(|o| {
                let rule = checked.rule(o.rule)?;
                Some(ObservedRule {
                    rule: rule.id.to_string(),
                    citation: rule.citation.to_string(),
                    outcome: o.outcome,
                })
            })
            .collect(),
        holds: Vec::new(),
        policy: checked.digest().to_string(),
    };
    match query.operation {
        Operation::Erase => held(checked, query, told),
        _ => told,
    }
}

/// The answer about an erasure with the legal holds, which the router asks before any law. Of whom a
/// question is about is not known, so that a hold of single people is told and refuses nothing here.
fn held(checked: &Checked, query: &Query, told: Answer) -> Answer {
    let (countries, stated) = (&query.subject.countries, query.categories());
    let holds = checked.holds_of(query.at, stated);
    let holds = holds
        .filter(|hold| hold.is_for(countries))
        .map(|hold| HoldFinding {
            id: hold.id.to_string(),
            citation: hold.citation.to_string(),
            binds: hold.is_for_key(None),
        })
        .collect();
    let told = Answer { holds, ..told };
    let Some(hold) = checked.hold_on(query.at, None, countries, stated) else {
        return told;
    };
    Answer {
        outcome: Outcome::Refuse,
        region: None,
        mechanism: None,
        module: None,
        instrument: None,
        rule: Some(hold.id.to_string()),
        citation: Some(hold.citation.to_string()),
        duties: Vec::new(),
        missing: Vec::new(),
        observed: Vec::new(),
        ..told
    }
}

fn finding(policy: &Compiled, attached: &Attached<'_>, found: &LawFinding) -> Finding {
    let checked = policy.checked().as_ref();
    let (missing, tried) = of_finding(policy, attached, found);
    let described = |id: RuleId, effect: Option<&str>| {
        let info = checked.rule(id)?;
        Some(RuleFinding {
            id: info.id.to_string(),
            citation: info.citation.to_string(),
            effect: effect.unwrap_or(info.effect).to_owned(),
        })
    };
    let effect = match found.law {
        FindingLaw::Country(_) if found.kind == FindingKind::Missing => Some("forbid"),
        _ => None,
    };
    let mut rules: Vec<RuleFinding> = described(found.rule, effect).into_iter().collect();
    for rule in tried {
        if !rules.iter().any(|r| *r.id == *rule.id) {
            rules.extend(described(rule.number, Some("missing")));
        }
    }
    Finding {
        law: found.law.name(checked).unwrap_or("none").to_owned(),
        outcome: match found.kind {
            FindingKind::Permitted => Outcome::Permit,
            FindingKind::Forbidden | FindingKind::Localised | FindingKind::Missing => {
                Outcome::Refuse
            }
        },
        mechanism: found.mechanism.map(|m| checked.mechanism_key(m).to_owned()),
        module: found.module,
        instrument: found
            .instrument
            .and_then(|i| checked.instrument(i))
            .map(|i| i.id.to_string()),
        rules,
        missing,
    }
}
