//! Decimal text to integer units and back, exactly.
//!
//! An amount on the wire is `[0-9]+(\.[0-9]+)?` (contract, section 3); inside, it is a whole number of the asset's
//! smallest units, `10^-decimals`. Nothing here rounds: what is not exact is refused.

#[cfg(test)]
mod tests;

use ruint::aliases::U512;
use thiserror::Error;

/// The largest amount the contract accepts, in an asset's smallest units: 10^30.
pub const MAX_UNITS: u128 = 10u128.pow(30);

/// How many significant digits a price and a quantity may each have where their product has to be computed. Two of
/// them make 152 digits, which 512 bits hold (10^154 is the largest power of ten below 2^512).
pub const MAX_PRODUCT_DIGITS: usize = 76;

/// Decimals a tier's multiplier may have.
pub const MULTIPLIER_DECIMALS: u8 = 6;

/// Decimals `commission_rate` and `apr` may have.
pub const RATE_DECIMALS: u8 = 18;

/// Why a decimal text was refused. Each message is a predicate: it makes a sentence after the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not `[0-9]+(\.[0-9]+)?`, or, for a signed amount, that after one sign.
    #[error("is not a plain decimal number (digits, optionally a point and digits)")]
    Syntax,
    /// Zero where more is asked for.
    #[error("is zero")]
    Zero,
    /// More decimals, other than zeros at the end, than the asset or the rate has.
    #[error("has more than the {decimals} decimals allowed")]
    TooPrecise {
        /// The decimals allowed.
        decimals: u8,
    },
    /// More than [`MAX_UNITS`].
    #[error("is more than 10^30 of the smallest units")]
    TooLarge,
    /// Price times quantity is no whole number of the quote asset's units.
    #[error("is no exact number of the quote asset's units, which has {decimals} decimals")]
    InexactProduct {
        /// The quote asset's decimals.
        decimals: u8,
    },
    /// A factor has more than [`MAX_PRODUCT_DIGITS`] significant digits.
    #[error("has more than 76 significant digits")]
    TooManyDigits,
}

/// A syntactically valid unsigned decimal number, as a view of its text. Which asset it is an amount of is not known
/// yet, so neither is whether it is exact; [`Text::units`] answers that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// ASCII digits before the point, without leading zeros: empty below 1.
    whole: &'a [u8],
    /// ASCII digits after the point, without trailing zeros: empty for a whole number.
    fraction: &'a [u8],
}

/// Checks the syntax of an unsigned amount, price, quantity or rate. Zero passes; see [`Text::positive`].
///
/// Linear in the length of the text, without allocation.
///
/// # Errors
/// [`AmountError::Syntax`].
#[inline]
pub fn parse(text: &str) -> Result<Text<'_>, AmountError> {
    let bytes = text.as_bytes();
    let length = digits_at_start(bytes);
    let (Some(whole), Some(rest)) = (bytes.get(..length), bytes.get(length..)) else {
        return Err(AmountError::Syntax);
    };
    let fraction: &[u8] = match rest {
        [] => &[],
        [b'.', fraction @ ..] if !fraction.is_empty() && digits_at_start(fraction) == fraction.len() => fraction,
        _ => return Err(AmountError::Syntax),
    };
    if whole.is_empty() {
        return Err(AmountError::Syntax);
    }
    Ok(Text {
        whole: without_leading_zeros(whole),
        fraction: without_trailing_zeros(fraction),
    })
}

/// Checks the syntax of a signed amount (`delta`): at most one leading `-` or `+`. Returns whether it was `-`, and the
/// magnitude.
///
/// # Errors
/// [`AmountError::Syntax`].
#[inline]
pub fn parse_signed(text: &str) -> Result<(bool, Text<'_>), AmountError> {
    if let Some(magnitude) = text.strip_prefix('-') {
        return Ok((true, parse(magnitude)?));
    }
    Ok((false, parse(text.strip_prefix('+').unwrap_or(text))?))
}

/// A rate or multiplier as an integer scaled by `10^decimals`; zero is allowed. `decimals` is
/// [`MULTIPLIER_DECIMALS`] or [`RATE_DECIMALS`].
///
/// # Errors
/// [`AmountError::Syntax`]; [`AmountError::TooPrecise`]; [`AmountError::TooLarge`] past 10^30 once scaled, which is
/// far above every rate's own bound.
pub fn parse_scaled(text: &str, decimals: u8) -> Result<u128, AmountError> {
    parse(text)?.units(decimals)
}

