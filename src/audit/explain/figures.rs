//! Works out the figures of one account, epoch by epoch, with the rules that settlement uses.

use std::collections::BTreeMap;

use ethnum::I256;
use ruint::aliases::U512;

use crate::audit::explain::account_trace::AccountTrace;
use crate::audit::explain::error::ExplainError;
use crate::audit::explain::read::EpochPool;
use crate::audit::history::History;
use crate::core::accrue::assess::{Account, Assessor};
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::settle::Measure;
use crate::core::contract::listing::Mode;
use crate::core::contract::records::Seal;
use crate::core::protocol::messages::Settlement;
use crate::core::protocol::totals::Subtotal;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// What is read for an explanation.
pub(crate) struct ExplainInputs<'a> {
    pub asset: Asset,
    pub decimals: u8,
    pub history: &'a History,
    pub trace: AccountTrace,
    /// The sums over all accounts, by epoch.
    pub sums: BTreeMap<Epoch, Subtotal>,
    /// By epoch.
    pub seals: BTreeMap<Epoch, Seal<'static>>,
}

/// The figures of an account in one epoch.
pub(crate) struct EpochFigures {
    pub settlement: Settlement,
    pub assessor: Assessor,
    /// The balance at the start of the epoch, in units.
    pub opening: I256,
    pub measure: Measure,
    /// C of the contract, in unit-milliseconds; 0 if the account does not earn.
    pub counted: U512,
    /// W of the contract; 0 if the account does not earn.
    pub weight: U512,
    /// `None` if the epoch is not sealed. So is the payout.
    pub pool: Option<EpochPool>,
    pub payout: Option<PayoutFigures>,
}

/// From the pool to the payout of an account, in units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayoutFigures {
    /// The weights of all accounts; 0 in `apr` mode.
    pub total_weight: U512,
    pub share: U512,
    pub withheld_before: U512,
    pub paid: U512,
    pub withheld_after: U512,
}

impl ExplainInputs<'_> {
    /// The figures of an epoch. `account` is as the epochs before it left it.
    pub(crate) fn figures(&self, at: AssetEpoch, account: &mut Account) -> Result<EpochFigures, ExplainError> {
        let (asset, epoch) = (self.asset, at.epoch());
        let settlement = self.history.settlement(at);
        let settlement = settlement.ok_or_else(|| ExplainError::NoEpoch {
            asset: self.asset,
            epoch,
            open: self.history.oldest_uncut(at.number()),
            last: self.history.last_accepted(at.number()),
        })?;
        let assessor = Assessor::new(&settlement)?;
        account.row = self.trace.row(at)?;
        let measure = assessor.measure(account)?;
        let (counted, weight) = match measure.eligibility {
            Eligibility::Eligible { counted, weight } => (counted, weight),
            _ => (U512::ZERO, U512::ZERO),
        };
        let pool = self
            .seals
            .get(&epoch)
            .map(|seal| EpochPool::of(seal, self.decimals))
            .transpose();
        let pool = pool.map_err(|why| ExplainError::BadSeal { asset, epoch, why })?;
        let payout = match &pool {
            Some(pool) => Some(self.payout(&settlement, &assessor, pool, weight, account.withheld)?),
            None => None,
        };
        Ok(EpochFigures {
            settlement,
            assessor,
            opening: account.opening,
            measure,
            counted,
            weight,
            pool,
            payout,
        })
    }

    fn payout(
        &self,
        settlement: &Settlement,
        assessor: &Assessor,
        pool: &EpochPool,
        weight: U512,
        withheld_before: U512,
    ) -> Result<PayoutFigures, ExplainError> {
        let (asset, epoch) = (self.asset, settlement.at.epoch());
        let total_weight = match settlement.programme.mode {
            Mode::Apr { .. } => U512::ZERO,
            Mode::Pool => {
                let sums = self.sums.get(&epoch);
                sums.ok_or(ExplainError::NoSums { asset, epoch })?.weight
            }
        };
        let rules = assessor.rules();
        let share = rules.share(weight, pool.to_share, total_weight)?;
        let (paid, withheld_after) = rules.emit_or_withhold(share, withheld_before)?;
        Ok(PayoutFigures {
            total_weight,
            share,
            withheld_before,
            paid,
            withheld_after,
        })
    }
}
