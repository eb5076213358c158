//! Reading and writing RFC 3339 times, as milliseconds since 1970 (contract, sections 3 and 6).

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Reads RFC 3339, section 5.6. Digits after the millisecond are dropped.
pub fn parse(text: &str) -> Option<i64> {
    let mut reader = Reader { rest: text.as_bytes() };
    let year = reader.number(4)?;
    reader.one_of(b"-")?;
    let month = reader.number(2)?;
    reader.one_of(b"-")?;
    let day = reader.number(2)?;
    reader.one_of(b"Tt")?;
    let hour = reader.number(2)?;
    reader.one_of(b":")?;
    let minute = reader.number(2)?;
    reader.one_of(b":")?;
    let second = reader.number(2)?;
    let millisecond = reader.fraction()?;
    let offset_minutes = reader.offset()?;
    if !reader.rest.is_empty()
        || !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let day_number = days_before_month(year, month) + day - 1;
    let to_the_minute = day_number * DAY_MS + (hour * 60 + minute - offset_minutes) * MINUTE_MS;
    // A leap second is the last second of a month in UTC, and counts as the midnight after it.
    if second == 60 {
        let midnight = to_the_minute + MINUTE_MS;
        let (_, _, day) = date(midnight.div_euclid(DAY_MS));
        if midnight.rem_euclid(DAY_MS) != 0 || day != 1 {
            return None;
        }
    }
    Some(to_the_minute + second * 1000 + millisecond)
}

/// `2026-11-22T00:00:00.000Z`
pub fn format(instant_ms: i64) -> String {
    let (year, month, day) = date(instant_ms.div_euclid(DAY_MS));
    let in_day = instant_ms.rem_euclid(DAY_MS);
    let (hour, minute) = (in_day / 3_600_000, in_day / MINUTE_MS % 60);
    let (second, millisecond) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of January of a year, with the leap years of the Gregorian calendar from year 0.
fn days_before_year(year: i64) -> i64 {
    let from_year_zero =
        365 * year + (year + 3).div_euclid(4) - (year + 99).div_euclid(100) + (year + 399).div_euclid(400);
    from_year_zero - 719_528
}

fn days_before_month(year: i64, month: i64) -> i64 {
    days_before_year(year) + (1..month).map(|month| days_in_month(year, month)).sum::<i64>()
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(day_number: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day_number / 365;
    while days_before_year(year) > day_number {
        year -= 1;
    }
    while days_before_year(year + 1) <= day_number {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_before_month(year, month + 1) <= day_number {
        month += 1;
    }
    (year, month, day_number - days_before_month(year, month) + 1)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn digit(&mut self) -> Option<i64> {
        let (first, rest) = self.rest.split_first()?;
        if !first.is_ascii_digit() {
            return None;
        }
        self.rest = rest;
        Some(i64::from(first - b'0'))
    }

    fn number(&mut self, digits: u32) -> Option<i64> {
        let mut number = 0;
        for _ in 0..digits {
            number = number * 10 + self.digit()?;
        }
        Some(number)
    }

    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !wanted.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    /// The milliseconds of an optional fraction.
    fn fraction(&mut self) -> Option<i64> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let mut digits = vec![self.digit()?];
        while let Some(digit) = self.digit() {
            digits.push(digit);
        }
        digits.resize(3.max(digits.len()), 0);
        Some(digits[0] * 100 + digits[1] * 10 + digits[2])
    }

    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.number(2)?;
        self.one_of(b":")?;
        let minutes = self.number(2)?;
        if hours > 23 || minutes > 59 {
            return None;
        }
        Some(sign * (hours * 60 + minutes))
    }
}
