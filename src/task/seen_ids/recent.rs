//! The ids that are in no run yet.

use hashbrown::HashTable;

use crate::task::seen_ids::entry::{Id, IdEntry, Kept};

/// Bytes of memory for each of them, about: the entry, and its place with room to grow.
pub(super) const RECENT_BYTES: usize = 48;

/// Entries in the order of their events, and where each id is among them. An id is rarely found, so the places are kept apart from the entries: there
/// are five bytes for each, of which many stay in the processor's cache.
pub(super) struct RecentIds {
    entries: Vec<IdEntry>,
    places: HashTable<u32>,
    /// Room is made for so many with the first one.
    expected: usize,
}

impl RecentIds {
    /// None yet, of so many.
    pub const fn expecting(expected: usize) -> Self {
        Self {
            entries: Vec::new(),
            places: HashTable::new(),
            expected,
        }
    }

    /// All entries. If an id is there twice, the later one counts.
    pub fn entries(&self) -> &[IdEntry] {
        &self.entries
    }

    #[inline]
    pub fn get(&self, id: &Id) -> Option<Kept> {
        let is_here = |place: &u32| entry_at(&self.entries, *place).is_some_and(|entry| entry.id == *id);
        let place = self.places.find(hash(id), is_here)?;
        entry_at(&self.entries, *place).map(|entry| entry.kept)
    }

    /// Adds an entry, after those that are there.
    #[inline]
    pub fn push(&mut self, entry: IdEntry) {
        if self.entries.is_empty() {
            self.entries.reserve(self.expected);
            self.places.reserve(self.expected, |_| 0);
        }
        // Each takes memory, so there are never 2^32.
        let new = self.entries.len() as u32;
        let entries = &self.entries;
        let is_here = |place: &u32| entry_at(entries, *place).is_some_and(|other| other.id == entry.id);
        let hash_of = |place: &u32| entry_at(entries, *place).map_or(0, |entry| hash(&entry.id));
        self.places.entry(hash(&entry.id), is_here, hash_of).insert(new);
        self.entries.push(entry);
    }

    /// Sorts the entries by id, each once. They have to be cleared then: none is found any more.
    pub fn sort(&mut self) -> &[IdEntry] {
        self.places.clear();
        self.entries.sort_by_key(|entry| u128::from_be_bytes(entry.id));
        self.entries.dedup_by(|later, kept| {
            let is_same = later.id == kept.id;
            if is_same {
                *kept = *later;
            }
            is_same
        });
        &self.entries
    }

    /// Removes all, and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }
}

#[inline]
fn entry_at(entries: &[IdEntry], place: u32) -> Option<&IdEntry> {
    entries.get(place as usize)
}

/// An identity is the start of a SHA-256, so any eight bytes of it are a hash already.
#[inline]
fn hash(id: &Id) -> u64 {
    let [first @ .., _, _, _, _, _, _, _, _] = *id;
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8, fingerprint: u64) -> IdEntry {
        IdEntry {
            id: [id; 16],
            kept: Kept { fingerprint, epochs: 0 },
        }
    }

    #[test]
    fn the_later_of_two_entries_counts() {
        let mut recent = RecentIds::expecting(3);
        for (id, fingerprint) in [(9, 1), (3, 2), (9, 3), (5, 4), (3, 5)] {
            recent.push(entry(id, fingerprint));
        }
        let found = |recent: &RecentIds, id| recent.get(&[id; 16]).map(|kept| kept.fingerprint);
        assert_eq!(
            [3, 5, 9, 1].map(|id| found(&recent, id)),
            [Some(5), Some(4), Some(3), None]
        );
        assert_eq!(recent.entries().len(), 5);
        assert_eq!(recent.sort(), [entry(3, 5), entry(5, 4), entry(9, 3)]);
        recent.clear();
        assert_eq!((found(&recent, 3), recent.entries().len()), (None, 0));
    }

    #[test]
    fn many_are_all_found() {
        let mut recent = RecentIds::expecting(3);
        // Hashes that differ in few bits collide.
        let id = |number: u64| (u128::from(number % 700) | u128::from(number) << 64).to_le_bytes();
        for number in 0..20_000 {
            let kept = Kept {
                fingerprint: number,
                epochs: 0,
            };
            recent.push(IdEntry { id: id(number), kept });
        }
        assert!((0..20_000).all(|number| recent.get(&id(number)).is_some_and(|kept| kept.fingerprint == number)));
        assert!((20_000..21_000).all(|number| recent.get(&id(number)).is_none()));
    }
}
