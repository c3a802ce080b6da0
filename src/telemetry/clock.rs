//! The one place that reads the wall clock.

use jiff::Timestamp;

/// The time of day. Everything that decides takes a time instead of calling this.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that the ban names"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since 1970 of `at`; 0 before it.
pub fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// Nanoseconds since 1970 of `at`; 0 before it.
#[cfg(feature = "otlp")]
pub fn unix_ns(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// The day it is, in UTC.
pub fn today() -> jiff::civil::Date {
    now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
