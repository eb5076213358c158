//! Exact amounts of money.

use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;
use std::str::FromStr;

use num_bigint::BigUint;

/// The most digits after the point that an asset has.
const SCALE: usize = 18;

/// The most characters of an amount. Real amounts are far shorter; the limit bounds the cost of a hostile record.
const MAX_DIGITS: usize = 100;

/// An amount of an asset that is not negative, as a whole number of 10^-18.
///
/// It has no upper limit: amounts have up to 10^30 units, more than the 96 bits of common decimal types, and sums are larger.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(BigUint);

/// The text is not an amount in canonical form: digits without leading zeros, then optionally a point and at most 18 digits,
/// of which the last is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a plain decimal number without needless zeros")]
pub struct NotAnAmount;

impl Amount {
    pub const ZERO: Amount = Amount(BigUint::ZERO);
}

impl FromStr for Amount {
    type Err = NotAnAmount;

    /// Reads the canonical form only: a Merkle leaf hashes the text of an amount, which must be the same after the database
    /// stored it as a number.
    fn from_str(text: &str) -> Result<Amount, NotAnAmount> {
        let (whole, fraction) = match text.split_once('.') {
            None => (text, ""),
            Some((_, fraction)) if fraction.is_empty() || fraction.ends_with('0') => return Err(NotAnAmount),
            Some(parts) => parts,
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || (whole.len() > 1 && whole.starts_with('0'))
            || fraction.len() > SCALE
            || text.len() > MAX_DIGITS
            || !digits(whole)
            || !digits(fraction)
        {
            return Err(NotAnAmount);
        }
        let scaled = format!("{whole}{fraction:0<SCALE$}");
        scaled.parse().map(Amount).map_err(|_| NotAnAmount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At least one digit is before the point.
        let digits = format!("{:0>width$}", self.0.to_string(), width = SCALE + 1);
        let (whole, fraction) = digits.split_at(digits.len() - SCALE);
        match fraction.trim_end_matches('0') {
            "" => f.write_str(whole),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

impl AddAssign<&Amount> for Amount {
    fn add_assign(&mut self, other: &Amount) {
        self.0 += &other.0;
    }
}

impl<'a> Sum<&'a Amount> for Amount {
    fn sum<I: Iterator<Item = &'a Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::default(), |mut sum, amount| {
            sum += amount;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_each_amount() {
        for text in [
            "0",
            "1",
            "10",
            "0.9007",
            "0.000000000000000001",
            "1000000000000000000000000000000",
            "999999999999999999999999999999.999999999999999999",
        ] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
        let long = "1".repeat(MAX_DIGITS + 1);
        for text in [
            "",
            ".",
            ".5",
            "5.",
            "1.0",
            "1.50",
            "00",
            "01",
            "+1",
            "-1",
            "1e3",
            " 1",
            "1 ",
            "1,5",
            "1.5.5",
            "٣",
            "0x1",
            "0.0000000000000000001",
            "NaN",
            &long,
        ] {
            assert_eq!(text.parse::<Amount>(), Err(NotAnAmount), "{text:?}");
        }
    }

    #[test]
    fn sums_beyond_any_machine_word() {
        let amounts: Vec<Amount> = [
            "1000000000000000000000000000000",
            "0.000000000000000001",
            "0.999999999999999999",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        assert_eq!(
            amounts.iter().sum::<Amount>().to_string(),
            "1000000000000000000000000000001"
        );
        assert_eq!(Amount::default().to_string(), "0");
    }
}
