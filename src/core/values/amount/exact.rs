//! Amounts of published records: for sums, for order, and to check that money is conserved.

use std::fmt;

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::values::amount::digits::{number, split, without_leading_zeros, without_trailing_zeros};
use crate::core::values::amount::format::format_units_wide;

/// The most decimals that an asset has.
const DECIMALS: u8 = 18;

/// A decimal number from zero on with at most 18 decimals, in parts of 10^-18.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactAmount(U512);

impl ExactAmount {
    /// Reads a plain decimal number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_wide_units(text, DECIMALS).map(Self)
    }

    /// Reads a number of parts of 10^-18.
    #[must_use]
    pub fn parse_units(digits: &str) -> Option<Self> {
        U512::from_str_radix(digits, 10).ok().map(Self)
    }

    /// The number of parts of 10^-18, in digits.
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

impl ExactAmount {
    pub(super) const ONE: Self = Self(U512::from_limbs([1_000_000_000_000_000_000, 0, 0, 0, 0, 0, 0, 0]));

    /// The average of a balance over a time, cut to 18 decimals: its sum in asset times seconds, as records have it, divided by the length.
    /// `None` if it is no number, or the length is 0.
    #[must_use]
    pub fn average(balance_seconds: &str, length_ms: u64) -> Option<Self> {
        // Three decimals more: a balance-second has the milliseconds in its decimals.
        let units = parse_wide_units(balance_seconds, DECIMALS + 3)?;
        units.checked_div(U512::from(length_ms)).map(Self)
    }

    pub(super) const fn raw(self) -> U512 {
        self.0
    }

    /// The amount of so many parts, if it fits.
    pub(super) fn from_limbs(limbs: &[u64]) -> Option<Self> {
        U512::checked_from_limbs_slice(limbs).map(Self)
    }
}

impl fmt::Display for ExactAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format_units_wide(false, self.0, u32::from(DECIMALS)))
    }
}

/// A decimal number of either sign with at most 18 decimals, in parts of 10^-18. Debts and deficits are negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedAmount(I256);

impl SignedAmount {
    /// Reads a plain decimal number, which may have a leading `-`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_signed_units(text, DECIMALS).map(Self)
    }

    /// The difference; `None` if it does not fit, which nothing published comes near.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum; `None` if it does not fit, which nothing published comes near.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum of some texts; `None` if one of them is no number, or the sum does not fit.
    #[must_use]
    pub fn sum<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut texts = texts.into_iter();
        texts.try_fold(Self::default(), |sum, text| sum.plus(Self::parse(text)?))
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0.is_negative()
    }

    /// The amount without its sign.
    #[must_use]
    pub fn magnitude(self) -> ExactAmount {
        ExactAmount(U512::from_le_slice(&self.0.unsigned_abs().to_le_bytes()))
    }
}

impl fmt::Display for SignedAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.magnitude().0;
        f.pad(&format_units_wide(self.is_negative(), magnitude, u32::from(DECIMALS)))
    }
}

/// The units of a decimal number as [`parse_wide_units`] reads them, with a leading `-` if they are negative.
#[must_use]
pub fn parse_signed_units(text: &str, decimals: u8) -> Option<I256> {
    let digits = text.strip_prefix('-');
    let units = parse_wide_units(digits.unwrap_or(text), decimals)?;
    let (low, high) = units.as_le_slice().split_at_checked(32)?;
    let units = I256::from_le_bytes(<[u8; 32]>::try_from(low).ok()?);
    let fits = units >= I256::ZERO && high.iter().all(|byte| *byte == 0);
    fits.then_some(if digits.is_some() { -units } else { units })
}

/// The units of a plain decimal amount that is written with at most `decimals` decimals; `None` if it is none, or does not fit into 512
/// bits.
#[must_use]
pub fn parse_wide_units(text: &str, decimals: u8) -> Option<U512> {
    let (whole, fraction) = split(text).ok()?;
    let padding = usize::from(decimals).checked_sub(fraction.len())?;
    number::<512, 8>([without_leading_zeros(whole), fraction])?
        .checked_mul(U512::from(10u8).checked_pow(U512::from(padding))?)
}

