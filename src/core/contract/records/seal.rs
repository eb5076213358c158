use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::decision::Offsets;
use crate::core::contract::records::envelope::{owned, write};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The data of a `softstake.epoch_settled.v1`, the seal of an epoch. Amounts are decimal numbers of the asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal<'a> {
    pub asset: Asset,
    pub epoch: Epoch,
    #[serde(borrow)]
    pub epoch_start: Cow<'a, str>,
    #[serde(borrow)]
    pub epoch_end: Cow<'a, str>,
    /// `pool` or `apr`.
    #[serde(borrow)]
    pub mode: Cow<'a, str>,
    /// P: the pool of the close and the validators' rewards.
    #[serde(borrow)]
    pub reward_pool: Cow<'a, str>,
    /// The exchange's share.
    #[serde(borrow)]
    pub commission: Cow<'a, str>,
    /// Left over by the epoch before.
    #[serde(borrow)]
    pub carried_in: Cow<'a, str>,
    /// Left over for the next epoch.
    #[serde(borrow)]
    pub carried_out: Cow<'a, str>,
    /// The sum of the shares.
    #[serde(borrow)]
    pub rewarded: Cow<'a, str>,
    /// The sum of the distributions.
    #[serde(borrow)]
    pub distributed: Cow<'a, str>,
    /// Withheld below `min_payout`, before this epoch.
    #[serde(borrow)]
    pub withheld_before: Cow<'a, str>,
    /// Withheld below `min_payout`, after this epoch.
    #[serde(borrow)]
    pub withheld_after: Cow<'a, str>,
    /// How many distributions there are.
    pub distributions: u64,
    pub ineligible: Ineligible,
    /// The sum of what counts, in asset times seconds.
    #[serde(borrow)]
    pub eligible_balance_seconds: Cow<'a, str>,
    /// The sum of the eligible accounts' balances at the end.
    #[serde(borrow)]
    pub closing_balance: Cow<'a, str>,
    /// The first epoch of the programme in force.
    pub programme_from_epoch: Epoch,
    pub cut: Cow<'a, Offsets>,
    /// The Merkle root of the distributions, in hexadecimal.
    #[serde(borrow)]
    pub root: Cow<'a, str>,
}

/// How many accounts with a balance did not earn, by the first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ineligible {
    /// Excluded by their status.
    pub status: u64,
    /// S is negative.
    pub negative: u64,
    /// S is below the minimum.
    pub below_minimum: u64,
}

impl Seal<'_> {
    /// Appends the record to `out`. Its id is `asset:epoch`.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let id = format!("{}:{}", self.asset, self.epoch);
        write(out, "softstake.epoch_settled.v1", &id, Some(&self.epoch_end), self)
    }

    #[must_use]
    pub fn into_owned(self) -> Seal<'static> {
        Seal {
            asset: self.asset,
            epoch: self.epoch,
            epoch_start: owned(self.epoch_start),
            epoch_end: owned(self.epoch_end),
            mode: owned(self.mode),
            reward_pool: owned(self.reward_pool),
            commission: owned(self.commission),
            carried_in: owned(self.carried_in),
            carried_out: owned(self.carried_out),
            rewarded: owned(self.rewarded),
            distributed: owned(self.distributed),
            withheld_before: owned(self.withheld_before),
            withheld_after: owned(self.withheld_after),
            distributions: self.distributions,
            ineligible: self.ineligible,
            eligible_balance_seconds: owned(self.eligible_balance_seconds),
            closing_balance: owned(self.closing_balance),
            programme_from_epoch: self.programme_from_epoch,
            cut: Cow::Owned(self.cut.into_owned()),
            root: owned(self.root),
        }
    }
}
