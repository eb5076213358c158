//! An event becomes legs, in the contract's order (section 3). If one leg is rejected, the event is. Legs of unlisted assets are ignored.

use crate::core::contract::event::{Balance, Fee, SourceEvent, Trade};
use crate::core::contract::fields;
use crate::core::contract::rejection::Rejection;
use crate::core::values::account::AccountName;
use crate::core::values::amount::{Amount, AmountError};
use crate::core::values::asset::Asset;

/// One side of an event, before its asset is looked up. A leg of a listed asset becomes a posting.
#[derive(Debug)]
pub struct Leg<'e> {
    pub account: &'e AccountName<'e>,
    pub asset: &'e Asset,
    /// Whether it is a debit.
    pub negative: bool,
    pub amount: LegAmount<'e>,
    /// The field that the amount comes from, for messages.
    pub field: &'static str,
    pub sort: LegSort,
}

/// What a leg changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegSort {
    /// A balance.
    Balance,
    /// A balance, from its asset's anchor on instead of its own time.
    Opening,
    /// The reward that an account is due, in units of the reward asset.
    Reward,
}

/// An amount as the event gives it.
#[derive(Debug)]
pub enum LegAmount<'e> {
    Plain(&'e Amount),
    /// Price times quantity.
    Product(&'e Amount, &'e Amount),
}

impl Leg<'_> {
    /// The signed units of an asset with `decimals` decimals.
    ///
    /// # Errors
    /// `invalid_amount` if the amount is not an exact number of units, or more than 10^30 units.
    pub fn delta(&self, decimals: u8) -> Result<i128, Rejection> {
        let units = match &self.amount {
            LegAmount::Plain(amount) => amount.units(decimals),
            LegAmount::Product(price, quantity) => price.product_units(quantity, decimals),
        }
        .map_err(|error| fields::bad_amount(self.field, &error))?;
        // At most 10^30.
        let units = i128::try_from(units).map_err(|_| fields::bad_amount(self.field, &AmountError::TooLarge))?;
        Ok(if self.negative { -units } else { units })
    }
}

/// Visits the legs of an event, in the contract's order, until a visit fails. A status has none. An amount of zero makes no leg, and gets no
/// number.
///
/// # Errors
/// That of the visit.
#[inline]
pub fn visit_legs<'e, E>(event: &'e SourceEvent<'_>, mut visit: impl FnMut(Leg<'e>) -> Result<(), E>) -> Result<(), E> {
    let sort = match event {
        SourceEvent::OpeningBalance(_) => LegSort::Opening,
        SourceEvent::RewardAdjustment { .. } => LegSort::Reward,
        _ => LegSort::Balance,
    };
    let mut leg = |account: &'e AccountName<'_>, asset: &'e Asset, negative, amount, field| {
        visit(Leg {
            account,
            asset,
            negative,
            amount,
            field,
            sort,
        })
    };
    let plain = LegAmount::Plain;
    match event {
        SourceEvent::Deposit(Balance { account, asset, amount })
        | SourceEvent::OpeningBalance(Balance { account, asset, amount }) => {
            leg(account, asset, false, plain(amount), "amount")
        }
        SourceEvent::Withdrawal {
            balance: Balance { account, asset, amount },
            fee,
        } => {
            leg(account, asset, true, plain(amount), "amount")?;
            match fee {
                Some(fee) => leg(account, &fee.asset, !fee.is_rebate, plain(&fee.amount), "fee.amount"),
                None => Ok(()),
            }
        }
        SourceEvent::Trade(trade) => {
            let sides = [
                (&trade.buyer, true, "buyer.fee.amount"),
                (&trade.seller, false, "seller.fee.amount"),
            ];
            for (party, is_buyer, _) in sides {
                let Some(party) = party else { continue };
                let quantity = plain(&trade.quantity);
                leg(&party.account, &trade.base, !is_buyer, quantity, "quantity")?;
                if let Some((amount, field)) = quote(trade) {
                    leg(&party.account, &trade.quote, is_buyer, amount, field)?;
                }
            }
            for (party, _, field) in sides {
                if let Some(party) = party
                    && let Some(Fee {
                        asset,
                        is_rebate,
                        amount,
                    }) = &party.fee
                {
                    leg(&party.account, asset, !is_rebate, plain(amount), field)?;
                }
            }
            Ok(())
        }
        SourceEvent::Transfer {
            from,
            to,
            asset,
            amount,
        } => {
            leg(from, asset, true, plain(amount), "amount")?;
            leg(to, asset, false, plain(amount), "amount")
        }
        SourceEvent::BalanceAdjustment {
            negative,
            balance: Balance { account, asset, amount },
        }
        | SourceEvent::RewardAdjustment {
            negative,
            balance: Balance { account, asset, amount },
        } => leg(account, asset, *negative, plain(amount), "delta"),
        SourceEvent::AccountStatus { .. } => Ok(()),
    }
}

/// The amount of quote that a trade moves, and the field it comes from; `None` if it is zero.
fn quote<'e>(trade: &'e Trade<'_>) -> Option<(LegAmount<'e>, &'static str)> {
    match &trade.quote_quantity {
        Some(amount) => (!amount.is_zero()).then_some((LegAmount::Plain(amount), "quote_quantity")),
        None => {
            let product = LegAmount::Product(&trade.price, &trade.quantity);
            (!trade.price.is_zero()).then_some((product, "price * quantity"))
        }
    }
}
