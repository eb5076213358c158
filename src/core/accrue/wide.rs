//! Checked arithmetic in 512 bits. Nearly all numbers of a settlement fit into 128 bits, where it is several times as fast; the results are the same.

use ethnum::{I256, U256};
use ruint::aliases::U512;

use crate::core::fault::{Fault, impossible};

/// A number as 512 bits.
pub const fn wide(value: u128) -> U512 {
    from_words(0, value)
}

/// The number `high * 2^128 + low`.
const fn from_words(high: u128, low: u128) -> U512 {
    const fn halves(word: u128) -> (u64, u64) {
        (word as u64, (word >> 64) as u64)
    }
    let ((first, second), (third, fourth)) = (halves(low), halves(high));
    U512::from_limbs([first, second, third, fourth, 0, 0, 0, 0])
}

/// The number in 128 bits, if it fits.
fn narrow(value: U512) -> Option<u128> {
    match *value.as_limbs() {
        [low, high, 0, 0, 0, 0, 0, 0] => Some(u128::from(high) << 64 | u128::from(low)),
        _ => None,
    }
}

/// `a * b`.
///
/// # Errors
/// [`Fault::Overflow`] with `what`.
pub fn times(a: U512, b: U512, what: &'static str) -> Result<U512, Fault> {
    if let (Some(a), Some(b)) = (narrow(a), narrow(b)) {
        if let Some(product) = a.checked_mul(b) {
            return Ok(wide(product));
        }
        let (high, low) = U256::new(a).wrapping_mul(U256::new(b)).into_words();
        return Ok(from_words(high, low));
    }
    a.checked_mul(b).ok_or(Fault::Overflow(what))
}

/// `a + b`.
///
/// # Errors
/// [`Fault::Overflow`] with `what`.
pub fn sum(a: U512, b: U512, what: &'static str) -> Result<U512, Fault> {
    a.checked_add(b).ok_or(Fault::Overflow(what))
}

/// `floor(a / b)`.
///
/// # Errors
/// If `b` is 0, which no settlement divides by.
pub fn divide(a: U512, b: U512) -> Result<U512, Fault> {
    let quotient = match (narrow(a), narrow(b)) {
        // Dividing 64-bit numbers is several times faster.
        (Some(a), Some(b)) => match (u64::try_from(a), u64::try_from(b)) {
            (Ok(a), Ok(b)) => a.checked_div(b).map(u128::from).map(wide),
            _ => a.checked_div(b).map(wide),
        },
        _ => a.checked_div(b),
    };
    quotient.ok_or_else(|| impossible("a division by zero in a settlement"))
}

/// The magnitude of a signed number.
#[must_use]
pub fn magnitude(value: I256) -> U512 {
    let (high, low) = value.unsigned_abs().into_words();
    from_words(high, low)
}

/// A number of units as a signed one.
///
/// # Errors
/// [`Fault::Overflow`], which needs far more than any accepted input.
pub fn signed(value: U512) -> Result<I256, Fault> {
    let [first, second, third, fourth, 0, 0, 0, 0] = *value.as_limbs() else {
        return Err(Fault::Overflow("an amount"));
    };
    let word = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
    let signed = U256::from_words(word(third, fourth), word(first, second)).as_i256();
    Some(signed)
        .filter(|value| *value >= I256::ZERO)
        .ok_or(Fault::Overflow("an amount"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of all lengths, those around 2^64, 2^128 and 2^256 above all.
    fn number() -> impl Strategy<Value = U512> {
        let near = |bits: usize| {
            (0u64..3, any::<bool>()).prop_map(move |(step, up)| {
                let edge = U512::ONE << bits;
                let step = U512::from(step);
                if up { edge + step } else { edge - step }
            })
        };
        prop_oneof![
            (any::<[u64; 8]>(), 0usize..512).prop_map(|(limbs, shift)| U512::from_limbs(limbs) >> shift),
            near(64),
            near(128),
            near(255),
            near(256),
            Just(U512::ZERO),
            Just(U512::MAX),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_short_cuts_change_nothing(a in number(), b in number()) {
            prop_assert_eq!(times(a, b, "a product").ok(), a.checked_mul(b));
            prop_assert_eq!(divide(a, b).ok(), a.checked_div(b));
        }

        #[test]
        fn signs_and_back(value in number()) {
            let limit = U512::ONE << 255;
            let signed = signed(value);
            prop_assert_eq!(signed.is_ok(), value < limit);
            if let Ok(signed) = signed {
                prop_assert_eq!(signed.to_string(), value.to_string());
                prop_assert_eq!(magnitude(signed), value);
                prop_assert_eq!(magnitude(-signed), value);
            }
        }
    }

    #[test]
    fn the_magnitude_of_the_lowest_number() {
        assert_eq!(magnitude(I256::MIN), U512::ONE << 255);
    }
}
