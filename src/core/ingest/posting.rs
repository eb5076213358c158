//! An event becomes postings (contract, section 3): in this order, and all of them or none.

use std::borrow::Cow;

use arrayvec::ArrayVec;

use crate::core::contract::event::{Balance, Event, Fee};
use crate::core::contract::fields;
use crate::core::contract::fields::Amount;
use crate::core::contract::rejection::Rejection;
use crate::core::values::amount::AmountError;
use crate::core::values::asset::Asset;

/// The most postings an event has: a trade with two fees.
pub const MAX_POSTINGS: usize = 6;

/// A posting before its asset is looked up.
#[derive(Debug)]
pub struct Leg<'e> {
    /// Whose.
    pub account: &'e str,
    /// Of what.
    pub asset: Asset,
    /// Whether it is a debit.
    pub negative: bool,
    /// How much.
    pub amount: LegAmount<'e>,
    /// The field the amount comes from, for a message.
    pub field: &'static str,
}

/// An amount as the event gives it.
#[derive(Debug)]
pub enum LegAmount<'e> {
    /// In one field.
    Plain(&'e Amount<'e>),
    /// Price times quantity.
    Product(&'e Amount<'e>, &'e Amount<'e>),
}

impl Leg<'_> {
    /// The posting's signed units, of an asset with `decimals` decimals.
    ///
    /// # Errors
    /// `invalid_amount` if that is no exact number of units, or more than 10^30.
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

/// The postings of an event, in the contract's order.
#[must_use]
pub fn legs<'e>(event: &'e Event<'_>) -> ArrayVec<Leg<'e>, MAX_POSTINGS> {
    let mut legs = ArrayVec::new();
    let mut leg = |account: &'e Cow<'_, str>, asset, negative, amount, field| {
        // Six at most: a trade with two fees.
        legs.push(Leg {
            account: account.as_ref(),
            asset,
            negative,
            amount,
            field,
        });
    };
    let plain = LegAmount::Plain;
    match event {
        Event::Deposit(Balance { account, asset, amount })
        | Event::OpeningBalance(Balance { account, asset, amount }) => {
            leg(account, *asset, false, plain(amount), "amount");
        }
        Event::Withdrawal {
            balance: Balance { account, asset, amount },
            fee,
        } => {
            leg(account, *asset, true, plain(amount), "amount");
            if let Some(Fee { asset, amount }) = fee {
                leg(account, *asset, true, plain(amount), "fee.amount");
            }
        }
        Event::Trade(trade) => {
            let quote = || match &trade.quote_quantity {
                Some(amount) => (LegAmount::Plain(amount), "quote_quantity"),
                None => (LegAmount::Product(&trade.price, &trade.quantity), "price * quantity"),
            };
            let (buyer, seller) = (&trade.buyer.account, &trade.seller.account);
            leg(buyer, trade.base, false, plain(&trade.quantity), "quantity");
            let (amount, field) = quote();
            leg(buyer, trade.quote, true, amount, field);
            leg(seller, trade.base, true, plain(&trade.quantity), "quantity");
            let (amount, field) = quote();
            leg(seller, trade.quote, false, amount, field);
            if let Some(fee) = &trade.buyer.fee {
                leg(buyer, fee.asset, true, plain(&fee.amount), "buyer.fee.amount");
            }
            if let Some(fee) = &trade.seller.fee {
                leg(seller, fee.asset, true, plain(&fee.amount), "seller.fee.amount");
            }
        }
        Event::Transfer {
            from,
            to,
            asset,
            amount,
        } => {
            leg(from, *asset, true, plain(amount), "amount");
            leg(to, *asset, false, plain(amount), "amount");
        }
        Event::Adjustment {
            negative,
            balance: Balance { account, asset, amount },
        } => {
            leg(account, *asset, *negative, plain(amount), "delta");
        }
        Event::Status { .. } => {}
    }
    legs
}
