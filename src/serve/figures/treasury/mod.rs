//! What treasury can stake: how much was eligible, and how much of a balance is still there when staked coins are free again.
//!
//! Coins that are staked come back after the asset's unbonding time. So of a balance, that much can be staked which customers do not take back in that
//! time. The past tells how much that was: a *window* begins at the end of an epoch and lasts the unbonding time. The lowest closing balance in it,
//! divided by the one at its start, is the share that stayed. Balances between two closes are not known.

use std::collections::VecDeque;

use serde::Serialize;
use utoipa::ToSchema;

use crate::core::contract::records::Seal;
use crate::core::values::amount::{ExactAmount, Fraction, SignedAmount};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::TimePeriod;
use crate::core::values::time::TimeMs;
use crate::serve::figures::{FigureError, times};

/// The days before the newest seal in which windows are looked at.
pub const WINDOW_DAYS: u32 = 90;

/// With fewer windows, nothing is said of 95 % or 99 % of them.
const FEWEST_WINDOWS: usize = 20;

const DAY_MS: i64 = 86_400_000;

/// The figures of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TreasuryFigures {
    #[schema(value_type = String)]
    pub asset: Asset,
    /// The sealed epochs whose last moment is in the period, oldest first.
    pub epochs: Vec<EpochBalances>,
    /// As of the newest sealed epoch whose last moment is before the end of the period.
    pub retained: Option<RetainedShare>,
    /// Without `retained`, a sentence that says why.
    pub not_retained_because: Option<String>,
}

/// The eligible balances of an epoch, in the asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EpochBalances {
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    pub start: String,
    pub end: String,
    /// The average of what counts, cut to 18 decimals.
    pub eligible_average: String,
    pub closing_balance: String,
    /// The closing balance less that of the epoch before; `None` if there is no seal of an epoch that ends where this one starts.
    pub net_flow: Option<String>,
}

/// How much of a balance stayed for the unbonding time. Shares are cut to 18 decimals. Balances are worked out with the exact share, and what can be
/// staked is cut to 18 decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RetainedShare {
    pub unbonding_days: u32,
    pub window_days: u32,
    pub windows: u64,
    /// The newest closing balance; zero if it is negative.
    pub newest_balance: String,
    /// At least this share stayed in 95 % of the windows.
    pub p95: String,
    /// At least this share stayed in 99 % of the windows.
    pub p99: String,
    pub stakeable_95: String,
    pub stakeable_99: String,
    /// The rest of the newest balance.
    pub liquid_95: String,
    pub liquid_99: String,
}

/// A closing balance, read.
struct Closing {
    start: TimeMs,
    end: TimeMs,
    balance: SignedAmount,
}

impl Closing {
    fn of(seal: &Seal<'_>) -> Result<Self, FigureError> {
        let (start, end) = times(seal)?;
        let balance = SignedAmount::parse(&seal.closing_balance);
        Ok(Self {
            start,
            end,
            balance: balance.ok_or_else(|| FigureError::field(seal, "closing_balance"))?,
        })
    }

    /// A balance below zero has nothing to stake.
    fn positive(&self) -> ExactAmount {
        match self.balance.is_negative() {
            true => ExactAmount::default(),
            false => self.balance.magnitude(),
        }
    }
}

/// The figures of one asset's sealed epochs in a period. `seals` are all its seals, in the order of their epochs: windows, and the first net flow, need
/// those before the period as well.
///
/// # Errors
/// If a seal is none that softstake writes.
pub fn treasury<'a>(
    asset: Asset,
    seals: impl IntoIterator<Item = &'a Seal<'a>>,
    period: TimePeriod,
    unbonding_days: u32,
) -> Result<TreasuryFigures, FigureError> {
    let (mut epochs, mut closings) = (Vec::new(), Vec::<Closing>::new());
    for seal in seals.into_iter().filter(|seal| seal.asset == asset) {
        let closing = Closing::of(seal)?;
        if !period.reaches_epoch_ending(closing.end) {
            break;
        }
        if period.includes_epoch_ending(closing.end) {
            epochs.push(balances(seal, &closing, closings.last())?);
        }
        closings.push(closing);
    }
    let (retained, not_retained_because) = match retained(&closings, unbonding_days) {
        Ok(retained) => (Some(retained), None),
        Err(why) => (None, Some(why)),
    };
    Ok(TreasuryFigures {
        asset,
        epochs,
        retained,
        not_retained_because,
    })
}

