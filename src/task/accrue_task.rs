//! The accrue task: it feeds one ledger partition to the accrue fold, and keeps its rows in the store.

use std::ops::Range;
use std::sync::Arc;

use ethnum::I256;

use crate::bus::{Batch, Log, Outputs, Topic, TopicPartition};
use crate::core::accrue::assess::Account;
use crate::core::accrue::row::Row;
use crate::core::accrue::{Accrue, AccrueJob};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::{BUCKETS, Partitions};
use crate::core::values::ids::AssetEpoch;
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store, tables};
use crate::task::account_walk::AccountWalk;
use crate::task::accrue_store::{RowChanges, keep_sealed, load_accrue, put_accrue, put_settling};
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, JobProgress, StepContext};
use crate::task::settlements::SettlementScan;
use crate::task::stats::Stats;

/// Bytes of distributions per transaction, about: a transaction ends with the bucket in which it reaches this size.
const CHUNK_BYTES: usize = 2 << 20;

/// The accrue task of a ledger partition.
pub struct AccrueTask {
    accrue: Accrue,
    partition: u16,
    partitions: Partitions,
    inputs: [TopicPartition; 1],
    dedup_days: u64,
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
            key: Vec::new(),
            stats,
        })
    }

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

    fn sum(&mut self, at: AssetEpoch, context: &mut StepContext<'_>) -> Result<JobProgress, FoldError> {
        let mut summing = self.accrue.begin_sum(at)?;
        let needs_set_aside = self.accrue.needs_set_aside(at)?;
        let walk = AccountWalk::new(context.store, at, 0, needs_set_aside)?;
        let mut walk = walk.by_bucket(summing.is_by_owner());
        let scan = self.scan(at, SettlementScan::Sum)?;
        self.visit_all(&mut walk, &scan, |accounts| summing.add_accounts(accounts))?;
        self.accrue
            .send_subtotal(at, u32::from(self.partition), summing.sums(), context.outputs)?;
        Ok(JobProgress::Finished)
    }

    /// Works out what would be published, for the gate.
    fn preview(&mut self, at: AssetEpoch, context: &mut StepContext<'_>) -> Result<JobProgress, FoldError> {
        let mut payments = self.accrue.begin_preview(at)?;
        let needs_set_aside = self.accrue.needs_set_aside(at)?;
        let walk = AccountWalk::new(context.store, at, 0, needs_set_aside)?.resettling(at, 0)?;
        let mut walk = walk.by_bucket(payments.is_by_owner());
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
        let needs_set_aside = self.accrue.needs_set_aside(at)?;
        let walk = AccountWalk::new(context.store, at, first, needs_set_aside)?.resettling(at, first)?;
        let walk = walk.by_bucket(emitting.is_by_owner());
        let mut walk = walk.setting_aside(self.accrue.aside_limit(at)?);
        let mut current = None;
        let scan = self.scan(at, SettlementScan::Emit)?;
        loop {
            let accounts = walk.next_accounts()?;
            let Some(account) = accounts.first() else { break };
            if current != Some(account.bucket) {
                scan.reached(account.bucket);
                if let Some(done) = current
                    && (account.bucket >= end || context.outputs.bytes() >= CHUNK_BYTES)
                {
                    self.accrue.keep_chunk(&mut emitting)?;
                    walk.keep_findings(Some(done), context.changes)?;
                    return Ok(JobProgress::Reached(u16::to_be_bytes(done).to_vec()));
                }
                current = Some(account.bucket);
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
        self.accrue
            .end_emission(emitting, self.partitions, self.partition, context.outputs)?;
        Ok(JobProgress::Finished)
    }
}

impl Drop for AccrueTask {
    fn drop(&mut self) {
        self.stats.settlements.end(self.partition);
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
mod tests {
    use ruint::aliases::U512;

    use crate::bus::memory::MemoryBus;
    use crate::bus::{Mark, Position};
    use crate::core::contract::control::CloseRates;
    use crate::core::contract::decision::Offsets;
    use crate::core::contract::event::Status;
    use crate::core::contract::listing::Listing;
    use crate::core::protocol::codec;
    use crate::core::protocol::ledger::{self, BlockBuilder, Posting, StatusEntry};
    use crate::core::protocol::messages::{Inbox, Notice, Pot, Settlement};
    use crate::core::values::account::AccountName;
    use crate::core::values::bucket::bucket;
    use crate::core::values::ids::Epoch;
    use crate::store::memory::MemoryStore;
    use crate::store::tables::AccountTable;

    use super::*;

    const SOURCE: TopicPartition = Topic::Accounts.partition(0);
    /// 2026-11-01T00:00:00Z, in milliseconds since 1970.
    const ORIGIN_MS: i64 = 1_793_491_200_000;
    const EPOCH_MS: i64 = 100_000;

    /// The task of a ledger with one partition.
    struct Ledger {
        task: AccrueTask,
        store: MemoryStore,
        paid: Vec<String>,
    }

    impl Ledger {
        fn new() -> Self {
            let store = MemoryStore::default();
            let task = AccrueTask::new(0, Partitions::new(1).unwrap(), 7, &store, Arc::default()).unwrap();
            let paid = Vec::new();
            Self { task, store, paid }
        }

        /// Runs a step, and persists what it changed.
        fn step(&mut self, step: impl FnOnce(&mut AccrueTask, &mut StepContext<'_>)) -> Outputs {
            let (mut changes, mut outputs) = (Changes::default(), Outputs::default());
            step(
                &mut self.task,
                &mut StepContext {
                    log: &MemoryBus::new(),
                    store: &self.store,
                    position: &Position::default(),
                    recovering: false,
                    changes: &mut changes,
                    outputs: &mut outputs,
                },
            );
            self.store.commit(&mut changes, &Position::default()).unwrap();
            outputs
        }

        /// Applies a record and does the jobs that follow it. Returns the last subtotal's weight.
        fn apply(&mut self, record: &[u8]) -> Option<U512> {
            let length = record.len();
            let batch = Batch::new(record.to_vec(), vec![(Offset::START, 0..length)], Mark::default());
            self.step(|task, context| _ = task.apply(0, &batch, 0, context).unwrap());
            let mut weight = None;
            while self.task.has_job() {
                let outputs = self.step(|task, context| _ = task.continue_job(&[], None, context).unwrap());
                for (to, key, value) in outputs.iter() {
                    if to.topic == Topic::Distributions {
                        self.paid.push(String::from_utf8_lossy(key).into_owned());
                    } else if let Ok(Inbox::Subtotal { sums, .. }) = codec::decode(value, "a message") {
                        weight = Some(sums.weight);
                    }
                }
            }
            weight
        }

        fn block(&mut self, write: impl FnOnce(&mut BlockBuilder)) {
            let (mut block, mut record) = (BlockBuilder::default(), Vec::new());
            write(&mut block);
            block.finish(&mut record, SOURCE, (Offset::START, Offset::START));
            self.apply(&record);
        }

        fn post(&mut self, at: AssetEpoch, account: &str) {
            let account = AccountName::new(account).unwrap();
            self.block(|block| {
                block.posting(&Posting {
                    bucket: bucket(account.as_str()),
                    account: account.borrowed(),
                    at,
                    delta: 100,
                    before_end_ms: 1_000,
                });
            });
        }

        /// A status `seconds` after the origin. Its offset is the number of its second.
        fn status(&mut self, account: &str, seconds: i64, status: Status) {
            let account = AccountName::new(account).unwrap();
            self.block(|block| {
                block.status(&StatusEntry {
                    bucket: bucket(account.as_str()),
                    account: account.borrowed(),
                    offset: Offset::new(seconds.unsigned_abs()),
                    time_ms: ORIGIN_MS + seconds * 1_000,
                    id: "s",
                    status,
                    asset: None,
                });
            });
        }

        /// Settles an epoch of an asset whose first epoch begins so many seconds after the origin. Returns who is paid.
        fn settle(&mut self, number: u16, anchor: i64, epoch: u64, cut: u64) -> Vec<String> {
            let (at, weight) = self.begin_settlement(number, anchor, epoch, cut);
            self.emit(at, weight)
        }

        /// Sends the total of an epoch. Returns who is paid.
        fn emit(&mut self, at: AssetEpoch, weight: U512) -> Vec<String> {
            let pot = Pot {
                to_share: U512::from(1_000),
                weight,
            };
            self.paid.clear();
            let total = Notice::Total {
                at,
                pot,
                is_preview: false,
            };
            self.apply(&ledger::notice(&total).unwrap());
            self.paid.sort();
            self.paid.clone()
        }

        /// Sums the accounts of an epoch. Returns their weight.
        fn begin_settlement(&mut self, number: u16, anchor: i64, epoch: u64, cut: u64) -> (AssetEpoch, U512) {
            let (at, weight) = self.close(number, anchor, epoch, cut);
            (at, weight.unwrap())
        }

        /// Sends the settlement and the barrier of an epoch. Returns the weight, if it is the next one.
        fn close(&mut self, number: u16, anchor: i64, epoch: u64, cut: u64) -> (AssetEpoch, Option<U512>) {
            let at = AssetEpoch::new(number, Epoch::new(epoch)).unwrap();
            let anchor = crate::core::values::time::timestamp(i128::from(ORIGIN_MS + anchor * 1_000));
            let listing = format!(
                r#"{{"asset":"A{number}","decimals":0,"anchor":"{anchor}","epoch_seconds":{},"programme":{{"from_epoch":0,"mode":"pool"}}}}"#,
                EPOCH_MS / 1_000
            );
            let Listing { terms, programme, .. } = Listing::read(&listing).unwrap();
            let settlement = Settlement {
                at,
                rules: crate::core::contract::rules::NEWEST_RULES,
                terms,
                programme,
                cut: Offsets([(SOURCE, Offset::new(cut))].into()),
                rates: CloseRates::default(),
                is_last: false,
            };
            self.apply(&ledger::notice(&Notice::Settle(Box::new(settlement))).unwrap());
            let barrier = Notice::Barrier { at, source: SOURCE };
            (at, self.apply(&ledger::notice(&barrier).unwrap()))
        }

        /// The number of statuses that a settlement reads, and of those set aside.
        fn statuses(&self) -> (usize, usize) {
            let count = |table: AccountTable| {
                let (from, to) = table.range(0);
                let mut scan = self.store.scan(&from, &to).unwrap();
                std::iter::from_fn(|| scan.next().unwrap().map(|_| ())).count()
            };
            (count(AccountTable::Statuses), count(AccountTable::SetAside))
        }
    }

    #[test]
    fn superseded_statuses_are_set_aside_at_settlement() {
        let mut ledger = Ledger::new();
        let first = AssetEpoch::new(0, Epoch::FIRST).unwrap();
        for account in ["ann", "ben"] {
            ledger.post(first, account);
        }
        for account in ["ann", "ben", "holds-nothing"] {
            for second in 1..=40 {
                let status = if second % 2 == 0 {
                    Status::Enrolled
                } else {
                    Status::OptedOut
                };
                ledger.status(account, second, status);
            }
        }
        assert_eq!(ledger.statuses(), (120, 0));
        // The epochs begin every 100 seconds, and the statuses are in the first one.
        assert_eq!(ledger.settle(0, 0, 0, 1_000), ["ann", "ben"]);
        assert_eq!(ledger.statuses(), (120, 0), "none is older than the epoch");
        ledger.status("ben", 150, Status::Excluded);
        assert_eq!(ledger.settle(0, 0, 1, 1_000), ["ann"]);
        assert_eq!(ledger.statuses(), (4, 117));
        assert_eq!(ledger.settle(0, 0, 2, 1_000), ["ann"]);
        assert_eq!(ledger.statuses(), (3, 118), "the exclusion supersedes ben's last one");

        // An asset that is listed now, but begins in the past, needs those set aside: after 21 seconds everybody had opted out.
        let past = AssetEpoch::new(1, Epoch::FIRST).unwrap();
        for account in ["ann", "ben"] {
            ledger.post(past, account);
        }
        assert_eq!(ledger.settle(1, 21, 0, 1_000), Vec::<String>::new());
        let other = AssetEpoch::new(2, Epoch::FIRST).unwrap();
        for account in ["ann", "ben"] {
            ledger.post(other, account);
        }
        assert_eq!(ledger.settle(2, 22, 0, 1_000), ["ann", "ben"]);
        assert_eq!(ledger.statuses(), (3, 118), "nothing comes back");
    }

    /// The bytes that a persist writes after a barrier, while so many epochs wait behind the next one.
    fn persisted_behind(waiting: u64) -> usize {
        let mut ledger = Ledger::new();
        for epoch in 1..=waiting {
            ledger.close(0, 0, epoch, 1_000);
        }
        let mut changes = Changes::default();
        ledger.task.write_state(&mut changes).unwrap();
        ledger.store.commit(&mut changes, &Position::default()).unwrap();
        // A task that starts from the store knows as much.
        let restored = load_accrue(&ledger.store).unwrap();
        assert_eq!(restored, ledger.task.accrue);
        assert_eq!(restored.settling().count() as u64, waiting);
        let at = AssetEpoch::new(0, Epoch::FIRST).unwrap();
        ledger.apply(&ledger::notice(&Notice::Barrier { at, source: SOURCE }).unwrap());
        ledger.task.write_state(&mut changes).unwrap();
        changes.bytes()
    }

    #[test]
    fn what_a_settlement_writes_does_not_grow_with_the_epochs_that_wait() {
        let alone = persisted_behind(0);
        assert!(alone > 0);
        assert_eq!(persisted_behind(300), alone);
    }

    #[test]
    fn a_settled_epoch_leaves_nothing_in_the_store() {
        let mut ledger = Ledger::new();
        let at = |epoch| AssetEpoch::new(0, Epoch::new(epoch)).unwrap();
        let persist = |ledger: &mut Ledger| {
            let mut changes = Changes::default();
            ledger.task.write_state(&mut changes).unwrap();
            ledger.store.commit(&mut changes, &Position::default()).unwrap();
            let restored = load_accrue(&ledger.store).unwrap();
            assert_eq!(restored, ledger.task.accrue);
            restored
        };
        for epoch in 0..3 {
            ledger.post(at(epoch), "ann");
        }
        let (first, weight) = ledger.begin_settlement(0, 0, 0, 1_000);
        for epoch in 1..3 {
            ledger.close(0, 0, epoch, 1_000);
        }
        assert_eq!(persist(&mut ledger).settling().count(), 3);
        assert_eq!(ledger.emit(first, weight), ["ann"]);
        // The next epoch is summed at once.
        let restored = persist(&mut ledger);
        assert_eq!(
            restored.settling().map(|(at, _)| at).collect::<Vec<_>>(),
            [at(1), at(2)]
        );
        assert_eq!(restored.job(), None);
    }

    #[test]
    fn a_settlement_tells_how_far_it_is() {
        let mut ledger = Ledger::new();
        let first = AssetEpoch::new(0, Epoch::FIRST).unwrap();
        for account in ["ann", "ben"] {
            ledger.post(first, account);
        }
        let stats = Arc::clone(&ledger.task.stats);
        assert_eq!(stats.settlements.progress(), None);
        ledger.begin_settlement(0, 0, 0, 1_000);
        let progress = stats.settlements.progress().unwrap();
        assert_eq!((progress.asset.as_str(), progress.epoch), ("A0", Epoch::FIRST));
        assert_eq!((progress.done, progress.all), (4096, 8192), "summed, and not emitted");
        ledger.begin_settlement(1, 0, 0, 1_000);
        assert_eq!(stats.settlements.progress().unwrap().epochs, 2);
        drop(ledger);
        assert_eq!(stats.settlements.progress(), None);

        let mut ledger = Ledger::new();
        let stats = Arc::clone(&ledger.task.stats);
        ledger.post(first, "ann");
        assert_eq!(ledger.settle(0, 0, 0, 1_000), ["ann"]);
        assert_eq!(stats.settlements.progress(), None, "emitted");
    }

    #[test]
    fn a_cut_that_lacks_the_newest_status_reads_those_set_aside() {
        let mut ledger = Ledger::new();
        for number in [0, 1] {
            ledger.post(AssetEpoch::new(number, Epoch::FIRST).unwrap(), "ann");
        }
        ledger.status("ann", 1, Status::OptedOut);
        ledger.status("ann", 2, Status::Enrolled);
        assert_eq!(ledger.settle(0, 50, 0, 1_000), ["ann"]);
        assert_eq!(ledger.statuses(), (1, 1));
        // The same epoch of another asset was cut between the two statuses.
        assert_eq!(ledger.settle(1, 50, 0, 2), Vec::<String>::new());
    }
}
