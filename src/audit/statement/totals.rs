//! The sums of a statement.

use serde::Serialize;

use crate::audit::statement::SumTooLarge;
use crate::core::contract::records::Seal;
use crate::core::values::amount::SignedAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The sums over consecutive sealed epochs of an asset that have the same mode.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PeriodTotal {
    pub asset: Asset,
    /// The asset of all amounts.
    pub reward_asset: Asset,
    /// `pool` or `apr`.
    pub mode: String,
    pub epochs: u64,
    pub first_epoch: Epoch,
    pub last_epoch: Epoch,
    /// When the first epoch starts and the last one ends.
    pub start: String,
    pub end: String,
    /// The pool. In `apr` mode it was given, and counts for nothing.
    pub reward_pool: String,
    pub commission: String,
    pub rewarded: String,
    /// What closed epochs pay more, or less, because of late postings. The treasury pays it.
    pub made_good: String,
    /// Reward adjustments of accounts. The treasury pays them.
    pub adjusted: String,
    /// Pots that nobody had weight to share. They go back to the treasury.
    pub returned: String,
    /// What the exchange has to fund in `apr` mode: all rewards. A pool funds itself.
    pub funding: Option<String>,
    pub distributed: String,
    pub distributions: u64,
    /// Withheld and carried at the start of the period.
    pub withheld_before: String,
    pub carried_in: String,
    /// Withheld and carried at its end.
    pub withheld_after: String,
    pub carried_out: String,
}

/// The sums of each asset, over seals in the order of asset and epoch. A change of mode, a new listing, an epoch without a seal, or another `group`
/// begins another sum.
///
/// # Errors
/// If a sum is too large, or an amount is no number.
pub fn totals<'a, G: PartialEq>(
    seals: impl IntoIterator<Item = &'a Seal<'a>>,
    begins_listing: impl Fn(Asset, Epoch) -> bool,
    group: impl Fn(&Seal<'_>) -> G,
) -> Result<Vec<(G, PeriodTotal)>, SumTooLarge> {
    let mut totals: Vec<(G, PeriodTotal)> = Vec::new();
    for seal in seals {
        let of = group(seal);
        let continued = totals.last_mut().filter(|(last, total)| {
            *last == of && total.is_continued_by(seal) && !begins_listing(seal.asset, seal.epoch)
        });
        match continued {
            Some((_, total)) => total.add(seal)?,
            None => {
                let mut total = PeriodTotal::before(seal);
                total.add(seal)?;
                totals.push((of, total));
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
        self.asset == seal.asset
            && self.reward_asset == seal.reward_asset
            && self.mode == seal.mode
            && self.last_epoch.saturating_add(1) == seal.epoch
    }

    fn add(&mut self, seal: &Seal<'_>) -> Result<(), SumTooLarge> {
        self.epochs += 1;
        self.last_epoch = seal.epoch;
        self.end = seal.epoch_end.to_string();
        self.distributions = self.distributions.checked_add(seal.distributions).ok_or(SumTooLarge)?;
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
            *sum = added.ok_or(SumTooLarge)?.to_string();
        }
        self.funding = (self.mode == "apr").then(|| self.rewarded.clone());
        Ok(())
    }
}
