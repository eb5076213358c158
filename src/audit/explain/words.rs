//! Numbers, times and durations of an explanation, as people read them.

use jiff::Timestamp;

use crate::audit::explain::{ExplainedEvent, ExplainedProgramme, Explanation, MULTIPLIER_SCALE, RATE_SCALE};
use crate::core::values::rate::Rate;
use crate::core::values::time::TimeMs;

/// An integer scaled by a power of ten, as a decimal number.
pub fn scaled(digits: &str, scale: u32) -> String {
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

/// How often a tier counts: `1.5`.
pub fn multiplier(scaled_by: &str) -> String {
    scaled(scaled_by, MULTIPLIER_SCALE)
}

/// The commission: `10 %`.
pub fn commission(rules: &ExplainedProgramme) -> String {
    let rate = Rate::parse(&rules.commission_rate, 1);
    rate.map_or_else(
        |_| rules.commission_rate.clone(),
        |rate| format!("{} %", rate.per_cent()),
    )
}

/// The yearly rate, if there is one for all of the balance: `3.65 %`.
pub fn yearly_rate(rules: &ExplainedProgramme) -> Option<String> {
    rules.apr_scaled.as_deref().map(per_cent)
}

/// A scaled rate: `3.65 %`.
pub fn per_cent(scaled_rate: &str) -> String {
    let rate = scaled_rate.parse().ok().and_then(Rate::from_parts);
    rate.map_or_else(
        || scaled(scaled_rate, RATE_SCALE),
        |rate| format!("{} %", rate.per_cent()),
    )
}

/// Unit-milliseconds, with a sign or without, as balance-seconds.
pub fn balance_seconds(unit_ms: &str, trace: &Explanation) -> String {
    let (sign, digits) = unit_ms.strip_prefix('-').map_or(("", unit_ms), |digits| ("-", digits));
    format!("{sign}{}", scaled(digits, u32::from(trace.decimals) + 3))
}

/// `exchange.deposit.v1` as `deposit`.
pub fn event_type(kind: &str) -> &str {
    kind.strip_prefix("exchange.")
        .and_then(|kind| kind.strip_suffix(".v1"))
        .unwrap_or(kind)
}

/// Where an event is.
pub fn place(event: &ExplainedEvent) -> String {
    format!("{}, offset {}", event.partition, event.offset)
}

/// A duration in days, hours, minutes and seconds, with these names: `1 d 2 min 1.001 s`.
fn duration_in(ms: u64, name: impl Fn(u64, usize) -> String) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let parts = [seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60];
    let mut text: Vec<String> = (0..)
        .zip(parts)
        .filter(|(_, count)| *count > 0)
        .map(|(unit, count)| format!("{count} {}", name(count, unit)))
        .collect();
    match (seconds % 60, ms) {
        (0, 0) if !text.is_empty() => {}
        (seconds, 0) => text.push(format!("{seconds} {}", name(seconds, 3))),
        (seconds, ms) => text.push(format!("{seconds}.{ms:03} {}", name(0, 3))),
    }
    text.join(" ")
}

/// `1 d 2 min 1.001 s`
pub fn duration(ms: u64) -> String {
    duration_in(ms, |_, unit| ["d", "h", "min", "s"][unit].into())
}

/// `1 day 2 minutes 1.001 seconds`
pub fn duration_in_words(ms: u64) -> String {
    duration_in(ms, |count, unit| {
        let name = ["day", "hour", "minute", "second"][unit];
        format!("{name}{}", if count == 1 { "" } else { "s" })
    })
}

/// A time in UTC: `1 November 2026, 08:00`, with seconds if there are any. A text that is no time stays as it is.
pub fn moment(text: &str) -> String {
    let time = TimeMs::parse(text).ok();
    let time = time.and_then(|time| Timestamp::from_millisecond(time.get()).ok());
    let Some(time) = time else { return text.to_owned() };
    let day_and_minute = time.strftime("%-d %B %Y, %H:%M");
    match (time.as_second().rem_euclid(60), time.subsec_millisecond()) {
        (0, 0) => day_and_minute.to_string(),
        (seconds, 0) => format!("{day_and_minute}:{seconds:02}"),
        (seconds, ms) => format!("{day_and_minute}:{seconds:02}.{ms:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_durations_and_times() {
        assert_eq!(scaled("1500000", 6), "1.5");
        assert_eq!(scaled("1", 3), "0.001");
        assert_eq!(scaled("12000", 3), "12");
        assert_eq!(duration(86_400_000), "1 d");
        assert_eq!(duration(90_061_001), "1 d 1 h 1 min 1.001 s");
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(3_600_000), "1 h");
        assert_eq!(duration_in_words(3_600_000), "1 hour");
        assert_eq!(duration_in_words(180_061_001), "2 days 2 hours 1 minute 1.001 seconds");
        assert_eq!(moment("2026-11-01T00:00:00.000Z"), "1 November 2026, 00:00");
        assert_eq!(moment("2026-11-22T10:00:09.5+02:00"), "22 November 2026, 08:00:09.500");
        assert_eq!(moment("yesterday"), "yesterday");
    }
}
