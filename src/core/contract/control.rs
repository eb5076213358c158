//! The events of the control topic (contract, section 3).

use std::borrow::Cow;

use crate::core::contract::event::EventType;
use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::listing::Listing;
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::Topic;
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

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
    /// Closes an epoch.
    EpochClose {
        asset: Asset,
        epoch: Epoch,
        /// The pool to share, without the validators' rewards.
        reward_pool: Option<Amount>,
    },
    /// Accepts that records of a source partition are gone for good.
    LossAccepted(Box<RecordLoss>),
}

fields!(RewardFields {
    asset,
    amount,
    validator
});
fields!(CloseFields {
    asset,
    epoch,
    reward_pool
});
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
                    validator: fields::text(fields.validator, "validator")?,
                })
            }
            EventType::EpochClose => {
                let fields: CloseFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
                Ok(Self::EpochClose {
                    asset: fields::asset(fields.asset, "asset")?,
                    epoch: Epoch::new(fields::whole(fields.epoch, "epoch", u64::MAX, Code::InvalidEvent)?),
                    reward_pool: fields::if_given(fields.reward_pool, "reward_pool", fields::amount_or_zero)?,
                })
            }
            EventType::LossAccepted => Ok(Self::LossAccepted(Box::new(read_loss(data)?))),
            _ => Err(Code::WrongTopic.because(
                "`type` is a source event's: on softstake.control only listings, rewards, closes and accepted losses belong",
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
        by: said(fields.by, "by")?,
        reason: said(fields.reason, "reason")?,
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
fn said(field: RawField<'_>, name: &str) -> Result<String, Rejection> {
    let text = fields::text(field, name)?;
    if text.trim().is_empty() {
        return Err(Code::InvalidEvent.because(format!("`{name}` is empty; it is kept for ever, so say it")));
    }
    Ok(text.into_owned())
}
