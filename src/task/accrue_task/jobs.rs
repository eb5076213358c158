//! The jobs of a settlement: the sum over the accounts of an epoch, the preview for its gate, and the emission of its distributions.

use std::ops::Range;
use std::sync::Arc;

use ethnum::I256;

use crate::core::accrue::assess::Account;
use crate::core::accrue::row::Row;
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::BUCKETS;
use crate::core::values::ids::AssetEpoch;
use crate::store::tables;
use crate::task::account_walk::AccountWalk;
use crate::task::accrue_store::keep_sealed;
use crate::task::accrue_task::AccrueTask;
use crate::task::fold::{FoldError, JobProgress, StepContext};
use crate::task::kept_accounts::AccountKeeper;
use crate::task::settlements::SettlementScan;
use crate::task::stats::Stats;

/// Bytes of distributions per transaction, about: a transaction ends with the bucket in which it reaches this size.
const CHUNK_BYTES: usize = 2 << 20;

impl AccrueTask {
    fn scan(&self, at: AssetEpoch, scan: SettlementScan) -> Result<NotedScan, FoldError> {
        Ok(NotedScan {
            stats: Arc::clone(&self.stats),
            at,
            asset: self.accrue.asset(at)?,
            partition: self.partition,
            buckets: self.partitions.buckets(self.partition),
            scan,
        })
    }

    pub(super) fn sum(&mut self, at: AssetEpoch, context: &mut StepContext<'_>) -> Result<JobProgress, FoldError> {
        let mut summing = self.accrue.begin_sum(at)?;
        let needs_set_aside = self.accrue.needs_set_aside(at)?;
        let walk = AccountWalk::new(context.store, at, 0, needs_set_aside)?;
        let mut walk = walk.by_bucket(summing.is_by_owner());
        let scan = self.scan(at, SettlementScan::Sum)?;
        // A void epoch is summed again.
        self.kept.remove(&at);
        let mut keeper = AccountKeeper::new(Arc::clone(&self.stats.kept_bytes));
        self.visit_all(&mut walk, &scan, |accounts| {
            summing.add_accounts(accounts)?;
            keeper.keep(accounts, summing.measures());
            Ok(())
        })?;
        self.kept.insert(at, keeper.end());
        self.accrue
            .send_subtotal(at, u32::from(self.partition), summing.sums(), context.outputs)?;
        Ok(JobProgress::Finished)
    }

    /// Works out what would be published, for the gate.
    pub(super) fn preview(&mut self, at: AssetEpoch, context: &mut StepContext<'_>) -> Result<JobProgress, FoldError> {
        let mut payments = self.accrue.begin_preview(at)?;
        let needs_set_aside = self.accrue.needs_set_aside(at)?;
        let walk = match self.kept.get(&at).filter(|kept| kept.is_complete()) {
            Some(kept) => AccountWalk::of_kept(context.store, kept, needs_set_aside)?,
            None => AccountWalk::new(context.store, at, 0, needs_set_aside)?,
        };
        let mut walk = walk.resettling(at, 0)?.by_bucket(payments.is_by_owner());
        let scan = self.scan(at, SettlementScan::Preview)?;
        self.visit_all(&mut walk, &scan, |accounts| payments.add_accounts(accounts))?;
        self.accrue
            .send_preview(at, u32::from(self.partition), payments.sums(), context.outputs)?;
        Ok(JobProgress::Finished)
    }

    /// Visits all accounts of an epoch, and notes how far it is.
    fn visit_all(
        &self,
        walk: &mut AccountWalk<'_>,
        scan: &NotedScan,
        mut visit: impl FnMut(&[Account]) -> Result<(), Fault>,
    ) -> Result<(), FoldError> {
        let mut current = self.partitions.buckets(self.partition).start;
        scan.reached(current);
        loop {
            let accounts = walk.next_accounts()?;
            let Some(first) = accounts.first() else { break };
            if first.bucket != current {
                current = first.bucket;
                scan.reached(current);
            }
            visit(accounts)?;
        }
        scan.finished();
        Ok(())
    }

