//! What each mechanism that could have permitted a refused flow lacks, in words to act on.
//!
//! Only refusals come here, so this may allocate and look at everything again.

use std::fmt::Write;

use crate::{
    domain::Missing,
    policy::{
        Checked, Compiled, CounterId, FilingNeed, Instrument, Need, Rule, RuleMask, Usable,
        filing_holds,
    },
};

use super::{
    evaluate::rules,
    flow::Attached,
    holds::Holds,
    mechanism::{
        Candidate, covers, module, need_holds, people_covered, purpose_covered, usables,
        usables_if_accepted,
    },
    query::{Party, Query},
    verdict::{FindingKind, FindingLaw, LawFinding, Verdict},
    view::View,
};

/// All of them, law by law in the order of the findings. Nothing in it is personal data.
pub fn missing(policy: &Compiled, query: &Query, verdict: &Verdict) -> Vec<Missing> {
    let attached = Attached::of(policy, query);
    verdict
        .findings()
        .iter()
        .flat_map(|f| of_finding(policy, &attached, f).0)
        .collect()
}

/// What one law's mechanisms lack, one entry each, and the rules that were tried.
pub(super) fn of_finding<'a>(
    policy: &'a Compiled,
    attached: &Attached<'a>,
    finding: &LawFinding,
) -> (Vec<Missing>, Vec<&'a Rule>) {
    let (mut all, mut tried): (Vec<Missing>, Vec<&Rule>) = (Vec::new(), Vec::new());
    let id = match finding.law {
        FindingLaw::Law(id) => id,
        FindingLaw::Country(country) if finding.kind == FindingKind::Missing => {
            let checked = policy.checked();
            all.push(Missing {
                law: country.as_str().to_owned(),
                mechanism: checked.mechanism_key(checked.no_law_file).to_owned(),
                needs: vec![format!(
                    "a file in law/ for {country}: without one, its people's records go to those alone who run a home of `[homes] default`, where it lies"
                )],
            });
            return (all, tried);
        }
        FindingLaw::Country(_) | FindingLaw::None => return (all, tried),
    };
    let view = attached.view(policy, id);
    let Some(view) = view.filter(|_| finding.kind == FindingKind::Missing) else {
        return (all, tried);
    };
    let permits = view.candidates() & view.table.permits;
    let counting = rules(&view, permits).map(|(bit, rule)| (Some(bit), rule));
    let waiting = view.law.rules.iter().filter(|r| view.waits_for(r));
    for (bit, rule) in counting.chain(waiting.map(|rule| (None, rule))) {
        let mut needs = match view.holds(&rule.when) {
            Holds::No => continue,
            Holds::Yes => Vec::new(),
            Holds::Unknown(counter) => vec![counter_words(&view, counter)],
        };
        if denies_a_fact(&view, rule) {
            continue;
        }
        needs.extend(lacks(&view, rule, nearest(&view, rule, bit).as_ref()));
        if bit.is_none() {
            needs.push(format!(
                "accept = [\"{}\"] in the organisation's file (confidence {})",
                rule.id, rule.confidence
            ));
        }
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

/// Whether the rule could only hold if the flow were something else than the caller says: another
/// kind of transaction is another flow, and nothing to act on.
fn denies_a_fact(view: &View<'_>, rule: &Rule) -> bool {
    let stated = view.query.transaction.is_some();
    let other = |n: &Need| matches!(n, Need::Transaction(_)) && !need_holds(view, *n, None);
    stated && rule.requires.iter().any(|any| any.iter().all(other))
}

/// The first instrument that covers the flow under a rule, with whether its assessment is in date.
/// `bit`: the rule's own; `None` for one that waits to be accepted, which no table knows.
fn nearest<'a>(view: &View<'a>, rule: &Rule, bit: Option<RuleMask>) -> Option<Candidate<'a>> {
    let fit = |u: &Usable| {
        let instrument = view.policy.checked().instrument(u.instrument)?;
        covers(view, rule, u, instrument)?;
        let assessed = u.assessed;
        Some(Candidate {
            instrument,
            assessed,
        })
    };
    match bit {
        Some(bit) => {
            let mut of_rule = usables(view).iter().filter(|u| u.rules & bit != 0);
            of_rule.find_map(fit)
        }
        None => usables_if_accepted(view, rule).iter().find_map(fit),
    }
}

/// The requirements of a rule that do not hold, under the instrument that comes nearest.
fn lacks(view: &View<'_>, rule: &Rule, nearest: Option<&Candidate<'_>>) -> Vec<String> {
    rule.requires
        .iter()
        .filter(|any| !any.iter().any(|n| need_holds(view, *n, nearest.copied())))
        .map(|any| {
            let words: Vec<String> = any.iter().map(|n| words(view, rule, *n)).collect();
            words.join(" or ")
        })
        .collect()
}

fn counter_words(view: &View<'_>, counter: CounterId) -> String {
    let counters = &view.policy.checked().vocabulary.counters;
    let key = counters.get(counter.index()).map_or("", |c| &c.key);
    format!("counter {key}")
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
    match between {
        Some((_, instrument)) => {
            let why = why_not(view, rule, instrument);
            let _ = write!(text, " (`{}` {why})", instrument.id);
        }
        None => {
            // An edition's name is that of a text, except where the vocabulary has words for it.
            let named = rule
                .editions
                .iter()
                .filter(|e| edition_words(view, e) != **e);
            let named: Vec<&str> = named.map(|e| edition_words(view, e)).collect();
            if !named.is_empty() {
                let _ = write!(text, " ({})", named.join(", or "));
            }
        }
    }
    text
}

fn edition_words<'a>(view: &View<'a>, edition: &'a str) -> &'a str {
    view.policy.checked().vocabulary.edition_words(edition)
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
        let asked: Vec<&str> = rule
            .editions
            .iter()
            .map(|e| edition_words(view, e))
            .collect();
        return format!("is of edition {edition}; this asks {}", asked.join(", or "));
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
    if let Some(limit) = instrument
        .people
        .filter(|_| !people_covered(view, instrument))
    {
        let counters = view.table.counters.iter();
        let unknown = counters.filter(|c| view.count(**c).is_none());
        let unknown: Vec<String> = unknown.map(|c| counter_words(view, *c)).collect();
        return if unknown.is_empty() {
            format!("has reached its limit of {limit} people")
        } else {
            let unknown = unknown.join(", ");
            format!("is limited to {limit} people, and this is not known: {unknown}")
        };
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
