//! Works out the figures of an owner's accounts, epoch by epoch, with the rules that settlement uses.

use std::collections::BTreeMap;

use ethnum::I256;
use ruint::aliases::U512;

use crate::audit::explain::error::ExplainError;
use crate::audit::explain::owner_trace::OwnerTrace;
use crate::audit::explain::read::{EpochPool, SealsOnRecord};
use crate::audit::history::History;
use crate::core::accrue::assess::{Account, Assessor};
use crate::core::accrue::resettle::{Correction, Resettlement, SealedAccount, SealedEpoch};
use crate::core::accrue::row::unit_ms;
use crate::core::accrue::settle::{Measure, Payout};
use crate::core::accrue::wide::magnitude;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::values::account::{AccountName, owner};
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// What is read for an explanation.
pub(crate) struct ExplainInputs<'a> {
    pub asset: Asset,
    pub decimals: u8,
    pub reward_decimals: u8,
    pub history: &'a History,
    pub trace: OwnerTrace,
    pub sealed: SealsOnRecord,
}

/// The epochs that left something of an account's due unpaid, or a debt, with what each added. In units.
pub(crate) type WithheldFrom = Vec<(Epoch, I256)>;

/// The figures of an owner's accounts in one epoch. All lists have the order of the accounts.
pub(crate) struct EpochFigures {
    pub settlement: Settlement,
    pub assessor: Assessor,
    /// As they are settled.
    pub accounts: Vec<Account>,
    pub measures: Vec<Measure>,
    pub corrections: Vec<EpochCorrections>,
    /// `None` if the epoch is not sealed.
    pub payouts: Option<EpochPayouts>,
}

/// The payouts of a sealed epoch.
pub(crate) struct EpochPayouts {
    pub pool: EpochPool,
    /// What the accounts share; nothing in `apr` mode.
    pub pot: Pot,
    pub payouts: Vec<Payout>,
}

/// A closed epoch that is settled again.
pub(crate) struct EpochCorrections {
    pub at: AssetEpoch,
    pub resettlement: Resettlement,
    pub accounts: Vec<AccountCorrection>,
}

/// An account in a closed epoch that is settled again.
pub(crate) struct AccountCorrection {
    /// Its index among the accounts of the owner.
    pub index: usize,
    pub sealed: SealedAccount,
    pub correction: Correction,
}

/// What is kept of an account in a closed epoch that was settled again.
#[derive(Clone, Copy, Default)]
struct Corrected {
    /// What all late postings add to S.
    late: I256,
    rewarded: Option<U512>,
}

/// Follows the accounts of an owner from epoch to epoch.
pub(crate) struct OwnerCourse<'a> {
    inputs: &'a ExplainInputs<'a>,
    /// As the epochs before left them.
    accounts: Vec<Account>,
    /// The balances at the start of each epoch.
    openings: BTreeMap<Epoch, Vec<I256>>,
    /// By closed epoch and index of the account.
    corrected: BTreeMap<(Epoch, usize), Corrected>,
}

impl<'a> OwnerCourse<'a> {
    /// Begins before the first epoch of the listing. `account` is one of the owner's.
    pub(crate) fn new(inputs: &'a ExplainInputs<'a>, account: &AccountName<'_>) -> Result<Self, ExplainError> {
        let mut names = inputs.trace.accounts()?;
        names.insert(account.clone().into_owned());
        let own = inputs.trace.statuses(account.owner());
        let accounts = names.into_iter().map(|name| {
            let statuses = inputs.trace.statuses(name.as_str());
            let is_sub_account = owner(name.as_str()) != name.as_str();
            let mut account = Account::new(bucket(name.as_str()), name);
            account.statuses = statuses;
            if is_sub_account {
                account.owner_statuses.clone_from(&own);
            }
            account
        });
        Ok(Self {
            inputs,
            accounts: accounts.collect(),
            openings: BTreeMap::new(),
            corrected: BTreeMap::new(),
        })
    }

    /// The index of an account.
    pub(crate) fn index(&self, account: &AccountName<'_>) -> Option<usize> {
        self.accounts
            .iter()
            .position(|one| one.name.as_str() == account.as_str())
    }

