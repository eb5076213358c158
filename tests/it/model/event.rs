//! From a source event's data to its postings (contract, section 3).

use num_bigint::BigInt;

use crate::model_parts::amount::Decimal;
use crate::model_parts::fields::{Fields, Rejection, is_printable, signed_amount, signed_decimal};

pub const SOURCE_TYPES: [&str; 7] = [
    "exchange.deposit.v1",
    "exchange.opening_balance.v1",
    "exchange.withdrawal.v1",
    "exchange.trade.v1",
    "exchange.transfer.v1",
    "exchange.balance_adjustment.v1",
    "exchange.account_status.v1",
];

pub const CONTROL_TYPES: [&str; 4] = [
    "softstake.asset.v1",
    "softstake.validator_reward.v1",
    "softstake.epoch_close.v1",
    "softstake.loss_accepted.v1",
];

/// Names of assets as this version allows them.
pub trait AssetName {
    fn asset(self, name: &str) -> Result<String, Rejection>;
}

impl AssetName for Fields<'_> {
    fn asset(self, name: &str) -> Result<String, Rejection> {
        let asset = self.text(name)?;
        let is_allowed = |character: char| is_printable(character) && !character.is_whitespace() && character != ':';
        let is_asset = (1..=32).contains(&asset.len()) && asset.chars().all(is_allowed);
        if is_asset {
            Ok(asset)
        } else {
            Err(Rejection::event(name, "is no asset name"))
        }
    }
}

#[derive(Debug, Clone)]
pub enum SourceEvent {
    Postings(Vec<Posting>),
    Status { account: String, status: Status },
}

/// In the order that decides between two statuses with the same time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Enrolled,
    OptedOut,
    Excluded,
}

/// One posting as the event states it, before the conversion to the asset's units.
#[derive(Debug, Clone)]
pub struct Posting {
    pub account: String,
    pub asset: String,
    is_debit: bool,
    quantity: Quantity,
    /// Whether it is an opening balance, which counts from the anchor at any time of the event.
    pub at_anchor: bool,
}

#[derive(Debug, Clone)]
enum Quantity {
    Given(Decimal),
    Product { price: Decimal, quantity: Decimal },
}

impl Posting {
    /// The signed delta in the asset's units.
    pub fn delta(&self, decimals: u32) -> Result<BigInt, Rejection> {
        const MOST_DIGITS: usize = 76;
        let units = match &self.quantity {
            Quantity::Given(amount) => amount.units("amount", decimals)?,
            Quantity::Product { price, quantity } => {
                for (field, factor) in [("price", price), ("quantity", quantity)] {
                    if factor.significant_digits() > MOST_DIGITS {
                        return Err(Rejection::amount(field, "has more than 76 significant digits"));
                    }
                }
                price.times(quantity).units("price * quantity", decimals)?
            }
        };
        Ok(if self.is_debit { -units } else { units })
    }
}

fn credit(account: &str, asset: &str, quantity: Quantity) -> Posting {
    Posting {
        account: account.to_owned(),
        asset: asset.to_owned(),
        is_debit: false,
        quantity,
        at_anchor: false,
    }
}

fn debit(account: &str, asset: &str, quantity: Quantity) -> Posting {
    Posting {
        is_debit: true,
        ..credit(account, asset, quantity)
    }
}

/// The meaning of a source event's data. Fields are checked, and postings numbered, in the order of the contract.
pub fn source_event(kind: &str, data: Fields) -> Result<SourceEvent, Rejection> {
    let postings = match kind {
        "exchange.deposit.v1" => deposit(data, false)?,
        "exchange.opening_balance.v1" => deposit(data, true)?,
        "exchange.withdrawal.v1" => withdrawal(data)?,
        "exchange.trade.v1" => trade(data)?,
        "exchange.transfer.v1" => transfer(data)?,
        "exchange.balance_adjustment.v1" => balance_adjustment(data)?,
        "exchange.account_status.v1" => return account_status(data),
        _ => unreachable!("SOURCE_TYPES has a type without an arm: {kind}"),
    };
    Ok(SourceEvent::Postings(postings))
}

