//! How far the settlements of this process are, for progress bars.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// The settlements that the accrue tasks of a process work on.
///
/// A settlement scans the accounts of each ledger partition twice, bucket by bucket: to sum them, and to emit distributions.
#[derive(Debug, Default)]
pub struct Settlements(Mutex<Scans>);

#[derive(Debug, Default)]
struct Scans {
    /// The number of buckets of each ledger partition with a task in this process.
    partitions: BTreeMap<u16, u64>,
    /// The epochs under way.
    epochs: BTreeMap<AssetEpoch, EpochScans>,
}

#[derive(Debug)]
struct EpochScans {
    asset: Asset,
    partitions: BTreeMap<u16, PartitionScans>,
}

/// The scans of one ledger partition.
#[derive(Debug, Clone, Copy)]
struct PartitionScans {
    /// Buckets that were scanned, in both scans.
    done: u64,
    /// The buckets of both scans.
    all: u64,
}

/// A scan of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettlementScan {
    Sum,
    /// For the gate. It counts like an emission, which is counted anew if it follows.
    Preview,
    Emit,
}

/// How far a settlement is, or several together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementProgress {
    /// One of the epochs.
    pub asset: Asset,
    pub epoch: Epoch,
    /// How many epochs are under way.
    pub epochs: usize,
    /// Buckets that were scanned, in both scans.
    pub done: u64,
    /// The buckets of both scans.
    pub all: u64,
}

impl Settlements {
    fn scans(&self) -> MutexGuard<'_, Scans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task of a ledger partition begins in this process.
    pub fn begin(&self, partition: u16, buckets: &Range<u16>) {
        self.scans().partitions.insert(partition, buckets.len() as u64);
    }

    /// The task of a ledger partition ends, or another process has it.
    pub fn end(&self, partition: u16) {
        let mut scans = self.scans();
        scans.partitions.remove(&partition);
        for epoch in scans.epochs.values_mut() {
            epoch.partitions.remove(&partition);
        }
        scans.drop_finished();
    }

    /// A scan of a ledger partition has finished its first `done` buckets.
    pub fn note(&self, at: AssetEpoch, asset: Asset, partition: u16, scan: SettlementScan, done: u64) {
        let mut scans = self.scans();
        let Some(buckets) = scans.partitions.get(&partition).copied() else {
            return;
        };
        let before = match scan {
            SettlementScan::Sum => 0,
            SettlementScan::Preview | SettlementScan::Emit => buckets,
        };
        let epoch = scans.epochs.entry(at).or_insert_with(|| EpochScans {
            asset,
            partitions: BTreeMap::new(),
        });
        let now = PartitionScans {
            done: before.saturating_add(done.min(buckets)),
            all: buckets.saturating_mul(2),
        };
        epoch.partitions.insert(partition, now);
        scans.drop_finished();
    }

    /// How far the settlements are together; `None` if there is none.
    #[must_use]
    pub fn progress(&self) -> Option<SettlementProgress> {
        let each = self.each();
        let (first, others) = each.split_first()?;
        let mut progress = *first;
        for other in others {
            progress.epochs = progress.epochs.saturating_add(other.epochs);
            progress.done = progress.done.saturating_add(other.done);
            progress.all = progress.all.saturating_add(other.all);
        }
        Some(progress)
    }

    /// How far each settlement is.
    #[must_use]
    pub fn each(&self) -> Vec<SettlementProgress> {
        let scans = self.scans();
        let all = scans.epochs.iter();
        all.map(|(at, epoch)| scans.progress_of(*at, epoch)).collect()
    }
}

impl EpochScans {
    /// Whether no partition has begun to emit: that needs the sums of all.
    fn is_summing(&self) -> bool {
        let mut partitions = self.partitions.values();
        partitions.all(|scans| scans.done <= scans.all / 2)
    }

    /// Whether all is emitted. A partition without scans was not here when the others began.
    fn is_finished(&self) -> bool {
        self.partitions.values().all(|scans| scans.done == scans.all)
    }
}

