//! Settles a sealed epoch again for accounts with late postings (contract, section 4: `resettle`).

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::assess::{Account, Assessor};
use crate::core::accrue::settle::Measure;
use crate::core::accrue::wide::signed;
use crate::core::fault::Fault;
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::values::account::AccountName;

/// A sealed epoch, as far as it is needed to settle it again. The order of the fields is part of the stored format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEpoch {
    pub settlement: Settlement,
    /// N and the sum of W, as sealed.
    pub pot: Pot,
}

/// An account in a sealed epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAccount {
    /// As it was sealed, but with all statuses. Its due does not matter.
    pub account: Account,
    /// What all late postings add to S, in unit-milliseconds.
    pub late: I256,
    /// R' of the last time that the epoch was settled again for it, in units of the reward asset.
    pub rewarded_again: Option<U512>,
}

/// What a sealed epoch pays an account when it is settled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resettled {
    /// R' of the contract, in units of the reward asset.
    pub rewarded: U512,
    /// R' less what was paid for before: R' of the last time, or R as sealed.
    pub made_good: I256,
}

/// How a sealed epoch looked for an account, and how it looks with the late postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    pub as_sealed: Measure,
    pub corrected: Measure,
    /// R as sealed.
    pub rewarded: U512,
    pub resettled: Resettled,
}

/// Settles one sealed epoch again.
#[derive(Debug, Clone)]
pub struct Resettlement {
    assessor: Assessor,
    pot: Pot,
}

impl Resettlement {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(sealed: &SealedEpoch) -> Result<Self, Fault> {
        Ok(Self {
            assessor: Assessor::new(&sealed.settlement)?,
            pot: sealed.pot,
        })
    }

    #[must_use]
    pub const fn assessor(&self) -> &Assessor {
        &self.assessor
    }

    /// N and the sum of W, as sealed.
    #[must_use]
    pub const fn pot(&self) -> Pot {
        self.pot
    }

    /// The accounts that are settled again with `account`: with scope `owner`, all of its owner.
    #[must_use]
    pub fn includes(&self, account: &AccountName<'_>, other: &AccountName<'_>) -> bool {
        account == other || (self.assessor.is_by_owner() && account.owner() == other.owner())
    }

    /// Settles the epoch again for a group: one account, or with scope `owner` all accounts of one owner that have balance-seconds in it.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn settle_again(&self, group: &[SealedAccount]) -> Result<Vec<Correction>, Fault> {
        let as_sealed: Vec<Account> = group.iter().map(|one| one.account.clone()).collect();
        let mut corrected = as_sealed.clone();
        for (account, one) in corrected.iter_mut().zip(group) {
            account.row.weighted = account
                .row
                .weighted
                .checked_add(one.late)
                .ok_or(Fault::Overflow("an account's balance-milliseconds"))?;
        }
        let (mut before, mut now) = (Vec::new(), Vec::new());
        self.assessor.measure(&as_sealed, &mut before)?;
        self.assessor.measure(&corrected, &mut now)?;
        let pot = Pot {
            to_share: self.pot.to_share,
            weight: self.total_weight(&before, &now)?,
        };
        let mut corrections = Vec::with_capacity(group.len());
        for ((one, as_sealed), corrected) in group.iter().zip(before).zip(now) {
            let rewarded = self.assessor.rules().share(as_sealed.weight(), self.pot)?;
            let again = self.share_again(corrected.weight(), pot)?;
            let paid_for = signed(one.rewarded_again.unwrap_or(rewarded))?;
            let made_good = signed(again)?
                .checked_sub(paid_for)
                .ok_or(Fault::Overflow("what is made good"))?;
            corrections.push(Correction {
                as_sealed,
                corrected,
                rewarded,
                resettled: Resettled {
                    rewarded: again,
                    made_good,
                },
            });
        }
        Ok(corrections)
    }

    /// The sum of W with the group's new weights; 0 if the sum was 0 as sealed.
    fn total_weight(&self, before: &[Measure], now: &[Measure]) -> Result<U512, Fault> {
        if self.pot.weight.is_zero() {
            return Ok(U512::ZERO);
        }
        let sum = |measures: &[Measure]| {
            let mut weights = measures.iter().map(Measure::weight);
            weights.try_fold(U512::ZERO, |sum, weight| sum.checked_add(weight))
        };
        let others = sum(before).and_then(|before| self.pot.weight.checked_sub(before));
        others
            .zip(sum(now))
            .and_then(|(others, now)| others.checked_add(now))
            .ok_or(Fault::Overflow("a sum of weights"))
    }

    /// A pot without any weight pays nothing; it went back to the treasury.
    fn share_again(&self, weight: U512, pot: Pot) -> Result<U512, Fault> {
        if self.assessor.rules().rate().is_none() && pot.weight.is_zero() {
            return Ok(U512::ZERO);
        }
        self.assessor.rules().share(weight, pot)
    }
}
