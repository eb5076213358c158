//! The accrue task: it feeds one ledger partition to the accrue fold, and keeps its rows in the store.

use std::sync::Arc;

use ethnum::I256;

use crate::bus::{Batch, Log, Outputs, Topic, TopicPartition};
use crate::core::accrue::row::Row;
use crate::core::accrue::{Accrue, AccrueJob, Rows};
use crate::core::protocol::codec;
use crate::core::protocol::ledger::StatusEntry;
use crate::core::values::account::AccountName;
use crate::core::values::bucket::{BUCKETS, Partitions};
use crate::core::values::ids::AssetEpoch;
use crate::core::values::offset::Offset;
use crate::store::tables::AccountTable;
use crate::store::{Changes, Store, tables};
use crate::task::account_walk::AccountWalk;
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, JobProgress, StepContext, load_state};
use crate::task::stats::Stats;

/// Bytes of distributions per transaction, about: a transaction ends with the bucket in which it reaches this size.
const CHUNK_BYTES: usize = 2 << 20;

/// The accrue task of a ledger partition.
pub struct AccrueTask {
    accrue: Accrue,
    partition: u16,
    partitions: Partitions,
    inputs: [TopicPartition; 1],
    /// A buffer for keys.
    key: Vec<u8>,
    stats: Arc<Stats>,
}

impl AccrueTask {
    /// Restores the fold from its store.
    pub fn new(
        partition: u16,
        partitions: Partitions,
        store: &dyn Store,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let accrue = load_state(store, "the state of an accrue task")?.unwrap_or_default();
        let inputs = [Topic::Ledger.partition(u32::from(partition))];
        Ok(Self {
            accrue,
            partition,
            partitions,
            inputs,
            key: Vec::new(),
            stats,
        })
    }

    fn sum(&mut self, at: AssetEpoch, context: &mut StepContext<'_>) -> Result<JobProgress, FoldError> {
        let mut summing = self.accrue.begin_sum(at)?;
        let mut accounts = AccountWalk::new(context.store, at, 0)?;
        while let Some(account) = accounts.next_account()? {
            summing.add_account(account)?;
        }
        self.accrue
            .send_subtotal(at, u32::from(self.partition), summing.sums(), context.outputs)?;
        Ok(JobProgress::Finished)
    }

    /// Emits distributions from the bucket after `reached` on, for the length of one transaction, and at most up to the bucket `until`.
    fn emit(
        &mut self,
        at: AssetEpoch,
        reached: &[u8],
        until: Option<&[u8]>,
        context: &mut StepContext<'_>,
    ) -> Result<JobProgress, FoldError> {
        let first = bucket_after(reached);
        let end = match until {
            Some(until) if !until.is_empty() => bucket_after(until),
            _ => BUCKETS,
        };
        let mut emitting = self.accrue.begin_emission(at)?;
        let mut accounts = AccountWalk::new(context.store, at, first)?;
        let mut current = None;
        while let Some(account) = accounts.next_account()? {
            if current != Some(account.bucket) {
                if let Some(done) = current
                    && (account.bucket >= end || context.outputs.bytes() >= CHUNK_BYTES)
                {
                    self.accrue.keep_chunk(&mut emitting)?;
                    return Ok(JobProgress::Reached(u16::to_be_bytes(done).to_vec()));
                }
                current = Some(account.bucket);
            }
            let next = emitting.emit_account(account, context.outputs)?;
            tables::opening(&mut self.key, at.number(), account.bucket, &account.name);
            if next.balance == I256::ZERO && next.withheld.is_zero() {
                context.changes.delete(&self.key);
            } else {
                context
                    .changes
                    .put(&self.key, &tables::opening_value(next.balance, next.withheld));
            }
        }
        let (from, to) = AccountTable::Rows(at).range(0);
        context.changes.delete_range(&from, &to);
        self.accrue
            .end_emission(emitting, self.partitions, self.partition, context.outputs)?;
        Ok(JobProgress::Finished)
    }
}

/// The bucket after the one that a job has reached; the first bucket if `reached` is empty.
fn bucket_after(reached: &[u8]) -> u16 {
    <[u8; 2]>::try_from(reached).map_or(0, |bucket| u16::from_be_bytes(bucket).saturating_add(1))
}

impl Fold for AccrueTask {
    fn inputs(&self) -> &[TopicPartition] {
        &self.inputs
    }

    fn read_limit(&mut self, _: usize, _: Offset, _: &dyn Log) -> Result<Offset, FoldError> {
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
            Some(AccrueJob::Emit(at)) => self.emit(at, reached, until, context),
        }
    }

    fn published(&mut self, outputs: &Outputs) {
        let distributions = outputs.iter().filter(|(to, ..)| to.topic == Topic::Distributions);
        Stats::add(&self.stats.distributions, distributions.count() as u64);
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        changes.put(&tables::STATE, &codec::encode(&self.accrue)?);
        Ok(())
    }
}

/// Turns rows and statuses into changes of the store.
struct RowChanges<'a> {
    changes: &'a mut Changes,
    key: &'a mut Vec<u8>,
    postings: u64,
}

impl Rows for RowChanges<'_> {
    fn add(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, row: Row) {
        tables::row(self.key, at, bucket, account);
        self.changes.add(self.key, row);
        self.postings += 1;
    }

    fn keep(&mut self, source: TopicPartition, status: &StatusEntry<'_>) {
        tables::status(self.key, source, status);
        self.changes.put(self.key, &tables::status_value(status));
    }
}
