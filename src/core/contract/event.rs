//! The types of events, and the events of the source topics (contract, section 3).

use serde::{Deserialize, Serialize};

use crate::core::contract::fields;
use crate::core::contract::fields::{JsonObject, RawField, fields};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::rules::{FIRST_RULES, MADE_UP_RULES};
use crate::core::values::account::AccountName;
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::printable::{escape_for_terminal, shortened};

/// The most legs of an event: a trade with two fees.
pub const MAX_LEGS: usize = 6;

/// The types of the events that Softstake reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
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
    /// `exchange.reward_adjustment.v1`
    RewardAdjustment,
    /// `exchange.account_status.v1`
    AccountStatus,
    /// `softstake.asset.v1`
    Listing,
    /// `softstake.asset_withdrawn.v1`
    Withdrawn,
    /// `softstake.validator_reward.v1`
    ValidatorReward,
    /// `softstake.pool_adjustment.v1`
    PoolAdjustment,
    /// `softstake.epoch_close.v1`
    EpochClose,
    /// `softstake.epoch_release.v1`
    EpochRelease,
    /// `softstake.epoch_void.v1`
    EpochVoid,
    /// `softstake.loss_accepted.v1`
    LossAccepted,
    /// `softstake.rules.v1`
    Rules,
    /// `exchange.made_up_credit.v1`, of [`MADE_UP_RULES`] and a program for tests alone.
    MadeUpCredit,
}

impl EventType {
    /// The type with this name, if the version `rules` of the contract has it. A type of a later version is unknown before that is in force.
    ///
    /// # Errors
    /// `unsupported_type`.
    pub fn in_force(name: &str, rules: u64) -> Result<Self, Rejection> {
        Self::named(name)
            .filter(|named| named.is_in_force(rules))
            .ok_or_else(|| unsupported(name))
    }

    /// Whether the version `rules` of the contract has this type.
    #[must_use]
    pub const fn is_in_force(self, rules: u64) -> bool {
        self.since() <= rules
    }

    /// The first version of the rules that has this type.
    const fn since(self) -> u64 {
        match self {
            Self::MadeUpCredit => MADE_UP_RULES,
            _ => FIRST_RULES,
        }
    }

    /// The type with this name, in any version of the rules.
    ///
    /// # Errors
    /// `unsupported_type`.
    pub fn of(name: &str) -> Result<Self, Rejection> {
        Self::named(name).ok_or_else(|| unsupported(name))
    }

    /// The type with this name, in any version of the rules, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "exchange.deposit.v1" => Self::Deposit,
            "exchange.opening_balance.v1" => Self::OpeningBalance,
            "exchange.withdrawal.v1" => Self::Withdrawal,
            "exchange.trade.v1" => Self::Trade,
            "exchange.transfer.v1" => Self::Transfer,
            "exchange.balance_adjustment.v1" => Self::BalanceAdjustment,
            "exchange.reward_adjustment.v1" => Self::RewardAdjustment,
            "exchange.account_status.v1" => Self::AccountStatus,
            "softstake.asset.v1" => Self::Listing,
            "softstake.asset_withdrawn.v1" => Self::Withdrawn,
            "softstake.validator_reward.v1" => Self::ValidatorReward,
            "softstake.pool_adjustment.v1" => Self::PoolAdjustment,
            "softstake.epoch_close.v1" => Self::EpochClose,
            "softstake.epoch_release.v1" => Self::EpochRelease,
            "softstake.epoch_void.v1" => Self::EpochVoid,
            "softstake.loss_accepted.v1" => Self::LossAccepted,
            "softstake.rules.v1" => Self::Rules,
            "exchange.made_up_credit.v1" if cfg!(feature = "made-up-rules") => Self::MadeUpCredit,
            _ => return None,
        })
    }

    /// Whether the event belongs on the control topic. All others belong on source topics.
    #[must_use]
    pub const fn is_control(self) -> bool {
        match self {
            Self::Listing
            | Self::Withdrawn
            | Self::ValidatorReward
            | Self::PoolAdjustment
            | Self::EpochClose
            | Self::EpochRelease
            | Self::EpochVoid
            | Self::LossAccepted
            | Self::Rules => true,
            Self::Deposit
            | Self::OpeningBalance
            | Self::Withdrawal
            | Self::Trade
            | Self::Transfer
            | Self::BalanceAdjustment
            | Self::RewardAdjustment
            | Self::AccountStatus
            | Self::MadeUpCredit => false,
        }
    }
}