    /// The figures of the next epoch.
    pub(crate) fn next(&mut self, at: AssetEpoch) -> Result<EpochFigures, ExplainError> {
        let settlement = self.settlement(at)?;
        let assessor = Assessor::new(&settlement)?;
        let openings = self.accounts.iter().map(|account| account.opening).collect();
        self.openings.insert(at.epoch(), openings);
        for account in &mut self.accounts {
            account.row = self.inputs.trace.row(at, account.name.as_str());
            account.adjusted = self.inputs.trace.adjusted(at, account.name.as_str());
            account.made_good = I256::ZERO;
        }
        let corrections = self.settle_again(at, settlement.terms.calendar.length_ms())?;
        for one in corrections.iter().flat_map(|one| &one.accounts) {
            if let Some(account) = self.accounts.get_mut(one.index) {
                let made_good = account.made_good.checked_add(one.correction.resettled.made_good);
                account.made_good = made_good.ok_or(Fault::Overflow("what is made good"))?;
            }
        }
        let mut measures = Vec::new();
        assessor.measure(&self.accounts, &mut measures)?;
        let accounts = self.accounts.clone();
        let payouts = self.payouts(at, &assessor, &measures)?;
        for (account, measure) in self.accounts.iter_mut().zip(&measures) {
            account.opening = measure.closing;
        }
        let paid = payouts.iter().flat_map(|payouts| &payouts.payouts);
        for (account, payout) in self.accounts.iter_mut().zip(paid) {
            account.withheld = payout.withheld;
        }
        Ok(EpochFigures {
            settlement,
            assessor,
            accounts,
            measures,
            corrections,
            payouts,
        })
    }

    fn settlement(&self, at: AssetEpoch) -> Result<Settlement, ExplainError> {
        let history = self.inputs.history;
        history.settlement(at).ok_or_else(|| ExplainError::NoEpoch {
            asset: self.inputs.asset,
            epoch: at.epoch(),
            open: history.oldest_uncut(at.number()),
            last: history.last_accepted(at.number()),
        })
    }

    /// The payouts of an epoch; `None` if it is not sealed.
    fn payouts(
        &self,
        at: AssetEpoch,
        assessor: &Assessor,
        measures: &[Measure],
    ) -> Result<Option<EpochPayouts>, ExplainError> {
        let Some(pool) = self.pool(at)? else { return Ok(None) };
        let rules = assessor.rules();
        let pot = self.pot(at, &pool, rules.rate().is_none())?;
        let mut payouts = Vec::with_capacity(measures.len());
        for (account, measure) in self.accounts.iter().zip(measures) {
            let rewarded = rules.share(measure.weight(), pot)?;
            let parts = [account.made_good, account.adjusted, account.withheld];
            payouts.push(rules.pay(rewarded, parts, measure.is_excluded)?);
        }
        Ok(Some(EpochPayouts { pool, pot, payouts }))
    }

    fn pool(&self, at: AssetEpoch) -> Result<Option<EpochPool>, ExplainError> {
        let inputs = self.inputs;
        let seal = inputs.sealed.seals.get(&at.epoch());
        let pool = seal.map(|seal| EpochPool::of(seal, inputs.reward_decimals)).transpose();
        pool.map_err(|why| ExplainError::BadSeal {
            asset: inputs.asset,
            epoch: at.epoch(),
            why,
        })
    }

    /// N and the sum of W. In `apr` mode, nothing is shared.
    fn pot(&self, at: AssetEpoch, pool: &EpochPool, is_pooled: bool) -> Result<Pot, ExplainError> {
        if !is_pooled {
            return Ok(Pot {
                to_share: U512::ZERO,
                weight: U512::ZERO,
            });
        }
        let (asset, epoch) = (self.inputs.asset, at.epoch());
        let weight = self.inputs.sealed.weights.get(&epoch).copied();
        Ok(Pot {
            to_share: magnitude(pool.net.max(I256::ZERO)),
            weight: weight.ok_or(ExplainError::NoSums { asset, epoch })?,
        })
    }

