//! From a source event's data to its postings (contract, section 3.1).

use num_bigint::BigInt;

use crate::model::parts::amount::Decimal;
use crate::model::parts::fields::{Fields, Rejection, signed_amount, signed_decimal};

pub const SOURCE_TYPES: [&str; 8] = [
    "exchange.deposit.v1",
    "exchange.opening_balance.v1",
    "exchange.withdrawal.v1",
    "exchange.trade.v1",
    "exchange.transfer.v1",
    "exchange.balance_adjustment.v1",
    "exchange.reward_adjustment.v1",
    "exchange.account_status.v1",
];

pub const CONTROL_TYPES: [&str; 9] = [
    "softstake.asset.v1",
    "softstake.asset_withdrawn.v1",
    "softstake.validator_reward.v1",
    "softstake.pool_adjustment.v1",
    "softstake.epoch_close.v1",
    "softstake.epoch_release.v1",
    "softstake.epoch_void.v1",
    "softstake.loss_accepted.v1",
    "softstake.rules.v1",
];

#[derive(Debug, Clone)]
pub enum SourceEvent {
    Postings(Vec<Posting>),
    /// A status for one asset, or for all.
    Status {
        account: String,
        asset: Option<String>,
        status: Status,
    },
}

/// In the order that decides between two statuses with the same time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Enrolled,
    OptedOut,
    Excluded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Balance,
    /// Counts from the anchor, whatever the time of the event.
    Opening,
    /// Changes the reward instead of the balance.
    Reward,
}

/// One posting as the event states it, before the conversion to units.
#[derive(Debug, Clone)]
pub struct Posting {
    pub account: String,
    pub asset: String,
    pub sort: Sort,
    is_debit: bool,
    quantity: Quantity,
}

#[derive(Debug, Clone)]
enum Quantity {
    Given(Decimal),
    Product { price: Decimal, quantity: Decimal },
}

impl Quantity {
    fn is_zero(&self) -> bool {
        match self {
            Quantity::Given(amount) => amount.is_zero(),
            Quantity::Product { price, .. } => price.is_zero(), // a quantity is never zero
        }
    }
}

impl Posting {
    /// The signed delta in units of `10^-decimals`.
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
        sort: Sort::Balance,
        is_debit: false,
        quantity,
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
        "exchange.deposit.v1" => deposit(data, Sort::Balance)?,
        "exchange.opening_balance.v1" => deposit(data, Sort::Opening)?,
        "exchange.withdrawal.v1" => withdrawal(data)?,
        "exchange.trade.v1" => trade(data)?,
        "exchange.transfer.v1" => transfer(data)?,
        "exchange.balance_adjustment.v1" => adjustment(data, Sort::Balance)?,
        "exchange.reward_adjustment.v1" => adjustment(data, Sort::Reward)?,
        "exchange.account_status.v1" => return account_status(data),
        _ => unreachable!("SOURCE_TYPES has a type without an arm: {kind}"),
    };
    Ok(SourceEvent::Postings(postings))
}

fn deposit(data: Fields, sort: Sort) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let amount = data.amount("amount")?;
    Ok(vec![Posting {
        sort,
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

/// A debit, or for a negative fee a credit. A fee of zero makes no posting.
fn fee(payer: Fields, account: &str) -> Result<Option<Posting>, Rejection> {
    let Some(fee) = payer.object_unless_null("fee")? else {
        return Ok(None);
    };
    let asset = fee.asset("asset")?;
    let (is_rebate, amount) = signed_decimal(fee.required("amount")?, "amount")?;
    let posting = Posting {
        is_debit: !is_rebate,
        ..credit(account, &asset, Quantity::Given(amount))
    };
    Ok(Some(posting).filter(|posting| !posting.quantity.is_zero()))
}

struct Party {
    account: String,
    fee: Option<Posting>,
}

fn trade(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let base_asset = data.asset("base_asset")?;
    let quote_asset = data.asset("quote_asset")?;
    let price = data.decimal("price")?;
    let quantity = data.amount("quantity")?;
    let quote = match data.optional_decimal("quote_quantity")? {
        Some(given) => Quantity::Given(given),
        None => Quantity::Product {
            price,
            quantity: quantity.clone(),
        },
    };
    let base = Quantity::Given(quantity);
    let buyer = party(data, "buyer")?;
    let seller = party(data, "seller")?;
    if buyer.is_none() && seller.is_none() {
        return Err(Rejection::event("buyer", "and the field seller are both missing"));
    }
    let mut postings = Vec::new();
    if let Some(buyer) = &buyer {
        postings.push(credit(&buyer.account, &base_asset, base.clone()));
        postings.push(debit(&buyer.account, &quote_asset, quote.clone()));
    }
    if let Some(seller) = &seller {
        postings.push(debit(&seller.account, &base_asset, base));
        postings.push(credit(&seller.account, &quote_asset, quote));
    }
    postings.extend(buyer.and_then(|party| party.fee));
    postings.extend(seller.and_then(|party| party.fee));
    postings.retain(|posting| !posting.quantity.is_zero());
    Ok(postings)
}

fn party(data: Fields, name: &str) -> Result<Option<Party>, Rejection> {
    let Some(party) = data.object_unless_null(name)? else {
        return Ok(None);
    };
    let account = party.account("account")?;
    let fee = fee(party, &account)?;
    Ok(Some(Party { account, fee }))
}

fn transfer(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let from = data.account("from_account")?;
    let to = data.account("to_account")?;
    let asset = data.asset("asset")?;
    let amount = Quantity::Given(data.amount("amount")?);
    Ok(vec![debit(&from, &asset, amount.clone()), credit(&to, &asset, amount)])
}

fn adjustment(data: Fields, sort: Sort) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let (is_debit, amount) = signed_amount(data.required("delta")?, "delta")?;
    data.text("reason")?;
    Ok(vec![Posting {
        sort,
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
    let asset = match data.optional("asset")? {
        Some(_) => Some(data.asset("asset")?),
        None => None,
    };
    Ok(SourceEvent::Status { account, asset, status })
}
