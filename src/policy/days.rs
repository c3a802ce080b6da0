//! Days of a law: working days and the instants at which something changes.

use std::collections::BTreeSet;

use jiff::{
    Timestamp,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use super::{
    condition::FilingNeed,
    instrument::{Filing, Instrument},
    law::Law,
};

/// The day it is at `at` in a time zone.
pub fn day_in(at: Timestamp, zone: &TimeZone) -> Date {
    zone.to_datetime(at).date()
}

/// The first instant of `day` in a time zone.
pub fn start_of(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    day.to_zoned(zone.clone()).ok().map(|z| z.timestamp())
}

/// The `days`-th working day after `day`: neither a weekend nor a holiday of the law.
pub fn working_day_after(day: Date, days: u8, law: &Law) -> Option<Date> {
    let mut left = days;
    let mut at = day;
    while left > 0 {
        at = at.tomorrow().ok()?;
        let weekend = matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday);
        let holiday = law.holidays.contains(&(at.month(), at.day()));
        if !weekend && !holiday {
            left -= 1;
        }
    }
    Some(at)
}

/// Whether the instrument's filing has come to what `need` asks, on `day`.
pub fn filing_holds(need: FilingNeed, instrument: &Instrument, law: &Law, day: Date) -> bool {
    let known = instrument.filed.iter().rev().find(|(d, _)| *d <= day);
    let first = instrument
        .filed
        .iter()
        .find(|(_, s)| *s == Filing::Filed)
        .map(|(d, _)| *d);
    match (need, known.map(|(_, state)| *state)) {
        (_, Some(Filing::Limited | Filing::Prohibited)) => false,
        (FilingNeed::None, _) => true,
        (FilingNeed::Filed, state) => state.is_some(),
        (FilingNeed::Approved, state) => state == Some(Filing::Approved),
        (FilingNeed::FiledFor(_), Some(Filing::TermRun | Filing::Approved)) => true,
        (FilingNeed::FiledFor(days), Some(Filing::Filed)) => first
            .and_then(|d| working_day_after(d, days, law))
            .is_some_and(|last| last < day),
        (FilingNeed::FiledFor(_), None) => false,
        (FilingNeed::FiledWithin(_), Some(_)) => true,
        (FilingNeed::FiledWithin(days), None) => instrument
            .valid
            .from
            .and_then(|d| working_day_after(d, days, law))
            .is_some_and(|last| day <= last),
    }
}

/// The day on which the answer of [`filing_holds`] changes by the mere passing of time.
pub fn filing_edge(need: FilingNeed, instrument: &Instrument, law: &Law) -> Option<Date> {
    let (start, days) = match need {
        FilingNeed::FiledFor(days) => {
            let filed = instrument.filed.iter().find(|(_, s)| *s == Filing::Filed)?;
            (filed.0, days)
        }
        FilingNeed::FiledWithin(days) => (instrument.valid.from?, days),
        FilingNeed::None | FilingNeed::Filed | FilingNeed::Approved => return None,
    };
    working_day_after(start, days, law)?.tomorrow().ok()
}

/// The first instant after `at` at which one of `days` begins in one of `zones`.
pub fn next_boundary<'a>(
    at: Timestamp,
    days: &BTreeSet<Date>,
    zones: impl IntoIterator<Item = &'a TimeZone>,
) -> Option<Timestamp> {
    zones
        .into_iter()
        .filter_map(|zone| {
            let today = day_in(at, zone);
            let later = days.range(today..).filter(|d| **d > today);
            later.filter_map(|d| start_of(*d, zone)).find(|t| *t > at)
        })
        .min()
}
