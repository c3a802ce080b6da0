//! How long a record is kept, and what must not be erased.

use std::sync::Arc;

use jiff::{civil::Date, tz::TimeZone};

use super::{
    Exchange, Flow, Judged, judge,
    person::{Person, pinned_countries},
};
use crate::{
    attest::{self, Profile},
    message::{Field, Fields},
    policy::day_in,
    respond::{Forbidden, Refused},
    settings::Route,
};

/// Tells the backend of a write how long the policy keeps it. The backend counts as told only what
/// stands here: the caller's own field of this name is never passed on.
pub fn say_until(x: &Exchange<'_>, flow: &Flow, judged: &Judged, headers: &mut Fields) {
    if let Some(day) = until(x, flow, judged) {
        say(day, headers);
    }
}

/// The last day on which the policy keeps what a flow writes.
pub fn until(x: &Exchange<'_>, flow: &Flow, judged: &Judged) -> Option<Date> {
    if !flow.operation.writes() || x.snapshot.checked.retention().is_empty() {
        return None;
    }
    let day = day_in(x.at(), &TimeZone::UTC);
    let laws = &judged.profile.laws;
    x.snapshot.checked.retain_until(laws, flow.categories, day)
}

/// Tells it.
pub fn say(until: Date, headers: &mut Fields) {
    headers.insert(Field::DomicileRetainUntil, until.to_string());
}

/// # Errors
/// A legal hold keeps what would be erased: 451, since law or policy forbids it, with the hold as
/// the rule. Its entry says so.
pub fn not_held(
    x: &Exchange<'_>,
    route: &Route,
    person: &Person,
    flow: &Flow,
) -> Result<(), Refused> {
    let checked = &x.snapshot.checked;
    // Whichever evidence counts in this request, a hold on where the person lives holds.
    let mut countries = person.countries.clone();
    countries.extend(pinned_countries(x, &person.key)?);
    let Some(hold) = checked.hold_on(x.at(), Some(person.key), &countries, person.categories)
    else {
        return Ok(());
    };
    let judged = judge::judge_on(x, route, person, flow)?;
    x.story.borrow_mut().profile = Some(Arc::new(Profile {
        outcome: attest::Verdict::Refuse,
        problem: Some("legal-hold".into()),
        mechanism: None,
        rules: vec![Arc::clone(&hold.id)],
        duties: Vec::new(),
        missing: Vec::new(),
        observed: Vec::new(),
        ..judged.profile.as_ref().clone()
    }));
    Err(Refused::Forbidden(Arc::new(Forbidden {
        rule: Some(hold.id.to_string()),
        citation: Some(hold.citation.to_string()),
        detail: format!(
            "the legal hold `{}` keeps this record; nothing was erased",
            hold.id
        ),
        held: true,
        ..Forbidden::default()
    })))
}