/// `price * quantity` in units of an asset with that many decimals, exact; zero if a factor is.
///
/// # Errors
/// [`AmountError::TooManyDigits`] for a factor of more than [`MAX_PRODUCT_DIGITS`] significant digits;
/// [`AmountError::InexactProduct`] if the product is not a whole number of units; [`AmountError::TooLarge`].
pub fn product_units(price: Text<'_>, quantity: Text<'_>, decimals: u8) -> Result<u128, AmountError> {
    let (price_digits, quantity_digits) = (price.significant_digits(), quantity.significant_digits());
    if price_digits > MAX_PRODUCT_DIGITS || quantity_digits > MAX_PRODUCT_DIGITS {
        return Err(AmountError::TooManyDigits);
    }
    if price.is_zero() || quantity.is_zero() {
        return Ok(0);
    }
    // No text is long enough to overflow this sum: a slice is at most isize::MAX bytes.
    let fraction_digits = price.fraction.len().saturating_add(quantity.fraction.len());
    let shift_up = usize::from(decimals).saturating_sub(fraction_digits);
    let shift_down = fraction_digits.saturating_sub(usize::from(decimals));
    let inexact = AmountError::InexactProduct { decimals };

    if price_digits <= U64_DIGITS && quantity_digits <= U64_DIGITS && shift_down < POWERS_OF_TEN.len() {
        let product = u128::from(price.significand_u64())
            .checked_mul(u128::from(quantity.significand_u64()))
            .ok_or(AmountError::TooLarge)?;
        let scale = power_of_ten(shift_down).ok_or(inexact)?;
        // Dividing 64-bit numbers is several times faster, and most trades fit.
        let (quotient, remainder) = match (u64::try_from(product), u64::try_from(scale)) {
            (Ok(product), Ok(scale)) => (u128::from(product / scale), u128::from(product % scale)),
            _ => (product / scale, product % scale),
        };
        if remainder != 0 {
            return Err(inexact);
        }
        return scale_up(quotient, shift_up);
    }

    let product = price.significand_wide() * quantity.significand_wide();
    let mut quotient = product;
    if shift_down > 0 {
        // The product is not zero and below 10^152: no higher power of ten divides it.
        if shift_down > 2 * MAX_PRODUCT_DIGITS {
            return Err(inexact);
        }
        let (whole, remainder) = product.div_rem(U512::from(10u8).pow(U512::from(shift_down)));
        if !remainder.is_zero() {
            return Err(inexact);
        }
        quotient = whole;
    }
    scale_up(u128::try_from(quotient).map_err(|_| AmountError::TooLarge)?, shift_up)
}

impl<'a> Text<'a> {
    /// Whether the value is zero, in any spelling.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    /// The same text if it is greater than zero.
    ///
    /// # Errors
    /// [`AmountError::Zero`].
    #[inline]
    pub fn positive(self) -> Result<Text<'a>, AmountError> {
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
    pub fn units(self, decimals: u8) -> Result<u128, AmountError> {
        let Some(padding) = usize::from(decimals).checked_sub(self.fraction.len()) else {
            return Err(AmountError::TooPrecise { decimals });
        };
        if self.whole.len() <= U64_DIGITS && self.fraction.len() <= U64_DIGITS {
            // Below 10^38, so nothing wraps.
            let scale = power_of_ten(self.fraction.len()).unwrap_or(1);
            let whole = u128::from(append_digits(0, self.whole)).wrapping_mul(scale);
            return scale_up(whole.wrapping_add(u128::from(append_digits(0, self.fraction))), padding);
        }
        // 10^30 has 31 digits.
        if self.significant_digits() > 31 {
            return Err(AmountError::TooLarge);
        }
        scale_up(
            u128::try_from(self.significand_wide()).map_err(|_| AmountError::TooLarge)?,
            padding,
        )
    }

    /// Digits from the first to the last that is not zero; but the zeros that end a whole number count.
    fn significant_digits(self) -> usize {
        self.whole.len().saturating_add(self.significant_fraction().len())
    }

    fn significant_fraction(self) -> &'a [u8] {
        if self.whole.is_empty() {
            without_leading_zeros(self.fraction)
        } else {
            self.fraction
        }
    }

    /// The digits as one integer, the point left out. For at most [`U64_DIGITS`] significant digits.
    fn significand_u64(self) -> u64 {
        append_digits(append_digits(0, self.whole), self.significant_fraction())
    }

    /// The digits as one integer, the point left out. For at most [`MAX_PRODUCT_DIGITS`] significant digits.
    fn significand_wide(self) -> U512 {
        let mut value = U512::ZERO;
        for part in [self.whole, self.significant_fraction()] {
            for chunk in part.chunks(U64_DIGITS) {
                let scale = power_of_ten(chunk.len()).unwrap_or(1);
                value = value * U512::from(scale) + U512::from(append_digits(0, chunk));
            }
        }
        value
    }
}

