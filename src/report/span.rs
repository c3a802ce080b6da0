use jiff::{SignedDuration, Timestamp, civil::Date, tz, tz::TimeZone};
use serde::Serialize;

/// Two clocks may differ by so much.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// The time that a report is about: from `since` on, up to but without `until`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// In which the days of the question begin; an IANA name.
    pub zone: String,
    /// Whether whoever asks named the zone.
    #[serde(skip)]
    is_zone_given: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpanError {
    #[error(
        "`{name}` is neither a day (2026-11-21) nor an instant with its zone (2026-11-21T12:00:00Z): `{text}`"
    )]
    NoTime { name: &'static str, text: String },
    #[error(
        "`{name}` ({at}) is later than now ({now}): give the day or instant when it was, a day with the zone in which it begins (such as Europe/Berlin), or set this machine's clock"
    )]
    ToCome {
        name: &'static str,
        at: Timestamp,
        now: Timestamp,
    },
    #[error("`{0}` is not a time zone of the IANA database, such as `Europe/Berlin`")]
    NoZone(String),
    #[error(
        "`until` ({until}) is not after `since` ({since}), and is itself left out: for one day give the next one as `until`"
    )]
    Empty { since: Timestamp, until: Timestamp },
}

impl Span {
    /// A day is its first instant in `zone` (default: UTC).
    ///
    /// # Errors
    /// What cannot be read, a span in which no time lies, and one that begins later than `now`.
    pub fn new(
        now: Timestamp,
        since: Option<&str>,
        until: Option<&str>,
        zone: Option<&str>,
    ) -> Result<Self, SpanError> {
        let is_zone_given = zone.is_some();
        let name = zone.unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| SpanError::NoZone(name.to_owned()))?;
        let read = |name, text: Option<&str>| text.map(|t| time(name, t, &zone)).transpose();
        let (since, until) = (read("since", since)?, read("until", until)?);
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            return Err(SpanError::Empty { since, until });
        }
        if let Some(since) = since {
            not_to_come("since", since, now)?;
        }
        Ok(Self {
            since,
            until,
            zone: name.to_owned(),
            is_zone_given,
        })
    }

    /// A time that deadlines are counted from. Of a day where no zone was named that is its earliest
    /// instant on earth, 14 hours before UTC: no deadline is told too late.
    ///
    /// # Errors
    /// What cannot be read, and a time later than `now`.
    pub fn start(
        &self,
        now: Timestamp,
        name: &'static str,
        text: &str,
    ) -> Result<Timestamp, SpanError> {
        let zone = match self.is_zone_given {
            true => TimeZone::get(&self.zone).map_err(|_| SpanError::NoZone(self.zone.clone()))?,
            false => TimeZone::fixed(tz::offset(14)),
        };
        let at = time(name, text, &zone)?;
        not_to_come(name, at, now)?;
        Ok(at)
    }

    pub fn contains(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// Whether it begins or ends anywhere.
    pub fn is_bounded(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// For people.
    pub fn told(&self) -> String {
        match (self.since, self.until) {
            (None, None) => "all that the ledger holds".to_owned(),
            (Some(since), None) => format!("from {since} on"),
            (None, Some(until)) => format!("before {until}"),
            (Some(since), Some(until)) => format!("from {since} to before {until}"),
        }
    }
}

fn not_to_come(name: &'static str, at: Timestamp, now: Timestamp) -> Result<(), SpanError> {
    match now.checked_add(AHEAD) {
        Ok(latest) if at > latest => Err(SpanError::ToCome { name, at, now }),
        _ => Ok(()),
    }
}

fn time(name: &'static str, text: &str, zone: &TimeZone) -> Result<Timestamp, SpanError> {
    let no_time = || SpanError::NoTime {
        name,
        text: text.chars().take(40).collect(),
    };
    // Ten characters are a day: a date parser would take the day of a time without zone, too.
    match text.len() {
        10 => {
            let day: Date = text.parse().map_err(|_| no_time())?;
            let start = day.to_zoned(zone.clone()).map_err(|_| no_time())?;
            Ok(start.timestamp())
        }
        _ => text.parse().map_err(|_| no_time()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn read(
        since: Option<&str>,
        until: Option<&str>,
        zone: Option<&str>,
    ) -> Result<Span, SpanError> {
        Span::new(at("2026-11-24T08:00:00Z"), since, until, zone)
    }

    #[test]
    fn a_day_that_deadlines_are_counted_from_begins_where_it_begins_first() {
        let now = at("2026-11-24T08:00:00Z");
        let start = |zone, text| read(None, None, zone).unwrap().start(now, "aware", text);
        for (zone, text, begins) in [
            (None, "2026-11-23", "2026-11-22T10:00:00Z"),
            (None, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Some("UTC"), "2026-11-23", "2026-11-23T00:00:00Z"),
            (Some("Asia/Shanghai"), "2026-11-23", "2026-11-22T16:00:00Z"),
            // It is the 25th nowhere on earth before 10:00 in UTC.
            (None, "2026-11-24", "2026-11-23T10:00:00Z"),
        ] {
            assert_eq!(start(zone, text), Ok(at(begins)), "{zone:?} {text}");
        }
    }

    #[test]
    fn what_has_not_been_yet_is_refused() {
        let now = at("2026-11-24T08:00:00Z");
        let to_come = |name| move |refused: SpanError| matches!(refused, SpanError::ToCome { name: n, .. } if n == name);
        let start = |text| read(None, None, None).unwrap().start(now, "aware", text);
        assert!(start("2026-11-24T08:01:00Z").is_ok());
        assert!(start("2026-11-24T08:01:01Z").is_err_and(to_come("aware")));
        assert!(start("2026-11-25").is_err_and(to_come("aware")));
        assert!(read(Some("2026-11-24T08:01:00Z"), None, None).is_ok());
        assert!(read(Some("2026-11-25"), None, None).is_err_and(to_come("since")));
        // The end may be open.
        assert!(read(None, Some("2026-11-25"), None).is_ok());
    }

    #[test]
    fn days_begin_in_their_zone_and_the_end_is_left_out() {
        let span = read(
            Some("2026-03-01"),
            Some("2026-04-01"),
            Some("Europe/Berlin"),
        );
        let span = span.unwrap();
        assert_eq!(span.since, Some(at("2026-02-28T23:00:00Z")));
        assert_eq!(span.until, Some(at("2026-03-31T22:00:00Z")));
        assert!(span.contains(at("2026-02-28T23:00:00Z")));
        assert!(!span.contains(at("2026-02-28T22:59:59.999999Z")));
        assert!(!span.contains(at("2026-03-31T22:00:00Z")));
        let utc = read(Some("2026-03-01"), None, None).unwrap();
        assert_eq!(utc.since, Some(at("2026-03-01T00:00:00Z")));
        assert!(utc.contains(at("2999-01-01T00:00:00Z")));
        let instant = read(None, Some("2026-03-01T12:00:00+01:00"), None).unwrap();
        assert_eq!(instant.until, Some(at("2026-03-01T11:00:00Z")));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-11-21T12:00:00",
            "2026-11",
            "21.11.2026",
        ] {
            assert!(
                matches!(read(Some(text), None, None), Err(SpanError::NoTime { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            read(None, None, Some("Mars/Base")),
            Err(SpanError::NoZone(_))
        ));
        let day = Some("2026-11-21");
        assert!(matches!(read(day, day, None), Err(SpanError::Empty { .. })));
    }
}
