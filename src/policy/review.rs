//! What only shows when all files are seen together: contradictions (errors) and things to look
//! at (warnings).

use jiff::{ToSpan, civil::Date};

use crate::{
    document::{Faults, Where, suggest},
    domain::{Country, Role},
};

use super::{
    checked::Checked,
    condition::Need,
    instrument::Instrument,
    keep,
    law::{Effect, Law, Rule},
    observation,
    sets::Interval,
};

/// Contradictions that stop a load.
pub fn errors(checked: &Checked, faults: &Faults) {
    for instrument in &checked.organisation.instruments {
        module_and_roles(checked, instrument, faults);
    }
    for law in &checked.laws {
        for rule in &law.rules {
            unreachable_requirements(rule, faults);
        }
        if law.rules.len() > 128 {
            faults.error(&law.at, format!("law `{}` has more than 128 rules", law.id));
        }
        if law.territory.is_empty() {
            faults.error(&law.at, format!("law `{}` has no territory", law.id));
        }
        overlapping_children(law, checked, faults);
    }
    homes(checked, faults);
    let laws = checked.laws.iter().map(|l| l.id.as_ref());
    keep::review(&checked.organisation.retention, laws, faults);
}

/// A declared module must be the one that the parties' roles give.
fn module_and_roles(checked: &Checked, instrument: &Instrument, faults: &Faults) {
    let Some(module) = instrument.module else {
        return;
    };
    let role = |own: Option<Role>, id| own.or_else(|| checked.entity_info(id).and_then(|e| e.role));
    for exporter in &instrument.exporters {
        for importer in &instrument.importers {
            let roles = (
                role(instrument.exporter_role, *exporter),
                role(instrument.importer_role, *importer),
            );
            let derived = match roles {
                (Some(Role::Controller), Some(Role::Controller)) => 1,
                (Some(Role::Controller), Some(Role::Processor)) => 2,
                (Some(Role::Processor), Some(Role::Processor)) => 3,
                (Some(Role::Processor), Some(Role::Controller)) => 4,
                _ => continue,
            };
            if derived != module {
                let (from, to) = (checked.entity_id(*exporter), checked.entity_id(*importer));
                faults.error_hint(
                    &instrument.at,
                    format!(
                        "instrument `{}` declares module {module}, but the roles of `{from}` and `{to}` give module {derived}",
                        instrument.id
                    ),
                    "say `exporter_role` or `importer_role` where a party has another role under this instrument",
                );
            }
        }
    }
}

/// Filing, editions and modules are facts of an instrument: without one they could never be asked.
fn unreachable_requirements(rule: &Rule, faults: &Faults) {
    let wants = rule
        .requires
        .iter()
        .flatten()
        .any(|n| *n == Need::Instrument);
    let asks = rule.filing != super::condition::FilingNeed::None
        || !rule.editions.is_empty()
        || rule.modules != 0
        || rule.concluded != Interval::ALWAYS;
    if asks && !wants {
        faults.error_hint(
            &rule.at,
            format!(
                "rule `{}` asks for facts of an instrument, and requires none",
                rule.id
            ),
            "add `instrument` to `requires`",
        );
    }
    if rule.operations == 0 || rule.flows == 0 {
        faults.error(
            &rule.at,
            format!(
                "rule `{}` can never apply: no operation or no flow is left",
                rule.id
            ),
        );
    }
}

/// Two ages for one country on one day contradict each other.
fn overlapping_children(law: &Law, checked: &Checked, faults: &Faults) {
    let groups = &checked.vocabulary.groups;
    for (i, a) in law.children.iter().enumerate() {
        for b in law.children.iter().skip(i + 1) {
            if a.age == b.age || !a.interval.overlaps(&b.interval) {
                continue;
            }
            let day = a.interval.from.max(b.interval.from).unwrap_or(Date::MIN);
            let (of_a, of_b) = (a.of.on(day, groups), b.of.on(day, groups));
            let both = Country::all().find(|c| of_a.touches(*c) && of_b.touches(*c));
            if let Some(country) = both {
                faults.error(
                    &law.at,
                    format!(
                        "`{}` and `{}` both hold for {country} on {day}, with different ages",
                        a.id, b.id
                    ),
                );
            }
        }
    }
}

