//! How old the person is, as a record says: for the law's rules on children.
//!
//! Where a text leaves a choice, the youngest reading is taken: a range counts from its lower end,
//! a bare year from its last day, a day and month in unclear order from the later date, and of
//! several fields the youngest. What cannot be read at all is a fault and not an adult.

use jiff::civil::Date;

use super::json::Value;

/// What a record's birth and age fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age {
    pub years: Option<u16>,
    pub born: Option<Date>,
}

/// A field that should tell the age and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// People do not grow older; a number above is a mistake or something else.
const OLDEST: u16 = 150;
/// Nobody alive was born in a year before.
const EARLIEST: i16 = 1850;

impl Age {
    /// Reads all fields of both kinds; one that is `null` or empty says nothing.
    pub fn read<'a>(
        years: impl Iterator<Item = Value<'a>>,
        born: impl Iterator<Item = Value<'a>>,
    ) -> Result<Self, Unreadable> {
        let mut age = Self::default();
        for value in years {
            let told = read(&value, years_of)?;
            age.years = [age.years, told].into_iter().flatten().min();
        }
        for value in born {
            age.born = age.born.max(read(&value, born_on)?);
        }
        Ok(age)
    }

    /// With a day of birth that is told beside the record; of two the later one counts, so that no
    /// child passes for an adult. A blank text says nothing.
    pub fn born_too(self, text: &str) -> Result<Self, Unreadable> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(self);
        }
        let told = born_on(text).ok_or(Unreadable)?;
        Ok(Self {
            born: Some(self.born.map_or(told, |b| b.max(told))),
            ..self
        })
    }

    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the person may be below `age` on some law's today; `day` is today in UTC, and days
    /// elsewhere are at most one off.
    pub fn may_be_below(&self, age: u16, day: Date) -> bool {
        let grown = |born: Date| {
            let since = day
                .yesterday()
                .unwrap_or(day)
                .since((jiff::Unit::Year, born));
            since.is_ok_and(|span| i32::from(span.get_years()) >= i32::from(age))
        };
        self.years.is_some_and(|y| y < age) || self.born.is_some_and(|b| !grown(b))
    }
}

fn read<T>(value: &Value<'_>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Unreadable> {
    let parsed = match value {
        Value::Null => return Ok(None),
        Value::String(text) => {
            let text = text.unescape();
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            parse(text)
        }
        Value::Number(digits) => parse(digits.as_str()),
        Value::Bool(_) | Value::Object | Value::Array => None,
    };
    parsed.map(Some).ok_or(Unreadable)
}

/// `12`, `12.5`, `13-17`, `13 to 17`, `18+`, `>=18`, `<13`, `under 13`.
fn years_of(text: &str) -> Option<u16> {
    let text = text.to_ascii_lowercase();
    let below = ["under", "below", "up to", "<"]
        .into_iter()
        .find_map(|word| text.strip_prefix(word));
    let text = below.unwrap_or(&text).trim_start_matches(['>', '=']).trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let years: u16 = digits.parse().ok().filter(|y| *y <= OLDEST)?;
    let upper = follows(rest.trim_start())?;
    let youngest = upper.map_or(years, |upper| years.min(upper));
    Some(if below.is_some() { 0 } else { youngest })
}

/// What may stand behind the first number of an age: the other end of a range, or nothing that
/// counts. `None` for anything else.
fn follows(rest: &str) -> Option<Option<u16>> {
    let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let end = rest
        .strip_prefix('-')
        .or_else(|| rest.strip_prefix('\u{2013}'))
        .or_else(|| rest.strip_prefix("to "));
    if let Some(end) = end {
        let end = end.trim();
        return is_number(end).then(|| end.parse().ok())?.map(Some);
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        return is_number(fraction.trim()).then_some(None);
    }
    let words = ["", "+", "years", "years old", "and over", "or older"];
    words.contains(&rest).then_some(None)
}

