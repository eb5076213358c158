//! What the exchange says (contract, section 3): the envelope of a record, and the events of the source topics.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::fingerprint::{Part, fingerprint};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::account::AccountName;
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;

/// The envelope of a record, CloudEvents 1.0 in structured mode, before anything inside is judged.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Identifies the event together with `source`.
    pub id: Cow<'a, str>,
    /// Who said it.
    pub source: Cow<'a, str>,
    /// The event's type and version.
    pub kind: Cow<'a, str>,
    /// The event time, as raw JSON.
    pub time: &'a str,
    /// The event's fields, a raw JSON object.
    pub data: &'a str,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    specversion: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    id: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    source: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw", rename = "type")]
    kind: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    time: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    data: RawField<'a>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of a record's bytes.
    ///
    /// # Errors
    /// `invalid_json`, `invalid_event`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Code::InvalidJson.because(format!("the record is not UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        // A derived reader would take an array for an object, field by field.
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            return Err(fields::not_an_object(text, "the record"));
        }
        let wire: Wire<'a> = serde_json::from_str(text).map_err(|error| fields::explain(text, "the record", &error))?;
        let specversion = fields::text(wire.specversion, "specversion")?;
        if specversion != "1.0" {
            return Err(Code::InvalidEvent.because("`specversion` must be \"1.0\""));
        }
        let id = filled(wire.id, "id")?;
        let source = filled(wire.source, "source")?;
        let kind = filled(wire.kind, "type")?;
        let data = fields::required(wire.data, "data")?;
        if !data.starts_with('{') {
            return Err(Code::InvalidEvent.because("`data` must be a JSON object"));
        }
        let time = fields::required(wire.time, "time")?;
        Ok(Self {
            id,
            source,
            kind,
            time,
            data,
        })
    }

    /// The fingerprint by which an identical copy is told from a conflicting one.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        fingerprint(&self.kind, Some(Part::Json(self.time)), Some(Part::Json(self.data)))
    }
}

/// A required string that is not empty.
fn filled<'a>(field: Option<&'a RawValue>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    let text = fields::text(field, name)?;
    if text.is_empty() {
        return Err(Code::InvalidEvent.because(format!("`{name}` is empty")));
    }
    Ok(text)
}

/// The most legs of an event: a trade with two fees.
pub const MAX_LEGS: usize = 6;

/// The types of events that Softstake takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `exchange.deposit.v1`
    Deposit,
    /// `exchange.opening_balance.v1`
    OpeningBalance,
    /// `exchange.withdrawal.v1`
    Withdrawal,
    /// `exchange.trade.v1`
    Trade,
    /// `exchange.transfer.v1`
    Transfer,
    /// `exchange.balance_adjustment.v1`
    BalanceAdjustment,
    /// `exchange.account_status.v1`
    AccountStatus,
    /// `softstake.asset.v1`
    Listing,
    /// `softstake.validator_reward.v1`
    ValidatorReward,
    /// `softstake.epoch_close.v1`
    EpochClose,
}

impl Type {
    /// The type of this name.
    ///
    /// # Errors
    /// `unsupported_type`.
    pub fn of(name: &str) -> Result<Self, Rejection> {
        Ok(match name {
            "exchange.deposit.v1" => Self::Deposit,
            "exchange.opening_balance.v1" => Self::OpeningBalance,
            "exchange.withdrawal.v1" => Self::Withdrawal,
            "exchange.trade.v1" => Self::Trade,
            "exchange.transfer.v1" => Self::Transfer,
            "exchange.balance_adjustment.v1" => Self::BalanceAdjustment,
            "exchange.account_status.v1" => Self::AccountStatus,
            "softstake.asset.v1" => Self::Listing,
            "softstake.validator_reward.v1" => Self::ValidatorReward,
            "softstake.epoch_close.v1" => Self::EpochClose,
            _ => {
                return Err(Code::UnsupportedType.because(format!(
                    "`type` is \"{}\", which this version does not know",
                    crate::core::values::printable::escape_for_terminal(&shortened(name))
                )));
            }
        })
    }

    /// Whether it belongs on the control topic; all others belong on source topics.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Listing | Self::ValidatorReward | Self::EpochClose)
    }
}

