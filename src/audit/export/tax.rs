//! The payouts of a customer in a year, each with the time of its accrual and the time of its credit.
//!
//! A payout accrues at the end of its epoch, and in the year that has the epoch's last moment. It is credited when the payout service says so, which may be in another year. Tax offices differ in which of
//! the two they ask for, so the caller chooses. What is not credited yet is listed apart: it has no time of credit that could decide.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::audit::export::row::{ExportCell, ExportColumn, RowSink};
use crate::audit::export::scope::ExportScope;
use crate::audit::export::{ExportError, time};
use crate::audit::payouts::Acknowledgements;
use crate::audit::published::read_all;
use crate::bus::Log;
use crate::core::contract::records::{Distribution, PayoutExecuted};
use crate::core::values::account::AccountName;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::TimePeriod;
use crate::core::values::time::TimeMs;

pub const COLUMNS: [ExportColumn; 10] = [
    ExportColumn::text("state"),
    ExportColumn::text("distribution"),
    ExportColumn::text("account"),
    ExportColumn::text("asset"),
    ExportColumn::number("epoch"),
    ExportColumn::time("accrued_at"),
    ExportColumn::time("credited_at").optional(),
    ExportColumn::text("reward_asset"),
    ExportColumn::text("amount"),
    ExportColumn::text("credited_amount").optional(),
];

/// Which time decides to which year a payout belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaxTime {
    /// The last moment of its epoch.
    Accrual,
    /// When the payout service credited it.
    Credit,
}

/// Whether the payout service says that a payout was credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditState {
    Credited,
    NotCredited,
}

impl CreditState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credited => "credited",
            Self::NotCredited => "not_credited",
        }
    }
}

/// A credit, as the payout service tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Credit {
    identity: [u8; 16],
    fingerprint: u64,
    at: TimeMs,
    amount: ExactAmount,
}

/// A sealed payout of the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TaxedPayout {
    id: String,
    asset: Asset,
    epoch: Epoch,
    reward_asset: Asset,
    accrued_at: TimeMs,
    amount: ExactAmount,
    credit: Option<Credit>,
}

/// The sums of a reward asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaxSum {
    pub payouts: u64,
    /// What was distributed.
    pub amount: ExactAmount,
    /// What was credited of it; zero for what is not credited.
    pub credited: ExactAmount,
}

/// The payouts of a year.
#[derive(Debug, Default)]
pub struct TaxYear {
    /// Those of the year that are credited, by the time that decides; then those that are not, by the end of their epochs.
    payouts: Vec<TaxedPayout>,
    pub sums: BTreeMap<(CreditState, Asset), TaxSum>,
    /// How many distributions of the account, in any year, are not sealed.
    pub unsealed: u64,
    /// Distributions of the year that were credited more than once, or with two different events of one id. Their first credit counts.
    pub credited_twice: Vec<String>,
    /// Acknowledgements, of any account, that cannot be read.
    pub unreadable: u64,
}

/// Collects the payouts of `account` that `year` has. `scope` has the assets that are asked for.
///
/// # Errors
/// A failure of the bus or of the acknowledgements, or a record that softstake did not write.
pub fn tax_year(
    bus: &dyn Log,
    acknowledgements: Box<dyn Acknowledgements>,
    account: &AccountName<'_>,
    scope: &ExportScope,
    (year, by): (TimePeriod, TaxTime),
) -> Result<TaxYear, ExportError> {
    let mut collected = TaxYear::default();
    let mut payouts = sealed_payouts(bus, account.as_str(), scope, &mut collected.unsealed)?;
    let mut twice = Vec::new();
    acknowledgements.read(&mut |_, record| {
        match PayoutExecuted::read(record) {
            Err(_) => collected.unreadable += 1,
            Ok(executed) => twice.extend(
                payouts
                    .get_mut(&executed.distribution)
                    .and_then(|paid| paid.credit(executed)),
            ),
        }
        Ok(())
    })?;
    let wanted = |paid: &TaxedPayout| match (by, &paid.credit) {
        (TaxTime::Accrual, _) => year.includes_epoch_ending(paid.accrued_at),
        (TaxTime::Credit, Some(credit)) => year.includes(credit.at),
        // It may be credited in a later year, or was forgotten in an earlier one.
        (TaxTime::Credit, None) => year.reaches_epoch_ending(paid.accrued_at),
    };
    collected.payouts = payouts.into_values().filter(wanted).collect();
    let decides = |paid: &TaxedPayout| match (by, &paid.credit) {
        (TaxTime::Credit, Some(credit)) => credit.at,
        _ => paid.accrued_at,
    };
    collected
        .payouts
        .sort_by_key(|paid| (paid.state(), decides(paid), paid.asset, paid.epoch));
    twice.retain(|id| collected.payouts.iter().any(|paid| paid.id == *id));
    twice.sort_unstable();
    twice.dedup();
    collected.credited_twice = twice;
    collected.add_up()?;
    Ok(collected)
}

