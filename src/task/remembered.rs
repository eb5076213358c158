//! The memory of applied events over a store: what was applied since the last persist is held here, the rest is looked up by the batch.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::core::fault::Fault;
use crate::core::ingest::{Memory, Seen};
use crate::store::{Changes, Store};

use super::harness::Stop;
use super::keys;

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

type ByIdentity = HashMap<[u8; 16], Seen, BuildHasherDefault<FirstBytes>>;

/// Applied events, by identity.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Applied since the last persist.
    recent: ByIdentity,
    /// What the store knows of the batch at hand; with `all`, all that it knows.
    known: ByIdentity,
    all: bool,
    keys: Vec<[u8; 17]>,
}

impl Remembered {
    /// A memory that holds everything the store knows: for the few events of the control topic.
    pub fn all(store: &dyn Store) -> Result<Self, Stop> {
        let (from, to) = keys::all_seen();
        let mut memory = Self {
            all: true,
            ..Self::default()
        };
        let mut scan = store.scan(&from, &to)?;
        while let Some((key, value)) = scan.next()? {
            if let Some(identity) = key.get(1..).and_then(|key| key.try_into().ok()) {
                memory.known.insert(identity, Seen::read(value)?);
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
                .map(keys::seen),
        );
        let wanted: Vec<&[u8]> = self.keys.iter().map(<[u8; 17]>::as_slice).collect();
        for (key, value) in self.keys.iter().zip(store.get_many(&wanted)?) {
            if let (Some(value), Some(identity)) = (value, key.last_chunk()) {
                self.known.insert(*identity, Seen::read(&value)?);
            }
        }
        Ok(())
    }

    /// Bytes held for the next persist.
    pub fn bytes(&self) -> usize {
        self.recent.len() * (size_of::<Seen>() + 24)
    }

    /// Writes what was applied since the last persist.
    pub fn write(&mut self, changes: &mut Changes) {
        let mut value = Vec::new();
        for (identity, seen) in self.recent.drain() {
            value.clear();
            seen.write(&mut value);
            changes.put(&keys::seen(&identity), &value);
            if self.all {
                self.known.insert(identity, seen);
            }
        }
    }
}

impl Memory for Remembered {
    fn recall(&self, identity: &[u8; 16]) -> Option<&Seen> {
        self.recent.get(identity).or_else(|| self.known.get(identity))
    }

    fn remember(&mut self, identity: [u8; 16], seen: Seen) {
        self.recent.insert(identity, seen);
    }
}

/// The state of a fold from its store; the default one if there is none.
pub fn state<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    what: &'static str,
) -> Result<Option<T>, super::TaskError> {
    let Some(value) = store.get(&keys::STATE)? else {
        return Ok(None);
    };
    crate::core::messages::decode(&value, what)
        .map(Some)
        .map_err(|fault: Fault| super::TaskError::Fault { at: what.into(), fault })
}
