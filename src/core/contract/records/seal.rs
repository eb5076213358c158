use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::contract::decision::Offsets;
use crate::core::contract::records::envelope::{owned, write};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The data of a `softstake.epoch_settled.v1`, the seal of an epoch. Amounts are decimal numbers of the reward asset, if
/// nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal<'a> {
    pub asset: Asset,
    /// The asset that rewards are paid in.
    pub reward_asset: Asset,
    pub epoch: Epoch,
    #[serde(borrow)]
    pub epoch_start: Cow<'a, str>,
    #[serde(borrow)]
    pub epoch_end: Cow<'a, str>,
    /// `pool` or `apr`.
    #[serde(borrow)]
    pub mode: Cow<'a, str>,
    /// The first epoch of the programme in force.
    pub programme_from_epoch: Epoch,
    /// The yearly rate that was paid; absent in `pool` mode and with rates per tier.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub apr: Option<Cow<'a, str>>,
    /// Reward asset per asset; absent without a reward asset and in `pool` mode.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reward_rate: Option<Cow<'a, str>>,
    /// P: the pool of the close, the validators' rewards and the adjustments.
    #[serde(borrow)]
    pub reward_pool: Cow<'a, str>,
    /// The exchange's share.
    #[serde(borrow)]
    pub commission: Cow<'a, str>,
    /// Left over by the epoch before; negative for a deficit.
    #[serde(borrow)]
    pub carried_in: Cow<'a, str>,
    /// Left over for the next epoch; negative for a deficit.
    #[serde(borrow)]
    pub carried_out: Cow<'a, str>,
    /// A pot that nobody had weight to share. It goes back to the treasury.
    #[serde(borrow)]
    pub returned: Cow<'a, str>,
    /// The sum of R.
    #[serde(borrow)]
    pub rewarded: Cow<'a, str>,
    /// The sum of what is made good.
    #[serde(borrow)]
    pub made_good: Cow<'a, str>,
    /// The sum of the reward adjustments.
    #[serde(borrow)]
    pub adjusted: Cow<'a, str>,
    /// The sum of the distributions.
    #[serde(borrow)]
    pub distributed: Cow<'a, str>,
    /// Not paid of the dues before this epoch. Debts count negative.
    #[serde(borrow)]
    pub withheld_before: Cow<'a, str>,
    /// Not paid of the dues after this epoch. Debts count negative.
    #[serde(borrow)]
    pub withheld_after: Cow<'a, str>,
    /// How many distributions there are.
    pub distributions: u64,
    pub ineligible: Ineligible,
    /// The sum of what counts, in asset times seconds.
    #[serde(borrow)]
    pub eligible_balance_seconds: Cow<'a, str>,
    /// The sum of the eligible accounts' balances at the end, in the asset.
    #[serde(borrow)]
    pub closing_balance: Cow<'a, str>,
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
            reward_asset: self.reward_asset,
            epoch: self.epoch,
            epoch_start: owned(self.epoch_start),
            epoch_end: owned(self.epoch_end),
            mode: owned(self.mode),
            programme_from_epoch: self.programme_from_epoch,
            apr: self.apr.map(owned),
            reward_rate: self.reward_rate.map(owned),
            reward_pool: owned(self.reward_pool),
            commission: owned(self.commission),
            carried_in: owned(self.carried_in),
            carried_out: owned(self.carried_out),
            returned: owned(self.returned),
            rewarded: owned(self.rewarded),
            made_good: owned(self.made_good),
            adjusted: owned(self.adjusted),
            distributed: owned(self.distributed),
            withheld_before: owned(self.withheld_before),
            withheld_after: owned(self.withheld_after),
            distributions: self.distributions,
            ineligible: self.ineligible,
            eligible_balance_seconds: owned(self.eligible_balance_seconds),
            closing_balance: owned(self.closing_balance),
            cut: Cow::Owned(self.cut.into_owned()),
            root: owned(self.root),
        }
    }
}
