//! Periods of time, as people name them: from a day or a moment, up to another one.
//!
//! One rule says which epochs are in a period: those whose last moment is in it. The last moment is a millisecond before the end. So the epochs of October are
//! those that people count as October's, also the one that ends at midnight of 1 November.

use std::fmt;

use crate::core::values::time::{TimeError, TimeMs};

/// A period of time. Its start is included, its end is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimePeriod {
    /// `None` for everything before the end.
    pub from: Option<TimeMs>,
    /// `None` for everything from the start on.
    pub to: Option<TimeMs>,
}

impl TimePeriod {
    /// Whether an instant is in it. Whether an epoch is, tells [`includes_epoch_ending`](Self::includes_epoch_ending).
    #[must_use]
    pub fn includes(&self, time: TimeMs) -> bool {
        self.from.is_none_or(|from| time >= from) && self.is_before_end(time)
    }

    /// Whether an epoch that ends at `end` is in it.
    #[must_use]
    pub fn includes_epoch_ending(&self, end: TimeMs) -> bool {
        self.includes(last_moment(end))
    }

    /// Whether an epoch that ends at `end` is in it, or before it.
    #[must_use]
    pub fn reaches_epoch_ending(&self, end: TimeMs) -> bool {
        self.is_before_end(last_moment(end))
    }

    /// The earliest and the latest end of an epoch that is in it.
    #[must_use]
    pub fn epoch_ends(&self) -> (Option<TimeMs>, Option<TimeMs>) {
        let after = |from: TimeMs| TimeMs::from(from.get().saturating_add(1));
        (self.from.map(after), self.to)
    }

    fn is_before_end(&self, time: TimeMs) -> bool {
        self.to.is_none_or(|to| time < to)
    }

    /// Whether no moment is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from >= to)
    }

    /// Whether it has no bound.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// A calendar year in UTC, 0 to 9998.
    #[must_use]
    pub fn of_year(year: u16) -> Option<Self> {
        let start = |year: u16| parse_bound(&format!("{year:04}-01-01")).ok();
        Some(Self {
            from: Some(start(year)?),
            to: Some(start(year.checked_add(1)?)?),
        })
    }
}

/// Continues a sentence about a moment that is in it.
impl fmt::Display for TimePeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) => write!(f, "from {from} on and before {to}"),
            (Some(from), None) => write!(f, "from {from} on"),
            (None, Some(to)) => write!(f, "before {to}"),
            (None, None) => f.write_str("at any time"),
        }
    }
}

/// Reads a bound of a period: a date, which is its midnight in UTC, or an RFC 3339 time.
///
/// # Errors
/// As [`TimeMs::parse`]. The message continues a sentence that begins with the name of the field.
pub fn parse_bound(text: &str) -> Result<TimeMs, TimeError> {
    if text.len() == "2026-10-01".len() {
        return TimeMs::parse(&format!("{text}T00:00:00Z"));
    }
    TimeMs::parse(text)
}

/// The last moment of an epoch that ends at `end`, which belongs to the next one.
const fn last_moment(end: TimeMs) -> TimeMs {
    TimeMs::from(end.get().saturating_sub(1))
}

/// The day in UTC that an epoch with this end belongs to, as `2026-10-31`.
#[must_use]
pub fn day_of_epoch_ending(end: TimeMs) -> String {
    let mut text = last_moment(end).to_string();
    let day = text.find('T').unwrap_or(text.len());
    text.truncate(day);
    text
}

/// The month in UTC that an epoch with this end belongs to, as `2026-10`.
#[must_use]
pub fn month_of_epoch_ending(end: TimeMs) -> String {
    let mut text = day_of_epoch_ending(end);
    // Behind the month are a hyphen and the day.
    text.truncate(text.len().saturating_sub("-01".len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> TimeMs {
        TimeMs::parse(text).unwrap()
    }

    #[test]
    fn a_date_is_its_midnight_in_utc() {
        assert_eq!(parse_bound("2026-10-01"), Ok(time("2026-10-01T00:00:00Z")));
        assert_eq!(
            parse_bound("2026-10-01T02:00:00+02:00"),
            Ok(time("2026-10-01T00:00:00Z"))
        );
        for wrong in [
            "",
            "2026-13-01",
            "2026-02-30",
            "2026-10-1",
            "1.10.2026 ",
            "today",
            "2026-10",
        ] {
            assert!(parse_bound(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_start_is_included_and_the_end_is_not() {
        let year = TimePeriod::of_year(2026).unwrap();
        for (text, expected) in [
            ("2025-12-31T23:59:59.999Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-12-31T23:59:59.999Z", true),
            ("2027-01-01T00:00:00Z", false),
        ] {
            assert_eq!(year.includes(time(text)), expected, "{text}");
        }
        assert!(TimePeriod::default().includes(time("2026-01-01T00:00:00Z")));
        assert!(!year.is_empty() && !TimePeriod::default().is_empty());
        let inverted = TimePeriod {
            from: year.to,
            to: year.from,
        };
        assert!(inverted.is_empty());
        assert_eq!(TimePeriod::of_year(9_999), None);
    }

    #[test]
    fn an_epoch_is_in_the_period_of_its_last_moment() {
        let october = TimePeriod {
            from: parse_bound("2026-10-01").ok(),
            to: parse_bound("2026-11-01").ok(),
        };
        for (end, is_october, reaches) in [
            ("2026-10-01T00:00:00Z", false, true),
            ("2026-10-01T00:00:00.001Z", true, true),
            ("2026-10-02T00:00:00Z", true, true),
            ("2026-11-01T00:00:00Z", true, true),
            ("2026-11-01T00:00:00.001Z", false, false),
        ] {
            let end = time(end);
            assert_eq!(october.includes_epoch_ending(end), is_october, "{end}");
            assert_eq!(october.reaches_epoch_ending(end), reaches, "{end}");
            let (first, last) = october.epoch_ends();
            assert_eq!((first..=last).contains(&Some(end)), is_october, "{end}");
        }
        assert!(TimePeriod::default().includes_epoch_ending(TimeMs::from(i64::MIN)));
        assert_eq!(TimePeriod::default().epoch_ends(), (None, None));
    }

    #[test]
    fn an_epoch_that_ends_at_midnight_is_of_the_day_and_the_month_before() {
        for (end, day, month) in [
            ("2026-10-31T23:59:59.999Z", "2026-10-31", "2026-10"),
            ("2026-11-01T00:00:00Z", "2026-10-31", "2026-10"),
            ("2026-11-01T00:00:00.001Z", "2026-11-01", "2026-11"),
        ] {
            assert_eq!(day_of_epoch_ending(time(end)), day);
            assert_eq!(month_of_epoch_ending(time(end)), month);
        }
        assert_eq!(month_of_epoch_ending(TimeMs::from(i64::MAX)), "+292278994-08");
    }
}
