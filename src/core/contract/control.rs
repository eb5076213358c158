//! The events of the control topic (contract, section 3).

use std::borrow::Cow;

use crate::core::contract::event::EventType;
use crate::core::contract::fields;
use crate::core::contract::fields::fields;
use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

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

impl<'a> ControlEvent<'a> {
    /// Reads `data`, a raw JSON object, as a control event of type `event_type`.
    ///
    /// # Errors
    /// Those of [`Listing::read`]; `wrong_topic` for an event of the source topics.
    pub fn read(event_type: EventType, data: &'a str) -> Result<Self, Rejection> {
        match event_type {
            EventType::Listing => Ok(Self::Listing(Box::new(Listing::read(data)?))),
            EventType::ValidatorReward => {
                let fields: RewardFields = fields::object(data, "data")?;
                Ok(Self::ValidatorReward {
                    asset: fields::asset(fields.asset, "asset")?,
                    amount: fields::amount(fields.amount, "amount")?,
                    validator: fields::text(fields.validator, "validator")?,
                })
            }
            EventType::EpochClose => {
                let fields: CloseFields = fields::object(data, "data")?;
                Ok(Self::EpochClose {
                    asset: fields::asset(fields.asset, "asset")?,
                    epoch: Epoch::new(fields::whole(fields.epoch, "epoch", u64::MAX, Code::InvalidEvent)?),
                    reward_pool: match fields.reward_pool {
                        None => None,
                        given => Some(fields::amount_or_zero(given, "reward_pool")?),
                    },
                })
            }
            _ => Err(Code::WrongTopic
                .because("`type` is a source event's: on softstake.control only listings, rewards and closes belong")),
        }
    }
}
