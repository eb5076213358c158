//! The accepted control events, by which the coordinator recognises copies. They are few, and never expire: each has a key of its own.

use std::collections::BTreeMap;

use crate::core::dedup::{DedupIndex, SeenEvent};
use crate::core::fault::Fault;
use crate::store::{Changes, Store, tables};
use crate::task::fold::FoldError;

/// The control events accepted so far.
#[derive(Debug, Default)]
pub struct SeenControls {
    /// Accepted since the last persist, and those that were looked up since.
    known: BTreeMap<[u8; 16], SeenEvent>,
    unwritten: Vec<([u8; 16], u64)>,
}

impl SeenControls {
    /// Looks up the event with this identity, before its record is applied.
    pub fn load(&mut self, identity: &[u8; 16], store: &dyn Store) -> Result<(), FoldError> {
        if self.known.contains_key(identity) {
            return Ok(());
        }
        if let Some(value) = store.get(&tables::seen_control(identity))? {
            let fingerprint = value.try_into().map_err(|_| Fault::Undecodable {
                what: "a seen control event",
                why: "its length is wrong".into(),
            })?;
            let seen = SeenEvent::without_postings(u64::from_le_bytes(fingerprint));
            self.known.insert(*identity, seen);
        }
        Ok(())
    }

    /// Bytes that [`Self::write`] would add to the changes, about.
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten.len() * 64
    }

    /// Writes the events accepted since the last persist.
    pub fn write(&mut self, changes: &mut Changes) {
        for (identity, fingerprint) in self.unwritten.drain(..) {
            changes.put(&tables::seen_control(&identity), &fingerprint.to_le_bytes());
        }
        self.known.clear();
    }
}

impl DedupIndex for SeenControls {
    fn find(&self, identity: &[u8; 16], is_live: impl Fn(&SeenEvent) -> bool) -> Option<SeenEvent> {
        self.known.find(identity, is_live)
    }

    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent) {
        self.unwritten.push((identity, seen.fingerprint));
        self.known.insert(identity, seen);
    }
}
