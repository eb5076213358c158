//! Rates and multipliers: exact decimal factors.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::core::values::amount::{Amount, AmountError};

/// `apr` and `commission_rate`: 1 is a hundred per cent.
pub type Rate = Factor<18>;

/// What a tier multiplies with.
pub type Multiplier = Factor<6>;

/// A decimal number from zero on with at most `DECIMALS` decimals. It is exact: a number beyond the 28 digits of a [`Decimal`] is rejected.
///
/// Stored forms hold it as a whole number, in parts of `10^-DECIMALS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor<const DECIMALS: u8>(Decimal);

/// Why a factor is rejected. Each message continues a sentence that begins with the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FactorError {
    #[error(transparent)]
    Amount(#[from] AmountError),
    #[error("must be at most {most}")]
    TooLarge { most: u32 },
}

impl<const DECIMALS: u8> Factor<DECIMALS> {
    pub const ZERO: Self = Self(Decimal::ZERO);
    pub const ONE: Self = Self(Decimal::ONE);
    /// The parts of one: `10^DECIMALS`.
    pub const PARTS: u128 = {
        let mut parts = 1;
        let mut decimals = 0;
        while decimals < DECIMALS {
            parts *= 10;
            decimals += 1;
        }
        parts
    };

    /// Reads a factor from 0 to `most`.
    ///
    /// # Errors
    /// [`FactorError`]; [`AmountError::TooPrecise`] for more than `DECIMALS` decimals.
    pub fn parse(text: &str, most: u32) -> Result<Self, FactorError> {
        let parts = Amount::parse(text)?.units(DECIMALS)?;
        Self::from_parts(parts)
            .filter(|factor| factor.0 <= Decimal::from(most))
            .ok_or(FactorError::TooLarge { most })
    }

    /// A number of parts of `10^-DECIMALS`; `None` for more than a [`Decimal`] can hold.
    #[must_use]
    pub fn from_parts(parts: u128) -> Option<Self> {
        let parts = i128::try_from(parts).ok()?;
        Decimal::try_from_i128_with_scale(parts, u32::from(DECIMALS))
            .ok()
            .map(Self)
    }

    /// The number of parts of `10^-DECIMALS` that it is.
    #[must_use]
    pub fn parts(self) -> u128 {
        let mut factor = self.0;
        // It has at most so many decimals, and with them at most 28 digits, so nothing is rounded.
        factor.rescale(u32::from(DECIMALS));
        factor.mantissa().unsigned_abs()
    }

    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// For people: the number of per cent, without zeros at the end. Such as 8.5 for the rate 0.085.
    #[must_use]
    pub fn per_cent(self) -> Decimal {
        (self.0 * Decimal::ONE_HUNDRED).normalize()
    }
}

impl<const DECIMALS: u8> fmt::Display for Factor<DECIMALS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl<const DECIMALS: u8> Serialize for Factor<DECIMALS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts().serialize(serializer)
    }
}

impl<'de, const DECIMALS: u8> Deserialize<'de> for Factor<DECIMALS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = u128::deserialize(deserializer)?;
        Self::from_parts(parts).ok_or_else(|| de::Error::custom(format!("{parts} is beyond the digits of a rate")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::core::values::amount::format_units;

    use super::*;

    #[test]
    fn rates() {
        let parts = |text, most| Rate::parse(text, most).map(Rate::parts);
        assert_eq!(parts("0", 1), Ok(0));
        assert_eq!(parts("0.10", 1), Ok(10u128.pow(17)));
        assert_eq!(parts("1.000", 1), Ok(Rate::PARTS));
        assert_eq!(parts("1000", 1000), Ok(1000 * Rate::PARTS));
        assert_eq!(parts("999.999999999999999999", 1000), Ok(1000 * Rate::PARTS - 1));
        let error = FactorError::TooLarge { most: 1 };
        let too_large = Err(error);
        assert_eq!(parts("1.000000000000000001", 1), too_large);
        // More digits than a decimal has, and the most units that an amount has.
        assert_eq!(parts("79228162514.264337593543950336", 1), too_large);
        assert_eq!(parts("1000000000000", 1), too_large);
        let amount = |error| Err(FactorError::Amount(error));
        assert_eq!(parts("10000000000000", 1), amount(AmountError::TooLarge));
        assert_eq!(
            parts("0.0000000000000000001", 1),
            amount(AmountError::TooPrecise { decimals: 18 })
        );
        assert_eq!(parts("1e-2", 1), amount(AmountError::Syntax));
        assert_eq!(parts("-0.1", 1), amount(AmountError::Syntax));
        assert_eq!(error.to_string(), "must be at most 1");
    }

    #[test]
    fn people_read_per_cent() {
        let per_cent = |text| Rate::parse(text, 1000).unwrap().per_cent().to_string();
        assert_eq!(per_cent("0.085"), "8.5");
        assert_eq!(per_cent("0.10"), "10");
        assert_eq!(per_cent("0"), "0");
        assert_eq!(per_cent("0.000000000000000001"), "0.0000000000000001");
        assert_eq!(per_cent("999.999999999999999999"), "99999.9999999999999999");
    }

    proptest! {
        #[test]
        fn a_rate_is_stored_as_its_parts_and_shown_as_an_amount(parts in 0..=1000 * Rate::PARTS, size in 0u32..21) {
            let parts = parts / 10u128.pow(size);
            let rate = Rate::from_parts(parts).unwrap();
            prop_assert_eq!(rate.parts(), parts);
            prop_assert_eq!(rate.to_string(), format_units(parts, 18));
            prop_assert_eq!(Rate::parse(&rate.to_string(), 1000), Ok(rate));
            let stored = postcard::to_stdvec(&rate).unwrap();
            prop_assert_eq!(&stored, &postcard::to_stdvec(&parts).unwrap());
            prop_assert_eq!(postcard::from_bytes::<Rate>(&stored), Ok(rate));
        }

        #[test]
        fn a_multiplier_is_stored_as_a_number_of_64_bits(parts in 0..=100 * Multiplier::PARTS) {
            let multiplier = Multiplier::from_parts(parts).unwrap();
            let narrow = u64::try_from(parts).unwrap();
            prop_assert_eq!(postcard::to_stdvec(&multiplier).unwrap(), postcard::to_stdvec(&narrow).unwrap());
            prop_assert_eq!(multiplier.to_string(), format_units(parts, 6));
        }
    }
}
