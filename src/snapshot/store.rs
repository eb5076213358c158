//! A store of which snapshots are taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bus::Position;
use crate::snapshot::figures::SnapshotEntry;
use crate::snapshot::series::SnapshotSeries;
use crate::snapshot::snapshots::Snapshots;
use crate::snapshot::upload::{UploadJob, UploadOutcome};
use crate::store::rocks::RocksStore;
use crate::store::{Changes, Scan, SortedRuns, Store, StoreError};

/// A checkpoint that takes longer delays its task noticeably, and is logged.
const SLOW_CHECKPOINT: Duration = Duration::from_secs(1);

/// Wraps a store. It takes a snapshot whenever one is due and the store has changed since the last one.
pub struct SnapshottedStore {
    store: RocksStore,
    series: SnapshotSeries,
    snapshots: Arc<Snapshots>,
    due: Instant,
    /// The position of the last snapshot.
    last: Option<Position>,
    entry: SnapshotEntry,
    outcome: Arc<UploadOutcome>,
    /// The number of snapshots taken; it makes the names of checkpoints unique.
    taken: u64,
    /// Whether the store is known to be of this log. No other is uploaded.
    confirmed: bool,
}

impl SnapshottedStore {
    #[must_use]
    pub fn new(store: RocksStore, series: SnapshotSeries, snapshots: Arc<Snapshots>) -> Self {
        // Spread the tasks of a process over the time between two snapshots.
        let share = series
            .folder
            .bytes()
            .fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
            % 64;
        let due = Instant::now() + snapshots.settings.every * (share + 1) / 64;
        Self {
            store,
            entry: snapshots.figures.enter(),
            series,
            snapshots,
            due,
            last: None,
            outcome: Arc::default(),
            taken: 0,
            confirmed: false,
        }
    }

    fn take_snapshot(&mut self) {
        let folder = self
            .snapshots
            .folder
            .join(format!("{}-{}", self.series.local_name(), self.taken));
        self.taken += 1;
        let began = Instant::now();
        if let Err(error) = self.store.checkpoint(&folder) {
            // The task continues: the bus has everything that the store has.
            tracing::warn!(owner = self.series.owner, "no snapshot was taken: {error}");
            self.snapshots.figures.count(false);
            let _ = std::fs::remove_dir_all(&folder);
            return;
        }
        let pause = began.elapsed();
        if pause > SLOW_CHECKPOINT {
            tracing::warn!(
                owner = self.series.owner,
                "the checkpoint for a snapshot took {} ms",
                pause.as_millis()
            );
        }
        self.last = Some(self.store.position().clone());
        self.outcome.set_under_way();
        self.snapshots.upload(UploadJob {
            series: self.series.clone(),
            folder,
            position: self.store.position().clone(),
            alone: self.snapshots.is_alone(),
            entry: self.entry.clone(),
            taken: Instant::now(),
            outcome: Arc::clone(&self.outcome),
        });
    }

    /// Whether there is anything to take a snapshot of.
    fn is_wanted(&self) -> bool {
        self.confirmed && !self.snapshots.refusal.is_set() && self.last.as_ref() != Some(self.store.position())
    }
}

impl Store for SnapshottedStore {
    fn position(&self) -> &Position {
        self.store.position()
    }

    fn has_room(&self) -> Result<(), StoreError> {
        self.store.has_room()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.get_many(keys)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
        self.store.scan(from, to)
    }

    fn runs(&self) -> Result<Arc<dyn SortedRuns>, StoreError> {
        self.store.runs()
    }

    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
        self.store.commit(changes, position)
    }

    fn maintain(&mut self) {
        self.store.maintain();
        if self.outcome.is_under_way() || Instant::now() < self.due {
            return;
        }
        if self.outcome.has_failed() {
            self.last = None;
        }
        self.due = Instant::now() + self.snapshots.settings.every;
        self.snapshots.refusal.remind();
        if self.is_wanted() {
            self.take_snapshot();
        } else if self.confirmed && !self.snapshots.refusal.is_set() {
            // The newest state is in a snapshot already.
            self.entry.note(Instant::now());
        }
    }

    fn close(&mut self) {
        if self.snapshots.settings.at_close && self.is_wanted() {
            self.take_snapshot();
        }
    }

    fn quarantine(&self, why: &StoreError) {
        self.store.quarantine(why);
    }

    fn is_confirmed(&self) -> bool {
        self.store.is_confirmed()
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        self.store.confirm()?;
        self.confirmed = true;
        Ok(())
    }
}