impl Scans {
    fn progress_of(&self, at: AssetEpoch, epoch: &EpochScans) -> SettlementProgress {
        let mut progress = SettlementProgress {
            asset: epoch.asset,
            epoch: at.epoch(),
            epochs: 1,
            done: 0,
            all: 0,
        };
        for partition in epoch.partitions.values() {
            progress.done = progress.done.saturating_add(partition.done);
            progress.all = progress.all.saturating_add(partition.all);
        }
        if epoch.is_summing() {
            // The other partitions sum as well, and have not begun.
            let others = self.partitions.iter();
            let others = others.filter(|(number, _)| !epoch.partitions.contains_key(number));
            for (_, buckets) in others {
                progress.all = progress.all.saturating_add(buckets.saturating_mul(2));
            }
        }
        progress
    }

    fn drop_finished(&mut self) {
        self.epochs.retain(|_, epoch| !epoch.is_finished());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALVES: [Range<u16>; 2] = [0..2048, 2048..4096];

    fn settlements() -> Settlements {
        let settlements = Settlements::default();
        for (partition, buckets) in (0..).zip(&HALVES) {
            settlements.begin(partition, buckets);
        }
        settlements
    }

    fn at(epoch: u64) -> AssetEpoch {
        AssetEpoch::new(0, Epoch::new(epoch)).unwrap()
    }

    fn note(settlements: &Settlements, epoch: u64, partition: u16, scan: SettlementScan, done: u64) {
        settlements.note(at(epoch), Asset::parse("ATOM").unwrap(), partition, scan, done);
    }

    /// The scanned buckets, and all.
    fn counts(settlements: &Settlements) -> Option<(u64, u64)> {
        settlements.progress().map(|progress| (progress.done, progress.all))
    }

    #[test]
    fn both_scans_of_all_partitions_count() {
        let settlements = settlements();
        assert_eq!(settlements.progress(), None);
        note(&settlements, 3, 0, SettlementScan::Sum, 0);
        assert_eq!(counts(&settlements), Some((0, 8192)), "partition 1 has not begun");
        note(&settlements, 3, 0, SettlementScan::Sum, 2048);
        note(&settlements, 3, 1, SettlementScan::Sum, 1000);
        assert_eq!(counts(&settlements), Some((3048, 8192)));
        note(&settlements, 3, 1, SettlementScan::Sum, 2048);
        note(&settlements, 3, 0, SettlementScan::Emit, 1);
        assert_eq!(counts(&settlements), Some((4097, 8192)));
        note(&settlements, 3, 0, SettlementScan::Emit, 2048);
        let progress = settlements.progress().unwrap();
        assert_eq!((progress.epoch, progress.epochs), (Epoch::new(3), 1));
        note(&settlements, 4, 0, SettlementScan::Sum, 0);
        assert_eq!(settlements.progress().unwrap().epochs, 2);
        note(&settlements, 3, 1, SettlementScan::Emit, 2048);
        assert_eq!(counts(&settlements), Some((0, 8192)), "epoch 3 is settled");
    }

    #[test]
    fn a_partition_that_moves_is_not_waited_for() {
        let settlements = settlements();
        note(&settlements, 0, 0, SettlementScan::Sum, 2048);
        note(&settlements, 0, 1, SettlementScan::Sum, 2048);
        note(&settlements, 0, 0, SettlementScan::Emit, 2048);
        assert_eq!(counts(&settlements), Some((6144, 8192)));
        settlements.end(1);
        assert_eq!(counts(&settlements), None, "the other process emits the rest");
        // It comes back, where the epoch was settled meanwhile.
        settlements.begin(1, &HALVES[1]);
        note(&settlements, 1, 0, SettlementScan::Emit, 5);
        assert_eq!(counts(&settlements), Some((2053, 4096)));
        note(&settlements, 1, 0, SettlementScan::Emit, 2048);
        assert_eq!(counts(&settlements), None);
        note(&settlements, 2, 7, SettlementScan::Sum, 1);
        assert_eq!(counts(&settlements), None, "a partition without a task");
    }
}
