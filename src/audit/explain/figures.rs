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
use crate::core::accrue::settle::{Measure, Payout, magnitude};
use crate::core::contract::records::Seal;
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::protocol::totals::Subtotal;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// What is read for an explanation.
pub(crate) struct ExplainInputs<'a> {
    pub asset: Asset,
    pub decimals: u8,
    pub reward_decimals: u8,
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
    /// What the accounts share; nothing in `apr` mode.
    pub pot: Pot,
    pub withheld_before: I256,
    pub payout: Payout,
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
        let measure = assessor.measure_one(account)?;
        let (counted, weight) = match measure.eligibility {
            Eligibility::Eligible { counted, weight } => (counted, weight),
            _ => (U512::ZERO, U512::ZERO),
        };
        let pool = self
            .seals
            .get(&epoch)
            .map(|seal| EpochPool::of(seal, self.reward_decimals))
            .transpose();
        let pool = pool.map_err(|why| ExplainError::BadSeal { asset, epoch, why })?;
        let payout = match &pool {
            Some(pool) => Some(self.payout(&assessor, pool, &measure, account)?),
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
        assessor: &Assessor,
        pool: &EpochPool,
        measure: &Measure,
        account: &Account,
    ) -> Result<PayoutFigures, ExplainError> {
        let (asset, epoch) = (self.asset, assessor.settlement().at.epoch());
        let rules = assessor.rules();
        let pot = if rules.rate().is_some() {
            Pot {
                to_share: U512::ZERO,
                weight: U512::ZERO,
            }
        } else {
            let sums = self.sums.get(&epoch);
            Pot {
                to_share: magnitude(pool.net.max(I256::ZERO)),
                weight: sums.ok_or(ExplainError::NoSums { asset, epoch })?.weight,
            }
        };
        let rewarded = rules.share(measure.weight(), pot)?;
        let parts = [account.made_good, account.adjusted, account.withheld];
        Ok(PayoutFigures {
            pot,
            withheld_before: account.withheld,
            payout: rules.pay(rewarded, parts, measure.is_excluded)?,
        })
    }
}
