//! A store in memory, for tests: it behaves like the store on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::Position;
use crate::store::changes::Changes;
use crate::store::changes::KeyChange;
use crate::store::error::StoreError;
use crate::store::runs::block_key;
use crate::store::{Scan, SortedRuns, Store, row};

/// The contents of a [`MemoryStore`]. A clone is another handle to the same contents, so they can outlive a task that "crashes".
#[derive(Debug, Clone, Default)]
pub struct MemoryContents(Arc<Mutex<MemoryData>>);

#[derive(Debug, Clone, Default)]
struct MemoryData {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The blocks of the sorted runs.
    blocks: BTreeMap<[u8; 8], Vec<u8>>,
    position: Position,
}

impl MemoryContents {
    fn lock(&self) -> MutexGuard<'_, MemoryData> {
        // The data change in one step, so a panic elsewhere leaves them complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store in memory. It rejects a sum that overflows at the commit; RocksDB does so when it next reads the key.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: MemoryContents,
    position: Position,
}

/// The path that errors name.
const PLACE: &str = "(memory)";

impl MemoryStore {
    /// Opens a store with the commits in `contents`.
    #[must_use]
    pub fn open(contents: &MemoryContents) -> Self {
        let position = contents.lock().position.clone();
        Self {
            contents: contents.clone(),
            position,
        }
    }

    #[must_use]
    pub fn contents(&self) -> MemoryContents {
        self.contents.clone()
    }
}

impl Store for MemoryStore {
    fn position(&self) -> &Position {
        &self.position
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.contents.lock().rows.get(key).cloned())
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let data = self.contents.lock();
        Ok(keys.iter().map(|key| data.rows.get(*key).cloned()).collect())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
        let mut rows = Vec::new();
        if from < to {
            let data = self.contents.lock();
            rows.extend(
                data.rows
                    .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        Ok(Box::new(MemoryScan { rows, next: 0 }))
    }

    fn runs(&self) -> Result<Arc<dyn SortedRuns>, StoreError> {
        Ok(Arc::new(self.contents.clone()))
    }

    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
        let path = Path::new(PLACE);
        let mut data = self.contents.lock();
        let mut new = Vec::new();
        let deleted: Vec<_> = changes
            .deletions()
            .map(|(from, to)| (from.to_vec(), to.to_vec()))
            .collect();
        changes.combined(path, |key, change| {
            let value = match change {
                KeyChange::Put(value) => Some(value.to_vec()),
                KeyChange::Delete => None,
                KeyChange::Add(sum) => {
                    let gone = deleted
                        .iter()
                        .any(|(from, to)| from.as_slice() <= key && key < to.as_slice());
                    match data.rows.get(key) {
                        Some(old) if !gone => {
                            Some(row::add_encoded(old, sum).ok_or_else(|| StoreError::sum(path, key))?)
                        }
                        _ => Some(sum.to_vec()),
                    }
                }
            };
            new.push((key.to_vec(), value));
            Ok(())
        })?;

        // From here on nothing fails.
        for (from, to) in deleted {
            let keys: Vec<_> = data.rows.range(from..to).map(|(key, _)| key.clone()).collect();
            for key in keys {
                data.rows.remove(&key);
            }
        }
        for (key, value) in new {
            match value {
                Some(value) => data.rows.insert(key, value),
                None => data.rows.remove(&key),
            };
        }
        data.position = position.clone();
        self.position = position.clone();
        changes.clear();
        Ok(())
    }
}

impl SortedRuns for MemoryContents {
    fn add(&self, run: u32, blocks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        // The blocks may come from runs of this store.
        let keyed: Vec<_> = blocks
            .zip(0..)
            .map(|(block, number)| (block_key(run, number), block))
            .collect();
        self.lock().blocks.extend(keyed);
        Ok(())
    }

    fn block(&self, run: u32, block: u32) -> Result<Vec<u8>, StoreError> {
        let found = self.lock().blocks.get(&block_key(run, block)).cloned();
        found.ok_or_else(|| StoreError::damaged(Path::new(PLACE), format!("block {block} of run {run} is missing")))
    }

    fn keep_only(&self, kept: &BTreeSet<u32>) -> Result<(), StoreError> {
        let is_kept = |key: &[u8; 8]| {
            key.first_chunk()
                .is_some_and(|run| kept.contains(&u32::from_be_bytes(*run)))
        };
        self.lock().blocks.retain(|key, _| is_kept(key));
        Ok(())
    }
}

struct MemoryScan {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    next: usize,
}

impl Scan for MemoryScan {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, StoreError> {
        let row = self.rows.get(self.next);
        self.next += 1;
        Ok(row.map(|(key, value)| (key.as_slice(), value.as_slice())))
    }
}
