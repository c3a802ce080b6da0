//! The organisation's own promises and its list of recipients: stricter than law, never wider.

use jiff::tz::TimeZone;
use smallvec::SmallVec;

use crate::{
    domain::{CategorySet, ConsentKind, Operation, PromiseOutcome},
    policy::{Compiled, ConsentAsked, PlaceSet, Promise, PromiseId, RuleId, day_in},
};

use super::{
    flow::Attached,
    mechanism::purpose_covered,
    query::{Query, QueryConsent},
    view::View,
};

/// The rules of the promises that the flow would break.
pub(super) fn broken(
    policy: &Compiled,
    query: &Query,
    attached: &Attached<'_>,
) -> SmallVec<[RuleId; 2]> {
    let mut broken = SmallVec::new();
    add_broken(policy, query, attached, &mut broken);
    broken
}

/// The same, added to a list.
pub(super) fn add_broken(
    policy: &Compiled,
    query: &Query,
    attached: &Attached<'_>,
    broken: &mut SmallVec<[RuleId; 2]>,
) {
    for index in policy.promises_about(query.operation) {
        let index = usize::from(*index);
        let promise = policy.checked().organisation.promises.get(index);
        if let Some(promise) = promise
            && judge(policy, query, index, promise) == PromiseOutcome::Broken
        {
            broken.push(promise.rule);
        }
    }
    if let Some(rule) = recipient(policy, query, attached) {
        broken.push(rule);
    }
}

pub(crate) fn judged(policy: &Compiled, query: &Query) -> Vec<(PromiseId, PromiseOutcome)> {
    let all = &policy.checked().organisation.promises;
    all.iter()
        .enumerate()
        .filter_map(|(i, p)| {
            let id = PromiseId(u16::try_from(i).ok()?);
            Some((id, judge(policy, query, i, p)))
        })
        .collect()
}

fn judge(policy: &Compiled, query: &Query, index: usize, promise: &Promise) -> PromiseOutcome {
    let asks = 1 << query.operation as u8;
    let table = policy.promises.get(index);
    let Some(table) = table.filter(|t| t.stands && t.operations & asks != 0) else {
        return PromiseOutcome::NotConcerned;
    };
    if !query.possible().intersects(promise.categories) {
        return PromiseOutcome::NotConcerned;
    }
    let s = &query.subject;
    let mut people = s
        .countries
        .iter()
        .chain(s.collected_in.iter())
        .chain(s.citizenships.iter().filter(|_| s.countries.is_empty()));
    let concerned = table.subjects.any || people.any(|p| table.subjects.contains(*p));
    if !concerned {
        return PromiseOutcome::NotConcerned;
    }
    let to = query.to.place;
    let mut kept = true;
    let mut within = |set: &Option<PlaceSet>, applies: bool, wanted: bool| {
        if let Some(set) = set.as_ref().filter(|_| applies) {
            kept &= set.contains(to) == wanted;
        }
    };
    let op = query.operation;
    within(&table.store_only_in, op.writes(), true);
    within(&table.read_only_from, op == Operation::Read, true);
    within(&table.disclose_only_to, op == Operation::Disclose, true);
    within(&table.never_to, op != Operation::Erase, false);
    if let Some(only) = &promise.recipients_only
        && op == Operation::Disclose
    {
        let recipient = query
            .recipient
            .and_then(|r| policy.checked().recipient_info(r));
        kept &= recipient.is_some_and(|r| only.contains(&r.id));
    }
    if kept {
        PromiseOutcome::Kept
    } else {
        PromiseOutcome::Broken
    }
}

/// A recipient gets the listed categories for the listed purposes, with the consent that its
/// entry asks for, and nothing else.
fn recipient(policy: &Compiled, query: &Query, attached: &Attached<'_>) -> Option<RuleId> {
    let recipient = policy.checked().recipient_info(query.recipient?)?;
    let personal = query.categories().intersection(policy.personal);
    // What the recipient gets under a pseudonym alone is listed too: the router replaces the value.
    let allowed = recipient.categories.union(recipient.pseudonymise);
    let listed = personal.is_subset(allowed)
        && purpose_covered(recipient.purposes.as_deref(), query.purpose)
        && query.to.entity == Some(recipient.entity);
    let consent_asked = match recipient.consent {
        ConsentAsked::None => false,
        ConsentAsked::Always => true,
        // Without a law to say what is sensitive, everything is.
        ConsentAsked::Sensitive => {
            let laws = attached.laws;
            let is_sensitive = |id| {
                attached
                    .view(policy, id)
                    .is_some_and(|v| calls_sensitive(&v))
            };
            laws.is_empty() || laws.iter().any(is_sensitive)
        }
    };
    let good = listed && (!consent_asked || consents(policy, query, attached));
    (!good).then_some(recipient.rule)
}

/// Whether the record is sensitive by the law's list or, where it has none in force, by the
/// vocabulary's: a promise to ask before health data is handed on is no smaller where the law is silent.
fn calls_sensitive(view: &View<'_>) -> bool {
    let usual = view.policy.checked().vocabulary.sensitive;
    let silent = view.table.sensitive == CategorySet::EMPTY;
    view.sensitive || (silent && view.query.possible().intersects(usual))
}

/// Whether a consent to the disclosure stands, on the day of each law that attaches.
fn consents(policy: &Compiled, query: &Query, attached: &Attached<'_>) -> bool {
    let grown_up = policy.grown_up();
    let day = day_in(query.at, &TimeZone::UTC);
    let stands = |c: &QueryConsent| {
        let laws = attached.laws;
        let mut views = laws.iter().filter_map(|id| attached.view(policy, id));
        match laws.is_empty() {
            true => c.stands(query, day, grown_up),
            false => views.all(|view| view.stands(c)),
        }
    };
    let kinds = [
        ConsentKind::Disclosure,
        ConsentKind::Separate,
        ConsentKind::Transfer,
    ];
    let all = &query.subject.consents;
    all.iter().any(|c| kinds.contains(&c.kind) && stands(c))
}
