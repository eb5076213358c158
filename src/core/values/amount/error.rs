//! Why an amount is rejected, and the limits.

use thiserror::Error;

/// The largest amount the contract accepts, in an asset's smallest units: 10^30.
pub const MAX_UNITS: u128 = 10u128.pow(30);

/// The most significant digits that a price and a quantity may each have where their product is computed. Such a number is below
/// 10^76 and fits into 256 bits; a product of two fits into 512.
pub const MAX_PRODUCT_DIGITS: usize = 76;

/// Why a decimal text is rejected. Each message continues a sentence that begins with the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not `[0-9]+(\.[0-9]+)?`, or, for a signed amount, that after one sign.
    #[error("is not a plain decimal number (digits, optionally a point and digits)")]
    Syntax,
    /// Zero where an amount must be greater.
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