/// ISO 8601 in its usual forms, `20121121`, and days with points or slashes. Behind a whole day a
/// time may stand, and nothing else: it could be another day.
fn born_on(text: &str) -> Option<Date> {
    let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (day, tail) = text.split_at_checked(end)?;
    let date = |y: &str, m: &str, d: &str| {
        let plain = |t: &str| (1..=4).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        if y.len() != 4 || ![y, m, d].into_iter().all(plain) {
            return None;
        }
        // OpenID Connect's `0000` stands for a year that is kept back (Core 1.0 §5.1).
        let year: i16 = y.parse().ok().filter(|y| *y >= EARLIEST)?;
        Date::new(year, m.parse().ok()?, d.parse().ok()?).ok()
    };
    let parts: smallvec::SmallVec<[&str; 4]> = day.split(['-', '.', '/']).collect();
    let is_whole = parts.len() == 3 || day.len() == 8 && parts.len() == 1;
    let is_sound = tail.is_empty() || is_whole && is_time(tail);
    if !is_sound {
        return None;
    }
    match parts.as_slice() {
        [whole] if whole.len() == 8 => {
            let (y, rest) = whole.split_at_checked(4)?;
            let (m, d) = rest.split_at_checked(2)?;
            date(y, m, d)
        }
        [y] => Some(date(y, "1", "1")?.last_of_year()),
        [y, m] if y.len() == 4 => Some(date(y, m, "1")?.last_of_month()),
        [m, y] => Some(date(y, m, "1")?.last_of_month()),
        [y, m, d] if y.len() == 4 => date(y, m, d),
        // Points are used with the day first only; slashes are not.
        [d, m, y] if day.contains('.') => date(y, m, d),
        [a, b, y] => date(y, b, a).max(date(y, a, b)),
        _ => None,
    }
}

