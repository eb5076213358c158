//! A store of which snapshots are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::bus::Position;
use crate::snapshot::upload::Job;
use crate::snapshot::{Series, Snapshots};
use crate::store::rocks::RocksStore;
use crate::store::{Changes, Scan, Store, StoreError};

/// What has become of the snapshot that was taken last.
#[derive(Debug, Default)]
pub(super) struct Fate(AtomicU8);

const SETTLED: u8 = 0;
const UNDER_WAY: u8 = 1;
const FAILED: u8 = 2;

impl Fate {
    pub(super) fn settle(&self, succeeded: bool) {
        self.0
            .store(if succeeded { SETTLED } else { FAILED }, Ordering::Release);
    }
}

/// A store of which a snapshot is taken now and then: whenever one is due and the store has moved since the last.
pub struct Snapshotted {
    store: RocksStore,
    series: Series,
    snapshots: Arc<Snapshots>,
    due: Instant,
    /// Where the store was when the last one was taken.
    last: Option<Position>,
    fate: Arc<Fate>,
    taken: u64,
}

impl Snapshotted {
    /// Has snapshots taken of `store`.
    #[must_use]
    pub fn new(store: RocksStore, series: Series, snapshots: Arc<Snapshots>) -> Self {
        // Not all tasks of a process at once: each has its own part of the time between two snapshots.
        let share = series
            .folder
            .bytes()
            .fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
            % 64;
        let due = Instant::now() + snapshots.settings.every * (share + 1) / 64;
        Self {
            store,
            series,
            snapshots,
            due,
            last: None,
            fate: Arc::default(),
            taken: 0,
        }
    }

    fn snapshot(&mut self) {
        let folder = self
            .snapshots
            .folder
            .join(format!("{}-{}", self.series.folder.replace('/', "-"), self.taken));
        self.taken += 1;
        let began = Instant::now();
        if let Err(error) = self.store.checkpoint(&folder) {
            // The task itself goes on: what it holds is on the bus.
            tracing::warn!(owner = self.series.owner, "no snapshot was taken: {error}");
            let _ = std::fs::remove_dir_all(&folder);
            return;
        }
        let pause = began.elapsed();
        if pause > Duration::from_secs(1) {
            tracing::warn!(
                owner = self.series.owner,
                "catching a snapshot took {} ms",
                pause.as_millis()
            );
        }
        self.last = Some(self.store.position().clone());
        self.fate.0.store(UNDER_WAY, Ordering::Release);
        self.snapshots.send(Job {
            series: self.series.clone(),
            folder,
            position: self.store.position().clone(),
            fate: Arc::clone(&self.fate),
        });
    }

    fn has_moved(&self) -> bool {
        self.last.as_ref() != Some(self.store.position())
    }
}

impl Store for Snapshotted {
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

    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
        self.store.commit(changes, position)
    }

    fn maintain(&mut self) {
        let fate = self.fate.0.load(Ordering::Acquire);
        if fate == UNDER_WAY || Instant::now() < self.due {
            return;
        }
        if fate == FAILED {
            self.last = None;
        }
        self.due = Instant::now() + self.snapshots.settings.every;
        if self.has_moved() {
            self.snapshot();
        }
    }

    fn close(&mut self) {
        if self.snapshots.settings.at_close && self.has_moved() {
            self.snapshot();
        }
    }

    fn quarantine(&self, why: &StoreError) {
        self.store.quarantine(why);
    }
}
