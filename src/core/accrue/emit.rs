//! Emits the distributions of an epoch's accounts, with their next opening rows, and the Merkle roots over the distributions.

use std::borrow::Cow;

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::assess::{Account, Assessor};
use crate::core::accrue::eligibility::Eligibility;
use crate::core::contract::appends::Outputs;
use crate::core::contract::listing::Mode;
use crate::core::contract::merkle::{BucketTree, Hash};
use crate::core::contract::records::Distribution;
use crate::core::contract::topic::Topic;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::Settlement;
use crate::core::protocol::totals::Emitted;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::time::timestamp;

/// How far an emission has come. It is stored between two transactions: the order of the fields is part of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmissionProgress {
    /// The amount to share among all accounts, in units.
    to_share: U512,
    /// The weight of all accounts.
    total_weight: U512,
    /// The weight of this ledger partition's accounts, as summed before.
    partition_weight: U512,
    emitted: Emitted,
    /// The Merkle root of each bucket that has distributions.
    roots: Vec<(u16, Hash)>,
}

impl EmissionProgress {
    /// `partition_weight` is the weight of this ledger partition, `total_weight` the weight of all partitions.
    #[must_use]
    pub fn new(to_share: U512, total_weight: U512, partition_weight: U512) -> Self {
        Self {
            to_share,
            total_weight,
            partition_weight,
            emitted: Emitted::default(),
            roots: Vec::new(),
        }
    }
}

/// The second pass over the accounts of an epoch: their payouts, in the order of bucket and name.
#[derive(Debug)]
pub struct Emitting {
    at: AssetEpoch,
    assessor: Assessor,
    asset: Asset,
    programme_from_epoch: Epoch,
    start: String,
    end: String,
    progress: EmissionProgress,
    pooled: bool,
    bucket: Option<(u16, BucketTree)>,
}

/// The amounts that an account takes into the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextOpening {
    /// In units.
    pub balance: I256,
    /// In units.
    pub withheld: U512,
}

impl Emitting {
    /// Begins an emission, or continues one from where `progress` was stored.
    ///
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement, progress: EmissionProgress) -> Result<Self, Fault> {
        let calendar = &settlement.terms.calendar;
        let epoch = settlement.at.epoch();
        Ok(Self {
            at: settlement.at,
            assessor: Assessor::new(settlement)?,
            asset: settlement.terms.asset,
            programme_from_epoch: settlement.programme.from_epoch,
            start: timestamp(calendar.start_ms(epoch)),
            end: timestamp(calendar.end_ms(epoch)),
            progress,
            pooled: matches!(settlement.programme.mode, Mode::Pool),
            bucket: None,
        })
    }

    #[must_use]
    pub const fn at(&self) -> AssetEpoch {
        self.at
    }

    /// Emits an account's distribution. Appends it to `out` if there is one, and returns its amounts for the next epoch.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn emit_account(&mut self, account: &Account, out: &mut Outputs) -> Result<NextOpening, Fault> {
        let measure = self.assessor.measure(account)?;
        let rules = self.assessor.rules();
        let weight = match measure.eligibility {
            Eligibility::Eligible { weight, .. } => weight,
            _ => U512::ZERO,
        };
        let share = rules.share(weight, self.progress.to_share, self.progress.total_weight)?;
        let (emitted_amount, withheld) = rules.emit_or_withhold(share, account.withheld)?;
        self.progress.emitted = self.progress.emitted.plus(&Emitted {
            weight,
            rewarded: share,
            distributed: emitted_amount,
            withheld_after: withheld,
            distributions: u64::from(!emitted_amount.is_zero()),
        })?;
        if !emitted_amount.is_zero() {
            let distribution = Distribution {
                account: account.name.as_str().into(),
                asset: self.asset,
                epoch: self.at.epoch(),
                epoch_start: Cow::Borrowed(&self.start),
                epoch_end: Cow::Borrowed(&self.end),
                amount: rules.amount(emitted_amount).into(),
                balance_seconds: rules.balance_seconds(measure.held).into(),
                average_balance: rules.average(measure.held).into(),
                programme_from_epoch: self.programme_from_epoch,
            };
            let id = distribution.id();
            let mut written = Ok(());
            // On Kafka, the key chooses the partition.
            out.push_with(
                Topic::Distributions.partition(0),
                account.name.as_str().as_bytes(),
                |record| {
                    written = distribution.write(record, &id);
                },
            );
            written?;
            self.add_leaf(account.bucket, format!("{id}|{}", distribution.amount).as_bytes());
        }
        Ok(NextOpening {
            balance: measure.closing,
            withheld,
        })
    }

    fn add_leaf(&mut self, bucket: u16, leaf: &[u8]) {
        if self.bucket.as_ref().is_none_or(|(current, _)| *current != bucket) {
            self.close_bucket();
            self.bucket = Some((bucket, BucketTree::default()));
        }
        if let Some((_, tree)) = &mut self.bucket {
            tree.push(leaf);
        }
    }

    fn close_bucket(&mut self) {
        if let Some((bucket, tree)) = self.bucket.take() {
            self.progress.roots.push((bucket, tree.root()));
        }
    }

    /// Ends a chunk at the end of a bucket, and returns the state to store with it.
    ///
    /// # Errors
    /// If the shares so far exceed their part of the pot. Money would not be conserved, so nothing of this chunk may be published.
    pub fn end_chunk(&mut self) -> Result<EmissionProgress, Fault> {
        self.close_bucket();
        self.check_conservation()?;
        Ok(self.progress.clone())
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
        let emitted = &self.progress.emitted;
        let given = emitted
            .rewarded
            .checked_mul(self.progress.total_weight)
            .ok_or(Fault::Overflow("a check of shares"))?;
        let bound = self
            .progress
            .to_share
            .checked_mul(emitted.weight)
            .ok_or(Fault::Overflow("a check of shares"))?;
        if given > bound {
            return Err(impossible(format!(
                "shares of {} epoch {} add up to {} units, more than their part of {} units",
                self.asset,
                self.at.epoch(),
                emitted.rewarded,
                self.progress.to_share
            )));
        }
        Ok(())
    }
}
