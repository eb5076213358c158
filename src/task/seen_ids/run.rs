//! A sorted run of ids: blocks that are found by the first bits of an id, and a filter.
//!
//! ```text
//! block  = entry*
//! ```
//!
//! Block `n` of a run with `2^bits` blocks has the ids whose first bits are `n`, ascending. There are 256 blocks at least, so the first byte of an id
//! follows from its block. An entry is the other 15 bytes, then what is kept of the id ([`put_entry`]). The filter is the block behind the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::dedup::{PostingEpochs, SeenEvent};
use crate::core::fault::Fault;
use crate::core::values::ids::AssetEpoch;
use crate::store::SortedRuns;
use crate::task::fold::FoldError;
use crate::task::seen_ids::entry::{Id, IdEntry, Kept, number_width, put_entry, read_kept, seen_event};
use crate::task::seen_ids::filter::IdFilter;

/// Ids for each block, at most about: a block is read for each id that is found.
const IDS_PER_BLOCK: u64 = 1_024;

/// What a run holds, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunContents {
    /// There are `2^bits` blocks.
    bits: u8,
    /// The posting epochs of its ids, by number, and how many ids have them.
    lists: Vec<(Vec<AssetEpoch>, u64)>,
}

/// A run that is in use.
#[derive(Debug)]
pub(super) struct IdRun {
    pub number: u32,
    pub contents: RunContents,
    /// As in the contents.
    table: Vec<PostingEpochs>,
    pub filter: IdFilter,
}

impl RunContents {
    fn table(&self) -> Option<Vec<PostingEpochs>> {
        let table = self.lists.iter().map(|(list, _)| list.as_slice().try_into().ok());
        table.collect()
    }

    pub fn ids(&self) -> u64 {
        self.lists.iter().map(|(_, ids)| ids).sum()
    }

    const fn blocks(&self) -> u32 {
        1 << self.bits
    }
}

/// The number of the block of an id, if there are `2^bits`.
fn block_of(id: &Id, bits: u8) -> u32 {
    let [a, b, c, d, ..] = *id;
    u32::from_be_bytes([a, b, c, d]) >> (32 - bits)
}

/// The bits of the block numbers of a run with so many ids: at least 8.
fn bits_for(ids: u64) -> u8 {
    let blocks = ids.div_ceil(IDS_PER_BLOCK).next_power_of_two();
    (blocks.ilog2() as u8).clamp(8, 24)
}

/// What a new run will hold: its ids, by their posting epochs.
pub(super) struct NewRun {
    pub number: u32,
    /// How many ids have each of the posting epochs.
    pub lists: Vec<(PostingEpochs, u64)>,
}

impl IdRun {
    /// Opens a run that the store has.
    pub fn open(number: u32, contents: RunContents, runs: &dyn SortedRuns) -> Result<Self, FoldError> {
        let undecodable = || Fault::Undecodable {
            what: "a run of ids",
            why: "this version does not write such bytes".into(),
        };
        let filter = runs.block(number, contents.blocks())?;
        Ok(Self {
            number,
            table: contents.table().ok_or_else(undecodable)?,
            filter: IdFilter::of_bytes(&filter).ok_or_else(undecodable)?,
            contents,
        })
    }

    /// Writes a run. `parts` are its entries in the order of their ids, in parts that end with a block; their epochs are numbered as in `new`.
    pub fn write<'a>(
        new: NewRun,
        parts: impl Iterator<Item = Result<Cow<'a, [IdEntry]>, FoldError>>,
        runs: &dyn SortedRuns,
    ) -> Result<Self, FoldError> {
        let NewRun { number, lists } = new;
        let ids = lists.iter().map(|(_, ids)| ids).sum();
        let bits = bits_for(ids);
        let mut writing = Writing {
            parts,
            bits,
            width: number_width(lists.len()),
            filter: IdFilter::with_room_for(ids),
            part: Cow::Owned(Vec::new()),
            taken: 0,
            next: 0,
            fault: None,
        };
        let written = runs.add(number, &mut writing);
        if let Some(fault) = writing.fault {
            // What is written is not named, so the next start removes it.
            return Err(fault);
        }
        written?;
        let filter = writing.filter;
        let (table, counts): (Vec<_>, Vec<_>) = lists.into_iter().unzip();
        let lists = table.iter().map(|list| list.to_vec()).zip(counts).collect();
        Ok(Self {
            number,
            contents: RunContents { bits, lists },
            table,
            filter,
        })
    }

    /// The number of the block that has the id, if the run has it.
    pub fn block_of(&self, id: &Id) -> u32 {
        block_of(id, self.contents.bits)
    }

    /// The events of a block with this id. They have all expired but one at most.
    pub fn find<'a>(&'a self, block: &'a [u8], id: &'a Id) -> Result<impl Iterator<Item = SeenEvent> + 'a, Fault> {
        let length = 23 + number_width(self.table.len());
        let [_, tail @ ..] = id;
        let count = block.len() / length;
        if count * length != block.len() {
            return Err(damaged());
        }
        let entry = move |at: usize| block.get(at * length..(at + 1) * length)?.split_first_chunk::<15>();
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            if entry(middle).is_some_and(|(found, _)| found < tail) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let same = (low..count)
            .map_while(entry)
            .take_while(move |(found, _)| *found == tail);
        Ok(same.filter_map(|(_, kept)| seen_event(read_kept(kept)?, &self.table)))
    }

    /// How many ids have posting epochs that are `wanted`.
    pub fn count(&self, wanted: impl Fn(&PostingEpochs) -> bool) -> u64 {
        let counts = self.contents.lists.iter().map(|(_, ids)| ids);
        let wanted = self.table.iter().zip(counts).filter(|(epochs, _)| wanted(epochs));
        wanted.map(|(_, ids)| ids).sum()
    }

    /// The entries of all blocks for which the first 8 bits of an id are `first`. Their epochs are numbered in the run.
    fn entries(&self, first: u8, runs: &dyn SortedRuns, out: &mut Vec<IdEntry>) -> Result<(), FoldError> {
        let length = 23 + number_width(self.table.len());
        let each = 1 << (self.contents.bits - 8);
        for block in u32::from(first) * each..(u32::from(first) + 1) * each {
            for bytes in runs.block(self.number, block)?.chunks(length) {
                let (tail, kept) = bytes.split_first_chunk::<15>().ok_or_else(damaged)?;
                let mut id = [first; 16];
                id[1..].copy_from_slice(tail);
                let kept = read_kept(kept).filter(|_| bytes.len() == length).ok_or_else(damaged)?;
                out.push(IdEntry { id, kept });
            }
        }
        Ok(())
    }
}