/// At most 100 characters of a text, for a message.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// An event of a source topic, its fields checked for syntax; what depends on the assets is not judged yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Money in.
    Deposit(Balance<'a>),
    /// The balance held when the asset's programme starts; counts at its anchor.
    OpeningBalance(Balance<'a>),
    /// Money out.
    Withdrawal {
        /// How much, and whose.
        balance: Balance<'a>,
        /// Taken in addition to the amount, perhaps in another asset: a leg of its own.
        fee: Option<Fee>,
    },
    /// A trade between two accounts.
    Trade(Box<Trade<'a>>),
    /// Money from one account to another.
    Transfer {
        /// Who gives.
        from: AccountName<'a>,
        /// Who gets.
        to: AccountName<'a>,
        /// What.
        asset: Asset,
        /// How much.
        amount: Amount,
    },
    /// A correction.
    Adjustment {
        /// Whether it takes.
        negative: bool,
        /// How much, and whose.
        balance: Balance<'a>,
    },
    /// From the event's time on, the account's status is this.
    Status {
        /// Whose.
        account: AccountName<'a>,
        /// The status.
        status: Status,
    },
}

/// An amount of an asset that comes to an account or leaves it.
#[derive(Debug, PartialEq, Eq)]
pub struct Balance<'a> {
    /// Whose.
    pub account: AccountName<'a>,
    /// Of what.
    pub asset: Asset,
    /// How much.
    pub amount: Amount,
}

/// A fee, always a debit.
#[derive(Debug, PartialEq, Eq)]
pub struct Fee {
    /// In which asset it is taken.
    pub asset: Asset,
    /// How much.
    pub amount: Amount,
}

/// A trade: the buyer gets base and gives quote.
#[derive(Debug, PartialEq, Eq)]
pub struct Trade<'a> {
    /// What is bought.
    pub base: Asset,
    /// What it is paid in.
    pub quote: Asset,
    /// Quote per base.
    pub price: Amount,
    /// How much base.
    pub quantity: Amount,
    /// How much quote; without it, `price * quantity`.
    pub quote_quantity: Option<Amount>,
    /// Who buys.
    pub buyer: Party<'a>,
    /// Who sells.
    pub seller: Party<'a>,
}

/// One side of a trade.
#[derive(Debug, PartialEq, Eq)]
pub struct Party<'a> {
    /// The account.
    pub account: AccountName<'a>,
    /// What it pays for the trade.
    pub fee: Option<Fee>,
}

/// An account's status (contract, section 3). The order breaks ties between statuses of the same time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Earns.
    Enrolled = 0,
    /// Has chosen not to earn.
    OptedOut = 1,
    /// May not earn.
    Excluded = 2,
}

impl Status {
    /// The status with this stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Enrolled),
            1 => Some(Self::OptedOut),
            2 => Some(Self::Excluded),
            _ => None,
        }
    }
}

fields!(BalanceFields { account, asset, amount });
fields!(WithdrawalFields {
    account,
    asset,
    amount,
    fee
});
fields!(TradeFields {
    base_asset,
    quote_asset,
    price,
    quantity,
    quote_quantity,
    buyer,
    seller
});
fields!(PartyFields { account, fee });
fields!(FeeFields { asset, amount });
fields!(TransferFields {
    from_account,
    to_account,
    asset,
    amount
});
fields!(AdjustmentFields {
    account,
    asset,
    delta,
    reason
});
fields!(StatusFields { account, status });

