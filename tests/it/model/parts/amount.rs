//! Amounts, rates and the arithmetic type (contract, sections 3 and 5).

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::fields::Rejection;

/// An exact fraction.
pub type Rational = num_rational::Ratio<BigInt>;

/// A non-negative decimal as written: `digits * 10^exponent`, where the digits do not end in zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Decimal {
    digits: BigInt,
    exponent: i64,
    significant_digits: usize,
}

impl Decimal {
    /// `[0-9]+(\.[0-9]+)?`
    pub fn parse(text: &str) -> Option<Decimal> {
        let (integer, fraction) = match text.split_once('.') {
            Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
            Some(_) => return None,
            None => (text, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if integer.is_empty() || !is_digits(integer) || !is_digits(fraction) {
            return None;
        }
        let all_digits = format!("{integer}{fraction}");
        let without_leading = all_digits.trim_start_matches('0');
        let digits = without_leading.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Decimal {
                digits: BigInt::zero(),
                exponent: 0,
                significant_digits: 0,
            });
        }
        let trailing_zeros = without_leading.len() - digits.len();
        Some(Decimal {
            digits: digits.parse().ok()?,
            exponent: i64::try_from(trailing_zeros).ok()? - i64::try_from(fraction.len()).ok()?,
            significant_digits: digits.len(),
        })
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_zero()
    }

    /// The number of digits from the first to the last one that is not zero.
    pub fn significant_digits(&self) -> usize {
        self.significant_digits
    }

    /// The number of digits needed after the point.
    pub fn decimals(&self) -> u64 {
        self.exponent.min(0).unsigned_abs()
    }

    pub fn times(&self, other: &Decimal) -> Decimal {
        Decimal {
            digits: &self.digits * &other.digits,
            exponent: self.exponent + other.exponent,
            significant_digits: 0, // not needed of a product
        }
    }

    /// The value in units of `10^-decimals`, if it is a whole number of them and at most 10^30.
    pub fn units(&self, field: &str, decimals: u32) -> Result<BigInt, Rejection> {
        if self.is_zero() {
            return Ok(BigInt::zero());
        }
        let too_large = || Rejection::amount(field, "is more than 10^30 units");
        let shift = self.exponent + i64::from(decimals);
        let units = match u32::try_from(shift) {
            Ok(shift) if shift > 30 => return Err(too_large()),
            Ok(shift) => &self.digits * power_of_ten(shift),
            Err(_) if shift > 0 => return Err(too_large()),
            Err(_) => {
                // The digits of a product may end in zeros, so divide.
                let Some(divisor) = u32::try_from(-shift).ok().map(power_of_ten) else {
                    return Err(Rejection::amount(field, "has more digits than the asset's units"));
                };
                if !(&self.digits % &divisor).is_zero() {
                    return Err(Rejection::amount(field, "is no whole number of the asset's units"));
                }
                &self.digits / divisor
            }
        };
        if units > power_of_ten(30) {
            Err(too_large())
        } else {
            Ok(units)
        }
    }

    pub fn to_rational(&self) -> Rational {
        let power = Rational::from_integer(power_of_ten(
            u32::try_from(self.exponent.unsigned_abs()).unwrap_or(u32::MAX),
        ));
        let digits = Rational::from_integer(self.digits.clone());
        if self.exponent < 0 {
            digits / power
        } else {
            digits * power
        }
    }
}

pub fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

pub fn floor(value: &Rational) -> BigInt {
    value.floor().to_integer()
}

/// `floor(a * b)` of two non-negative fractions, without reducing the product to lowest terms.
pub fn floor_of_product(a: &Rational, b: &Rational) -> BigInt {
    (a.numer() * b.numer()) / (a.denom() * b.denom())
}

/// `of / by`, truncated toward zero.
pub fn cut_toward_zero(of: &BigInt, by: &BigInt) -> BigInt {
    of / by
}

/// `units * 10^-decimals` as a plain decimal string without trailing zeros, "0" for zero (contract, section 6).
pub fn plain(units: &BigInt, decimals: u32) -> String {
    let scale = power_of_ten(decimals);
    let magnitude = units.abs();
    let (integer, fraction) = (&magnitude / &scale, &magnitude % &scale);
    let sign = if units.is_negative() { "-" } else { "" };
    if fraction.is_zero() {
        return format!("{sign}{integer}");
    }
    // `scale + fraction` is a one followed by all digits of the fraction, including leading zeros.
    let padded = (scale + fraction).to_string();
    format!("{sign}{integer}.{}", padded[1..].trim_end_matches('0'))
}
