//! What each mechanism that could have permitted a refused flow lacks, in words to act on.
//!
//! Only refusals come here, so this may allocate and look at everything again.

use std::fmt::Write;

use crate::{
    domain::Missing,
    policy::{Checked, Compiled, FilingNeed, Instrument, Need, Rule, RuleMask, filing_holds},
};

use super::{
    evaluate::{Attached, rules},
    mechanism::{Candidate, covers, module, need_holds, people_covered, purpose_covered, usables},
    query::{Party, Query},
    verdict::{FindingKind, FindingLaw, LawFinding, Verdict},
    view::{Holds, View},
};

/// All of them, law by law in the order of the findings. Nothing in it is personal data.
pub fn missing(policy: &Compiled, query: &Query, verdict: &Verdict) -> Vec<Missing> {
    let attached = Attached::of(policy, query);
    verdict
        .findings()
        .iter()
        .flat_map(|f| of_finding(policy, query, &attached, f).0)
        .collect()
}

/// What one law's mechanisms lack, one entry each, and the rules that were tried.
pub(super) fn of_finding<'a>(
    policy: &'a Compiled,
    query: &'a Query,
    attached: &Attached,
    finding: &LawFinding,
) -> (Vec<Missing>, Vec<&'a Rule>) {
    let (mut all, mut tried): (Vec<Missing>, Vec<&Rule>) = (Vec::new(), Vec::new());
    let FindingLaw::Law(id) = finding.law else {
        return (all, tried);
    };
    let view = attached.view(policy, id, query);
    let Some(view) = view.filter(|_| finding.kind == FindingKind::Missing) else {
        return (all, tried);
    };
    let permits = view.candidates() & view.table.permits;
    for (bit, rule) in rules(&view, permits) {
        let mut needs = match view.holds(&rule.when) {
            Holds::No => continue,
            Holds::Yes => Vec::new(),
            Holds::Unknown(counter) => {
                let counters = &policy.checked().vocabulary.counters;
                let key = counters.get(counter.index()).map_or("", |c| &c.key);
                vec![format!("counter {key}")]
            }
        };
        needs.extend(lacks(&view, rule, bit));
        let mechanism = rule.mechanism.map(|m| policy.checked().mechanism_key(m));
        let mechanism = mechanism.unwrap_or_default();
        tried.push(rule);
        match all.iter_mut().find(|m| m.mechanism == mechanism) {
            Some(known) => alternative(&mut known.needs, needs),
            None => all.push(Missing {
                law: policy.checked().law_id(id).to_owned(),
                mechanism: mechanism.to_owned(),
                needs,
            }),
        }
    }
    (all, tried)
}

/// Two rules of one mechanism: single needs are told as alternatives, else the shorter list.
fn alternative(known: &mut Vec<String>, other: Vec<String>) {
    match (known.as_mut_slice(), other.as_slice()) {
        ([one], [two]) if one != two => {
            one.push_str(" or ");
            one.push_str(two);
        }
        (known_needs, _) if other.len() < known_needs.len() => *known = other,
        _ => {}
    }
}

/// The requirements of a rule that do not hold, under the instrument that comes nearest.
fn lacks(view: &View<'_>, rule: &Rule, bit: RuleMask) -> Vec<String> {
    let nearest = usables(view).iter().find_map(|u| {
        let instrument = view.policy.checked().instrument(u.instrument)?;
        let fits = u.rules & bit != 0 && covers(view, rule, u, instrument).is_some();
        fits.then_some(Candidate {
            instrument,
            assessed: u.assessed,
        })
    });
    rule.requires
        .iter()
        .filter(|any| !any.iter().any(|n| need_holds(view, *n, nearest)))
        .map(|any| {
            let words: Vec<String> = any.iter().map(|n| words(view, rule, *n)).collect();
            words.join(" or ")
        })
        .collect()
}

