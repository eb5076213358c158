//! Emits the distributions of an epoch's accounts, with their next opening rows, and the Merkle roots over the distributions.

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::assess::{Account, Assessor};
use crate::core::accrue::settle::{Measure, Payout, Rules};
use crate::core::contract::appends::Outputs;
use crate::core::contract::merkle::{BucketTree, Hash, leaf_hash};
use crate::core::contract::records::{Distribution, DistributionWriter};
use crate::core::contract::topic::Topic;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::protocol::totals::Emitted;
use crate::core::values::asset::Asset;
use crate::core::values::ids::AssetEpoch;
use crate::core::values::time::timestamp;

/// How far an emission has come. It is stored between two transactions: the order of the fields is part of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmissionProgress {
    pot: Pot,
    /// The weight of this ledger partition's accounts, as summed before.
    partition_weight: U512,
    emitted: Emitted,
    /// The Merkle root of each bucket that has distributions.
    roots: Vec<(u16, Hash)>,
}

impl EmissionProgress {
    /// What the accounts share.
    #[must_use]
    pub const fn pot(&self) -> Pot {
        self.pot
    }

    /// `partition_weight` is the weight of this ledger partition.
    #[must_use]
    pub fn new(pot: Pot, partition_weight: U512) -> Self {
        Self {
            pot,
            partition_weight,
            emitted: Emitted::default(),
            roots: Vec::new(),
        }
    }
}

/// Works out what accounts are paid, and adds it up.
#[derive(Debug)]
pub struct Payments {
    assessor: Assessor,
    pot: Pot,
    measures: Vec<Measure>,
    payouts: Vec<Payout>,
    sums: Emitted,
}

impl Payments {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement, pot: Pot) -> Result<Self, Fault> {
        Ok(Self {
            assessor: Assessor::new(settlement)?,
            pot,
            measures: Vec::new(),
            payouts: Vec::new(),
            sums: Emitted::default(),
        })
    }

    /// Whether [`Self::add_accounts`] needs all accounts of a bucket at once.
    #[must_use]
    pub fn is_by_owner(&self) -> bool {
        self.assessor.is_by_owner()
    }

    /// Works out the payouts of accounts. The last ones can be read until the next call.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn add_accounts(&mut self, accounts: &[Account]) -> Result<(), Fault> {
        self.assessor.measure(accounts, &mut self.measures)?;
        self.payouts.clear();
        let rules = self.assessor.rules();
        for (account, measure) in accounts.iter().zip(&self.measures) {
            let rewarded = rules.share(measure.weight(), self.pot)?;
            let parts = [account.made_good, account.adjusted, account.withheld];
            let payout = rules.pay(rewarded, parts, measure.is_excluded)?;
            self.sums.add(&Emitted {
                weight: measure.weight(),
                rewarded,
                made_good: account.made_good,
                adjusted: account.adjusted,
                distributed: payout.paid,
                withheld_after: payout.withheld,
                largest: payout.paid,
                distributions: u64::from(payout.paid > I256::ZERO),
            })?;
            self.payouts.push(payout);
        }
        Ok(())
    }

    /// The accounts of the last call: how they were measured, and what they are paid.
    pub fn last(&self) -> impl Iterator<Item = (&Measure, &Payout)> {
        self.measures.iter().zip(&self.payouts)
    }

    /// The rules that they are paid by.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        self.assessor.rules()
    }

    /// The sums over all accounts so far.
    #[must_use]
    pub const fn sums(&self) -> Emitted {
        self.sums
    }
}

/// The last pass over the accounts of an epoch: their payouts, in the order of bucket and name.
#[derive(Debug)]
pub struct Emitting {
    at: AssetEpoch,
    payments: Payments,
    asset: Asset,
    writer: DistributionWriter,
    partition_weight: U512,
    roots: BucketRoots,
    pooled: bool,
}

/// The Merkle root of each bucket that has distributions, and the tree of the present one.
#[derive(Debug)]
struct BucketRoots {
    ended: Vec<(u16, Hash)>,
    present: Option<(u16, BucketTree)>,
}

impl BucketRoots {
    fn add_leaf(&mut self, bucket: u16, leaf: Hash) {
        if self.present.as_ref().is_none_or(|(present, _)| *present != bucket) {
            self.end_bucket();
            self.present = Some((bucket, BucketTree::default()));
        }
        if let Some((_, tree)) = &mut self.present {
            tree.push_hash(leaf);
        }
    }

    fn end_bucket(&mut self) {
        if let Some((bucket, tree)) = self.present.take() {
            self.ended.push((bucket, tree.root()));
        }
    }
}

/// The amounts that an account takes into the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextOpening {
    /// In units.
    pub balance: I256,
    /// In units of the reward asset. A debt is negative.
    pub withheld: I256,
}