/// Whether `tail` is a time of day behind its `T` or blank: `T10`, `T1005`, ` 10:05:00.5Z`,
/// ` 10:05 +0200`. Digits alone are one behind a `T` only: behind a blank they may be a year.
fn is_time(tail: &str) -> bool {
    let is_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let is_two = |t: &str| t.len() == 2 && is_digits(t);
    let bare = tail.trim_start_matches(['T', 't', ' ']);
    if tail.len() - bare.len() != 1 {
        return false;
    }
    let Some(bare) = without_zone_name(bare) else {
        return false;
    };
    let time = match (bare.strip_suffix(['Z', 'z']), bare.rfind(['+', '-'])) {
        (Some(time), _) => time,
        (None, None) => bare,
        (None, Some(at)) => {
            let (time, zone) = bare.split_at(at);
            let zone = zone.get(1..).unwrap_or_default();
            let is_zone = match zone.split_once(':') {
                Some((hours, minutes)) => is_two(hours) && is_two(minutes),
                None => matches!(zone.len(), 2 | 4) && is_digits(zone),
            };
            if !is_zone {
                return false;
            }
            time
        }
    };
    let time = time.trim_end();
    let (time, fraction) = match time.split_once(['.', ',']) {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let mut parts = time.split(':');
    let hours = parts.next().unwrap_or_default();
    let rest: smallvec::SmallVec<[&str; 2]> = parts.collect();
    let is_clock = match rest.len() {
        0 => !tail.starts_with(' ') && matches!(hours.len(), 2 | 4 | 6) && is_digits(hours),
        1 | 2 => matches!(hours.len(), 1 | 2) && is_digits(hours) && rest.iter().all(|t| is_two(t)),
        _ => false,
    };
    is_clock && fraction.is_none_or(is_digits)
}

/// A time without the name of its zone (`UTC`; `[Europe/Berlin]`, RFC 9557) or of its half of the day;
/// `None` where there is no time before it.
fn without_zone_name(time: &str) -> Option<&str> {
    let time = match time.strip_suffix(']') {
        None => time,
        Some(rest) => {
            let (time, name) = rest.split_once('[')?;
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
            name.bytes().all(is_name).then_some(time)?
        }
    };
    let named = time.split_at_checked(time.len().saturating_sub(4));
    let (before, name) = named.unwrap_or(("", time));
    let is_zone = [" utc", " gmt"]
        .iter()
        .any(|z| name.eq_ignore_ascii_case(z));
    let time = if is_zone { before } else { time };
    let halved = time.split_at_checked(time.len().saturating_sub(3));
    let (before, half) = halved.unwrap_or(("", time));
    let is_half = [" am", " pm"].iter().any(|h| half.eq_ignore_ascii_case(h));
    Some(if is_half { before } else { time })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn ages_are_read_from_their_lower_end() {
        for (text, years) in [
            ("12", 12),
            ("12.9", 12),
            ("13-17", 13),
            ("13 \u{2013} 17", 13),
            ("13 to 17", 13),
            ("17-13", 13),
            ("99-5", 5),
            ("18 to 3", 3),
            ("18 \u{2013} 9", 9),
            ("18+", 18),
            (">=18", 18),
            ("<13", 0),
            ("<=13", 0),
            ("Under 13", 0),
            ("65 and over", 65),
            ("0", 0),
        ] {
            assert_eq!(years_of(text), Some(years), "{text}");
        }
        for text in [
            "eleven",
            "-3",
            "151",
            "12 monkeys",
            "1e2",
            "+",
            "99999999999",
            "18-99999999999",
            "18-",
        ] {
            assert_eq!(years_of(text), None, "{text}");
        }
    }

    #[test]
    fn births_are_read_as_late_as_they_may_be() {
        for (text, born) in [
            ("2012-11-21", "2012-11-21"),
            ("2012-11-21T23:59:00Z", "2012-11-21"),
            ("2012-11-21 10:05:00.123", "2012-11-21"),
            ("2012-11-21 10:05:00,5+02:00", "2012-11-21"),
            ("2012-11-21 10:05 -0500", "2012-11-21"),
            ("2012-11-21T1005", "2012-11-21"),
            ("2012-11-21 00:00:00 UTC", "2012-11-21"),
            ("2012-11-21 00:00:00 +0000 UTC", "2012-11-21"),
            ("2012-11-21T00:00+01:00[Europe/Berlin]", "2012-11-21"),
            ("2012-11-21 12:00:00 AM", "2012-11-21"),
            ("21.11.2012 9:05", "2012-11-21"),
            ("20121121T100500Z", "2012-11-21"),
            ("20121121", "2012-11-21"),
            ("21.11.2012", "2012-11-21"),
            ("21/11/2012", "2012-11-21"),
            ("11/21/2012", "2012-11-21"),
            ("03/04/2012", "2012-04-03"),
            ("2012/11/21", "2012-11-21"),
            ("2012-11", "2012-11-30"),
            ("2012", "2012-12-31"),
        ] {
            assert_eq!(born_on(text), Some(day(born)), "{text}");
        }
        for text in [
            "2012-13-01",
            "31.02.2012",
            "12",
            "yesterday",
            "0000-11-21",
            "1353456000",
            "2012-1-1-1",
            "1980 - 2020",
            "1980 or 2020",
            "1980-01-01 / 2020-01-01",
            "1980-01-01 2020-01-01",
            "1980-01-01 2020",
            "1980-01-01 01.01.2020",
            "1980-01-01 20:20:2020",
            "1980-01-01T2020-01-01",
            "1980-01-01T10:00ZZ",
            "1980-01-01T10:00Z+01:00",
            "1980-01-01T",
            "1980-01-01 BC",
            "1980T",
            "1980 10:00",
            "1980-01 10:00",
        ] {
            assert_eq!(born_on(text), None, "{text}");
        }
    }

    #[test]
    fn whoever_may_still_be_a_child_somewhere_is_told() {
        let today = day("2026-11-21");
        let born = |d: &str| Age {
            born: Some(day(d)),
            years: None,
        };
        assert!(born("2012-11-22").may_be_below(14, today));
        // Fourteen today in UTC, and still thirteen further west.
        assert!(born("2012-11-21").may_be_below(14, today));
        assert!(!born("2012-11-20").may_be_below(14, today));
        assert!(born("2030-01-01").may_be_below(14, today));
        let years = |y| Age {
            years: Some(y),
            born: None,
        };
        assert!(years(13).may_be_below(14, today));
        assert!(!years(14).may_be_below(14, today));
        assert!(!Age::default().may_be_below(18, today));
    }

    #[test]
    fn of_two_days_of_birth_the_later_counts() {
        let early = Age::default().born_too("1990-01-01").unwrap();
        let late = Some(day("2015-01-01"));
        assert_eq!(early.born_too("2015-01-01").unwrap().born, late);
        let child = Age::default().born_too(" 2015-01-01 ").unwrap();
        assert_eq!(child.born_too("1990-01-01").unwrap().born, late);
        assert_eq!(child.born_too(" ").unwrap(), child);
        assert_eq!(child.born_too("soon"), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = (years_of(&text), born_on(&text));
        }

        #[test]
        fn dates_round_trip(days in 0..60_000i64) {
            let date = day("1880-01-01").checked_add(jiff::Span::new().days(days)).unwrap();
            prop_assert_eq!(born_on(&date.to_string()), Some(date));
        }
    }
}
