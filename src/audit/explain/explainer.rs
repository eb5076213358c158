//! Reads what an explanation needs, and works out the figures up to the epoch.

use ethnum::I256;

use crate::audit::asked::{AskedError, check_listed};
use crate::audit::error::AuditError;
use crate::audit::explain::error::ExplainError;
use crate::audit::explain::explanation::Explanation;
use crate::audit::explain::figures::{ExplainInputs, OwnerCourse, WithheldFrom};
use crate::audit::explain::gate::GateCourse;
use crate::audit::explain::owner_trace::OwnerTrace;
use crate::audit::explain::published::{Published, expected_record};
use crate::audit::explain::read::{SealsOnRecord, distributions};
use crate::audit::explain::show::Shown;
use crate::audit::history::{AssetHistory, History};
use crate::audit::point_in_time::PointInTime;
use crate::audit::trace;
use crate::audit::traced_accounts::TracedAccounts;
use crate::bus::Log;
use crate::core::accrue::settle::Payout;
use crate::core::fault::impossible;
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// Explains payouts on one bus, all at the same point in time.
pub struct Explainer<'a> {
    bus: &'a dyn Log,
    point: PointInTime,
    history: History,
}

impl<'a> Explainer<'a> {
    /// # Errors
    /// A failure of the bus, or a record that cannot be decoded.
    pub fn new(bus: &'a dyn Log) -> Result<Self, AuditError> {
        let point = PointInTime::read(bus)?;
        let history = History::of(&point.decisions)?;
        Ok(Self { bus, point, history })
    }

    /// Explains what `account` was paid of `asset` for `epoch`, or why it was paid nothing.
    ///
    /// # Errors
    /// If the asset is not listed or has no such epoch, no record is about the account, or the bus no longer has the needed records.
    pub fn explain(&self, asset: Asset, epoch: Epoch, account: &AccountName<'_>) -> Result<Explanation, ExplainError> {
        let (at, listed) = self.find_epoch(asset, epoch)?;
        let accounts = TracedAccounts::of_owner_of(account.as_str());
        let trace = OwnerTrace::new(trace::read(self.bus, &self.point, &self.history, &accounts)?)?;
        let published = distributions(self.bus, &self.point, (asset, epoch, account.as_str()))?;
        if !trace.names(account.as_str()) && published.is_empty() {
            return Err(ExplainError::NoRecord {
                account: account.to_string(),
                not_taken_in: self.point.not_ingested(),
            });
        }
        let inputs = ExplainInputs {
            asset,
            decimals: listed.terms.decimals,
            reward_decimals: listed.terms.reward_decimals(),
            history: &self.history,
            trace,
            sealed: SealsOnRecord::read(self.bus, &self.point, (asset, at.number()))?,
        };
        let mut course = OwnerCourse::new(&inputs, account)?;
        let index = course
            .index(account)
            .ok_or_else(|| impossible("an account that is not its owner's"))?;
        let mut withheld_from = WithheldFrom::new();
        for past in at.since(listed.terms.calendar.first()).take_while(|past| *past < at) {
            let figures = course.next(past)?;
            let paid = figures.payouts.as_ref().and_then(|payouts| payouts.payouts.get(index));
            if let (Some(payout), Some(account)) = (paid, figures.accounts.get(index)) {
                note_withheld(&mut withheld_from, past.epoch(), account.withheld, payout);
            }
        }
        let figures = course.next(at)?;
        let published = Published::compare(&published, expected_record(&figures, index)?.as_deref());
        let shown = Shown {
            inputs: &inputs,
            figures: &figures,
            index,
            gate: GateCourse::of(
                &self.point.decisions,
                at,
                figures.payouts.is_some(),
                self.history.is_cut(at),
            ),
            withheld_from: &withheld_from,
        };
        shown.explanation(published)
    }

    /// The listing that an epoch is of, and the epoch by number.
    fn find_epoch(&self, asset: Asset, epoch: Epoch) -> Result<(AssetEpoch, &AssetHistory), ExplainError> {
        check_listed(asset, self.history.listed())?;
        let (number, listed) = self.history.listing_of(asset, epoch).ok_or(AskedError::NoAssets)?;
        let first = listed.terms.calendar.first();
        if epoch < first {
            return Err(ExplainError::BeforeFirst { asset, epoch, first });
        }
        if let Some(withdrawn) = listed.withdrawn.filter(|withdrawn| *withdrawn <= epoch) {
            return Err(ExplainError::Withdrawn {
                asset,
                epoch,
                withdrawn,
            });
        }
        let last = self.history.last_accepted(number);
        match AssetEpoch::new(number, epoch) {
            Ok(at) if epoch <= last => Ok((at, listed)),
            _ => Err(ExplainError::NoEpoch {
                asset,
                epoch,
                open: self.history.oldest_uncut(number),
                last,
            }),
        }
    }
}

/// Notes what an epoch added to what is withheld. A payment takes all that was withheld before.
fn note_withheld(withheld_from: &mut WithheldFrom, epoch: Epoch, before: I256, payout: &Payout) {
    let mut added = payout.withheld.saturating_sub(before);
    if payout.paid > I256::ZERO {
        withheld_from.clear();
        added = payout.withheld;
    }
    if added != I256::ZERO {
        withheld_from.push((epoch, added));
    }
}
