//! What finance books of each month: the sums of the seals of an asset, and whether they add up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::statement::SumTooLarge;
use crate::audit::statement::checks::{WrongSeal, check_seals};
use crate::audit::statement::totals::{PeriodTotal, totals};
use crate::core::contract::records::Seal;
use crate::core::values::amount::{ExactAmount, SignedAmount};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::{TimePeriod, month_of_epoch_ending};
use crate::serve::figures::{FigureError, times};
use crate::serve::view::CreditedSums;

/// The sums of the epochs of an asset whose last moment is in a month. A change of mode, a new listing or an epoch without a seal begins another line. Amounts
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
    /// What the payout service says that it credited for these epochs, up to now. Null if its events are not followed. Second credits of a distribution
    /// are in it; a copy of an event is not.
    pub executed: Option<String>,
    /// What was distributed and is not credited yet: `distributed` less `executed`. Negative if more was credited. Null like `executed`.
    pub not_credited: Option<String>,
    /// The epochs for which more was credited than distributed. Null like `executed`.
    #[schema(value_type = Option<Vec<u64>>)]
    pub over_credited_epochs: Option<Vec<Epoch>>,
    /// Whether no money appeared or vanished in any of its epochs, and each begins with what the one before left.
    pub conserved: bool,
    /// If not, a sentence for each epoch that is wrong.
    pub wrong: Vec<String>,
}

/// The lines of all sealed epochs of a period, by asset and time, by month. `seals` are all seals of these assets, by asset and epoch: the first epoch
/// of a line is checked against the one before it. `begins_listing` tells whether an epoch is the first one of a listing.
///
/// # Errors
/// If a seal is none that softstake writes.
pub fn finance<'a>(
    seals: impl IntoIterator<Item = &'a Seal<'a>> + Clone,
    begins_listing: impl Fn(Asset, Epoch) -> bool + Copy,
    period: TimePeriod,
    credited: Option<&CreditedSums>,
) -> Result<Vec<FinanceLine>, FigureError> {
    let wrong = check_seals(seals.clone(), begins_listing);
    let mut wanted = Vec::new();
    let (mut months, mut over_credited) = (BTreeMap::new(), BTreeSet::new());
    for seal in seals {
        let (_, end) = times(seal)?;
        if period.includes_epoch_ending(end) {
            let of = (seal.asset, seal.epoch);
            months.insert(of, month_of_epoch_ending(end));
            if let Some(sum) = credited.and_then(|credited| credited.get(&of))
                && difference(&seal.distributed, *sum)?.is_negative()
            {
                over_credited.insert(of);
            }
            wanted.push(seal);
        }
    }
    let month = |seal: &Seal<'_>| months.get(&(seal.asset, seal.epoch)).cloned();
    let lines = totals(wanted, begins_listing, month)?.into_iter();
    lines
        .map(|(month, total)| {
            let executed = credited.map(|credited| ExecutedTotal::of(&total, credited, &over_credited));
            line(month.unwrap_or_default(), total, &wrong, executed.transpose()?)
        })
        .collect()
}

/// What was distributed less what was credited.
fn difference(distributed: &str, credited: ExactAmount) -> Result<SignedAmount, SumTooLarge> {
    let credited = SignedAmount::parse(&credited.to_string());
    let distributed = SignedAmount::parse(distributed).zip(credited);
    let open = distributed.and_then(|(distributed, credited)| distributed.minus(credited));
    open.ok_or(SumTooLarge)
}

/// What was credited of the epochs of a line.
struct ExecutedTotal {
    executed: String,
    not_credited: String,
    over_credited: Vec<Epoch>,
}

impl ExecutedTotal {
    fn of(
        total: &PeriodTotal,
        credited: &CreditedSums,
        over_credited: &BTreeSet<(Asset, Epoch)>,
    ) -> Result<Self, FigureError> {
        let epochs = (total.asset, total.first_epoch)..=(total.asset, total.last_epoch);
        let mut sums = credited.range(epochs.clone());
        let executed = sums.try_fold(ExactAmount::default(), |sum, (_, amount)| sum.plus(*amount));
        let executed = executed.ok_or(SumTooLarge)?;
        Ok(Self {
            executed: executed.to_string(),
            not_credited: difference(&total.distributed, executed)?.to_string(),
            over_credited: over_credited.range(epochs).map(|(_, epoch)| *epoch).collect(),
        })
    }
}

fn line(
    month: String,
    total: PeriodTotal,
    wrong: &[WrongSeal],
    executed: Option<ExecutedTotal>,
) -> Result<FinanceLine, FigureError> {
    let (asset, epochs) = (total.asset, total.first_epoch..=total.last_epoch);
    let wrong = wrong
        .iter()
        .filter(|wrong| wrong.asset == asset && epochs.contains(&wrong.epoch));
    let wrong: Vec<String> = wrong.map(ToString::to_string).collect();
    let (executed, not_credited, over_credited_epochs) = match executed {
        None => (None, None, None),
        Some(of) => (Some(of.executed), Some(of.not_credited), Some(of.over_credited)),
    };
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
        executed,
        not_credited,
        over_credited_epochs,
        conserved: wrong.is_empty(),
        wrong,
    })
}

#[cfg(test)]
mod tests;
