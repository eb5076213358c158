//! Numbers as they are shown: short enough for a column, and with their unit. What is not known is `-`.

use indicatif::{HumanBytes, HumanCount};

/// What is shown for a figure that an instance did not tell.
pub const UNKNOWN: &str = "-";

/// A number with its thousands apart.
#[must_use]
pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

#[must_use]
pub fn known(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.into(), count)
}

/// A rate, in whole numbers from 10 on.
#[must_use]
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => UNKNOWN.into(),
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}"),
        // The cast saturates.
        Some(rate) => count(rate.max(0.0).round() as u64),
    }
}

#[must_use]
pub fn bytes(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.into(), |number| HumanBytes(number).to_string())
}

/// A duration in its two largest units: `3d 4h`, `2h 5m`, `2m 3s`, `1.5s`.
#[must_use]
pub fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else {
        return UNKNOWN.into();
    };
    if seconds < 0.0 {
        return format!("-{}", duration(Some(-seconds)));
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    // The cast saturates.
    let whole = seconds.round() as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{minutes}m {rest}s"),
        3_600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{}d {hours}h", count(days)),
    }
}

/// A part of a whole. It is 100 % only if it is all.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let hundredths = (ratio.clamp(0.0, 1.0) * 100.0).floor();
    format!("{hundredths:.0}%")
}

/// `1 task`, `2 tasks`.
#[must_use]
pub fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", HumanCount(number.try_into().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let cases = [
            (0.04, "0.0s"),
            (1.26, "1.3s"),
            (9.96, "10s"),
            (59.4, "59s"),
            (59.6, "1m 0s"),
            (3_599.0, "59m 59s"),
            (7_500.0, "2h 5m"),
            (86_400.0, "1d 0h"),
            (90_000_000.0, "1,041d 16h"),
            (-3.0, "-3.0s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(Some(seconds)), expected);
        }
        assert_eq!(duration(Some(f64::MAX)), "213,503,982,334,601d 7h");
        assert_eq!(
            (rate(Some(3.25)), rate(Some(12_345.6))),
            ("3.2".into(), "12,346".into())
        );
        assert_eq!(
            (rate(Some(-1.0)), rate(None), known(None)),
            ("0".into(), "-".into(), "-".into())
        );
        assert_eq!(
            (percent(0.999), percent(1.0), percent(7.0)),
            ("99%".into(), "100%".into(), "100%".into())
        );
        assert_eq!(bytes(Some(1_500_000_000)), "1.40 GiB");
        assert_eq!(
            (counted(1, "task"), counted(2, "task")),
            ("1 task".into(), "2 tasks".into())
        );
    }
}