fn words(view: &View<'_>, rule: &Rule, need: Need) -> String {
    let policy = view.policy.checked().as_ref();
    match need {
        Need::Instrument => instrument_words(view, rule),
        Need::Assessment(kind) => format!("assessment ({})", kind.as_str()),
        Need::Consent {
            kind,
            informed,
            occasional,
        } => {
            let name = word_of(&kind);
            let mut text = format!("consent ({name}");
            for (wanted, word) in [(informed, "informed"), (occasional, "occasional")] {
                if wanted {
                    let _ = write!(text, ", {word}");
                }
            }
            text + ")"
        }
        Need::Ground { kind, occasional } => {
            let name = word_of(&kind);
            let once = if occasional { ", occasional" } else { "" };
            format!("ground ({name}{once})")
        }
        Need::Exporter(attribute) => {
            let name = policy.vocabulary.attribute_name(attribute);
            format!("attribute {name} of {}", party(policy, view.origin))
        }
        Need::Importer(attribute) => {
            let name = policy.vocabulary.attribute_name(attribute);
            format!("attribute {name} of {}", party(policy, &view.query.to))
        }
        Need::Protection(protection) => format!("protection ({})", word_of(&protection)),
        Need::Transaction(transaction) => format!("transaction ({})", word_of(&transaction)),
    }
}

/// The word that questions use for a value.
fn word_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn party(policy: &Checked, party: &Party) -> String {
    match party.entity {
        Some(entity) => policy.entity_id(entity).to_owned(),
        None => format!("whoever is in {}", party.place),
    }
}

fn instrument_words(view: &View<'_>, rule: &Rule) -> String {
    let policy = view.policy.checked().as_ref();
    let (from, to) = (view.origin, &view.query.to);
    let mut text = format!(
        "instrument between {} and {}",
        party(policy, from),
        party(policy, to)
    );
    let between = policy.instruments().find(|(_, i)| {
        Some(i.mechanism) == rule.instruments_of
            && from.entity.is_some_and(|e| i.exporters.contains(&e))
            && to.entity.is_some_and(|e| i.importers.contains(&e))
    });
    if let Some((_, instrument)) = between {
        let _ = write!(
            text,
            " (`{}` {})",
            instrument.id,
            why_not(view, rule, instrument)
        );
    }
    text
}

/// Why an instrument between the right parties does not do.
fn why_not(view: &View<'_>, rule: &Rule, instrument: &Instrument) -> String {
    let day = view.table.day;
    let q = view.query;
    let groups = &view.policy.checked().vocabulary.groups;
    if let Some(from) = instrument.valid.from.filter(|f| *f > day) {
        return format!("is valid from {from} on");
    }
    if let Some(until) = instrument.valid.until.filter(|u| *u < day) {
        return format!("ended on {until}");
    }
    let edition = instrument.edition.as_deref().unwrap_or("unknown");
    if !rule.editions.is_empty() && !rule.editions.iter().any(|e| e == edition) {
        return format!(
            "is of edition {edition}; this asks {}",
            rule.editions.join(", ")
        );
    }
    if !filing_holds(rule.filing, instrument, view.law, day) {
        return match rule.filing {
            FilingNeed::Approved => "is not approved".to_owned(),
            FilingNeed::FiledFor(days) => {
                format!("is not filed, or {days} working days are not over")
            }
            FilingNeed::FiledWithin(days) => {
                format!("was not filed within {days} working days")
            }
            FilingNeed::Filed => "is not filed".to_owned(),
            FilingNeed::None => "is limited or prohibited".to_owned(),
        };
    }
    if !instrument.countries.on(day, groups).contains(q.to.place) {
        return format!("does not cover {}", q.to.place);
    }
    if !view.personal().is_subset(instrument.categories) {
        return "does not cover all categories".to_owned();
    }
    if !purpose_covered(instrument.purposes.as_deref(), q.purpose) {
        return "does not cover the purpose".to_owned();
    }
    if !people_covered(view, instrument) {
        return "has reached its limit of people, or the counter is not known".to_owned();
    }
    match module(view, instrument) {
        None => "has no module for these roles".to_owned(),
        Some(m) if rule.modules & (1 << m) == 0 => format!("module {m} is not open here"),
        Some(m) if instrument.module.is_some_and(|own| own != m) => {
            format!("is not module {m}, which the roles ask")
        }
        Some(_) => "was not concluded in time, or does not cover this flow".to_owned(),
    }
}
