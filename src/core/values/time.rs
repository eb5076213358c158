//! Event times: RFC 3339 text to UTC milliseconds, and back. No clock is read.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const DAY_MS: i64 = 86_400_000;
const DAY_SECONDS: i64 = 86_400;

/// Milliseconds since 1970-01-01T00:00:00Z, as POSIX counts them: leap seconds have no numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeMs(i64);

/// Why a time is rejected. Each message continues a sentence that begins with the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Not the shape of RFC 3339 section 5.6.
    #[error("is no RFC 3339 date and time, such as 2026-11-22T08:00:00.123Z")]
    Syntax,
    /// The calendar has no such month or day.
    #[error("names a month or day that does not exist")]
    Date,
    /// Hour past 23, minute past 59 or second past 60.
    #[error("has an hour, minute or second out of range")]
    TimeOfDay,
    /// Offset past 23:59.
    #[error("has an offset from UTC beyond 23:59")]
    Offset,
    /// Second 60, but not 23:59:60 UTC on the last day of a month.
    #[error("has a leap second that is not 23:59:60 UTC on the last day of a month")]
    LeapSecond,
}

impl TimeMs {
    /// The time `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from(ms: i64) -> TimeMs {
        TimeMs(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 section 5.6: `T` and `Z` in either case, years 0000 to 9999, any offset up to 23:59 (`-00:00`
    /// too), any number of fraction digits. Digits after the millisecond are dropped, before 1970 too.
    ///
    /// A leap second is read as the midnight after it, and its fraction is added to that.
    ///
    /// # Errors
    /// The first that applies of [`TimeError::Syntax`], [`TimeError::Date`], [`TimeError::TimeOfDay`],
    /// [`TimeError::Offset`] and [`TimeError::LeapSecond`].
    #[inline]
    pub fn parse(text: &str) -> Result<TimeMs, TimeError> {
        parse_bytes(text.as_bytes())
    }

    /// Appends `2026-11-22T00:00:00.000Z`. A year outside 0000 to 9999 has a sign: at least five digits above, and at
    /// least four below (ISO 8601 expanded years). [`TimeMs::parse`] does not read those.
    #[inline]
    pub fn write(self, out: &mut Vec<u8>) {
        let mut buffer = Buffer::new();
        self.render(&mut buffer);
        out.extend_from_slice(buffer.bytes());
    }

    fn render(self, out: &mut Buffer) {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        // Each of these has at most two or three digits.
        let ms_of_day = self.0.rem_euclid(DAY_MS).unsigned_abs();
        let (seconds, ms) = (ms_of_day / 1_000, ms_of_day % 1_000);
        let (minutes, second) = (seconds / 60, seconds % 60);
        if year < 0 {
            out.push(b'-');
        } else if year > 9_999 {
            out.push(b'+');
        }
        let year = year.unsigned_abs();
        if year > 9_999 {
            // Five digits or more. Milliseconds in 64 bits reach years of nine digits.
            let high = year / 10_000;
            out.digits(high, high.ilog10() as usize + 1);
        }
        out.digits(year % 10_000, 4);
        out.push(b'-');
        out.digits(month, 2);
        out.push(b'-');
        out.digits(day, 2);
        out.push(b'T');
        out.digits(minutes / 60, 2);
        out.push(b':');
        out.digits(minutes % 60, 2);
        out.push(b':');
        out.digits(second, 2);
        out.push(b'.');
        out.digits(ms, 3);
        out.push(b'Z');
    }
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = Buffer::new();
        self.render(&mut buffer);
        // The buffer holds only ASCII.
        f.pad(str::from_utf8(buffer.bytes()).unwrap_or_default())
    }
}

/// A moment in milliseconds since 1970, as records write it.
#[must_use]
pub fn timestamp(ms: i128) -> String {
    // Epoch ends of accepted postings lie within a few centuries of year 9999, which an i64 holds many times over.
    TimeMs::from(i64::try_from(ms).unwrap_or(i64::MAX)).to_string()
}

#[inline]
fn parse_bytes(bytes: &[u8]) -> Result<TimeMs, TimeError> {
    let [
        century_tens,
        century,
        decade,
        year,
        b'-',
        month_tens,
        month,
        b'-',
        day_tens,
        day,
        b'T' | b't',
        hour_tens,
        hour,
        b':',
        minute_tens,
        minute,
        b':',
        second_tens,
        second,
        rest @ ..,
    ] = bytes
    else {
        return Err(TimeError::Syntax);
    };
    let year = number(*century_tens, *century)? * 100 + number(*decade, *year)?;
    let month = number(*month_tens, *month)?;
    let day = number(*day_tens, *day)?;
    let hour = number(*hour_tens, *hour)?;
    let minute = number(*minute_tens, *minute)?;
    let second = number(*second_tens, *second)?;
    let (ms, zone) = fraction(rest)?;
    let offset_minutes = match zone {
        [b'Z' | b'z'] => 0,
        zone => offset(zone)?,
    };

    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err(TimeError::Date);
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err(TimeError::TimeOfDay);
    }
    if offset_minutes.abs() >= 24 * 60 {
        return Err(TimeError::Offset);
    }
    let seconds = days_from_civil(year, month, day) * DAY_SECONDS + (hour * 60 + minute - offset_minutes) * 60 + second;
    if second == 60 && (seconds % DAY_SECONDS != 0 || civil_from_days(seconds / DAY_SECONDS).2 != 1) {
        return Err(TimeError::LeapSecond);
    }
    Ok(TimeMs(seconds * 1_000 + ms))
}

