//! What finance books of each month: the sums of the seals of an asset, and whether they add up.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::statement::SumTooLarge;
use crate::audit::statement::checks::{WrongSeal, check_seals};
use crate::audit::statement::totals::{PeriodTotal, totals};
use crate::core::contract::records::Seal;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::{TimePeriod, month_of};
use crate::core::values::time::TimeMs;
use crate::serve::figures::{FigureError, times};

/// What was credited of each epoch, in the reward asset.
pub type Executed = BTreeMap<(Asset, Epoch), ExactAmount>;

/// The sums of the epochs of an asset that end in a month. A change of mode, a new listing or an epoch without a seal begins another line. Amounts
/// are in the reward asset; debts and deficits are negative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FinanceLine {
    /// As `2026-10`, in UTC.
    pub month: String,
    #[schema(value_type = String)]
    pub asset: Asset,
    #[schema(value_type = String)]
    pub reward_asset: Asset,
    /// `pool` or `apr`.
    pub mode: String,
    pub epochs: u64,
    #[schema(value_type = u64)]
    pub first_epoch: Epoch,
    #[schema(value_type = u64)]
    pub last_epoch: Epoch,
    /// When the first epoch starts and the last one ends.
    pub start: String,
    pub end: String,
    /// P; in `apr` mode it was given, and counts for nothing.
    pub pool: String,
    pub commission: String,
    pub returned: String,
    /// Into the first epoch.
    pub carried_in: String,
    /// Out of the last epoch.
    pub carried_out: String,
    pub rewarded: String,
    pub made_good: String,
    pub adjusted: String,
    pub distributed: String,
    /// Before the first epoch.
    pub withheld_before: String,
    /// After the last epoch.
    pub withheld_after: String,
    /// How many distributions there are.
    pub payouts: u64,
    /// What of these epochs was credited up to now; `None` if executions are not known.
    pub executed: Option<String>,
    /// Whether no money appeared or vanished in any of its epochs, and each begins with what the one before left.
    pub conserved: bool,
    /// If not, a sentence for each epoch that is wrong.
    pub wrong: Vec<String>,
}

/// The lines of all sealed epochs that end in a period, by asset and time, by the month of their last moment. `seals` are all seals of these assets, by asset and epoch: the first epoch
/// of a line is checked against the one before it. `begins_listing` tells whether an epoch is the first one of a listing.
///
/// # Errors
/// If a seal is none that softstake writes.
pub fn finance<'a>(
    seals: impl IntoIterator<Item = &'a Seal<'a>> + Clone,
    begins_listing: impl Fn(Asset, Epoch) -> bool + Copy,
    period: TimePeriod,
    executed: Option<&Executed>,
) -> Result<Vec<FinanceLine>, FigureError> {
    let wrong = check_seals(seals.clone(), begins_listing);
    let mut wanted = Vec::new();
    let mut months = BTreeMap::new();
    for seal in seals {
        let (_, end) = times(seal)?;
        if period.includes(end) {
            // The month that the epoch covers: one that ends at midnight belongs to the day before.
            let last_moment = TimeMs::from(end.get().saturating_sub(1));
            months.insert((seal.asset, seal.epoch), month_of(last_moment));
            wanted.push(seal);
        }
    }
    let month = |seal: &Seal<'_>| months.get(&(seal.asset, seal.epoch)).cloned();
    let lines = totals(wanted, begins_listing, month)?.into_iter();
    lines
        .map(|(month, total)| line(month.unwrap_or_default(), total, &wrong, executed))
        .collect()
}

fn line(
    month: String,
    total: PeriodTotal,
    wrong: &[WrongSeal],
    executed: Option<&Executed>,
) -> Result<FinanceLine, FigureError> {
    let (asset, epochs) = (total.asset, total.first_epoch..=total.last_epoch);
    let wrong = wrong
        .iter()
        .filter(|wrong| wrong.asset == asset && epochs.contains(&wrong.epoch));
    let wrong: Vec<String> = wrong.map(ToString::to_string).collect();
    let executed = executed.map(|executed| {
        let mut credited = executed.range((asset, total.first_epoch)..=(asset, total.last_epoch));
        let sum = credited.try_fold(ExactAmount::default(), |sum, (_, amount)| sum.plus(*amount));
        sum.ok_or(SumTooLarge)
    });
    Ok(FinanceLine {
        month,
        asset,
        reward_asset: total.reward_asset,
        mode: total.mode,
        epochs: total.epochs,
        first_epoch: total.first_epoch,
        last_epoch: total.last_epoch,
        start: total.start,
        end: total.end,
        pool: total.reward_pool,
        commission: total.commission,
        returned: total.returned,
        carried_in: total.carried_in,
        carried_out: total.carried_out,
        rewarded: total.rewarded,
        made_good: total.made_good,
        adjusted: total.adjusted,
        distributed: total.distributed,
        withheld_before: total.withheld_before,
        withheld_after: total.withheld_after,
        payouts: total.distributions,
        executed: executed.transpose()?.map(|sum| sum.to_string()),
        conserved: wrong.is_empty(),
        wrong,
    })
}

#[cfg(test)]
mod tests;
