use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::records::envelope::{owned, write};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The data of a `softstake.distribution.v1`: what an account is paid for an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution<'a> {
    #[serde(borrow)]
    pub account: Cow<'a, str>,
    pub asset: Asset,
    /// The asset that it is paid in.
    pub reward_asset: Asset,
    pub epoch: Epoch,
    #[serde(borrow)]
    pub epoch_start: Cow<'a, str>,
    #[serde(borrow)]
    pub epoch_end: Cow<'a, str>,
    /// What is paid. This and the next four are decimal numbers of the reward asset.
    #[serde(borrow)]
    pub amount: Cow<'a, str>,
    /// R of the contract: what this epoch adds to the account's due.
    #[serde(borrow)]
    pub rewarded: Cow<'a, str>,
    /// What closed epochs pay more, or less, because of late postings.
    #[serde(borrow)]
    pub made_good: Cow<'a, str>,
    /// The sum of the account's reward adjustments.
    #[serde(borrow)]
    pub adjusted: Cow<'a, str>,
    /// The part of the due that was not paid before; negative for a debt.
    #[serde(borrow)]
    pub withheld_before: Cow<'a, str>,
    /// S, in asset times seconds.
    #[serde(borrow)]
    pub balance_seconds: Cow<'a, str>,
    /// S divided by the epoch's length, truncated to the asset's decimals.
    #[serde(borrow)]
    pub average_balance: Cow<'a, str>,
    /// The first epoch of the programme in force.
    pub programme_from_epoch: Epoch,
}

impl Distribution<'_> {
    /// The id of its record: `asset:epoch:account`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.asset, self.epoch, self.account)
    }

    /// Appends the record to `out`; `id` is [`Distribution::id`].
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>, id: &str) -> Result<(), Fault> {
        write(out, "softstake.distribution.v1", id, Some(&self.epoch_end), self)
    }

    #[must_use]
    pub fn into_owned(self) -> Distribution<'static> {
        Distribution {
            account: owned(self.account),
            asset: self.asset,
            reward_asset: self.reward_asset,
            epoch: self.epoch,
            epoch_start: owned(self.epoch_start),
            epoch_end: owned(self.epoch_end),
            amount: owned(self.amount),
            rewarded: owned(self.rewarded),
            made_good: owned(self.made_good),
            adjusted: owned(self.adjusted),
            withheld_before: owned(self.withheld_before),
            balance_seconds: owned(self.balance_seconds),
            average_balance: owned(self.average_balance),
            programme_from_epoch: self.programme_from_epoch,
        }
    }
}