/// An event of a source topic. The syntax of its fields is checked; the rules that depend on an asset are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent<'a> {
    Deposit(Balance<'a>),
    /// A balance from before the asset was listed. It counts from the anchor.
    OpeningBalance(Balance<'a>),
    Withdrawal {
        balance: Balance<'a>,
        /// Taken in addition to the amount, perhaps in another asset: a leg of its own.
        fee: Option<Fee>,
    },
    Trade(Box<Trade<'a>>),
    Transfer {
        from: AccountName<'a>,
        to: AccountName<'a>,
        asset: Asset,
        amount: Amount,
    },
    BalanceAdjustment {
        /// Whether it is a debit.
        negative: bool,
        balance: Balance<'a>,
    },
    /// Adds to what an account is due, or takes from it, in units of the asset's reward asset.
    RewardAdjustment {
        /// Whether it takes.
        negative: bool,
        /// Its asset is the one that earned the reward.
        balance: Balance<'a>,
    },
    /// The account has this status from the event's time on.
    AccountStatus {
        account: AccountName<'a>,
        status: Status,
        /// The asset that it is for; `None` for all.
        asset: Option<Asset>,
    },
}

/// An amount that an account gets or loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance<'a> {
    pub account: AccountName<'a>,
    pub asset: Asset,
    pub amount: Amount,
}

/// A fee other than zero: a debit, or a credit if it is a rebate. A fee of zero is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fee {
    pub asset: Asset,
    /// Whether the event gives it with a minus.
    pub is_rebate: bool,
    pub amount: Amount,
}

/// A trade: the buyer gets `base` and pays `quote`. A side that is missing is no customer; one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade<'a> {
    pub base: Asset,
    pub quote: Asset,
    /// The amount of quote per unit of base; may be zero.
    pub price: Amount,
    /// The amount of base.
    pub quantity: Amount,
    /// The amount of quote, which may be zero; `price * quantity` without it.
    pub quote_quantity: Option<Amount>,
    pub buyer: Option<Party<'a>>,
    pub seller: Option<Party<'a>>,
}

/// One side of a trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party<'a> {
    pub account: AccountName<'a>,
    pub fee: Option<Fee>,
}

/// An account's status (contract, section 3). Of two statuses with the same time and id, the greater one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    Enrolled = 0,
    /// The customer chose not to earn.
    OptedOut = 1,
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

fn unsupported(name: &str) -> Rejection {
    Code::UnsupportedType.because(format!(
        "`type` is \"{}\", which this version does not know",
        escape_for_terminal(&shortened(name))
    ))
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
fields!(StatusFields { account, status, asset });

impl<'a> SourceEvent<'a> {
    /// Reads `data`, a JSON object, as an event of type `event_type`.
    ///
    /// # Errors
    /// `invalid_event`, `invalid_amount`; `wrong_topic` for a control event.
    pub fn read(event_type: EventType, data: JsonObject<'_, 'a>) -> Result<Self, Rejection> {
        match event_type {
            EventType::Deposit | EventType::MadeUpCredit => balance(data).map(Self::Deposit),
            EventType::OpeningBalance => balance(data).map(Self::OpeningBalance),
            EventType::Withdrawal => {
                let fields: WithdrawalFields = data.fields("data")?;
                let account = fields::account(fields.account, "account")?;
                let asset = fields::asset(fields.asset, "asset")?;
                let amount = fields::amount(fields.amount, "amount")?;
                Ok(Self::Withdrawal {
                    balance: Balance { account, asset, amount },
                    fee: fee(data, fields.fee, ["fee", "fee.asset", "fee.amount"])?,
                })
            }
            EventType::Trade => trade(data).map(|trade| Self::Trade(Box::new(trade))),
            EventType::Transfer => {
                let fields: TransferFields = data.fields("data")?;
                Ok(Self::Transfer {
                    from: fields::account(fields.from_account, "from_account")?,
                    to: fields::account(fields.to_account, "to_account")?,
                    asset: fields::asset(fields.asset, "asset")?,
                    amount: fields::amount(fields.amount, "amount")?,
                })
            }
            EventType::BalanceAdjustment => {
                let (negative, balance) = adjustment(data)?;
                Ok(Self::BalanceAdjustment { negative, balance })
            }
            EventType::RewardAdjustment => {
                let (negative, balance) = adjustment(data)?;
                Ok(Self::RewardAdjustment { negative, balance })
            }
            EventType::AccountStatus => {
                let fields: StatusFields = data.fields("data")?;
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
                let asset = fields::if_given(fields.asset, "asset", fields::asset)?;
                Ok(Self::AccountStatus { account, status, asset })
            }
            _ => Err(Code::WrongTopic
                .because("`type` is a control event's: it belongs on softstake.control, not on a source topic")),
        }
    }
}

/// An adjustment: whether it takes, and the rest.
fn adjustment<'a>(data: JsonObject<'_, 'a>) -> Result<(bool, Balance<'a>), Rejection> {
    let fields: AdjustmentFields = data.fields("data")?;
    let account = fields::account(fields.account, "account")?;
    let asset = fields::asset(fields.asset, "asset")?;
    let (negative, amount) = fields::signed_amount(fields.delta, "delta")?;
    fields::text(fields.reason, "reason")?;
    Ok((negative, Balance { account, asset, amount }))
}