/// Two ASCII digits.
#[inline]
fn number(tens: u8, ones: u8) -> Result<i64, TimeError> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return Err(TimeError::Syntax);
    }
    Ok(i64::from(tens) * 10 + i64::from(ones))
}

/// The milliseconds of an optional fraction, and the text after it.
#[inline]
fn fraction(rest: &[u8]) -> Result<(i64, &[u8]), TimeError> {
    let [b'.', rest @ ..] = rest else {
        return Ok((0, rest));
    };
    let length = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, rest) = rest.split_at_checked(length).ok_or(TimeError::Syntax)?;
    let digit = |byte: u8| i64::from(byte & 0x0f);
    let ms = match *digits {
        [] => return Err(TimeError::Syntax),
        [a] => digit(a) * 100,
        [a, b] => digit(a) * 100 + digit(b) * 10,
        [a, b, c, ..] => digit(a) * 100 + digit(b) * 10 + digit(c),
    };
    Ok((ms, rest))
}

/// The minutes of `±hh:mm`; more than a day if hours or minutes are out of range.
fn offset(zone: &[u8]) -> Result<i64, TimeError> {
    let [sign @ (b'+' | b'-'), hour_tens, hour, b':', minute_tens, minute] = zone else {
        return Err(TimeError::Syntax);
    };
    let (hours, minutes) = (number(*hour_tens, *hour)?, number(*minute_tens, *minute)?);
    if hours > 23 || minutes > 59 {
        return Ok(i64::from(u16::MAX));
    }
    let magnitude = hours * 60 + minutes;
    Ok(if *sign == b'-' { -magnitude } else { magnitude })
}

/// Years 0 to 9999 and months 1 to 12.
#[inline]
fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// The two functions below count years from March, so that the leap day is a year's last (H. Hinnant,
// "chrono-compatible low-level date algorithms"). An era is 400 years, 146,097 days; 719,468 days lie between
// 0000-03-01 and 1970-01-01.

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
#[inline]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01. Exact for every day that milliseconds in 64 bits reach.
#[inline]
fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

/// Room for the longest text, `+292278994-08-17T07:12:55.807Z`.
struct Buffer {
    bytes: [u8; 32],
    length: usize,
}

