//! The events of the control topic (contract, section 3).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::event::EventType;
use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::listing::Listing;
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::programme::MAX_APR;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::Topic;
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::rate::Rate;

/// An event of the control topic. The rules that depend on the listed assets are not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub enum ControlEvent<'a> {
    /// Lists an asset, or changes its programme.
    Listing(Box<Listing>),
    /// Adds to the pool of an epoch.
    ValidatorReward {
        asset: Asset,
        /// Greater than zero.
        amount: Amount,
        validator: Cow<'a, str>,
    },
    /// Adds to the pool of an epoch, or takes from it.
    PoolAdjustment {
        asset: Asset,
        /// Whether it takes.
        negative: bool,
        /// Greater than zero.
        amount: Amount,
    },
    /// Ends an asset's listing.
    Withdrawal {
        asset: Asset,
        /// The first epoch that there is not.
        epoch: Epoch,
    },
    /// Closes an epoch.
    EpochClose {
        asset: Asset,
        epoch: Epoch,
        /// The pool to share, without the validators' rewards.
        reward_pool: Option<Amount>,
        rates: CloseRates,
    },
    /// Decides on an epoch that the gate holds.
    GateVerdict {
        asset: Asset,
        epoch: Epoch,
        /// Whether the epoch is paid. Otherwise it is void.
        is_release: bool,
        by: Cow<'a, str>,
        reason: Cow<'a, str>,
    },
    /// A later version of the rules.
    Rules { version: u64 },
    /// Accepts that records of a source partition are gone for good.
    LossAccepted(Box<RecordLoss>),
}

/// The rates that a close gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRates {
    /// In place of the programme's.
    pub apr: Option<Rate>,
    /// Reward asset per asset.
    pub reward_rate: Option<Rate>,
}

/// The greatest `reward_rate`.
const MAX_REWARD_RATE: u32 = 1_000_000_000;

fields!(RewardFields {
    asset,
    amount,
    validator
});
fields!(PoolAdjustmentFields { asset, amount, reason });
fields!(WithdrawalFields { asset, epoch, reason });
fields!(CloseFields {
    asset,
    epoch,
    reward_pool,
    apr,
    reward_rate
});
fields!(VerdictFields {
    asset,
    epoch,
    by,
    reason
});
fields!(RulesFields { version });
fields!(LossFields {
    topic,
    partition,
    from_offset,
    to_offset,
    by,
    reason
});

impl<'a> ControlEvent<'a> {
    /// Reads `data`, a raw JSON object, as a control event of type `event_type`.
    ///
    /// # Errors
    /// Those of [`Listing::read`]; `wrong_topic` for an event of the source topics.
    pub fn read(event_type: EventType, data: &'a str) -> Result<Self, Rejection> {
        match event_type {
            EventType::Listing => Ok(Self::Listing(Box::new(Listing::read(data)?))),
            EventType::ValidatorReward => {
                let fields: RewardFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                Ok(Self::ValidatorReward {
                    asset: fields::asset(fields.asset, "asset")?,
                    amount: fields::amount(fields.amount, "amount")?,
                    validator: said(fields.validator, "validator")?,
                })
            }
            EventType::PoolAdjustment => {
                let fields: PoolAdjustmentFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                let asset = fields::asset(fields.asset, "asset")?;
                let (negative, amount) = fields::signed_amount(fields.amount, "amount")?;
                said(fields.reason, "reason")?;
                Ok(Self::PoolAdjustment {
                    asset,
                    negative,
                    amount,
                })
            }
            EventType::Withdrawn => {
                let fields: WithdrawalFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                let asset = fields::asset(fields.asset, "asset")?;
                let epoch = epoch(fields.epoch)?;
                said(fields.reason, "reason")?;
                Ok(Self::Withdrawal { asset, epoch })
            }
            EventType::EpochClose => {
                let fields: CloseFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                Ok(Self::EpochClose {
                    asset: fields::asset(fields.asset, "asset")?,
                    epoch: epoch(fields.epoch)?,
                    reward_pool: fields::if_given(fields.reward_pool, "reward_pool", fields::amount_or_zero)?,
                    rates: CloseRates {
                        apr: rate(fields.apr, "apr", MAX_APR)?,
                        reward_rate: rate(fields.reward_rate, "reward_rate", MAX_REWARD_RATE)?,
                    },
                })
            }
            EventType::EpochRelease | EventType::EpochVoid => {
                let fields: VerdictFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                Ok(Self::GateVerdict {
                    asset: fields::asset(fields.asset, "asset")?,
                    epoch: epoch(fields.epoch)?,
                    is_release: event_type == EventType::EpochRelease,
                    by: said(fields.by, "by")?,
                    reason: said(fields.reason, "reason")?,
                })
            }
            EventType::Rules => {
                let fields: RulesFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                let version = fields::whole(fields.version, "version", u64::MAX, Code::InvalidEvent)?;
                Ok(Self::Rules { version })
            }
            EventType::LossAccepted => Ok(Self::LossAccepted(Box::new(read_loss(data)?))),
            _ => Err(Code::WrongTopic.because(
                "`type` is a source event's: on softstake.control only control events (`softstake.…`) belong",
            )),
        }
    }
}

fn read_loss(data: &str) -> Result<RecordLoss, Rejection> {
    let fields: LossFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
    let name = fields::text(fields.topic, "topic")?;
    let topic = Topic::from_name(&name)
        .filter(|topic| Topic::SOURCES.contains(topic))
        .ok_or_else(|| {
            let sources = Topic::SOURCES.map(Topic::name).join(", ");
            Code::InvalidEvent.because(format!("`topic` must be a source topic, one of {sources}"))
        })?;
    let whole = |field, name, max| fields::whole(field, name, max, Code::InvalidEvent);
    let partition = whole(fields.partition, "partition", u64::from(u32::MAX))?;
    let loss = RecordLoss {
        topic,
        partition: u32::try_from(partition).unwrap_or(u32::MAX),
        from_offset: Offset::new(whole(fields.from_offset, "from_offset", u64::MAX)?),
        to_offset: Offset::new(whole(fields.to_offset, "to_offset", u64::MAX)?),
        by: said(fields.by, "by")?.into_owned(),
        reason: said(fields.reason, "reason")?.into_owned(),
    };
    if loss.from_offset >= loss.to_offset {
        return Err(Code::InvalidEvent.because(format!(
            "`to_offset` is {}; it must be greater than `from_offset`, which is {}",
            loss.to_offset, loss.from_offset
        )));
    }
    Ok(loss)
}

/// A required string that says something.
fn said<'a>(field: RawField<'a>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    let text = fields::text(field, name)?;
    if text.trim().is_empty() {
        return Err(Code::InvalidEvent.because(format!("`{name}` is empty; it is kept for ever, so say it")));
    }
    Ok(text)
}

fn epoch(field: RawField<'_>) -> Result<Epoch, Rejection> {
    fields::whole(field, "epoch", u64::MAX, Code::InvalidEvent).map(Epoch::new)
}

/// An optional rate from 0 to `most`.
fn rate(field: RawField<'_>, name: &str, most: u32) -> Result<Option<Rate>, Rejection> {
    fields::if_given(field, name, |field, name| {
        let text = fields::text(field, name)?;
        Rate::parse(&text, most).map_err(|error| Code::InvalidEvent.because(format!("`{name}` {error}")))
    })
}