/// A deposit or an opening balance.
fn balance<'a>(data: JsonObject<'_, 'a>) -> Result<Balance<'a>, Rejection> {
    let fields: BalanceFields = data.fields("data")?;
    Ok(Balance {
        account: fields::account(fields.account, "account")?,
        asset: fields::asset(fields.asset, "asset")?,
        amount: fields::amount(fields.amount, "amount")?,
    })
}

fn trade<'a>(data: JsonObject<'_, 'a>) -> Result<Trade<'a>, Rejection> {
    let fields: TradeFields = data.fields("data")?;
    let trade = Trade {
        base: fields::asset(fields.base_asset, "base_asset")?,
        quote: fields::asset(fields.quote_asset, "quote_asset")?,
        price: fields::amount_or_zero(fields.price, "price")?,
        quantity: fields::amount(fields.quantity, "quantity")?,
        quote_quantity: fields::if_given(fields.quote_quantity, "quote_quantity", fields::amount_or_zero)?,
        buyer: party(
            data,
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
            data,
            fields.seller,
            [
                "seller",
                "seller.account",
                "seller.fee",
                "seller.fee.asset",
                "seller.fee.amount",
            ],
        )?,
    };
    if trade.buyer.is_none() && trade.seller.is_none() {
        return Err(
            Code::InvalidEvent.because("`buyer` and `seller` are both missing; at least one side is a customer")
        );
    }
    Ok(trade)
}

/// An optional fee in `object`; `None` if it is zero. `names` are the names of the fee and of its two fields.
fn fee<'a>(object: JsonObject<'_, 'a>, field: RawField<'a>, names: [&str; 3]) -> Result<Option<Fee>, Rejection> {
    let Some(raw) = fields::not_null(field, names[0])? else {
        return Ok(None);
    };
    let fields: FeeFields = object.inside(raw).fields(names[0])?;
    let asset = fields::asset(fields.asset, names[1])?;
    let (is_rebate, amount) = fields::signed_amount_or_zero(fields.amount, names[2])?;
    Ok((!amount.is_zero()).then_some(Fee {
        asset,
        is_rebate,
        amount,
    }))
}

/// An optional side of the trade `data`. `names` are the names of the side, its account, its fee and the fee's fields.
fn party<'a>(data: JsonObject<'_, 'a>, field: RawField<'a>, names: [&str; 5]) -> Result<Option<Party<'a>>, Rejection> {
    let Some(raw) = fields::not_null(field, names[0])? else {
        return Ok(None);
    };
    let side = data.inside(raw);
    let fields: PartyFields = side.fields(names[0])?;
    Ok(Some(Party {
        account: fields::account(fields.account, names[1])?,
        fee: fee(side, fields.fee, [names[2], names[3], names[4]])?,
    }))
}
