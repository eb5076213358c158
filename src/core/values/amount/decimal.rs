//! An amount, price, quantity or rate, read from its text once.

use ruint::aliases::{U256, U512};

use crate::core::values::amount::digits::{
    U64_DIGITS, append_digits, number, power_of_ten, short, split, without_leading_zeros, without_trailing_zeros,
};
use crate::core::values::amount::error::{AmountError, MAX_PRODUCT_DIGITS, MAX_UNITS};

/// An unsigned decimal number. Its asset is not known yet, so its precision is not judged yet: [`Amount::units`] does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// The digits from the first to the last that is not zero, as a whole number; zeros that end a whole number count.
    /// Zero if there are too many.
    significand: U256,
    /// How many of the digits are behind the point.
    scale: usize,
    /// Whether there are more than [`MAX_PRODUCT_DIGITS`] significant digits.
    is_too_long: bool,
}

impl Amount {
    /// Reads an unsigned amount, price, quantity or rate. Zero passes; see [`Amount::positive`].
    ///
    /// The time is linear in the length of the text. Nothing is allocated.
    ///
    /// # Errors
    /// [`AmountError::Syntax`].
    #[inline]
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        match short(text) {
            Some((significand, scale)) => Ok(Self {
                significand: U256::from(significand),
                scale,
                is_too_long: false,
            }),
            None => Self::parse_any(text),
        }
    }

    fn parse_any(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = split(text)?;
        let whole = without_leading_zeros(whole);
        let fraction = without_trailing_zeros(fraction);
        let scale = fraction.len();
        let fraction = if whole.is_empty() {
            without_leading_zeros(fraction)
        } else {
            fraction
        };
        let digits = whole.len().saturating_add(fraction.len());
        let significand = if digits <= U64_DIGITS {
            Some(U256::from(append_digits(append_digits(0, whole), fraction)))
        } else if whole.len() <= U64_DIGITS && fraction.len() <= U64_DIGITS {
            // Below 10^38, so nothing wraps.
            let scale = power_of_ten(fraction.len()).unwrap_or(1);
            let whole = u128::from(append_digits(0, whole)).wrapping_mul(scale);
            Some(U256::from(whole.wrapping_add(u128::from(append_digits(0, fraction)))))
        } else if digits <= MAX_PRODUCT_DIGITS {
            number([whole, fraction])
        } else {
            None
        };
        Ok(Self {
            significand: significand.unwrap_or_default(),
            scale,
            is_too_long: significand.is_none(),
        })
    }

    /// Reads a signed amount (`delta`): at most one leading `-` or `+`. Returns whether it was `-`, and the magnitude.
    ///
    /// # Errors
    /// [`AmountError::Syntax`].
    #[inline]
    pub fn parse_signed(text: &str) -> Result<(bool, Self), AmountError> {
        if let Some(magnitude) = text.strip_prefix('-') {
            return Ok((true, Self::parse(magnitude)?));
        }
        Ok((false, Self::parse(text.strip_prefix('+').unwrap_or(text))?))
    }

    /// Whether the value is zero, in any spelling.
    #[inline]
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.significand.is_zero() && !self.is_too_long
    }

    /// The same amount if it is greater than zero.
    ///
    /// # Errors
    /// [`AmountError::Zero`].
    #[inline]
    pub fn positive(self) -> Result<Self, AmountError> {
        if self.is_zero() {
            Err(AmountError::Zero)
        } else {
            Ok(self)
        }
    }

    /// The exact number of units of `10^-decimals`, from 0 to [`MAX_UNITS`].
    ///
    /// # Errors
    /// [`AmountError::TooPrecise`] if it is no whole number of units; else [`AmountError::TooLarge`].
    #[inline]
    pub fn units(&self, decimals: u8) -> Result<u128, AmountError> {
        let Some(padding) = usize::from(decimals).checked_sub(self.scale) else {
            return Err(AmountError::TooPrecise { decimals });
        };
        if self.is_too_long {
            return Err(AmountError::TooLarge);
        }
        let significand = u128::try_from(self.significand).map_err(|_| AmountError::TooLarge)?;
        scale_up(significand, padding)
    }

    /// `self * quantity` in units of an asset with that many decimals, exact; zero if a factor is.
    ///
    /// # Errors
    /// [`AmountError::TooManyDigits`] for a factor of more than [`MAX_PRODUCT_DIGITS`] significant digits;
    /// [`AmountError::InexactProduct`] if the product is not a whole number of units; [`AmountError::TooLarge`].
    pub fn product_units(&self, quantity: &Self, decimals: u8) -> Result<u128, AmountError> {
        if self.is_too_long || quantity.is_too_long {
            return Err(AmountError::TooManyDigits);
        }
        if self.is_zero() || quantity.is_zero() {
            return Ok(0);
        }
        let scale = self.scale.saturating_add(quantity.scale);
        let shift_up = usize::from(decimals).saturating_sub(scale);
        let shift_down = scale.saturating_sub(usize::from(decimals));
        let inexact = AmountError::InexactProduct { decimals };

        if let (Ok(price), Ok(quantity), Some(divisor)) = (
            u64::try_from(self.significand),
            u64::try_from(quantity.significand),
            power_of_ten(shift_down),
        ) {
            let product = u128::from(price) * u128::from(quantity);
            // Dividing 64-bit numbers is several times faster, and most trades fit.
            let (quotient, remainder) = match (u64::try_from(product), u64::try_from(divisor)) {
                (Ok(product), Ok(divisor)) => (u128::from(product / divisor), u128::from(product % divisor)),
                _ => (product / divisor, product % divisor),
            };
            if remainder != 0 {
                return Err(inexact);
            }
            return scale_up(quotient, shift_up);
        }

        let mut product: U512 = self.significand.widening_mul(quantity.significand);
        if shift_down > 0 {
            // The product is not zero and below 10^152: no higher power of ten divides it.
            if shift_down > 2 * MAX_PRODUCT_DIGITS {
                return Err(inexact);
            }
            let (quotient, remainder) = product.div_rem(U512::from(10u8).pow(U512::from(shift_down)));
            if !remainder.is_zero() {
                return Err(inexact);
            }
            product = quotient;
        }
        scale_up(u128::try_from(product).map_err(|_| AmountError::TooLarge)?, shift_up)
    }
}

/// `value * 10^exponent`, if it is at most [`MAX_UNITS`].
#[inline]
fn scale_up(value: u128, exponent: usize) -> Result<u128, AmountError> {
    if value == 0 {
        return Ok(0);
    }
    power_of_ten(exponent)
        .and_then(|power| value.checked_mul(power))
        .filter(|units| *units <= MAX_UNITS)
        .ok_or(AmountError::TooLarge)
}
