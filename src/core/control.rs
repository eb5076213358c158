//! What treasury says on the control topic (contract, section 3).

use std::borrow::Cow;

use super::event::Type;
use super::json::{self, Amount, fields};
use super::name::Asset;
use super::programme::Listing;
use super::refusal::{Code, Refusal};

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
        amount: Amount<'a>,
        /// Which validator paid.
        validator: Cow<'a, str>,
    },
    /// Closes an epoch.
    EpochClose {
        /// The asset.
        asset: Asset,
        /// The epoch's number.
        epoch: u64,
        /// What there is to share; `None` for nothing.
        reward_pool: Option<Amount<'a>>,
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
    pub fn read(kind: Type, data: &'a str) -> Result<Self, Refusal> {
        match kind {
            Type::Listing => Ok(Self::Listing(Box::new(Listing::read(data)?))),
            Type::ValidatorReward => {
                let fields: RewardFields = json::object(data, "data")?;
                Ok(Self::ValidatorReward {
                    asset: json::asset(fields.asset, "asset")?,
                    amount: json::amount(fields.amount, "amount")?,
                    validator: json::text(fields.validator, "validator")?,
                })
            }
            Type::EpochClose => {
                let fields: CloseFields = json::object(data, "data")?;
                Ok(Self::EpochClose {
                    asset: json::asset(fields.asset, "asset")?,
                    epoch: json::whole(fields.epoch, "epoch", u64::MAX, Code::InvalidEvent)?,
                    reward_pool: match fields.reward_pool {
                        None => None,
                        given => Some(json::amount_or_zero(given, "reward_pool")?),
                    },
                })
            }
            _ => Err(Code::WrongTopic
                .because("`type` is a source event's: on softstake.control only listings, rewards and closes belong")),
        }
    }
}