fn balances(seal: &Seal<'_>, closing: &Closing, before: Option<&Closing>) -> Result<EpochBalances, FigureError> {
    let length_ms = closing.end.get().abs_diff(closing.start.get());
    let average = ExactAmount::average(&seal.eligible_balance_seconds, length_ms);
    let before = before.filter(|before| before.end == closing.start);
    let net_flow = before.and_then(|before| closing.balance.minus(before.balance));
    Ok(EpochBalances {
        epoch: seal.epoch,
        start: closing.start.to_string(),
        end: closing.end.to_string(),
        eligible_average: average
            .ok_or_else(|| FigureError::field(seal, "eligible_balance_seconds"))?
            .to_string(),
        closing_balance: closing.balance.to_string(),
        net_flow: net_flow.map(|flow| flow.to_string()),
    })
}

/// How much stayed, or a sentence that says why that cannot be told.
fn retained(closings: &[Closing], unbonding_days: u32) -> Result<RetainedShare, String> {
    let newest = closings.last().ok_or("no epoch is sealed")?;
    let mut shares = shares(closings, newest, unbonding_days);
    if shares.len() < FEWEST_WINDOWS {
        let end = newest.end.to_string();
        let day = end.split('T').next().unwrap_or(&end);
        return Err(format!(
            "{} windows of {unbonding_days} days lie in the {WINDOW_DAYS} days before {day}, and {FEWEST_WINDOWS} are needed",
            shares.len(),
        ));
    }
    shares.sort_unstable();
    let balance = newest.positive();
    let at_least = |percent: usize| {
        // So many windows may stay below the share.
        let below = shares.len().saturating_mul(100_usize.saturating_sub(percent)) / 100;
        let share = shares.get(below)?;
        // A share of at most 1 always fits.
        let stakeable = share.of(balance)?;
        let liquid = balance.minus(stakeable)?;
        Some([share.decimals()?, stakeable, liquid].map(|amount| amount.to_string()))
    };
    let too_large = "the closing balances do not fit: softstake did not write these seals";
    let [p95, stakeable_95, liquid_95] = at_least(95).ok_or(too_large)?;
    let [p99, stakeable_99, liquid_99] = at_least(99).ok_or(too_large)?;
    Ok(RetainedShare {
        unbonding_days,
        window_days: WINDOW_DAYS,
        windows: shares.len() as u64,
        newest_balance: balance.to_string(),
        p95,
        p99,
        stakeable_95,
        stakeable_99,
        liquid_95,
        liquid_99,
    })
}

/// The share that stayed in each window. Windows that begin without a balance say nothing, and those with a gap between their epochs are not known.
fn shares(closings: &[Closing], newest: &Closing, unbonding_days: u32) -> Vec<Fraction> {
    let days = |days: u32| i64::from(days).saturating_mul(DAY_MS);
    let first_start = newest.end.get().saturating_sub(days(WINDOW_DAYS));
    let mut shares = Vec::new();
    // The closings that may become the lowest of a window, in order and each higher than the one before.
    let mut lowest: VecDeque<usize> = VecDeque::new();
    let mut next = 0;
    // The first closing behind the newest gap before `next`.
    let mut unbroken_from = 0;
    for (start, at_start) in closings.iter().enumerate() {
        let end = at_start.end.get().saturating_add(days(unbonding_days));
        if end > newest.end.get() {
            break;
        }
        if at_start.end.get() < first_start {
            continue;
        }
        next = next.max(start);
        while let Some(closing) = closings.get(next).filter(|closing| closing.end.get() <= end) {
            let before = next.checked_sub(1).and_then(|before| closings.get(before));
            if before.is_some_and(|before| before.end != closing.start) {
                unbroken_from = next;
            }
            while lowest
                .back()
                .and_then(|last| closings.get(*last))
                .is_some_and(|last| last.balance >= closing.balance)
            {
                lowest.pop_back();
            }
            lowest.push_back(next);
            next += 1;
        }
        while lowest.front().is_some_and(|first| *first < start) {
            lowest.pop_front();
        }
        let lowest = lowest.front().and_then(|first| closings.get(*first));
        if unbroken_from <= start
            && let Some(lowest) = lowest
        {
            shares.extend(Fraction::new(lowest.positive(), at_start.positive()));
        }
    }
    shares
}

#[cfg(test)]
mod tests;