/// Appends the units, as plain decimal text without trailing zeros ("0" for zero).
pub fn write_units(out: &mut Vec<u8>, units: u128, decimals: u8) {
    let mut buffer = [0; 39];
    place_point(out, decimal_digits(&mut buffer, units), usize::from(decimals));
}

/// Like [`write_units`], with a leading `-` below zero.
pub fn write_signed_units(out: &mut Vec<u8>, units: i128, decimals: u8) {
    if units < 0 {
        out.push(b'-');
    }
    write_units(out, units.unsigned_abs(), decimals);
}

/// The units as plain decimal text without trailing zeros ("0" for zero).
pub fn format_units(units: u128, decimals: u8) -> String {
    let mut out = Vec::new();
    write_units(&mut out, units, decimals);
    into_text(out)
}

/// Like [`format_units`], with a leading `-` below zero.
pub fn format_signed_units(units: i128, decimals: u8) -> String {
    let mut out = Vec::new();
    write_signed_units(&mut out, units, decimals);
    into_text(out)
}

/// `magnitude * 10^-decimals` as plain decimal text without trailing zeros, with a leading `-` if `negative` and not
/// zero. The text is never longer than the digits of `magnitude` and `decimals` zeros.
pub fn format_units_wide(negative: bool, magnitude: U512, decimals: u32) -> String {
    let mut out = Vec::new();
    if negative && !magnitude.is_zero() {
        out.push(b'-');
    }
    // On a machine whose addresses have fewer than 32 bits this would be out of memory anyway.
    let decimals = usize::try_from(decimals).unwrap_or(usize::MAX);
    match u128::try_from(magnitude) {
        Ok(units) => {
            let mut buffer = [0; 39];
            place_point(&mut out, decimal_digits(&mut buffer, units), decimals);
        }
        Err(_) => place_point(&mut out, magnitude.to_string().as_bytes(), decimals),
    }
    into_text(out)
}

/// Any number of so many digits fits into 64 bits.
const U64_DIGITS: usize = 19;

/// All powers of ten below 2^128.
const POWERS_OF_TEN: [u128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

#[inline]
fn power_of_ten(exponent: usize) -> Option<u128> {
    POWERS_OF_TEN.get(exponent).copied()
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

#[inline]
fn digits_at_start(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len())
}

#[inline]
fn without_leading_zeros(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

#[inline]
fn without_trailing_zeros(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

/// `value` with ASCII digits appended. Callers pass at most [`U64_DIGITS`] digits in all, leading zeros apart, so
/// that nothing wraps.
#[inline]
fn append_digits(value: u64, digits: &[u8]) -> u64 {
    digits.iter().fold(value, |value, digit| {
        value.wrapping_mul(10).wrapping_add(u64::from(digit & 0x0f))
    })
}

/// The decimal digits of a number, without leading zeros: none for zero. 39 digits hold any u128.
fn decimal_digits(buffer: &mut [u8; 39], mut number: u128) -> &[u8] {
    const CHUNK: u128 = 10u128.pow(19);
    let mut start = buffer.len();
    let mut slots = buffer.iter_mut().rev();
    while number > 0 {
        // Arithmetic in 64 bits wherever it fits; a remainder is below 10^19, so it does.
        let (high, mut low) = match u64::try_from(number) {
            Ok(number) => (0, number),
            Err(_) => (number / CHUNK, (number % CHUNK) as u64),
        };
        let mut missing = if high > 0 { U64_DIGITS } else { 0 };
        while low > 0 || missing > 0 {
            let Some(slot) = slots.next() else { break };
            *slot = b'0' + (low % 10) as u8;
            low /= 10;
            start -= 1;
            missing = missing.saturating_sub(1);
        }
        number = high;
    }
    buffer.get(start..).unwrap_or_default()
}

/// Appends digits (without leading zeros, none for zero), the last `decimals` of them after the point.
fn place_point(out: &mut Vec<u8>, digits: &[u8], decimals: usize) {
    let whole_digits = digits.len().saturating_sub(decimals);
    let (whole, fraction) = digits.split_at_checked(whole_digits).unwrap_or((digits, &[]));
    if whole.is_empty() {
        out.push(b'0');
    } else {
        out.extend_from_slice(whole);
    }
    let zeros = decimals.saturating_sub(digits.len());
    let fraction = without_trailing_zeros(fraction);
    if !fraction.is_empty() {
        out.push(b'.');
        out.resize(out.len().saturating_add(zeros), b'0');
        out.extend_from_slice(fraction);
    }
}

/// All that is written here is ASCII, so nothing is ever replaced.
fn into_text(ascii: Vec<u8>) -> String {
    String::from_utf8(ascii).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