impl Emitting {
    /// Begins an emission, or continues one from where `progress` was stored.
    ///
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement, progress: EmissionProgress) -> Result<Self, Fault> {
        let calendar = &settlement.terms.calendar;
        let epoch = settlement.at.epoch();
        let mut payments = Payments::new(settlement, progress.pot)?;
        payments.sums = progress.emitted;
        let sample = Distribution {
            account: "".into(),
            asset: settlement.terms.asset,
            reward_asset: settlement.terms.reward_asset(),
            epoch,
            epoch_start: timestamp(calendar.start_ms(epoch)).into(),
            epoch_end: timestamp(calendar.end_ms(epoch)).into(),
            amount: "".into(),
            rewarded: "".into(),
            made_good: "".into(),
            adjusted: "".into(),
            withheld_before: "".into(),
            balance_seconds: "".into(),
            average_balance: "".into(),
            programme_from_epoch: settlement.programme.from_epoch,
        };
        Ok(Self {
            at: settlement.at,
            pooled: payments.assessor.rules().rate().is_none(),
            payments,
            asset: settlement.terms.asset,
            writer: DistributionWriter::new(sample)?,
            partition_weight: progress.partition_weight,
            roots: BucketRoots {
                ended: progress.roots,
                present: None,
            },
        })
    }

    #[must_use]
    pub const fn at(&self) -> AssetEpoch {
        self.at
    }

    /// Whether [`Self::emit_accounts`] needs all accounts of a bucket at once.
    #[must_use]
    pub fn is_by_owner(&self) -> bool {
        self.payments.is_by_owner()
    }

    /// Emits the distributions of accounts: appends those that there are to `out`. Hands each account's amounts for the next epoch to `keep`.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn emit_accounts(
        &mut self,
        accounts: &[Account],
        out: &mut Outputs,
        mut keep: impl FnMut(&Account, NextOpening),
    ) -> Result<(), Fault> {
        self.payments.add_accounts(accounts)?;
        let rules = self.payments.assessor.rules();
        let paid = self.payments.measures.iter().zip(&self.payments.payouts);
        for (account, (measure, payout)) in accounts.iter().zip(paid) {
            if payout.paid > I256::ZERO {
                let leaf = emit(&mut self.writer, rules, account, measure, payout, out)?;
                self.roots.add_leaf(account.bucket, leaf);
            }
            keep(
                account,
                NextOpening {
                    balance: measure.closing,
                    withheld: payout.withheld,
                },
            );
        }
        Ok(())
    }

    /// Ends a chunk at the end of a bucket, and returns the state to store with it.
    ///
    /// # Errors
    /// If the shares so far exceed their part of the pot. Money would not be conserved, so nothing of this chunk may be published.
    pub fn end_chunk(&mut self) -> Result<EmissionProgress, Fault> {
        self.roots.end_bucket();
        self.check_conservation()?;
        Ok(EmissionProgress {
            pot: self.payments.pot,
            partition_weight: self.partition_weight,
            emitted: self.payments.sums,
            roots: self.roots.ended.clone(),
        })
    }

    /// Ends the emission. Returns what was emitted, and the Merkle root of each bucket that has distributions.
    ///
    /// # Errors
    /// If the shares exceed the pot, or if the accounts are no longer those that were summed.
    pub fn end(mut self) -> Result<(Emitted, Vec<(u16, Hash)>), Fault> {
        let EmissionProgress {
            partition_weight,
            emitted,
            roots,
            ..
        } = self.end_chunk()?;
        if emitted.weight != partition_weight {
            return Err(impossible(format!(
                "the rows of closed epoch {} changed between the sum and the shares: weight {partition_weight} became {}",
                self.at.epoch(),
                emitted.weight
            )));
        }
        Ok((emitted, roots))
    }

    /// The shares so far are at most their part of the pot, because floors only ever leave a remainder.
    fn check_conservation(&self) -> Result<(), Fault> {
        if !self.pooled {
            return Ok(());
        }
        let (emitted, pot) = (&self.payments.sums, &self.payments.pot);
        let given = emitted
            .rewarded
            .checked_mul(pot.weight)
            .ok_or(Fault::Overflow("a check of shares"))?;
        let bound = pot
            .to_share
            .checked_mul(emitted.weight)
            .ok_or(Fault::Overflow("a check of shares"))?;
        if given > bound {
            return Err(impossible(format!(
                "shares of {} epoch {} add up to {} units, more than their part of {} units",
                self.asset,
                self.at.epoch(),
                emitted.rewarded,
                pot.to_share
            )));
        }
        Ok(())
    }
}

/// Appends the distribution of an account to `out`, and returns the hash of its leaf.
fn emit(
    writer: &mut DistributionWriter,
    rules: &Rules,
    account: &Account,
    measure: &Measure,
    payout: &Payout,
    out: &mut Outputs,
) -> Result<Hash, Fault> {
    let numbers = [
        rules.signed_reward(payout.paid),
        rules.reward(payout.rewarded),
        rules.signed_reward(account.made_good),
        rules.signed_reward(account.adjusted),
        rules.signed_reward(account.withheld),
        rules.balance_seconds(measure.held),
        rules.average(measure.held),
    ];
    let name = account.name.as_str();
    let mut leaf = Ok(&[][..]);
    // On Kafka, the key chooses the partition.
    out.push_with(Topic::Distributions.partition(0), name.as_bytes(), |record| {
        leaf = writer.write(record, name, &numbers);
    });
    Ok(leaf_hash(leaf?))
}
