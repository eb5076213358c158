//! An id as it is kept, and its bytes in logs and runs.

use hashbrown::HashMap;

use crate::core::dedup::{PostingEpochs, SeenEvent};
use crate::core::values::ids::AssetEpoch;

/// The identity of an event: the start of a SHA-256.
pub(super) type Id = [u8; 16];

/// What is kept of an event: 16 bytes beside its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub fingerprint: u64,
    /// The number of its posting epochs in a table of them. Most events have the same few.
    pub epochs: u32,
}

/// An id with what is kept of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdEntry {
    pub id: Id,
    pub kept: Kept,
}

/// All posting epochs of some events, by number.
#[derive(Debug, Default)]
pub(super) struct EpochsTable {
    all: Vec<PostingEpochs>,
    numbers: HashMap<PostingEpochs, u32>,
    /// The number that was asked for last: it is often the next one, too.
    last: u32,
}

impl EpochsTable {
    /// The number of these epochs.
    pub fn number(&mut self, epochs: &PostingEpochs) -> u32 {
        if self.get(self.last) == Some(epochs) {
            return self.last;
        }
        self.last = match self.numbers.get(epochs) {
            Some(number) => *number,
            None => {
                // Each takes memory, so there are never 2^32.
                let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
                self.numbers.insert(epochs.clone(), number);
                self.all.push(epochs.clone());
                number
            }
        };
        self.last
    }

    pub fn get(&self, number: u32) -> Option<&PostingEpochs> {
        self.all.get(number as usize)
    }

    pub fn all(&self) -> &[PostingEpochs] {
        &self.all
    }

    pub fn clear(&mut self) {
        self.all.clear();
        self.numbers.clear();
    }
}

/// The event of an entry, whose epochs are numbered in `table`.
pub(super) fn seen_event(kept: Kept, table: &[PostingEpochs]) -> Option<SeenEvent> {
    Some(SeenEvent {
        fingerprint: kept.fingerprint,
        postings: table.get(kept.epochs as usize)?.clone(),
    })
}

/// How many bytes a number takes that is below `count`: 1, 2 or 4.
pub(super) const fn number_width(count: usize) -> usize {
    match count {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Appends an entry: the end of its id, its fingerprint, and the number of its epochs in `width` bytes. All little-endian.
pub(super) fn put_entry(out: &mut Vec<u8>, id: &[u8], kept: Kept, width: usize) {
    out.extend_from_slice(id);
    out.extend_from_slice(&kept.fingerprint.to_le_bytes());
    out.extend_from_slice(kept.epochs.to_le_bytes().get(..width).unwrap_or_default());
}

/// Reads what follows the id in an entry.
pub(super) fn read_kept(bytes: &[u8]) -> Option<Kept> {
    let (fingerprint, number) = bytes.split_first_chunk::<8>()?;
    let mut epochs = [0; 4];
    epochs.get_mut(..number.len())?.copy_from_slice(number);
    Some(Kept {
        fingerprint: u64::from_le_bytes(*fingerprint),
        epochs: u32::from_le_bytes(epochs),
    })
}

/// Appends a table: the number of its lists (u32), then for each its length (u8), and its epochs of six bytes each. All little-endian.
pub(super) fn put_table(out: &mut Vec<u8>, table: &[PostingEpochs]) {
    out.extend_from_slice(&(table.len() as u32).to_le_bytes());
    for epochs in table {
        out.push(epochs.len() as u8);
        epochs.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes()));
    }
}

/// Reads a table, and returns what follows it.
pub(super) fn take_table(bytes: &[u8]) -> Option<(Vec<PostingEpochs>, &[u8])> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut table = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (length, tail) = rest.split_first()?;
        rest = tail;
        let mut epochs = PostingEpochs::new();
        for _ in 0..*length {
            let (at, tail) = rest.split_first_chunk::<6>()?;
            epochs.try_push(AssetEpoch::from_le_bytes(*at)).ok()?;
            rest = tail;
        }
        table.push(epochs);
    }
    Some((table, rest))
}
