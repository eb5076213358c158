//! Reads of the stores that tasks of this process have open, by other threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rocksdb::{DB, ReadOptions, Snapshot};

use crate::bus::Position;
use crate::store::changes::Changes;
use crate::store::error::StoreError;
use crate::store::rocks::own_keys::{AFTER_OWN_KEYS, POSITION, decode_position};
use crate::store::rocks::scan::RocksScan;
use crate::store::{Scan, SortedRuns, Store};

/// The open stores of a process, by their folders.
#[derive(Default)]
pub struct LiveStores(RwLock<BTreeMap<PathBuf, Arc<DB>>>);

impl LiveStores {
    /// Calls `read` with the newest commit of the store at `path`, which does not change meanwhile. `None` if no task of this process has it open.
    ///
    /// Commits go on meanwhile. Only a task that opens or closes a store waits for `read`, so it must be short.
    ///
    /// # Errors
    /// If the position of the store cannot be read.
    pub fn read<T>(&self, path: &Path, read: impl FnOnce(&dyn Store) -> T) -> Result<Option<T>, StoreError> {
        let stores = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some((path, db)) = stores.get_key_value(path) else {
            return Ok(None);
        };
        let snapshot = db.snapshot();
        let position = snapshot.get(POSITION).map_err(StoreError::rocks("read from", path))?;
        let store = LiveStore {
            position: decode_position(position, path)?,
            snapshot,
            path,
        };
        Ok(Some(read(&store)))
    }

    pub(super) fn enter(self: &Arc<Self>, path: &Path, db: &Arc<DB>) -> LiveEntry {
        let mut stores = self.0.write().unwrap_or_else(PoisonError::into_inner);
        stores.insert(path.to_owned(), Arc::clone(db));
        LiveEntry {
            all: Arc::clone(self),
            path: path.to_owned(),
        }
    }
}

/// The place of an open store among the others, which it leaves when it is dropped. Then nobody reads it any more, so the drop of the store closes it.
pub(super) struct LiveEntry {
    all: Arc<LiveStores>,
    path: PathBuf,
}

impl Drop for LiveEntry {
    fn drop(&mut self) {
        let mut stores = self.all.0.write().unwrap_or_else(PoisonError::into_inner);
        let db = stores.remove(&self.path);
        // To close a store can take long. The others can be read meanwhile.
        drop(stores);
        drop(db);
    }
}

/// One commit of an open store.
struct LiveStore<'a> {
    snapshot: Snapshot<'a>,
    position: Position,
    path: &'a Path,
}

impl Store for LiveStore<'_> {
    fn position(&self) -> &Position {
        &self.position
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot
            .get(key)
            .map_err(StoreError::rocks("read from", self.path))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
        let mut reading = ReadOptions::default();
        reading.set_iterate_upper_bound(to);
        // A look from outside must not displace blocks that the task needs.
        reading.fill_cache(false);
        let mut cursor = self.snapshot.raw_iterator_opt(reading);
        cursor.seek(from.max(AFTER_OWN_KEYS));
        Ok(Box::new(RocksScan::new(cursor, self.path)))
    }

    fn runs(&self) -> Result<Arc<dyn SortedRuns>, StoreError> {
        Err(StoreError::ReadOnly {
            path: self.path.to_owned(),
        })
    }

    fn commit(&mut self, _changes: &mut Changes, _position: &Position) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly {
            path: self.path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources, StoreSettings};

    #[test]
    fn an_open_store_is_read_at_its_newest_commit_and_can_be_opened_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let resources = StoreResources::new(MemoryLimits::default()).unwrap();
        let open = || {
            let settings = StoreSettings::new(resources.clone(), "a test");
            RocksStore::open(folder.path(), StoreKind::Accrue, settings).unwrap()
        };
        let live = Arc::clone(resources.live());
        assert!(live.read(folder.path(), |_| ()).unwrap().is_none());
        let mut store = open();
        let put = |store: &mut RocksStore, value: &[u8]| {
            let mut changes = Changes::default();
            changes.put(b"key", value);
            store.commit(&mut changes, &Position::default()).unwrap();
        };
        put(&mut store, b"old");
        let seen = live.read(folder.path(), |read| {
            put(&mut store, b"new");
            let mut scan = read.scan(b"a", b"z").unwrap();
            let scanned = scan.next().unwrap().map(|(key, value)| (key.to_vec(), value.to_vec()));
            let found = read.get_many(&[b"key", b"other"]).unwrap();
            (scanned, found)
        });
        let (scanned, found) = seen.unwrap().unwrap();
        assert_eq!(scanned, Some((b"key".to_vec(), b"old".to_vec())));
        assert_eq!(found, [Some(b"old".to_vec()), None]);
        let newest = live.read(folder.path(), |read| read.get(b"key").unwrap());
        assert_eq!(newest.unwrap().unwrap(), Some(b"new".to_vec()));
        drop(store);
        assert!(live.read(folder.path(), |_| ()).unwrap().is_none());
        assert_eq!(open().get(b"key").unwrap(), Some(b"new".to_vec()));
    }

    #[test]
    fn a_store_that_closes_waits_for_those_who_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let resources = StoreResources::new(MemoryLimits::default()).unwrap();
        let live = Arc::clone(resources.live());
        let open = || {
            let settings = StoreSettings::new(resources.clone(), "a test");
            RocksStore::open(folder.path(), StoreKind::Accrue, settings)
        };
        let store = open().unwrap();
        std::thread::scope(|scope| {
            let (begun, began) = std::sync::mpsc::channel();
            let (live, path) = (&live, folder.path());
            scope.spawn(move || {
                live.read(path, |read| {
                    begun.send(()).unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(200));
                    read.get(b"key").unwrap()
                })
                .unwrap()
            });
            began.recv().unwrap();
            drop(store);
            // RocksDB's lock is free only if no reader has the store any more.
            open().unwrap();
        });
    }
}
