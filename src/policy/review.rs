//! What only shows when all files are seen together: contradictions (errors) and things to look
//! at (warnings).
//!
//! An error is told only of what cannot have been meant, and a warning only of what is certainly
//! idle: a check that cries wolf is not read. So whatever hangs on facts of a question counts as
//! possible here.

mod contradictions;
mod idle;
mod kept;
mod promises;
mod scope;
#[cfg(test)]
mod tests;
mod unused;

use jiff::{ToSpan, civil::Date};

use crate::{
    document::{Faults, Where, suggest},
    domain::{Country, Place, Role},
};

use self::scope::Days;
pub(crate) use self::scope::samples;
use super::{
    checked::Checked, compile::MOST_RULES, condition::Need, instrument::Instrument, keep,
    law::Rule, observation, sets::Interval,
};

/// Contradictions that stop a load. `complete`: all law files are there, so that names of laws
/// that are not found are faults.
pub fn errors(checked: &Checked, complete: bool, faults: &Faults) {
    let days = Days::of(&checked.vocabulary.groups);
    let instruments = checked.organisation.instruments.iter();
    for instrument in instruments.filter(|i| !faults.concern(&i.source)) {
        module_and_roles(checked, instrument, faults);
    }
    for law in &checked.laws {
        // Of a rule that was misread nothing follows.
        let read = |r: &&Rule| !faults.concern(&r.source);
        let rules: Vec<&Rule> = law.rules.iter().filter(read).collect();
        for rule in &rules {
            unreachable_requirements(rule, faults);
        }
        if law.rules.len() > MOST_RULES {
            faults.error(
                &law.at,
                format!("law `{}` has more than {MOST_RULES} rules", law.id),
            );
        }
        contradictions::rules(law, &rules, checked, &days, faults);
    }
    contradictions::attributes(checked, faults);
    contradictions::assessments(checked, faults);
    contradictions::retention(&checked.organisation.retention, faults);
    promises::recipients(checked, faults);
    promises::contradictions(checked, &days, faults);
    if complete {
        homes(checked, faults);
        let laws = checked.laws.iter().map(|l| l.id.as_ref());
        keep::review(&checked.organisation.retention, laws, faults);
    }
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
                    instrument.source.place("module"),
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
            rule.source.place("requires"),
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

fn homes(checked: &Checked, faults: &Faults) {
    let homes = &checked.organisation.homes;
    for key in homes.by_key.keys() {
        let is_law = checked.laws.iter().any(|l| l.id == *key);
        if !is_law && Country::new(key).is_err() {
            let laws = checked.laws.iter().map(|l| l.id.as_ref());
            let meant = Place::meant(key).map(|code| format!("did you mean `{code}`?"));
            // Of two letters or three every code is near some other one, and a wrong one is
            // another country: only what is plainly meant is proposed.
            let union =
                laws.clone().any(|l| l == "EU") && matches!(key.as_ref(), "EEA" | "EWR" | "EEE");
            let union = union.then(|| "did you mean `EU`?".to_owned());
            let word = || suggest(key, ["default"]).filter(|_| key.len() > 3);
            let hint = union.or(meant).or_else(word).unwrap_or_else(|| {
                let laws: Vec<&str> = laws.collect();
                format!(
                    "homes stand by law id ({}), by country code, or as `default`",
                    laws.join(", ")
                )
            });
            let at = checked.organisation.homes.key_place(key);
            faults.error_hint(&at, format!("`{key}` is neither a law nor a country"), hint);
        }
    }
}

/// Things an operator should look at on `day`.
pub fn warnings(checked: &Checked, day: Date, faults: &Faults) {
    let days = Days::of(&checked.vocabulary.groups);
    for law in &checked.laws {
        idle::rules(law, checked, &days, faults);
    }
    unused::instruments(checked, &days, faults);
    unused::assessments(checked, faults);
    unused::attributes(checked, faults);
    unused::acceptances(checked, faults);
    promises::idle(checked, day, faults);
    kept::stores(checked, day, faults);
    dates(checked, day, faults);
    let year_ago = day.checked_sub(1.year()).unwrap_or(day);
    let groups = &checked.vocabulary.groups;
    for ((name, group), at) in groups.names.iter().zip(&groups.groups).zip(&groups.places) {
        match group.as_of {
            Some(as_of) if as_of < year_ago => {
                let message = format!(
                    "group `{name}` was last compared with its source on {as_of}, more than a year ago"
                );
                faults.warning(at, message, Some("compare it, and set `as_of`".to_owned()));
            }
            Some(as_of) if as_of > day => {
                let message = format!(
                    "group `{name}` says that it was compared with its source on {as_of}, a day to come"
                );
                faults.warning(
                    at,
                    message,
                    Some("set `as_of` to the day on which it was".to_owned()),
                );
            }
            _ => {}
        }
    }
    observation::warnings(checked, faults);
}

/// What ends within 90 days, or has ended.
fn dates(checked: &Checked, day: Date, faults: &Faults) {
    let soon = day.checked_add(90.days()).unwrap_or(day);
    let org = &checked.organisation;
    let ending = |what: &str, at: &Where, valid: &Interval, hint: &str| {
        let Some(until) = valid.until.filter(|u| *u <= soon) else {
            return;
        };
        let when = if until < day { "ended" } else { "ends" };
        faults.warning(
            at,
            format!("{what} {when} on {until}"),
            Some(hint.to_owned()),
        );
    };
    for i in &org.instruments {
        let hint = "flows that rest on it are refused from the next day on: renew it, or remove it";
        let what = format!("instrument `{}`", i.id);
        ending(&what, i.source.place("valid.until"), &i.valid, hint);
    }
    let inner = org.instruments.iter().filter_map(|i| i.assessment.as_ref());
    for a in org.assessments.iter().chain(inner) {
        let hint = "flows that rest on it are refused from the next day on: look at it again";
        let what = format!("assessment `{}`", a.id);
        ending(&what, a.source.place("review_by"), &a.valid, hint);
        if let Some(date) = a.valid.from.filter(|d| *d > day) {
            let hint = "nothing rests on it before: set `date` to the day on which it was made";
            let message = format!("{what} is dated {date}, a day to come");
            faults.warning(a.source.place("date"), message, Some(hint.to_owned()));
        }
    }
    for (_, entity) in org.entities.iter() {
        for ((id, interval), at) in entity.attributes.iter().zip(&entity.attributes_at) {
            let name = checked.vocabulary.attribute_name(*id);
            let what = format!("attribute `{name}` of `{}`", entity.id);
            ending(
                &what,
                at,
                interval,
                "look at its evidence again, and set `until`",
            );
        }
    }
    for hold in &org.holds {
        let what = format!("hold `{}`", hold.id);
        ending(
            &what,
            &hold.at,
            &hold.interval,
            "from the next day on the records may be erased",
        );
    }
}
