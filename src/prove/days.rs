//! The days on which a policy may change, and what of a law on a day can matter.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::policy::{Checked, Compiled, LawId, filing_edge};

use super::{ends::entity_told_all, ways::Ways};

/// Every day on which something begins or has ended, in ascending order, with one before them all.
pub fn days(checked: &Checked) -> BTreeSet<Date> {
    let mut days = checked.days();
    for (_, law) in checked.laws() {
        for rule in &law.rules {
            for (_, instrument) in checked.instruments() {
                if rule.instruments_of == Some(instrument.mechanism) {
                    days.extend(filing_edge(rule.filing, instrument, law));
                }
            }
        }
    }
    let before = days.first().and_then(|d| d.yesterday().ok());
    days.extend(before);
    if days.is_empty() {
        days.insert(jiff::civil::date(2026, 1, 1));
    }
    days
}

/// An instant at which it is that day from Honolulu to Auckland.
pub fn instant(day: Date) -> Timestamp {
    let morning = day.at(10, 30, 0, 0);
    TimeZone::UTC
        .to_ambiguous_zoned(morning)
        .compatible()
        .map_or(Timestamp::UNIX_EPOCH, |z| z.timestamp())
}

/// A law on a day, written out: two days with the same text need not both be looked at.
pub fn fingerprint(policy: &Compiled, ways: &Ways<'_>) -> String {
    let table = ways.table;
    let usable = table.usable_sorted();
    let rules: Vec<_> = table
        .rules
        .iter()
        .map(|r| (r.index, &r.to, &r.origin, &r.of))
        .collect();
    let usable: Vec<_> = usable
        .iter()
        .map(|u| (u.instrument, u.rules, &u.countries, u.assessed))
        .collect();
    let assessed: Vec<_> = table
        .assessed_sorted()
        .iter()
        .map(|a| (a.index, a.countries.clone()))
        .collect();
    format!(
        "{rules:?}{usable:?}{assessed:?}{:?}{:?}{}{:?}{}",
        table.territory,
        table.sensitive,
        table.sensitive_below,
        table.children,
        entity_told_all(policy, ways),
    )
}

pub fn law_ids(policy: &Compiled) -> Vec<LawId> {
    policy.checked().laws().map(|(id, _)| id).collect()
}