impl<'a> Event<'a> {
    /// Reads `data`, a raw JSON object, as an event of type `kind`.
    ///
    /// # Errors
    /// `invalid_event`, `invalid_amount`; `wrong_topic` for a control event.
    pub fn read(kind: Type, data: &'a str) -> Result<Self, Rejection> {
        match kind {
            Type::Deposit => balance(data).map(Self::Deposit),
            Type::OpeningBalance => balance(data).map(Self::OpeningBalance),
            Type::Withdrawal => {
                let fields: WithdrawalFields = fields::object(data, "data")?;
                let account = fields::account(fields.account, "account")?;
                let asset = fields::asset(fields.asset, "asset")?;
                let amount = fields::amount(fields.amount, "amount")?;
                Ok(Self::Withdrawal {
                    balance: Balance { account, asset, amount },
                    fee: fee(fields.fee, ["fee", "fee.asset", "fee.amount"])?,
                })
            }
            Type::Trade => {
                let fields: TradeFields = fields::object(data, "data")?;
                Ok(Self::Trade(Box::new(Trade {
                    base: fields::asset(fields.base_asset, "base_asset")?,
                    quote: fields::asset(fields.quote_asset, "quote_asset")?,
                    price: fields::amount(fields.price, "price")?,
                    quantity: fields::amount(fields.quantity, "quantity")?,
                    quote_quantity: match fields.quote_quantity {
                        None => None,
                        given => Some(fields::amount(given, "quote_quantity")?),
                    },
                    buyer: party(
                        fields.buyer,
                        [
                            "buyer",
                            "buyer.account",
                            "buyer.fee",
                            "buyer.fee.asset",
                            "buyer.fee.amount",
                        ],
                    )?,
                    seller: party(
                        fields.seller,
                        [
                            "seller",
                            "seller.account",
                            "seller.fee",
                            "seller.fee.asset",
                            "seller.fee.amount",
                        ],
                    )?,
                })))
            }
            Type::Transfer => {
                let fields: TransferFields = fields::object(data, "data")?;
                Ok(Self::Transfer {
                    from: fields::account(fields.from_account, "from_account")?,
                    to: fields::account(fields.to_account, "to_account")?,
                    asset: fields::asset(fields.asset, "asset")?,
                    amount: fields::amount(fields.amount, "amount")?,
                })
            }
            Type::BalanceAdjustment => {
                let fields: AdjustmentFields = fields::object(data, "data")?;
                let account = fields::account(fields.account, "account")?;
                let asset = fields::asset(fields.asset, "asset")?;
                let (negative, amount) = fields::signed_amount(fields.delta, "delta")?;
                fields::text(fields.reason, "reason")?;
                Ok(Self::Adjustment {
                    negative,
                    balance: Balance { account, asset, amount },
                })
            }
            Type::AccountStatus => {
                let fields: StatusFields = fields::object(data, "data")?;
                let account = fields::account(fields.account, "account")?;
                let status = match fields::text(fields.status, "status")?.as_ref() {
                    "enrolled" => Status::Enrolled,
                    "opted_out" => Status::OptedOut,
                    "excluded" => Status::Excluded,
                    _ => {
                        return Err(
                            Code::InvalidEvent.because("`status` must be \"enrolled\", \"opted_out\" or \"excluded\"")
                        );
                    }
                };
                Ok(Self::Status { account, status })
            }
            Type::Listing | Type::ValidatorReward | Type::EpochClose => Err(Code::WrongTopic
                .because("`type` is a control event's: it belongs on softstake.control, not on a source topic")),
        }
    }
}

/// A deposit or an opening balance.
fn balance(data: &str) -> Result<Balance<'_>, Rejection> {
    let fields: BalanceFields = fields::object(data, "data")?;
    Ok(Balance {
        account: fields::account(fields.account, "account")?,
        asset: fields::asset(fields.asset, "asset")?,
        amount: fields::amount(fields.amount, "amount")?,
    })
}

/// An optional fee; `names` are those of the fee and of its two fields.
fn fee<'a>(field: RawField<'a>, names: [&str; 3]) -> Result<Option<Fee>, Rejection> {
    let Some(raw) = field else { return Ok(None) };
    let fields: FeeFields = fields::object(raw.get(), names[0])?;
    Ok(Some(Fee {
        asset: fields::asset(fields.asset, names[1])?,
        amount: fields::amount(fields.amount, names[2])?,
    }))
}

/// A required side of a trade; `names` are those of the side, its account, its fee and the fee's fields.
fn party<'a>(field: RawField<'a>, names: [&str; 5]) -> Result<Party<'a>, Rejection> {
    let raw = fields::required(field, names[0])?;
    let fields: PartyFields = fields::object(raw, names[0])?;
    Ok(Party {
        account: fields::account(fields.account, names[1])?,
        fee: fee(fields.fee, [names[2], names[3], names[4]])?,
    })
}
