//! The accrue task: it feeds one ledger partition to the accrue fold, and keeps its rows in the store.

mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use jobs::reached_bucket;

use crate::bus::{Batch, Log, Outputs, Topic, TopicPartition};
use crate::core::accrue::{Accrue, AccrueJob};
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::AssetEpoch;
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store};
use crate::task::accrue_store::{RowChanges, load_accrue, put_accrue, put_settling};
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, JobProgress, StepContext};
use crate::task::kept_accounts::KeptAccounts;
use crate::task::stats::Stats;

/// The accrue task of a ledger partition.
pub struct AccrueTask {
    accrue: Accrue,
    partition: u16,
    partitions: Partitions,
    inputs: [TopicPartition; 1],
    dedup_days: u64,
    /// What the sums of epochs have kept for their emissions.
    kept: BTreeMap<AssetEpoch, KeptAccounts>,
    /// A buffer for keys.
    key: Vec<u8>,
    stats: Arc<Stats>,
}

impl AccrueTask {
    /// Restores the fold from its store.
    pub fn new(
        partition: u16,
        partitions: Partitions,
        dedup_days: u64,
        store: &dyn Store,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let accrue = load_accrue(store)?;
        let inputs = [Topic::Ledger.partition(u32::from(partition))];
        stats.settlements.begin(partition, &partitions.buckets(partition));
        Ok(Self {
            accrue,
            partition,
            partitions,
            inputs,
            dedup_days,
            kept: BTreeMap::new(),
            key: Vec::new(),
            stats,
        })
    }
}

impl Drop for AccrueTask {
    fn drop(&mut self) {
        self.stats.settlements.end(self.partition);
    }
}

impl Fold for AccrueTask {
    fn inputs(&self) -> &[TopicPartition] {
        &self.inputs
    }

    fn read_limit(&mut self, _: usize, _: Offset, _: Option<Offset>, _: &dyn Log) -> Result<Offset, FoldError> {
        Ok(Offset::NO_LIMIT)
    }

    fn apply(
        &mut self,
        _: usize,
        batch: &Batch,
        first: usize,
        context: &mut StepContext<'_>,
    ) -> Result<usize, FoldError> {
        let mut rows = RowChanges {
            changes: context.changes,
            key: &mut self.key,
            postings: 0,
        };
        let mut applied = first;
        for record in batch.iter().skip(first) {
            self.accrue.apply(record.value, &mut rows)?;
            applied += 1;
            if self.accrue.job().is_some() {
                break;
            }
        }
        Stats::add(&self.stats.accrued, rows.postings);
        Ok(applied)
    }

    fn has_job(&self) -> bool {
        self.accrue.job().is_some()
    }

    fn continue_job(
        &mut self,
        reached: &[u8],
        until: Option<&[u8]>,
        context: &mut StepContext<'_>,
    ) -> Result<JobProgress, FoldError> {
        match self.accrue.job() {
            None => Ok(JobProgress::Finished),
            Some(AccrueJob::Sum(at)) => self.sum(at, context),
            Some(AccrueJob::Preview(at)) => self.preview(at, context),
            Some(AccrueJob::Emit(at)) => self.emit(at, reached, until, context),
        }
    }

    fn published(&mut self, outputs: &Outputs) {
        let distributions = outputs.iter().filter(|(to, ..)| to.topic == Topic::Distributions);
        Stats::add(&self.stats.distributions, distributions.count() as u64);
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        put_accrue(changes, &self.accrue)?;
        for (at, settling) in self.accrue.take_changed() {
            put_settling(changes, at, settling)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
