//! What treasury says on the control topic (contract, section 3).

use std::borrow::Cow;

use crate::core::contract::event::Type;
use crate::core::contract::fields;
use crate::core::contract::fields::fields;
use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// An event of the control topic, checked as far as it can be without knowing the assets.
#[derive(Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Lists an asset, or changes its programme.
    Listing(Box<Listing>),
    /// Adds to the pool of an epoch.
    ValidatorReward {
        /// The asset paid.
        asset: Asset,
        /// How much, more than zero.
        amount: Amount,
        /// Which validator paid.
        validator: Cow<'a, str>,
    },
    /// Closes an epoch.
    EpochClose {
        /// The asset.
        asset: Asset,
        /// The epoch's number.
        epoch: Epoch,
        /// What there is to share; `None` for nothing.
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

impl<'a> Control<'a> {
    /// Reads `data`, a raw JSON object, as a control event of type `kind`.
    ///
    /// # Errors
    /// Those of [`Listing::read`]; `wrong_topic` for an event of the source topics.
    pub fn read(kind: Type, data: &'a str) -> Result<Self, Rejection> {
        match kind {
            Type::Listing => Ok(Self::Listing(Box::new(Listing::read(data)?))),
            Type::ValidatorReward => {
                let fields: RewardFields = fields::object(data, "data")?;
                Ok(Self::ValidatorReward {
                    asset: fields::asset(fields.asset, "asset")?,
                    amount: fields::amount(fields.amount, "amount")?,
                    validator: fields::text(fields.validator, "validator")?,
                })
            }
            Type::EpochClose => {
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
