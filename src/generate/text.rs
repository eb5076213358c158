//! Amounts and times as text.

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::generate::draws::Draws;

pub(crate) const DAY_MS: i64 = 86_400_000;

/// 10^`exponent`. The exponents used here are far below the limit of a `u128`.
pub(crate) const fn power_of_ten(exponent: u32) -> u128 {
    10_u128.pow(exponent)
}

/// `units * 10^-decimals` without trailing zeros.
pub(crate) fn decimal(units: u128, decimals: u8) -> String {
    if decimals == 0 {
        return units.to_string();
    }
    let scale = power_of_ten(u32::from(decimals));
    let (whole, fraction) = (units / scale, units % scale);
    if fraction == 0 {
        return narrow(whole);
    }
    let digits = narrow(fraction);
    let mut text = narrow(whole);
    text.push('.');
    for _ in digits.len()..usize::from(decimals) {
        text.push('0');
    }
    text.push_str(digits.trim_end_matches('0'));
    text
}

/// The 64-bit formatter is several times as fast as the 128-bit one.
fn narrow(number: u128) -> String {
    u64::try_from(number).map_or_else(|_| number.to_string(), |small| small.to_string())
}

/// The same amount, sometimes with extra zeros that do not change it.
pub(crate) fn spell_amount(plain: String, draws: &mut Draws) -> String {
    match draws.below(64) {
        0..4 if plain.contains('.') => format!("{plain}00"),
        0..4 => format!("{plain}.000"),
        // More digits than any asset has.
        4 if plain.contains('.') => format!("{plain}00000000000000000000"),
        5 => format!("00{plain}"),
        _ => plain,
    }
}

/// The UTC date and time of `time_ms`, milliseconds since 1970.
fn utc(time_ms: i64) -> DateTime {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    EPOCH.saturating_add(SignedDuration::from_millis(time_ms))
}

/// `YYYY-MM-DDTHH:MM:SS`. Milliseconds are cut off.
fn seconds_text(time_ms: i64) -> String {
    format!("{:.0}", utc(time_ms))
}

/// `2026-11-01T08:00:00.123Z`
pub(crate) fn timestamp(time_ms: i64) -> String {
    format!("{:.3}Z", utc(time_ms))
}

/// The same millisecond in one of the spellings of RFC 3339, mostly the common one.
pub(crate) fn spell_time(time_ms: i64, draws: &mut Draws) -> String {
    let millis = time_ms.rem_euclid(1_000);
    match draws.below(40) {
        0 => timestamp(time_ms).to_lowercase(),
        1 => format!("{}.{millis:03}999999Z", seconds_text(time_ms)),
        2 => format!("{}.{millis:03}{:03}Z", seconds_text(time_ms), draws.below(1_000)),
        3 => format!("{}.{millis:03}00000000000000000000Z", seconds_text(time_ms)),
        4 => format!("{}.{millis:03}-00:00", seconds_text(time_ms)),
        5 | 6 => {
            let offsets = [
                ("+05:30", 330),
                ("-08:00", -480),
                ("+23:59", 1_439),
                ("-23:59", -1_439),
                ("+00:00", 0),
            ];
            let (offset, minutes) = offsets[draws.index(offsets.len())];
            format!("{}.{millis:03}{offset}", seconds_text(time_ms + minutes * 60_000))
        }
        // The first midnight of a month may be written as the leap second before it.
        7..12 if millis == 0 && starts_a_month(time_ms) => {
            format!("{}:60Z", &seconds_text(time_ms - 1)[..16])
        }
        7..20 if millis == 0 => format!("{}Z", seconds_text(time_ms)),
        20..24 if millis % 100 == 0 => format!("{}.{}Z", seconds_text(time_ms), millis / 100),
        _ => timestamp(time_ms),
    }
}

fn starts_a_month(time_ms: i64) -> bool {
    time_ms.rem_euclid(DAY_MS) == 0 && utc(time_ms).day() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_570_752_011_620, "2019-10-11T00:00:11.620Z"),
            (1_582_934_400_001, "2020-02-29T00:00:00.001Z"),
            (1_793_491_200_000, "2026-11-01T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (time_ms, expected) in cases {
            assert_eq!(timestamp(time_ms), expected);
        }
    }

    #[test]
    fn amounts_have_no_trailing_zeros() {
        let cases = [
            (1, 0, "1"),
            (1, 6, "0.000001"),
            (12_500_000, 6, "12.5"),
            (3_000, 3, "3"),
            (1, 18, "0.000000000000000001"),
        ];
        for (units, decimals, expected) in cases {
            assert_eq!(decimal(units, decimals), expected);
        }
    }
}
