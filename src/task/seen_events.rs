//! The memory of applied events over a store: what was applied since the last persist is held here, the rest is looked up by the batch.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock};

use crate::core::dedup::{DedupIndex, SeenEvent, is_expired};
use crate::core::fault::Fault;
use crate::core::values::ids::Epoch;

use crate::store::{Changes, Store, tables};
use crate::task::harness::Stop;

/// An identity is the start of a SHA-256: any eight bytes of it are a hash already.
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

    // An array's length comes before its bytes and is always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// How far the memory of events reaches: what lies behind may vanish from the store whenever RocksDB compacts it.
///
/// A remembered event that is behind is never asked for: whoever finds it treats it as forgotten, and whoever does not find it does the same.
#[derive(Debug)]
pub struct DedupWindow {
    dedup_epochs: u64,
    /// The oldest open epoch of each asset, by number, as of the last persist.
    oldest_open: RwLock<Vec<Epoch>>,
}

impl DedupWindow {
    /// A horizon behind which nothing is yet.
    pub fn new(dedup_epochs: u64) -> Self {
        Self {
            dedup_epochs,
            oldest_open: RwLock::default(),
        }
    }

    /// Moves it.
    pub fn set(&self, oldest_open: impl Iterator<Item = Epoch>) {
        let mut known = self.oldest_open.write().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        known.extend(oldest_open);
    }

    /// Whether an entry of the store is a remembered event that lies behind.
    pub fn expires(&self, key: &[u8], value: &[u8]) -> bool {
        let oldest_open = self.oldest_open.read().unwrap_or_else(PoisonError::into_inner);
        tables::is_seen(key)
            && SeenEvent::read(value).is_ok_and(|seen| {
                seen.postings.iter().any(|at| {
                    let oldest = oldest_open.get(usize::from(at.number())).copied().unwrap_or_default();
                    is_expired(at.epoch(), oldest, self.dedup_epochs)
                })
            })
    }
}

type ByIdentity = HashMap<[u8; 16], SeenEvent, BuildHasherDefault<FirstBytes>>;

/// Applied events, by identity.
#[derive(Debug, Default)]
pub struct SeenEvents {
    /// Applied since the last persist.
    recent: ByIdentity,
    /// What the store knows of the batch at hand; with `all`, all that it knows.
    known: ByIdentity,
    all: bool,
    keys: Vec<[u8; 17]>,
}

impl SeenEvents {
    /// A memory that holds everything the store knows: for the few events of the control topic.
    pub fn all(store: &dyn Store) -> Result<Self, Stop> {
        let (from, to) = tables::all_seen();
        let mut memory = Self {
            all: true,
            ..Self::default()
        };
        let mut scan = store.scan(&from, &to)?;
        while let Some((key, value)) = scan.next()? {
            if let Some(identity) = key.get(1..).and_then(|key| key.try_into().ok()) {
                memory.known.insert(identity, SeenEvent::read(value)?);
            }
        }
        Ok(memory)
    }

    /// Looks up what the store knows of these identities, before their records are applied.
    pub fn look_up<'a>(
        &mut self,
        identities: impl Iterator<Item = &'a [u8; 16]>,
        store: &dyn Store,
    ) -> Result<(), Stop> {
        self.known.clear();
        self.keys.clear();
        self.keys.extend(
            identities
                .filter(|identity| !self.recent.contains_key(*identity))
                .map(tables::seen),
        );
        let wanted: Vec<&[u8]> = self.keys.iter().map(<[u8; 17]>::as_slice).collect();
        for (key, value) in self.keys.iter().zip(store.get_many(&wanted)?) {
            if let (Some(value), Some(identity)) = (value, key.last_chunk()) {
                self.known.insert(*identity, SeenEvent::read(&value)?);
            }
        }
        Ok(())
    }

    /// Bytes held for the next persist.
    pub fn bytes(&self) -> usize {
        self.recent.len() * (size_of::<SeenEvent>() + 24)
    }

    /// Writes what was applied since the last persist.
    pub fn write(&mut self, changes: &mut Changes) {
        let mut value = Vec::new();
        for (identity, seen) in self.recent.drain() {
            value.clear();
            seen.write(&mut value);
            changes.put(&tables::seen(&identity), &value);
            if self.all {
                self.known.insert(identity, seen);
            }
        }
    }
}

impl DedupIndex for SeenEvents {
    fn get(&self, identity: &[u8; 16]) -> Option<&SeenEvent> {
        self.recent.get(identity).or_else(|| self.known.get(identity))
    }

    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent) {
        self.recent.insert(identity, seen);
    }
}

/// The state of a fold from its store; the default one if there is none.
pub fn state<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    what: &'static str,
) -> Result<Option<T>, crate::task::TaskError> {
    let Some(value) = store.get(&tables::STATE)? else {
        return Ok(None);
    };
    crate::core::protocol::codec::decode(&value, what)
        .map(Some)
        .map_err(|fault: Fault| crate::task::TaskError::Fault { at: what.into(), fault })
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
    fn the_horizon_hides_just_what_would_be_too_old() {
        let window = DedupWindow::new(7);
        let (key, value) = entry(&[(0, 2), (1, 9)]);
        assert!(!window.expires(&key, &value), "nothing is closed");
        window.set([9, 9].map(Epoch::new).into_iter());
        assert!(!window.expires(&key, &value), "seven epochs behind is recognised");
        window.set([10, 9].map(Epoch::new).into_iter());
        assert!(window.expires(&key, &value), "eight is not, in one asset suffices");
        let (key, value) = entry(&[]);
        assert!(!window.expires(&key, &value), "a status is never forgotten");
        assert!(!window.expires(&tables::STATE, &value), "what is no event stays");
    }
}
