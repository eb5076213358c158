//! The time at which a page or a report is made.

use jiff::Timestamp;

use crate::cli::outcome::Failure;

/// A convention of reproducible builds: <https://reproducible-builds.org/specs/source-date-epoch/>.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// The time in `SOURCE_DATE_EPOCH`, so that the same input gives the same bytes; without it, the clock's.
pub(super) fn time() -> Result<Timestamp, Failure> {
    match std::env::var_os(VARIABLE) {
        Some(value) if !value.is_empty() => parse(&value.to_string_lossy()),
        _ => Ok(Timestamp::now()),
    }
}

/// The time as records and results have it.
pub(super) fn text(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn parse(value: &str) -> Result<Timestamp, Failure> {
    let seconds = value.parse().ok().filter(|seconds| *seconds >= 0);
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| {
        Failure::Usage(format!(
            "{VARIABLE} must be a whole number of seconds since 1970, not \"{value}\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_whole_seconds_since_1970() {
        assert_eq!(parse("1764172800").unwrap().to_string(), "2025-11-26T16:00:00Z");
        assert_eq!(parse("0").unwrap().to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(text(parse("1764172800").unwrap()), "2025-11-26T16:00:00.000Z");
        for wrong in ["-1", "1.5", "today", "99999999999999", "99999999999999999999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