fn deposit(data: Fields, at_anchor: bool) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let amount = data.amount("amount")?;
    Ok(vec![Posting {
        at_anchor,
        ..credit(&account, &asset, Quantity::Given(amount))
    }])
}

fn withdrawal(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let amount = data.amount("amount")?;
    let mut postings = vec![debit(&account, &asset, Quantity::Given(amount))];
    postings.extend(fee(data, &account)?);
    Ok(postings)
}

/// A fee debits; a negative one, a rebate, credits; one of zero is no posting.
fn fee(payer: Fields, account: &str) -> Result<Option<Posting>, Rejection> {
    let Some(fee) = payer.object_unless_null("fee")? else {
        return Ok(None);
    };
    let asset = fee.asset("asset")?;
    let (is_rebate, amount) = signed_decimal(fee.required("amount")?, "amount")?;
    if amount.is_zero() {
        return Ok(None);
    }
    let quantity = Quantity::Given(amount);
    Ok(Some(if is_rebate {
        credit(account, &asset, quantity)
    } else {
        debit(account, &asset, quantity)
    }))
}

fn trade(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let base_asset = data.asset("base_asset")?;
    let quote_asset = data.asset("quote_asset")?;
    let price = data.decimal("price")?;
    let quantity = data.amount("quantity")?;
    let base = Quantity::Given(quantity.clone());
    // None where the quote amount is zero: then there is no posting of it.
    let quote = match data.optional_decimal("quote_quantity")? {
        Some(given) if given.is_zero() => None,
        Some(given) => Some(Quantity::Given(given)),
        None if price.is_zero() => None,
        None => Some(Quantity::Product { price, quantity }),
    };
    let buyer = party(data, "buyer")?;
    let seller = party(data, "seller")?;
    if buyer.is_none() && seller.is_none() {
        return Err(Rejection::event("buyer", "is missing, and so is the field seller"));
    }
    let mut postings = Vec::new();
    if let Some((buyer, _)) = &buyer {
        postings.push(credit(buyer, &base_asset, base.clone()));
        postings.extend(quote.clone().map(|quote| debit(buyer, &quote_asset, quote)));
    }
    if let Some((seller, _)) = &seller {
        postings.push(debit(seller, &base_asset, base));
        postings.extend(quote.map(|quote| credit(seller, &quote_asset, quote)));
    }
    postings.extend(buyer.and_then(|(_, fee)| fee));
    postings.extend(seller.and_then(|(_, fee)| fee));
    Ok(postings)
}

/// The account and the fee of a side. None if the side is missing.
fn party(data: Fields, name: &str) -> Result<Option<(String, Option<Posting>)>, Rejection> {
    let Some(party) = data.object_unless_null(name)? else {
        return Ok(None);
    };
    let account = party.account("account")?;
    let fee = fee(party, &account)?;
    Ok(Some((account, fee)))
}

fn transfer(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let from = data.account("from_account")?;
    let to = data.account("to_account")?;
    let asset = data.asset("asset")?;
    let amount = Quantity::Given(data.amount("amount")?);
    Ok(vec![debit(&from, &asset, amount.clone()), credit(&to, &asset, amount)])
}

fn balance_adjustment(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let (is_debit, amount) = signed_amount(data.required("delta")?, "delta")?;
    data.text("reason")?;
    Ok(vec![Posting {
        is_debit,
        ..credit(&account, &asset, Quantity::Given(amount))
    }])
}

fn account_status(data: Fields) -> Result<SourceEvent, Rejection> {
    let account = data.account("account")?;
    let status = match data.text("status")?.as_str() {
        "enrolled" => Status::Enrolled,
        "opted_out" => Status::OptedOut,
        "excluded" => Status::Excluded,
        _ => {
            return Err(Rejection::event(
                "status",
                "is none of enrolled, opted_out and excluded",
            ));
        }
    };
    Ok(SourceEvent::Status { account, status })
}