    /// Settles the closed epochs again that late postings into `at` missed. Nothing if one of them is not sealed yet: then `at` is not either.
    fn settle_again(&mut self, at: AssetEpoch, length_ms: u64) -> Result<Vec<EpochCorrections>, ExplainError> {
        let missed = self.add_late(at, length_ms)?;
        let Some(first) = missed.iter().flatten().min().copied() else {
            return Ok(Vec::new());
        };
        let mut corrections = Vec::new();
        for closed in AssetEpoch::new(at.number(), first)?.up_to(at) {
            let Some(pool) = self.pool(closed)? else {
                return Ok(Vec::new());
            };
            let settlement = self.settlement(closed)?;
            let is_pooled = Assessor::new(&settlement)?.rules().rate().is_none();
            let pot = self.pot(closed, &pool, is_pooled)?;
            let resettlement = Resettlement::new(&SealedEpoch { settlement, pot })?;
            let is_by_owner = resettlement.assessor().is_by_owner();
            let is_missed = |index: usize| {
                let of_account = missed.get(index).copied().flatten();
                of_account.is_some_and(|first| first <= closed.epoch())
            };
            let any = (0..self.accounts.len()).any(is_missed);
            let indices: Vec<usize> = (0..self.accounts.len())
                .filter(|index| if is_by_owner { any } else { is_missed(*index) })
                .collect();
            let groups = match is_by_owner {
                true => vec![indices],
                false => indices.into_iter().map(|index| vec![index]).collect(),
            };
            let mut accounts = Vec::new();
            for group in groups {
                accounts.extend(self.settle_group(closed, &resettlement, &group)?);
            }
            corrections.push(EpochCorrections {
                at: closed,
                resettlement,
                accounts,
            });
        }
        Ok(corrections)
    }

    /// Adds what the late postings into `at` add to S in each closed epoch. Returns the first epoch that each account missed.
    fn add_late(&mut self, at: AssetEpoch, length_ms: u64) -> Result<Vec<Option<Epoch>>, ExplainError> {
        let mut missed: Vec<Option<Epoch>> = vec![None; self.accounts.len()];
        for late in self.inputs.trace.late(at) {
            let of_posting = |account: &Account| *account.name.as_str() == *late.posting.account;
            let index = self.accounts.iter().position(of_posting);
            let index = index.ok_or_else(|| impossible("a late posting of an account without postings"))?;
            if let Some(first) = missed.get_mut(index) {
                *first = Some(first.map_or(late.missed, |first| first.min(late.missed)));
            }
            for closed in AssetEpoch::new(at.number(), late.missed)?.up_to(at) {
                let added = unit_ms(
                    I256::new(late.posting.delta),
                    late.counts_for_ms(closed.epoch(), length_ms),
                );
                let corrected = self.corrected.entry((closed.epoch(), index)).or_default();
                corrected.late = added
                    .and_then(|added| corrected.late.checked_add(added))
                    .ok_or(Fault::Overflow("late balance-milliseconds"))?;
            }
        }
        Ok(missed)
    }

    fn settle_group(
        &mut self,
        closed: AssetEpoch,
        resettlement: &Resettlement,
        group: &[usize],
    ) -> Result<Vec<AccountCorrection>, ExplainError> {
        let mut sealed = Vec::with_capacity(group.len());
        for index in group {
            sealed.push(self.sealed_account(closed, *index)?);
        }
        let corrections = resettlement.settle_again(&sealed)?;
        let mut settled = Vec::with_capacity(group.len());
        for ((index, sealed), correction) in group.iter().zip(sealed).zip(corrections) {
            let corrected = self.corrected.entry((closed.epoch(), *index)).or_default();
            corrected.rewarded = Some(correction.resettled.rewarded);
            settled.push(AccountCorrection {
                index: *index,
                sealed,
                correction,
            });
        }
        Ok(settled)
    }

    /// An account as a closed epoch has it.
    fn sealed_account(&self, closed: AssetEpoch, index: usize) -> Result<SealedAccount, Fault> {
        let now = self
            .accounts
            .get(index)
            .ok_or_else(|| impossible("an unknown account"))?;
        let openings = self.openings.get(&closed.epoch());
        let opening = openings.and_then(|openings| openings.get(index)).copied();
        let mut account = Account::new(now.bucket, now.name.clone());
        account.opening = opening.ok_or_else(|| impossible("a closed epoch without figures"))?;
        account.row = self.inputs.trace.row(closed, now.name.as_str());
        account.statuses.clone_from(&now.statuses);
        account.owner_statuses.clone_from(&now.owner_statuses);
        let corrected = self
            .corrected
            .get(&(closed.epoch(), index))
            .copied()
            .unwrap_or_default();
        Ok(SealedAccount {
            account,
            late: corrected.late,
            rewarded_again: corrected.rewarded,
        })
    }
}