fn homes(checked: &Checked, faults: &Faults) {
    let homes = &checked.organisation.homes;
    for key in homes.by_key.keys() {
        let is_law = checked.laws.iter().any(|l| l.id == *key);
        if !is_law && Country::new(key).is_err() {
            let laws = checked.laws.iter().map(|l| l.id.as_ref());
            let hint = suggest(key, laws).unwrap_or_else(|| {
                "homes stand by law id, by country code, or as `default`".to_owned()
            });
            let at = checked.organisation.homes.key_place(key);
            faults.error_hint(&at, format!("`{key}` is neither a law nor a country"), hint);
        }
    }
}

/// Things an operator should look at on `day`.
pub fn warnings(checked: &Checked, day: Date, faults: &Faults) {
    let soon = day.checked_add(90.days()).unwrap_or(day);
    for instrument in &checked.organisation.instruments {
        let what = format!("instrument `{}`", instrument.id);
        ending(&what, &instrument.at, instrument.valid, day, soon, faults);
        if let Some(a) = &instrument.assessment {
            let what = format!("assessment `{}`", a.id);
            ending(&what, &a.at, a.valid, day, soon, faults);
        }
        if !checked.laws.iter().any(|l| usable_ever(instrument, l)) {
            let hint = format!(
                "no rule of any law asks for `{}` with these facts",
                checked.mechanism_key(instrument.mechanism)
            );
            let message = format!("instrument `{}` can be used by no rule", instrument.id);
            faults.warning(&instrument.at, message, Some(hint));
        }
    }
    for a in &checked.organisation.assessments {
        let what = format!("assessment `{}`", a.id);
        ending(&what, &a.at, a.valid, day, soon, faults);
    }
    let year_ago = day.checked_sub(1.year()).unwrap_or(day);
    let groups = &checked.vocabulary.groups;
    for ((name, group), at) in groups.names.iter().zip(&groups.groups).zip(&groups.places) {
        if let Some(as_of) = group.as_of.filter(|d| *d < year_ago) {
            let message = format!("group `{name}` was last compared with its source on {as_of}");
            faults.warning(at, message, Some("compare it, and set `as_of`".to_owned()));
        }
    }
    observation::warnings(checked, faults);
    for law in &checked.laws {
        shadowed(law, faults);
    }
}

fn ending(what: &str, at: &Where, valid: Interval, day: Date, soon: Date, faults: &Faults) {
    match valid.until {
        Some(until) if until < day => {
            faults.warning(at, format!("{what} ended on {until}"), None);
        }
        Some(until) if until <= soon => {
            faults.warning(at, format!("{what} ends on {until}"), None);
        }
        _ => {}
    }
}

fn usable_ever(instrument: &Instrument, law: &Law) -> bool {
    law.rules.iter().any(|r| {
        r.instruments_of == Some(instrument.mechanism)
            && r.interval.overlaps(&instrument.valid)
            && (r.editions.is_empty()
                || instrument
                    .edition
                    .as_ref()
                    .is_some_and(|e| r.editions.contains(e)))
    })
}

/// A permit behind one that asks for nothing, at the same places and times, is never reached.
fn shadowed(law: &Law, faults: &Faults) {
    let permits = || law.rules.iter().filter(|r| r.effect == Effect::Permit);
    for (i, rule) in permits().enumerate() {
        let earlier = permits().take(i).find(|e| {
            let always = !e.review && !e.observe && e.requires.is_empty();
            let wide = e.operations & rule.operations == rule.operations
                && e.flows & rule.flows == rule.flows
                && covers(&e.interval, &rule.interval);
            let places =
                e.to.any && e.to_except.is_empty() && e.origin.any && e.origin_except.is_empty();
            always
                && wide
                && places
                && (e.when == super::condition::When::default() || e.when == rule.when)
        });
        if let Some(earlier) = earlier {
            faults.warning(
                &rule.at,
                format!(
                    "rule `{}` can never apply: `{}` permits all it permits",
                    rule.id, earlier.id
                ),
                None,
            );
        }
    }
}

fn covers(wide: &Interval, narrow: &Interval) -> bool {
    let starts = match (wide.from, narrow.from) {
        (None, _) => true,
        (Some(w), Some(n)) => w <= n,
        (Some(_), None) => false,
    };
    let ends = match (wide.until, narrow.until) {
        (None, _) => true,
        (Some(w), Some(n)) => n <= w,
        (Some(_), None) => false,
    };
    starts && ends
}
