//! The trade of a row, with its two accounts.

use crate::generate::tape::plan::TapePlan;
use crate::generate::tape::sides::Sides;

/// One trade between drawn accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deal {
    pub(super) sides: Sides,
    pub(super) buyer: u64,
    pub(super) seller: u64,
    /// The taker's fee in units of the asset that it receives; 0 if the fee is less than one unit.
    pub(super) fee: u128,
    pub(super) buyer_is_maker: bool,
}

impl Deal {
    /// The deal of row number `row`.
    pub(super) fn of(plan: &TapePlan, row: usize) -> Self {
        let at = &plan.rows[row];
        let mut draws = plan.draws(row);
        let buyer = draws.skewed(plan.traders());
        let mut seller = draws.skewed(plan.traders());
        if seller == buyer {
            seller = (buyer + 1) % plan.traders();
        }
        // Every row was checked when it was read.
        let sides = Sides::of(plan.tape, at).unwrap_or(Sides {
            base: 0,
            quote: 0,
            exact: true,
        });
        let received = if at.buyer_is_maker { sides.quote } else { sides.base };
        Self {
            sides,
            buyer,
            seller,
            fee: received / 1_000,
            buyer_is_maker: at.buyer_is_maker,
        }
    }
}