impl Buffer {
    fn new() -> Buffer {
        Buffer {
            bytes: [0; 32],
            length: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }

    /// Appends `value` with exactly so many decimal digits.
    #[inline(always)]
    fn digits(&mut self, mut value: u64, digits: usize) {
        let end = self.length.saturating_add(digits);
        if let Some(slots) = self.bytes.get_mut(self.length..end) {
            for slot in slots.iter_mut().rev() {
                *slot = b'0' + (value % 10) as u8;
                value /= 10;
            }
            self.length = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TimeError::{Date, LeapSecond, Offset, Syntax, TimeOfDay};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        let long = format!("1970-01-01T00:00:00.{}Z", "9".repeat(100_000));
        let cases: &[(&str, Result<i64, TimeError>)] = &[
            ("1970-01-01T00:00:00Z", Ok(0)),
            ("2026-11-22T08:00:00.123Z", Ok(1_795_334_400_123)),
            ("2026-11-22t08:00:00.123z", Ok(1_795_334_400_123)),
            ("2026-11-22T09:30:00.123+01:30", Ok(1_795_334_400_123)),
            ("2026-11-21T23:00:00.123-09:00", Ok(1_795_334_400_123)),
            ("2026-11-22T08:00:00.123-00:00", Ok(1_795_334_400_123)),
            ("1970-01-01T00:00:00.1Z", Ok(100)),
            ("1970-01-01T00:00:00.12Z", Ok(120)),
            ("1970-01-01T00:00:00.1239Z", Ok(123)),
            (&long, Ok(999)),
            ("1969-12-31T23:59:59.9999Z", Ok(-1)),
            ("1969-12-31T23:59:59.0009Z", Ok(-1_000)),
            ("0000-01-01T00:00:00+23:59", Ok(-62_167_305_540_000)),
            ("0000-02-29T00:00:00Z", Ok(-62_162_121_600_000)),
            ("9999-12-31T23:59:59.999-23:59", Ok(253_402_387_139_999)),
            ("2000-02-29T00:00:00Z", Ok(951_782_400_000)),
            ("2016-12-31T23:59:60Z", Ok(1_483_228_800_000)),
            ("2016-12-31T23:59:60.75Z", Ok(1_483_228_800_750)),
            ("2017-01-01T05:29:60+05:30", Ok(1_483_228_800_000)),
            ("2016-12-31T15:59:60.0-08:00", Ok(1_483_228_800_000)),
            ("2023-02-28T23:59:60Z", Ok(1_677_628_800_000)),
            ("1969-12-31T23:59:60Z", Ok(0)),
            ("1968-12-31T23:59:60Z", Ok(-31_536_000_000)),
            ("9999-12-31T23:59:60Z", Ok(253_402_300_800_000)),
            ("2024-02-28T23:59:60Z", Err(LeapSecond)),
            ("2016-12-31T23:58:60Z", Err(LeapSecond)),
            ("2016-12-31T22:59:60Z", Err(LeapSecond)),
            ("2016-12-31T23:59:60+01:00", Err(LeapSecond)),
            ("2016-12-30T23:59:60Z", Err(LeapSecond)),
            ("1968-12-30T23:59:60Z", Err(LeapSecond)),
            ("2016-12-31T23:59:61Z", Err(TimeOfDay)),
            ("2016-12-31T24:00:00Z", Err(TimeOfDay)),
            ("2016-12-31T00:60:00Z", Err(TimeOfDay)),
            ("2023-02-29T00:00:00Z", Err(Date)),
            ("1900-02-29T00:00:00Z", Err(Date)),
            ("2023-04-31T00:00:00Z", Err(Date)),
            ("2023-00-01T00:00:00Z", Err(Date)),
            ("2023-13-01T00:00:00Z", Err(Date)),
            ("2023-01-00T00:00:00Z", Err(Date)),
            ("2023-01-32T00:00:00Z", Err(Date)),
            ("2023-01-01T00:00:00+24:00", Err(Offset)),
            ("2023-01-01T00:00:00-00:60", Err(Offset)),
            ("2023-01-01T00:00:00.Z", Err(Syntax)),
            ("2023-01-01T00:00:00,5Z", Err(Syntax)),
            ("2023-01-01 00:00:00Z", Err(Syntax)),
            ("2023-01-01_00:00:00Z", Err(Syntax)),
            ("2023-01-01T00:00:00", Err(Syntax)),
            ("2023-01-01T00:00:00.5", Err(Syntax)),
            ("2023-01-01T00:00Z", Err(Syntax)),
            ("2023-01-01", Err(Syntax)),
            ("2023-01-01T00:00:00+0100", Err(Syntax)),
            ("2023-01-01T00:00:00+01", Err(Syntax)),
            ("2023-01-01T00:00:00+01:0", Err(Syntax)),
            ("2023-01-01T00:00:00 +01:00", Err(Syntax)),
            ("2023-01-01T00:00:00\u{2212}01:00", Err(Syntax)),
            ("2023-01-01T00:00:00ZZ", Err(Syntax)),
            ("2023-01-01T00:00:00Z ", Err(Syntax)),
            (" 2023-01-01T00:00:00Z", Err(Syntax)),
            ("2023-01-01T00:00:00Z[UTC]", Err(Syntax)),
            ("+2023-01-01T00:00:00Z", Err(Syntax)),
            ("12023-01-01T00:00:00Z", Err(Syntax)),
            ("2023-1-01T00:00:00Z", Err(Syntax)),
            ("2023-0a-01T00:00:00Z", Err(Syntax)),
            ("20230101T000000Z", Err(Syntax)),
            ("\u{662}023-01-01T00:00:00Z", Err(Syntax)),
            ("1700000000", Err(Syntax)),
            ("", Err(Syntax)),
        ];
        for (text, expected) in cases {
            assert_eq!(TimeMs::parse(text), expected.map(TimeMs), "{text:?}");
        }
    }

    #[test]
    fn formatting() {
        let cases: &[(i64, &str)] = &[
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_795_334_400_123, "2026-11-22T08:00:00.123Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-0001-12-31T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+10000-01-01T00:00:00.000Z"),
            (i64::MAX, "+292278994-08-17T07:12:55.807Z"),
            (i64::MIN, "-292275055-05-16T16:47:04.192Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(TimeMs::from(*ms).to_string(), *text);
            let mut out = b"at ".to_vec();
            TimeMs::from(*ms).write(&mut out);
            assert_eq!(out, format!("at {text}").as_bytes());
        }
    }

    #[test]
    fn every_day_of_eight_centuries() {
        let mut date = jiff::civil::date(1599, 12, 31);
        let mut days = days_from_civil(1599, 12, 31);
        while date.year() < 2400 {
            let (year, month, day) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!(days_from_civil(year, month, day), days);
            assert_eq!(civil_from_days(days), (year, month.unsigned_abs(), day.unsigned_abs()));
            assert_eq!(i64::from(date.days_in_month()), days_in_month(year, month));
            date = date.tomorrow().unwrap();
            days += 1;
        }
    }

    proptest! {
        #[test]
        fn reading_agrees_with_jiff(
            ms in -62_167_000_000_000i64..253_402_000_000_000, nanos in 0u32..1_000_000, digits in 0usize..=9,
            offset in -1439i64..=1439, lower: bool,
        ) {
            let local = jiff::Timestamp::from_millisecond(ms + offset * 60_000).unwrap();
            let local = local.to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let fraction = format!("{:09}", local.subsec_nanosecond() as u32 + nanos);
            let fraction = if digits == 0 { String::new() } else { format!(".{}", &fraction[..digits]) };
            let sign = if offset < 0 { '-' } else { '+' };
            let mut text = format!(
                "{}{fraction}{sign}{:02}:{:02}",
                local.strftime("%Y-%m-%dT%H:%M:%S"), offset.abs() / 60, offset.abs() % 60,
            );
            let judge: jiff::Timestamp = text.parse().unwrap();
            if lower {
                text.make_ascii_lowercase();
            }
            // The judge's instant, rounded down: fractions count upward on both sides of 1970.
            let expected = judge.as_nanosecond().div_euclid(1_000_000) as i64;
            prop_assert_eq!(TimeMs::parse(&text), Ok(TimeMs(expected)));
        }

        #[test]
        fn writing_agrees_with_jiff(ms in -62_167_219_200_000i64..253_402_200_000_000) {
            let text = TimeMs(ms).to_string();
            prop_assert_eq!(&text, &format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap()));
            prop_assert_eq!(TimeMs::parse(&text), Ok(TimeMs(ms)));
        }

        #[test]
        fn any_number_has_a_text(ms: i64) {
            let text = TimeMs(ms).to_string();
            prop_assert!(text.len() <= 30 && text.ends_with('Z'));
        }

        #[test]
        fn damaged_texts_agree_with_jiff_or_are_refused(at in 0usize..24, byte in 0x20u8..0x7f) {
            let mut bytes = b"2024-02-29T23:59:59.123Z".to_vec();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            if let Ok(time) = TimeMs::parse(&text)
                && text.as_bytes()[17] != b'6'
            {
                let judge: jiff::Timestamp = text.parse().unwrap();
                prop_assert_eq!(time.get(), judge.as_millisecond());
            }
        }
    }
}
