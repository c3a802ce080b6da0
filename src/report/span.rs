use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;

/// The time that a report is about: from `since` on, up to but without `until`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// In which the days of the question begin; an IANA name.
    pub zone: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpanError {
    #[error(
        "`{name}` is neither a day (2026-11-21) nor an instant with its zone (2026-11-21T12:00:00Z): `{text}`"
    )]
    NoTime { name: &'static str, text: String },
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
    /// What cannot be read, and a span in which no time lies.
    pub fn new(
        since: Option<&str>,
        until: Option<&str>,
        zone: Option<&str>,
    ) -> Result<Self, SpanError> {
        let name = zone.unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| SpanError::NoZone(name.to_owned()))?;
        let read = |name, text: Option<&str>| text.map(|t| time(name, t, &zone)).transpose();
        let (since, until) = (read("since", since)?, read("until", until)?);
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            return Err(SpanError::Empty { since, until });
        }
        let zone = name.to_owned();
        Ok(Self { since, until, zone })
    }

    /// A time beside the span, read as its own are.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn time(&self, name: &'static str, text: &str) -> Result<Timestamp, SpanError> {
        let zone = TimeZone::get(&self.zone).map_err(|_| SpanError::NoZone(self.zone.clone()))?;
        time(name, text, &zone)
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

    #[test]
    fn days_begin_in_their_zone_and_the_end_is_left_out() {
        let span = Span::new(
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
        let utc = Span::new(Some("2026-03-01"), None, None).unwrap();
        assert_eq!(utc.since, Some(at("2026-03-01T00:00:00Z")));
        assert!(utc.contains(at("2999-01-01T00:00:00Z")));
        let instant = Span::new(None, Some("2026-03-01T12:00:00+01:00"), None).unwrap();
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
                matches!(
                    Span::new(Some(text), None, None),
                    Err(SpanError::NoTime { .. })
                ),
                "{text}"
            );
        }
        assert!(matches!(
            Span::new(None, None, Some("Mars/Base")),
            Err(SpanError::NoZone(_))
        ));
        let day = Some("2026-11-21");
        assert!(matches!(
            Span::new(day, day, None),
            Err(SpanError::Empty { .. })
        ));
    }
}
