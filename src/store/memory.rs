//! A store in memory, for tests: what it is expected to do, without a disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::Position;
use crate::store::changes::Change;
use crate::store::{Changes, Scan, Store, StoreError, row};

/// What a [`MemoryStore`] holds. A clone is another handle to the same contents, so they can outlive a task that "crashes".
#[derive(Debug, Clone, Default)]
pub struct Contents(Arc<Mutex<State>>);

#[derive(Debug, Clone, Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Position,
}

impl Contents {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced in one step, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store in memory. It refuses a sum that does not fit when it is committed; RocksDB does so when it next reads the key.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Contents,
    position: Position,
}

/// The path that errors name.
const PLACE: &str = "(memory)";

impl MemoryStore {
    /// Opens what `contents` hold: all commits so far.
    #[must_use]
    pub fn open(contents: &Contents) -> Self {
        let position = contents.lock().position.clone();
        Self {
            contents: contents.clone(),
            position,
        }
    }

    /// A handle to what it holds.
    #[must_use]
    pub fn contents(&self) -> Contents {
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
        let state = self.contents.lock();
        Ok(keys.iter().map(|key| state.rows.get(*key).cloned()).collect())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
        let mut rows = Vec::new();
        if from < to {
            let state = self.contents.lock();
            rows.extend(
                state
                    .rows
                    .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        Ok(Box::new(MemoryScan { rows, next: 0 }))
    }

    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
        let path = Path::new(PLACE);
        let mut state = self.contents.lock();
        let mut new = Vec::new();
        let deleted: Vec<_> = changes
            .deletions()
            .map(|(from, to)| (from.to_vec(), to.to_vec()))
            .collect();
        changes.combined(path, |key, change| {
            let value = match change {
                Change::Put(value) => Some(value.to_vec()),
                Change::Delete => None,
                Change::Add(sum) => {
                    let gone = deleted
                        .iter()
                        .any(|(from, to)| from.as_slice() <= key && key < to.as_slice());
                    match state.rows.get(key) {
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

        // Nothing fails from here on.
        for (from, to) in deleted {
            let keys: Vec<_> = state.rows.range(from..to).map(|(key, _)| key.clone()).collect();
            for key in keys {
                state.rows.remove(&key);
            }
        }
        for (key, value) in new {
            match value {
                Some(value) => state.rows.insert(key, value),
                None => state.rows.remove(&key),
            };
        }
        state.position = position.clone();
        self.position = position.clone();
        changes.clear();
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