/// Whether a text is an amount as published records have it (contract, section 8): without needless zeros.
#[must_use]
pub fn is_canonical(text: &str) -> bool {
    split(text).is_ok_and(|(whole, fraction)| {
        (whole == b"0" || without_leading_zeros(whole) == whole) && without_trailing_zeros(fraction) == fraction
    })
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
            assert_eq!(ExactAmount::parse(text).unwrap().to_string(), text);
        }
        for (text, shown) in [("0.10", "0.1"), ("007", "7"), ("5.000000000000000000", "5")] {
            assert_eq!(ExactAmount::parse(text).unwrap().to_string(), shown);
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
            assert_eq!(ExactAmount::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn published_amounts_have_no_needless_zeros() {
        for text in ["0", "7", "10", "0.5", "120.05"] {
            assert!(is_canonical(text), "{text}");
        }
        for text in ["", "00", "07", "1.0", "1.50", "0.0", "1.", ".5", "-1", "1e3"] {
            assert!(!is_canonical(text), "{text}");
        }
    }

    #[test]
    fn units_of_an_asset() {
        assert_eq!(parse_wide_units("1.5", 2), Some(U512::from(150)));
        assert_eq!(parse_wide_units("1.50", 1), None);
        assert_eq!(parse_wide_units("1", 0), Some(U512::ONE));
        let most = U512::MAX.to_string();
        assert_eq!(parse_wide_units(&most, 0), Some(U512::MAX));
        assert_eq!(parse_wide_units(&most, 1), None);
        assert_eq!(parse_wide_units(&format!("{most}0"), 0), None);
    }

    #[test]
    fn numbers_of_either_sign() {
        for text in [
            "0",
            "-1",
            "12.5",
            "-0.000000000000000001",
            "-1000000000000000000000000000000.5",
        ] {
            assert_eq!(SignedAmount::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "-", "--1", "+1", "- 1", "-.5", "1e3"] {
            assert_eq!(SignedAmount::parse(text), None, "{text:?}");
        }
        assert_eq!(parse_signed_units("-1.5", 2), Some(I256::from(-150)));
        let most = I256::MAX.to_string();
        assert_eq!(parse_signed_units(&most, 0), Some(I256::MAX));
        assert_eq!(parse_signed_units(&format!("-{most}"), 0), Some(-I256::MAX));
        assert_eq!(parse_signed_units(&I256::MIN.to_string(), 0), None);
        assert_eq!(parse_signed_units(&format!("{most}0"), 0), None);
        let sum = SignedAmount::sum(["5", "-7.5", "0.25"]).unwrap();
        assert_eq!(sum.to_string(), "-2.25");
        assert!(sum.is_negative() && sum.minus(sum) == Some(SignedAmount::default()));
        assert_eq!(SignedAmount::sum(["5", "x"]), None);
    }

    #[test]
    fn an_average_is_cut_to_18_decimals() {
        let average = |sum, length_ms| ExactAmount::average(sum, length_ms).map(|average| average.to_string());
        assert_eq!(average("7775784", 86_400_000).as_deref(), Some("89.9975"));
        assert_eq!(average("1", 3_000).as_deref(), Some("0.333333333333333333"));
        assert_eq!(
            average("0.000000000000000000001", 1).as_deref(),
            Some("0.000000000000000001")
        );
        assert_eq!(average("1", 0), None);
        assert_eq!(average("-1", 1), None);
    }

    #[test]
    fn adds_and_orders() {
        let exact = |text| ExactAmount::parse(text).unwrap();
        assert_eq!(exact("0.9").plus(exact("0.1")), Some(exact("1")));
        assert!(exact("10") > exact("9.999999999999999999"));
    }
}
