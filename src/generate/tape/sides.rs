//! The two amounts of a trade.

use crate::generate::tape::csv::{PRICE, QUANTITY, RowError, TapeRow};
use crate::generate::tape::settings::Tape;
use crate::generate::text::power_of_ten;

/// The two amounts of a trade, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) base: u128,
    pub(super) quote: u128,
    /// Whether the quote amount is exactly price times quantity.
    pub(super) exact: bool,
}

impl Sides {
    /// The amounts of a row, or the index of the wrong column and the reason.
    pub(super) fn of(tape: &Tape, row: &TapeRow) -> Result<Self, RowError> {
        let (price, quantity) = (row.price, row.quantity);
        let most = power_of_ten(30);
        let Some(finer) = tape.base_decimals.checked_sub(quantity.scale) else {
            let reason = format!("more than {} decimals", tape.base_decimals);
            return Err((QUANTITY, reason));
        };
        let base = quantity.digits.checked_mul(power_of_ten(finer.into()));
        let base = base.filter(|&base| base <= most);
        let base = base.ok_or((QUANTITY, "more than 10^30 units".to_owned()))?;
        let too_large = || (PRICE, "price times quantity is too large".to_owned());
        let product = price.digits.checked_mul(quantity.digits).ok_or_else(too_large)?;
        let scale = u32::from(price.scale) + u32::from(quantity.scale);
        let decimals = u32::from(tape.quote_decimals);
        let (quote, exact) = if scale <= decimals {
            let quote = product.checked_mul(power_of_ten(decimals - scale));
            (quote.ok_or_else(too_large)?, true)
        } else {
            // The product is below 2^128, so a grain above that leaves nothing.
            let grain = 10_u128.checked_pow(scale - decimals).unwrap_or(u128::MAX);
            ((product / grain).max(1), product.is_multiple_of(grain))
        };
        if quote > most {
            return Err(too_large());
        }
        Ok(Self { base, quote, exact })
    }
}
