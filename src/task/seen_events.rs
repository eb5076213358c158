//! The dedup index over a store. It keeps events applied since the last persist in memory, and looks up older ones batch by batch.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock};

use crate::core::dedup::{DedupIndex, SeenEvent};
use crate::core::values::ids::Epoch;
use crate::store::{Changes, Store, tables};
use crate::task::fold::FoldError;

/// An identity is the start of a SHA-256, so any eight bytes of it are a hash already.
#[derive(Debug, Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of the array, which comes before its bytes, is always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// The dedup window: the epochs for which seen events are kept. RocksDB may drop older ones whenever it compacts the store.
///
/// The fold treats an expired event as absent. So it does not matter whether the store still has it.
#[derive(Debug, Default)]
pub struct DedupWindow {
    /// The oldest epoch in the window of each asset, by number, as of the last persist. None before the first one.
    oldest_kept: RwLock<Vec<Epoch>>,
}

impl DedupWindow {
    /// Moves the window, given the oldest epoch in it of each asset, by number.
    pub fn set(&self, oldest_kept: impl Iterator<Item = Epoch>) {
        let mut known = self.oldest_kept.write().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        known.extend(oldest_kept);
    }

    /// Whether an entry of the store is a seen event older than the window. One posting in an epoch that old is enough.
    pub fn expires(&self, key: &[u8], value: &[u8]) -> bool {
        let oldest_kept = self.oldest_kept.read().unwrap_or_else(PoisonError::into_inner);
        tables::is_seen(key)
            && SeenEvent::read(value).is_ok_and(|seen| {
                seen.postings.iter().any(|at| {
                    let oldest = oldest_kept.get(usize::from(at.number())).copied().unwrap_or_default();
                    at.epoch() < oldest
                })
            })
    }
}

type SeenByIdentity = HashMap<[u8; 16], SeenEvent, BuildHasherDefault<FirstBytes>>;

/// The seen events of a task, by identity.
#[derive(Debug, Default)]
pub struct StoredDedupIndex {
    /// Applied since the last persist.
    recent: SeenByIdentity,
    /// Loaded from the store for what is applied next.
    loaded: SeenByIdentity,
    /// A buffer for keys.
    keys: Vec<[u8; 17]>,
}

impl StoredDedupIndex {
    /// Loads the seen events with these identities, before their records are applied. They replace those loaded before.
    pub fn load<'a>(
        &mut self,
        identities: impl Iterator<Item = &'a [u8; 16]>,
        store: &dyn Store,
    ) -> Result<(), FoldError> {
        self.loaded.clear();
        self.keys.clear();
        self.keys.extend(
            identities
                .filter(|identity| !self.recent.contains_key(*identity))
                .map(tables::seen),
        );
        let keys: Vec<&[u8]> = self.keys.iter().map(<[u8; 17]>::as_slice).collect();
        for (key, value) in self.keys.iter().zip(store.get_many(&keys)?) {
            if let (Some(value), Some(identity)) = (value, key.last_chunk()) {
                self.loaded.insert(*identity, SeenEvent::read(&value)?);
            }
        }
        Ok(())
    }

    /// Bytes that [`Self::write`] would add to the changes, about.
    pub fn unwritten_bytes(&self) -> usize {
        self.recent.len() * (size_of::<SeenEvent>() + 24)
    }

    /// Writes the events applied since the last persist.
    pub fn write(&mut self, changes: &mut Changes) {
        let mut value = Vec::new();
        for (identity, seen) in self.recent.drain() {
            value.clear();
            seen.write(&mut value);
            changes.put(&tables::seen(&identity), &value);
        }
    }
}

impl DedupIndex for StoredDedupIndex {
    fn get(&self, identity: &[u8; 16]) -> Option<&SeenEvent> {
        self.recent.get(identity).or_else(|| self.loaded.get(identity))
    }

    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent) {
        self.recent.insert(identity, seen);
    }
}

#[cfg(test)]
mod tests {
    use crate::core::values::ids::AssetEpoch;

    use super::*;

    fn entry(epochs: &[(u16, u64)]) -> ([u8; 17], Vec<u8>) {
        let postings = epochs
            .iter()
            .map(|(number, epoch)| AssetEpoch::new(*number, Epoch::new(*epoch)).unwrap())
            .collect();
        let mut value = Vec::new();
        SeenEvent {
            fingerprint: 1,
            postings,
        }
        .write(&mut value);
        (tables::seen(&[7; 16]), value)
    }

    #[test]
    fn events_expire_once_they_are_older_than_the_window() {
        let window = DedupWindow::default();
        let (key, value) = entry(&[(0, 2), (1, 9)]);
        assert!(!window.expires(&key, &value), "nothing is closed");
        window.set([2, 9].map(Epoch::new).into_iter());
        assert!(!window.expires(&key, &value), "the oldest epoch of the window is in it");
        window.set([3, 9].map(Epoch::new).into_iter());
        assert!(
            window.expires(&key, &value),
            "the one before is not, and one asset is enough"
        );
        let (key, value) = entry(&[]);
        assert!(!window.expires(&key, &value), "a status never expires");
        assert!(!window.expires(&tables::STATE, &value), "other tables never expire");
    }
}
