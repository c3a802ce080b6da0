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

/// The `days`-th working day after `day`: neither a weekend nor one of the law's `holidays`.
///
/// Each of `moved` that falls on a weekend makes the next working day free, as the Russian Labour
/// Code (Art. 112(2)) has it. It makes terms longer, so it is asked for where a long term is the
/// cautious one.
fn working_day_after(
    day: Date,
    days: u8,
    holidays: &[(i8, i8)],
    moved: &[(i8, i8)],
) -> Option<Date> {
    let weekend = |at: Date| matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday);
    let among = |days: &[(i8, i8)], at: Date| days.contains(&(at.month(), at.day()));
    let mut left = days;
    let mut at = day;
    // A term may begin on a weekend that has swallowed a holiday.
    let mut owed = usize::from(weekend(day) && among(moved, day));
    while left > 0 {
        at = at.tomorrow().ok()?;
        if weekend(at) {
            owed += usize::from(among(moved, at));
        } else if !among(holidays, at) {
            if owed > 0 {
                owed -= 1;
            } else {
                left -= 1;
            }
        }
    }
    Some(at)
}

/// Whether the instrument's filing has come to what `need` asks, on `day`.
pub fn filing_holds(need: FilingNeed, instrument: &Instrument, law: &Law, day: Date) -> bool {
    let known = instrument.filed.iter().rev().find(|(d, _)| *d <= day);
    match (need, known.map(|(_, state)| *state)) {
        (_, Some(Filing::Limited | Filing::Prohibited)) => false,
        (FilingNeed::None, _) => true,
        (FilingNeed::Filed, state) => state.is_some(),
        (FilingNeed::Approved, state) => state == Some(Filing::Approved),
        (FilingNeed::FiledFor(_), Some(Filing::TermRun | Filing::Approved)) => true,
        (FilingNeed::FiledFor(days), Some(Filing::Filed)) => terms(instrument)
            .take_while(|filed| *filed <= day)
            .last()
            .and_then(|d| working_day_after(d, days, &law.holidays, &law.moved_holidays))
            .is_some_and(|last| last < day),
        (FilingNeed::FiledFor(_), None) => false,
        (FilingNeed::FiledWithin(_), Some(_)) => true,
        (FilingNeed::FiledWithin(days), None) => instrument
            .valid
            .from
            .and_then(|d| working_day_after(d, days, &law.holidays, &[]))
            .is_some_and(|last| day <= last),
    }
}

/// The days on which a waiting term begins: that of the first filing, and after each day on which
/// the authority limited or prohibited the transfer that of the next.
fn terms(instrument: &Instrument) -> impl Iterator<Item = Date> {
    let mut runs = false;
    instrument.filed.iter().filter_map(move |(day, state)| {
        let before = runs;
        match state {
            Filing::Filed => runs = true,
            Filing::Limited | Filing::Prohibited => runs = false,
            Filing::TermRun | Filing::Approved => {}
        }
        (runs && !before).then_some(*day)
    })
}

/// The days on which the answer of [`filing_holds`] changes by the mere passing of time.
pub fn filing_edges(need: FilingNeed, instrument: &Instrument, law: &Law) -> Vec<Date> {
    let (starts, days, moved): (Vec<Date>, u8, &[_]) = match need {
        FilingNeed::FiledFor(days) => (terms(instrument).collect(), days, &law.moved_holidays),
        FilingNeed::FiledWithin(days) => (instrument.valid.from.into_iter().collect(), days, &[]),
        FilingNeed::None | FilingNeed::Filed | FilingNeed::Approved => (Vec::new(), 0, &[]),
    };
    let last = |start| working_day_after(start, days, &law.holidays, moved);
    let lasts = starts.into_iter().filter_map(last);
    lasts.filter_map(|d| d.tomorrow().ok()).collect()
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

/// The last instant not after `at` at which one of `days` began in one of `zones`.
pub fn last_boundary<'a>(
    at: Timestamp,
    days: &BTreeSet<Date>,
    zones: impl IntoIterator<Item = &'a TimeZone>,
) -> Option<Timestamp> {
    zones
        .into_iter()
        .filter_map(|zone| {
            let earlier = days.range(..=day_in(at, zone)).rev();
            earlier
                .filter_map(|d| start_of(*d, zone))
                .find(|t| *t <= at)
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_lie_on_both_sides_of_every_instant_between_them() {
        let days: BTreeSet<Date> = ["2026-01-01", "2026-06-01"]
            .map(|d| d.parse().unwrap())
            .into();
        let zones = [TimeZone::UTC, TimeZone::fixed(jiff::tz::offset(3))];
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let last = |t: &str| last_boundary(at(t), &days, &zones);
        let next = |t: &str| next_boundary(at(t), &days, &zones);
        assert_eq!(last("2025-12-31T20:00:00Z"), None);
        assert_eq!(
            last("2025-12-31T21:00:00Z"),
            Some(at("2025-12-31T21:00:00Z"))
        );
        assert_eq!(
            last("2026-03-01T00:00:00Z"),
            Some(at("2026-01-01T00:00:00Z"))
        );
        assert_eq!(
            next("2026-03-01T00:00:00Z"),
            Some(at("2026-05-31T21:00:00Z"))
        );
        assert_eq!(
            last("2026-05-31T22:00:00Z"),
            Some(at("2026-05-31T21:00:00Z"))
        );
        assert_eq!(
            next("2026-05-31T22:00:00Z"),
            Some(at("2026-06-01T00:00:00Z"))
        );
    }

    /// 152-FZ Art. 12 counts working days; Labour Code Art. 112(2) moves what a weekend swallows.
    #[test]
    fn a_holiday_on_a_weekend_makes_a_later_day_free() {
        let holidays = [(5, 1), (5, 9)];
        let day = |text: &str| text.parse::<Date>().unwrap();
        let tenth =
            |from: &str, moved: &[(i8, i8)]| working_day_after(day(from), 10, &holidays, moved);
        // 2026-05-01 is a Friday, 2026-05-09 a Saturday: Monday the 11th is free.
        assert_eq!(tenth("2026-04-27", &holidays), Some(day("2026-05-13")));
        assert_eq!(tenth("2026-04-27", &[]), Some(day("2026-05-12")));
        assert_eq!(
            working_day_after(day("2026-05-09"), 1, &holidays, &holidays),
            Some(day("2026-05-12"))
        );
        assert_eq!(
            working_day_after(day("2026-05-12"), 1, &holidays, &holidays),
            Some(day("2026-05-13"))
        );
    }
}