    /// Emits distributions from the bucket after `reached` on, for the length of one transaction, and at most up to the bucket `until`.
    pub(super) fn emit(
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
        let needs_set_aside = self.accrue.needs_set_aside(at)?;
        if let Some(kept) = self.kept.get_mut(&at) {
            kept.drop_before(first);
        }
        let kept = self.kept.get(&at).filter(|kept| !kept.is_empty());
        // The end of an incomplete walk is the end of a chunk.
        let (walk, is_complete) = match kept {
            Some(kept) => (
                AccountWalk::of_kept(context.store, kept, needs_set_aside)?,
                kept.is_complete(),
            ),
            None => (AccountWalk::new(context.store, at, first, needs_set_aside)?, true),
        };
        let walk = walk.resettling(at, first)?.by_bucket(emitting.is_by_owner());
        let mut walk = walk.setting_aside(self.accrue.aside_limit(at)?, first)?;
        let mut current = None;
        let scan = self.scan(at, SettlementScan::Emit)?;
        loop {
            let accounts = walk.next_accounts()?;
            let next = accounts.first().map(|account| account.bucket);
            if next != current || next.is_none() {
                let ends = match next {
                    Some(next) => next >= end || context.outputs.bytes() >= CHUNK_BYTES,
                    None => !is_complete,
                };
                if let Some(done) = current
                    && ends
                {
                    self.accrue.keep_chunk(&mut emitting)?;
                    walk.keep_findings(Some(done), context.changes)?;
                    return Ok(JobProgress::Reached(u16::to_be_bytes(done).to_vec()));
                }
                let Some(next) = next else { break };
                scan.reached(next);
                current = Some(next);
            }
            let (key, changes) = (&mut self.key, &mut *context.changes);
            emitting.emit_accounts(accounts, context.outputs, |account, next| {
                if (next.balance, next.withheld) == (account.opening, account.withheld) {
                    return;
                }
                tables::opening(key, at.number(), account.bucket, &account.name);
                if next.balance == I256::ZERO && next.withheld == I256::ZERO {
                    changes.delete(key);
                } else {
                    let opening = Row {
                        delta: next.balance,
                        weighted: next.withheld,
                    };
                    changes.put_row(key, opening);
                }
            })?;
        }
        walk.keep_findings(None, context.changes)?;
        keep_sealed(&self.accrue.sealed(at)?, self.dedup_days, context.changes)?;
        scan.finished();
        self.kept.remove(&at);
        self.accrue
            .end_emission(emitting, self.partitions, self.partition, context.outputs)?;
        Ok(JobProgress::Finished)
    }
}

/// A scan of a settlement, whose progress is noted.
struct NotedScan {
    stats: Arc<Stats>,
    at: AssetEpoch,
    asset: Asset,
    partition: u16,
    buckets: Range<u16>,
    scan: SettlementScan,
}

impl NotedScan {
    /// Buckets before this one are scanned.
    fn reached(&self, bucket: u16) {
        self.note(u64::from(bucket.saturating_sub(self.buckets.start)));
    }

    fn finished(&self) {
        self.note(self.buckets.len() as u64);
    }

    fn note(&self, done: u64) {
        let settlements = &self.stats.settlements;
        settlements.note(self.at, self.asset, self.partition, self.scan, done);
    }
}

/// The last bucket that a job has finished, by the cursor of its position; `None` before the first.
pub fn reached_bucket(reached: &[u8]) -> Option<u16> {
    <[u8; 2]>::try_from(reached).ok().map(u16::from_be_bytes)
}

/// The bucket after the one that a job has reached; the first bucket if `reached` is empty.
fn bucket_after(reached: &[u8]) -> u16 {
    reached_bucket(reached).map_or(0, |bucket| bucket.saturating_add(1))
}
