//! The days on which a policy may change, and what of a law on a day can matter.

use std::{collections::BTreeSet, fmt, io::Write as _};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::policy::{Checked, Compiled, LawId, Rule, filing_edges};

use super::{papers, parties::told_all, ways::Ways};

/// Every day on which something begins or has ended, in ascending order, with one before them all.
pub fn days(checked: &Checked) -> BTreeSet<Date> {
    let mut days = checked.days();
    for (_, law) in checked.laws() {
        for rule in &law.rules {
            for (_, instrument) in checked.instruments() {
                if rule.instruments_of == Some(instrument.mechanism) {
                    days.extend(filing_edges(rule.filing, instrument, law));
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

/// A law on a day, by all that its ways hang on: two days with the same mark need not both be
/// looked at.
pub fn fingerprint(policy: &Compiled, ways: &Ways<'_>) -> Mark {
    Mark(*marker(policy, ways).0.finalize().as_bytes())
}

/// The same with what the papers say, to compare organisations.
pub fn with_papers(policy: &Compiled, ways: &Ways<'_>) -> Mark {
    let mut mark = marker(policy, ways);
    let checked = policy.checked();
    mark.add(&policy.personal.words());
    for usable in ways.table.usable_sorted() {
        let paper = checked.instrument(usable.instrument);
        mark.add(&paper.map(papers::instrument));
    }
    for active in ways.table.assessed_sorted() {
        let all = &checked.organisation.assessments;
        let paper = all.get(usize::from(active.index));
        mark.add(&paper.map(papers::assessment));
    }
    Mark(*mark.0.finalize().as_bytes())
}

fn marker(policy: &Compiled, ways: &Ways<'_>) -> Marker {
    let table = ways.table;
    let mut mark = Marker(blake3::Hasher::new());
    for rule in &table.rules {
        let told = ways.law.rules.get(usize::from(rule.index));
        mark.add(&(told.map(said), &rule.to, &rule.origin, &rule.of));
    }
    let mut usable: Vec<_> = table.usable.iter().collect();
    usable.sort_by_key(|(pair, _)| **pair);
    for (pair, list) in usable {
        for u in list {
            mark.add(&(pair, u.instrument, u.rules, &u.countries, u.assessed));
        }
    }
    let mut assessed: Vec<_> = table.assessments.iter().collect();
    assessed.sort_by_key(|(entity, _)| **entity);
    for (entity, list) in assessed {
        for a in list {
            mark.add(&(entity, a.index, &a.countries));
        }
    }
    mark.add(&(
        &table.territory,
        &table.sensitive,
        table.sensitive_below,
        table
            .children
            .iter()
            .map(|c| (c.1, &c.2))
            .collect::<Vec<_>>(),
        &ways.law.attaches,
        (&ways.law.transfer.id, &ways.law.transfer.citation),
        told_all(policy, ways),
    ));
    mark
}

/// What a rule says, without where and until when it says it.
fn said(rule: &Rule) -> impl fmt::Debug {
    (
        (&rule.id, rule.effect, &rule.citation, &rule.when),
        (&rule.unless, rule.copies, rule.mechanism, &rule.requires),
        (
            rule.operations,
            rule.flows,
            rule.modules,
            rule.instruments_of,
        ),
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 32]);

struct Marker(blake3::Hasher);

impl Marker {
    fn add(&mut self, told: &dyn fmt::Debug) {
        // A hasher takes all that it is given.
        let _ = writeln!(self.0, "{told:?}");
    }
}

pub fn law_ids(policy: &Compiled) -> Vec<LawId> {
    policy.checked().laws().map(|(id, _)| id).collect()
}
