//! The sums of a statement.

use serde::Serialize;

use crate::audit::asked::Inventory;
use crate::cli::outcome::Failure;
use crate::cli::statement::seals::{Seals, too_much};
use crate::core::contract::records::Seal;
use crate::core::values::amount::SignedAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The sums over consecutive sealed epochs of an asset that have the same mode.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct PeriodTotal {
    pub(super) asset: Asset,
    /// The asset of all amounts.
    pub(super) reward_asset: Asset,
    /// `pool` or `apr`.
    pub(super) mode: String,
    pub(super) epochs: u64,
    pub(super) first_epoch: Epoch,
    pub(super) last_epoch: Epoch,
    /// When the first epoch starts and the last one ends.
    pub(super) start: String,
    pub(super) end: String,
    /// The pool. In `apr` mode it was given, and counts for nothing.
    pub(super) reward_pool: String,
    pub(super) commission: String,
    pub(super) rewarded: String,
    /// What closed epochs pay more, or less, because of late postings. The treasury pays it.
    pub(super) made_good: String,
    /// Reward adjustments of accounts. The treasury pays them.
    pub(super) adjusted: String,
    /// Pots that nobody had weight to share. They go back to the treasury.
    pub(super) returned: String,
    /// What the exchange has to fund in `apr` mode: all rewards. A pool funds itself.
    pub(super) funding: Option<String>,
    pub(super) distributed: String,
    pub(super) distributions: u64,
    /// Withheld and carried at the start of the period.
    pub(super) withheld_before: String,
    pub(super) carried_in: String,
    /// Withheld and carried at its end.
    pub(super) withheld_after: String,
    pub(super) carried_out: String,
}

/// The sums of each asset. A change of mode, a new listing, or an epoch without a seal begins another sum.
pub(super) fn totals(seals: &Seals, inventory: &Inventory) -> Result<Vec<PeriodTotal>, Failure> {
    let mut totals: Vec<PeriodTotal> = Vec::new();
    for seal in seals.values() {
        match totals
            .last_mut()
            .filter(|total| total.is_continued_by(seal) && !inventory.begins_listing(seal.asset, seal.epoch))
        {
            Some(total) => total.add(seal)?,
            None => {
                let mut total = PeriodTotal::before(seal);
                total.add(seal)?;
                totals.push(total);
            }
        }
    }
    Ok(totals)
}

impl PeriodTotal {
    /// The sums before the first seal.
    fn before(seal: &Seal<'_>) -> Self {
        let zero = || "0".to_owned();
        Self {
            asset: seal.asset,
            reward_asset: seal.reward_asset,
            mode: seal.mode.to_string(),
            epochs: 0,
            first_epoch: seal.epoch,
            last_epoch: seal.epoch,
            start: seal.epoch_start.to_string(),
            end: seal.epoch_end.to_string(),
            reward_pool: zero(),
            commission: zero(),
            rewarded: zero(),
            made_good: zero(),
            adjusted: zero(),
            returned: zero(),
            funding: None,
            distributed: zero(),
            distributions: 0,
            withheld_before: seal.withheld_before.to_string(),
            carried_in: seal.carried_in.to_string(),
            withheld_after: seal.withheld_after.to_string(),
            carried_out: seal.carried_out.to_string(),
        }
    }

    fn is_continued_by(&self, seal: &Seal<'_>) -> bool {
        self.asset == seal.asset && self.mode == seal.mode && self.last_epoch.saturating_add(1) == seal.epoch
    }

    fn add(&mut self, seal: &Seal<'_>) -> Result<(), Failure> {
        self.epochs += 1;
        self.last_epoch = seal.epoch;
        self.end = seal.epoch_end.to_string();
        self.distributions = self
            .distributions
            .checked_add(seal.distributions)
            .ok_or_else(too_much)?;
        self.withheld_after = seal.withheld_after.to_string();
        self.carried_out = seal.carried_out.to_string();
        for (sum, amount) in [
            (&mut self.reward_pool, &seal.reward_pool),
            (&mut self.commission, &seal.commission),
            (&mut self.rewarded, &seal.rewarded),
            (&mut self.made_good, &seal.made_good),
            (&mut self.adjusted, &seal.adjusted),
            (&mut self.returned, &seal.returned),
            (&mut self.distributed, &seal.distributed),
        ] {
            let added = SignedAmount::sum([&**sum, amount]);
            *sum = added.ok_or_else(too_much)?.to_string();
        }
        self.funding = (self.mode == "apr").then(|| self.rewarded.clone());
        Ok(())
    }
}
