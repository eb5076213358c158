//! A log of ids: those of one persist, in the order of their events.
//!
//! ```text
//! log = table entry*
//! ```
//!
//! The table has the posting epochs of the entries ([`put_table`]). An entry is a whole id, then what is kept of it ([`put_entry`]).

use crate::core::dedup::PostingEpochs;
use crate::core::fault::Fault;
use crate::task::seen_ids::entry::{IdEntry, Kept, number_width, put_entry, put_table, read_kept, take_table};

/// Writes a log of entries whose epochs are numbered in `table`. Its own table has only those that it needs.
pub(super) fn log(entries: &[IdEntry], table: &[PostingEpochs]) -> Vec<u8> {
    let mut numbers = vec![None; table.len()];
    let mut used = Vec::new();
    let kept: Vec<Kept> = entries
        .iter()
        .map(|entry| {
            let number = numbers.get_mut(entry.kept.epochs as usize).map_or(u32::MAX, |number| {
                *number.get_or_insert_with(|| {
                    used.extend(table.get(entry.kept.epochs as usize).cloned());
                    used.len() as u32 - 1
                })
            });
            Kept {
                epochs: number,
                ..entry.kept
            }
        })
        .collect();
    let width = number_width(used.len());
    let mut out = Vec::with_capacity(entries.len() * (24 + width) + 16 * used.len() + 4);
    put_table(&mut out, &used);
    for (entry, kept) in entries.iter().zip(kept) {
        put_entry(&mut out, &entry.id, kept, width);
    }
    out
}

/// Reads a log: its table, and its entries, whose epochs are numbered in it.
pub(super) fn read_log(bytes: &[u8]) -> Result<(Vec<PostingEpochs>, Vec<IdEntry>), Fault> {
    let read = || {
        let (table, rest) = take_table(bytes)?;
        let length = 24 + number_width(table.len());
        let entries = rest.chunks(length).map(|bytes| {
            let (id, kept) = bytes.split_first_chunk()?;
            let kept = read_kept(kept).filter(|kept| bytes.len() == length && (kept.epochs as usize) < table.len())?;
            Some(IdEntry { id: *id, kept })
        });
        let entries = entries.collect::<Option<Vec<_>>>()?;
        Some((table, entries))
    };
    read().ok_or_else(|| Fault::Undecodable {
        what: "a log of ids",
        why: "this version does not write such bytes".into(),
    })
}
