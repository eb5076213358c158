//! Amounts: decimal text to whole numbers and back, exactly.
//!
//! An amount in a record is `[0-9]+(\.[0-9]+)?` (contract, section 3). Inside, it is a whole number of the asset's smallest units,
//! `10^-decimals`. Nothing here rounds: a number that is not exact is rejected.
//!
//! [`Amount`] is for the events that come in: up to 10^30 units, judged by its asset. [`ExactAmount`] is for the records that go out:
//! it has the asset's decimals already, and adds up. [`SignedAmount`] is for those of them that may be negative.

mod decimal;
mod digits;
mod error;
mod exact;
mod format;
mod fraction;
#[cfg(test)]
mod tests;

pub use decimal::Amount;
pub use error::{AmountError, MAX_PRODUCT_DIGITS, MAX_UNITS};
pub use exact::{ExactAmount, SignedAmount, is_canonical, parse_signed_units, parse_wide_units};
pub use format::{WideNumber, format_signed_units, format_units, format_units_wide, write_signed_units, write_units};
pub use fraction::Fraction;
