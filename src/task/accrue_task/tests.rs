//! Tests of the accrue task on a store in memory.

use ruint::aliases::U512;

use crate::bus::memory::MemoryBus;
use crate::bus::{Mark, Position};
use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::Offsets;
use crate::core::contract::event::Status;
use crate::core::contract::listing::Listing;
use crate::core::protocol::codec;
use crate::core::protocol::ledger::{self, BlockBuilder, LateEntry, Posting, StatusEntry};
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
    /// The rules of assets that are closed, as members of their programmes.
    rules: &'static str,
    paid: Vec<String>,
    published: Outputs,
}

impl Ledger {
    fn new() -> Self {
        let store = MemoryStore::default();
        let task = AccrueTask::new(0, Partitions::new(1).unwrap(), 7, &store, Arc::default()).unwrap();
        Self {
            task,
            store,
            rules: r#""mode":"pool""#,
            paid: Vec::new(),
            published: Outputs::default(),
        }
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
        let (mut weight, mut reached) = (None, Vec::new());
        while self.task.has_job() {
            let mut progress = JobProgress::Finished;
            let outputs = self.step(|task, context| progress = task.continue_job(&reached, None, context).unwrap());
            reached = match progress {
                JobProgress::Reached(key) => key,
                JobProgress::Finished => Vec::new(),
            };
            for (to, key, value) in outputs.iter() {
                self.published.push(to, key, value);
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

    /// A posting that missed the first epoch.
    fn late(&mut self, at: AssetEpoch, account: &str, delta: i128) {
        let account = AccountName::new(account).unwrap();
        self.block(|block| {
            block.late(&LateEntry {
                posting: Posting {
                    bucket: bucket(account.as_str()),
                    account: account.borrowed(),
                    at,
                    delta,
                    before_end_ms: EPOCH_MS.unsigned_abs(),
                },
                missed: Epoch::FIRST,
                before_missed_end_ms: 500,
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
            r#"{{"asset":"A{number}","decimals":0,"anchor":"{anchor}","epoch_seconds":{},"programme":{{"from_epoch":0,{}}}}}"#,
            EPOCH_MS / 1_000,
            self.rules
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

    fn persist_state(&mut self) {
        let mut changes = Changes::default();
        self.task.write_state(&mut changes).unwrap();
        self.store.commit(&mut changes, &Position::default()).unwrap();
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

type KeysAndValues = Vec<(Vec<u8>, Vec<u8>)>;

/// What the second epoch of an asset publishes, and all that its store holds afterwards. `after_sum` may change the task between sum and emission.
fn second_epoch(
    rules: &'static str,
    before_sum: impl Fn(&AccrueTask),
    after_sum: impl Fn(&mut Ledger),
) -> (KeysAndValues, KeysAndValues) {
    let mut ledger = Ledger::new();
    ledger.rules = rules;
    let at = |epoch| AssetEpoch::new(0, Epoch::new(epoch)).unwrap();
    let accounts: Vec<String> = (0..200)
        .flat_map(|number| [format!("u-{number}"), format!("u-{}/sub-{number}", number % 70)])
        .collect();
    for account in &accounts {
        ledger.post(at(0), account);
    }
    for (second, account) in (1..).zip(accounts.iter().step_by(7)) {
        let statuses = [Status::OptedOut, Status::Excluded, Status::Enrolled];
        ledger.status(account, second, statuses[second as usize % 3]);
        if second % 5 == 0 {
            ledger.status(account, second + 1, Status::Enrolled);
        }
    }
    ledger.settle(0, 0, 0, 1_000);
    for account in accounts.iter().step_by(3) {
        ledger.post(at(1), account);
    }
    // These hold nothing any more, and have missed the first epoch.
    for account in accounts.iter().step_by(11).filter(|_| rules.contains("resettle")) {
        ledger.late(at(1), account, -100);
    }
    before_sum(&ledger.task);
    let (second, weight) = ledger.begin_settlement(0, 0, 1, 1_000);
    ledger.persist_state();
    after_sum(&mut ledger);
    ledger.published.clear();
    ledger.emit(second, weight);
    ledger.persist_state();
    let owned = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    let published = ledger
        .published
        .iter()
        .map(|(_, key, value)| owned(key, value))
        .collect();
    let mut scan = ledger.store.scan(&[1], &[0xff]).unwrap();
    let stored = std::iter::from_fn(|| scan.next().unwrap().map(|(key, value)| owned(key, value))).collect();
    (published, stored)
}

#[test]
fn an_emission_does_not_depend_on_what_the_sum_has_kept() {
    let all_rules = [
        r#""mode":"pool""#,
        r#""mode":"pool","min_balance":"50","max_balance":"150","min_payout":"2","late_policy":"resettle""#,
        r#""mode":"pool","scope":"owner","max_balance":"250","late_policy":"resettle""#,
        r#""mode":"pool","enrolment":"opt_in","min_payout":"1""#,
    ];
    for rules in all_rules {
        let restart = |ledger: &mut Ledger| {
            ledger.task = AccrueTask::new(0, Partitions::new(1).unwrap(), 7, &ledger.store, Arc::default()).unwrap();
        };
        let scanned = second_epoch(rules, |_| (), restart);
        assert!(scanned.0.len() > 10, "{rules}: {}", scanned.0.len());
        let at = AssetEpoch::new(0, Epoch::new(1)).unwrap();
        let kept = second_epoch(rules, |_| (), |ledger| assert!(ledger.task.kept[&at].is_complete()));
        assert_eq!(kept, scanned, "{rules}");
        let with_room_for = |bytes: usize| {
            let half = |ledger: &mut Ledger| {
                assert!(!ledger.task.kept[&at].is_complete() && ledger.task.kept[&at].is_empty() == (bytes == 0));
            };
            second_epoch(rules, |task| assert!(task.stats.kept_bytes.leave(bytes)), half)
        };
        assert_eq!(with_room_for(0), scanned, "{rules}, nothing kept");
        assert_eq!(with_room_for(10_000), scanned, "{rules}, a part kept");
    }
}
