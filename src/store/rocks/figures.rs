//! Figures of the open stores of a process. A task notes those of its store between two steps, so those who look never ask RocksDB.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rocksdb::DB;

use crate::store::rocks::kind::StoreKind;
use crate::store::rocks::runs::RUNS;

/// The time between two looks at the figures of a store.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A property of RocksDB, whose values of all stores are added. Only those that RocksDB has at hand: others look at each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreProperty {
    /// Bytes of the files of the newest version.
    LiveFiles,
    /// Bytes in memory that are not in a file yet.
    Memtables,
    /// Bytes that compaction has to rewrite.
    PendingCompaction,
    /// Compactions that run now.
    RunningCompactions,
    /// The number of keys, about.
    Keys,
}

impl StoreProperty {
    pub const ALL: [Self; 5] = [
        Self::LiveFiles,
        Self::Memtables,
        Self::PendingCompaction,
        Self::RunningCompactions,
        Self::Keys,
    ];

    /// Its name, without the prefix `rocksdb.`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiveFiles => "live-sst-files-size",
            Self::Memtables => "cur-size-all-mem-tables",
            Self::PendingCompaction => "estimate-pending-compaction-bytes",
            Self::RunningCompactions => "num-running-compactions",
            Self::Keys => "estimate-num-keys",
        }
    }
}

/// The figures of one store, or the sums over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    properties: [u64; StoreProperty::ALL.len()],
    /// Files at level 0; of several stores, of the one with the most.
    pub level0_files: u64,
    pub stores: u64,
}

impl Figures {
    #[must_use]
    pub const fn get(&self, property: StoreProperty) -> u64 {
        self.properties[property as usize]
    }

    fn of(db: &DB) -> Self {
        // Of the keys, and of the sorted runs.
        let integer = |name: &str| {
            let runs = db.cf_handle(RUNS).map(|runs| db.property_int_value_cf(runs, name));
            let values = [Some(db.property_int_value(name)), runs].into_iter().flatten();
            values
                .filter_map(|value| value.ok().flatten())
                .fold(0u64, u64::saturating_add)
        };
        let level0 = db.property_value("rocksdb.num-files-at-level0").ok().flatten();
        Self {
            properties: StoreProperty::ALL.map(|property| integer(&format!("rocksdb.{}", property.name()))),
            level0_files: level0.and_then(|files| files.parse().ok()).unwrap_or(0),
            stores: 1,
        }
    }

    fn plus(mut self, other: &Self) -> Self {
        for (sum, more) in self.properties.iter_mut().zip(other.properties) {
            *sum = sum.saturating_add(more);
        }
        self.level0_files = self.level0_files.max(other.level0_files);
        self.stores = self.stores.saturating_add(other.stores);
        self
    }
}

/// The figures of all open stores of a process.
#[derive(Debug, Default)]
pub struct StoreFigures {
    stores: Mutex<BTreeMap<u64, (StoreKind, Figures)>>,
    opened: AtomicU64,
    /// The free bytes of the disk with the stores, once they were measured.
    free: Mutex<Option<u64>>,
}

impl StoreFigures {
    /// The sums over the stores of each kind.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<StoreKind, Figures> {
        let mut sums = BTreeMap::<StoreKind, Figures>::new();
        for (kind, figures) in self.stores().values() {
            let sum = sums.entry(*kind).or_default();
            *sum = sum.plus(figures);
        }
        sums
    }

    /// The free bytes of the disk with the stores, as they were last measured.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_free(&self, bytes: u64) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    }

    /// Adds a store that has just been opened.
    pub(super) fn enter(self: &Arc<Self>, kind: StoreKind, db: &DB) -> OpenStore {
        let number = self.opened.fetch_add(1, Relaxed);
        self.stores().insert(number, (kind, Figures::of(db)));
        OpenStore {
            all: Arc::clone(self),
            number,
            kind,
            looked: Instant::now(),
        }
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<u64, (StoreKind, Figures)>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of an open store among the figures, which it leaves when it is dropped.
pub(super) struct OpenStore {
    all: Arc<StoreFigures>,
    number: u64,
    kind: StoreKind,
    looked: Instant,
}

impl OpenStore {
    /// Looks at the figures again, if that was long ago.
    pub fn look(&mut self, db: &DB) {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            let figures = Figures::of(db);
            self.all.stores().insert(self.number, (self.kind, figures));
        }
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        self.all.stores().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_stores_are_added_and_looked_at_now_and_then() {
        let folders = [(), ()].map(|()| tempfile::tempdir().unwrap());
        let dbs = [0, 1].map(|number: usize| DB::open_default(folders[number].path()).unwrap());
        let all = Arc::<StoreFigures>::default();
        assert_eq!((all.by_kind().len(), all.free_bytes()), (0, None));
        let mut first = all.enter(StoreKind::Accrue, &dbs[0]);
        let second = all.enter(StoreKind::Accrue, &dbs[1]);
        let other = all.enter(StoreKind::Ingest, &dbs[1]);
        assert_eq!(all.by_kind()[&StoreKind::Accrue].stores, 2);
        dbs[0].put(b"a", [0; 1000]).unwrap();
        dbs[0].flush().unwrap();
        first.look(&dbs[0]);
        let accrue = || all.by_kind()[&StoreKind::Accrue];
        assert_eq!(accrue().get(StoreProperty::LiveFiles), 0, "it was looked at just now");
        first.looked -= LOOK_EVERY;
        first.look(&dbs[0]);
        let figures = accrue();
        assert!(figures.get(StoreProperty::LiveFiles) > 0);
        assert_eq!((figures.get(StoreProperty::Keys), figures.level0_files), (1, 1));
        // RocksDB knows every property.
        for property in StoreProperty::ALL {
            let name = format!("rocksdb.{}", property.name());
            assert!(dbs[0].property_int_value(&name).unwrap().is_some(), "{name}");
        }
        drop((first, second));
        assert_eq!(all.by_kind().into_keys().collect::<Vec<_>>(), [StoreKind::Ingest]);
        drop(other);
        assert!(all.by_kind().is_empty());
    }
}