/// Merges runs to one, without the ids whose posting epochs are not `wanted`.
pub(super) fn merge(
    number: u32,
    merged: &[&IdRun],
    wanted: impl Fn(&PostingEpochs) -> bool,
    runs: &dyn SortedRuns,
) -> Result<IdRun, FoldError> {
    let mut numbers = BTreeMap::<&PostingEpochs, u32>::new();
    let mut lists = Vec::<(PostingEpochs, u64)>::new();
    // By run: the new number of each of its posting epochs; `None` for those that are not wanted.
    let renumbered: Vec<Vec<Option<u32>>> = merged
        .iter()
        .map(|run| {
            let counts = run.contents.lists.iter().map(|(_, ids)| *ids);
            let each = run.table.iter().zip(counts).map(|(epochs, ids)| {
                let next = lists.len() as u32;
                wanted(epochs).then(|| {
                    let number = *numbers.entry(epochs).or_insert(next);
                    if number == next {
                        lists.push((epochs.clone(), 0));
                    }
                    if let Some((_, sum)) = lists.get_mut(number as usize) {
                        *sum += ids;
                    }
                    number
                })
            });
            each.collect()
        })
        .collect();
    let parts = (0..=u8::MAX).map(|first| {
        let mut all = Vec::new();
        for (run, numbers) in merged.iter().zip(&renumbered) {
            let from = all.len();
            run.entries(first, runs, &mut all)?;
            let new = all.split_off(from).into_iter().filter_map(|entry| {
                let epochs = (*numbers.get(entry.kept.epochs as usize)?)?;
                let kept = Kept { epochs, ..entry.kept };
                Some(IdEntry { kept, ..entry })
            });
            all.extend(new);
        }
        all.sort_unstable_by_key(|entry| u128::from_be_bytes(entry.id));
        Ok(Cow::Owned(all))
    });
    IdRun::write(NewRun { number, lists }, parts, runs)
}

fn damaged() -> Fault {
    Fault::Undecodable {
        what: "a block of a run of ids",
        why: "its length is wrong".into(),
    }
}

/// The blocks of a run while it is written.
struct Writing<'a, I> {
    parts: I,
    bits: u8,
    width: usize,
    filter: IdFilter,
    part: Cow<'a, [IdEntry]>,
    /// How many entries of the part are in blocks already.
    taken: usize,
    next: u32,
    /// Why there are no more parts.
    fault: Option<FoldError>,
}

impl<'a, I: Iterator<Item = Result<Cow<'a, [IdEntry]>, FoldError>>> Iterator for Writing<'a, I> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        self.next = number.checked_add(1)?;
        if number >= 1 << self.bits {
            return (number == 1 << self.bits).then(|| self.filter.to_bytes());
        }
        if self.taken == self.part.len() {
            match self.parts.next() {
                Some(Ok(part)) => (self.part, self.taken) = (part, 0),
                Some(Err(fault)) => {
                    self.fault = Some(fault);
                    return None;
                }
                None => {}
            }
        }
        let rest = self.part.get(self.taken..).unwrap_or_default();
        let ends = rest.partition_point(|entry| block_of(&entry.id, self.bits) <= number);
        let mut block = Vec::with_capacity(ends * (23 + self.width));
        for entry in rest.iter().take(ends) {
            let [_, tail @ ..] = &entry.id;
            put_entry(&mut block, tail, entry.kept, self.width);
            self.filter.add(&entry.id);
        }
        self.taken += ends;
        Some(block)
    }
}
