//! Published amounts, read back exactly: for sums, for order, and for checking that money is conserved.

use std::fmt;

use ruint::aliases::U512;

use crate::core::values::amount::format_units_wide;

/// Assets have at most so many decimals.
const DECIMALS: usize = 18;

/// A non-negative decimal number with at most 18 decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(U512);

impl Exact {
    /// Reads a plain decimal number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > DECIMALS {
            return None;
        }
        let all = format!("{whole}{fraction:0<DECIMALS$}");
        U512::from_str_radix(&all, 10).ok().map(Self)
    }

    /// Reads so many of the smallest parts: 10^-18 each.
    #[must_use]
    pub fn parse_units(digits: &str) -> Option<Self> {
        U512::from_str_radix(digits, 10).ok().map(Self)
    }

    /// How many of the smallest parts it is, in digits.
    #[must_use]
    pub fn units(self) -> String {
        self.0.to_string()
    }

    /// The difference; `None` if it would be negative.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum; `None` if it does not fit, which nothing published comes near.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // DECIMALS is 18.
        f.pad(&format_units_wide(false, self.0, DECIMALS as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows() {
        for text in [
            "0",
            "1",
            "0.000000000000000001",
            "12.5",
            "1000000000000000000000000000000.000000000000000001",
        ] {
            assert_eq!(Exact::parse(text).unwrap().to_string(), text);
        }
        for (text, shown) in [("0.10", "0.1"), ("007", "7"), ("5.000000000000000000", "5")] {
            assert_eq!(Exact::parse(text).unwrap().to_string(), shown);
        }
        let too_long = "9".repeat(200);
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.0000000000000000001",
            " 1",
            &too_long,
        ] {
            assert_eq!(Exact::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn adds_and_orders() {
        let exact = |text| Exact::parse(text).unwrap();
        assert_eq!(exact("0.9").plus(exact("0.1")), Some(exact("1")));
        assert!(exact("10") > exact("9.999999999999999999"));
    }
}