/// The account's sealed distributions, by their ids.
fn sealed_payouts(
    bus: &dyn Log,
    account: &str,
    scope: &ExportScope,
    unsealed: &mut u64,
) -> Result<HashMap<String, TaxedPayout>, ExportError> {
    let mut payouts = HashMap::new();
    read_all::<Distribution<'static>, ExportError>(bus, Some(account), |place, paid| {
        let paid = paid.map_err(|error| ExportError::record(place, error))?;
        if paid.account != account || !scope.asked.has_asset(paid.asset) {
            return Ok(());
        }
        if !scope.inventory.is_sealed(paid.asset, paid.epoch) {
            *unsealed += 1;
            return Ok(());
        }
        let amount = ExactAmount::parse(&paid.amount);
        let payout = TaxedPayout {
            id: paid.id(),
            asset: paid.asset,
            epoch: paid.epoch,
            reward_asset: paid.reward_asset,
            accrued_at: time(place, "epoch_end", &paid.epoch_end)?,
            amount: amount
                .ok_or_else(|| ExportError::record(place, format_args!("{} is not an amount", paid.amount)))?,
            credit: None,
        };
        match payouts.insert(paid.id(), payout) {
            None => Ok(()),
            Some(before) => Err(ExportError::record(
                place,
                format_args!("an earlier distribution has the id {} as well", before.id),
            )),
        }
    })?;
    Ok(payouts)
}

impl TaxedPayout {
    const fn state(&self) -> CreditState {
        match self.credit {
            Some(_) => CreditState::Credited,
            None => CreditState::NotCredited,
        }
    }

    /// Takes a credit. Returns the id of the distribution if it has another one already; the same event again is a redelivery.
    fn credit(&mut self, executed: PayoutExecuted) -> Option<String> {
        let credit = Credit {
            identity: executed.identity,
            fingerprint: executed.fingerprint,
            at: executed.credited_at,
            amount: executed.amount,
        };
        match &self.credit {
            None => {
                self.credit = Some(credit);
                None
            }
            Some(first) if first.identity == credit.identity && first.fingerprint == credit.fingerprint => None,
            Some(_) => Some(self.id.clone()),
        }
    }
}

impl TaxYear {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payouts.is_empty()
    }

    fn add_up(&mut self) -> Result<(), ExportError> {
        for paid in &self.payouts {
            let sum = self.sums.entry((paid.state(), paid.reward_asset)).or_default();
            let credited = paid.credit.as_ref().map(|credit| credit.amount).unwrap_or_default();
            sum.payouts += 1;
            sum.amount = sum.amount.plus(paid.amount).ok_or(ExportError::TooMuch)?;
            sum.credited = sum.credited.plus(credited).ok_or(ExportError::TooMuch)?;
        }
        Ok(())
    }

    /// Writes a row for each payout.
    ///
    /// # Errors
    /// A failure of the sink.
    pub fn write(&self, account: &AccountName<'_>, sink: &mut dyn RowSink) -> Result<(), ExportError> {
        for paid in &self.payouts {
            let credited = paid.credit.as_ref().map(|credit| credit.amount.to_string());
            sink.row(&[
                ExportCell::Text(paid.state().name()),
                ExportCell::Text(&paid.id),
                ExportCell::Text(account.as_str()),
                ExportCell::Text(paid.asset.as_str()),
                ExportCell::Number(paid.epoch.get()),
                ExportCell::Time(paid.accrued_at),
                paid.credit
                    .as_ref()
                    .map_or(ExportCell::Empty, |credit| ExportCell::Time(credit.at)),
                ExportCell::Text(paid.reward_asset.as_str()),
                ExportCell::Text(&paid.amount.to_string()),
                ExportCell::text(credited.as_deref()),
            ])?;
        }
        Ok(())
    }
}
