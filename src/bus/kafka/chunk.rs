//! Records of one partition on their way from the consumer to a reader.

use std::ops::Range;

use crate::core::values::offset::Offset;

/// An empty chunk keeps at most this much memory.
const KEPT_BYTES: usize = 2 << 20;

/// Records of one partition in offset order, taken from the front.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    /// Each an offset, and the range of its bytes. The ranges follow each other.
    records: Vec<(Offset, Range<usize>)>,
    /// The number of records that were taken.
    taken: usize,
}

/// Memory with records, as a [`Batch`](crate::bus::batch::Batch) has it.
pub(super) type Parts = (Vec<u8>, Vec<(Offset, Range<usize>)>);

impl Chunk {
    pub(super) fn is_empty(&self) -> bool {
        self.taken >= self.records.len()
    }

    /// The bytes of all records, also of those that were taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The offset of the next record.
    pub(super) fn first(&self) -> Option<Offset> {
        self.records.get(self.taken).map(|(offset, _)| *offset)
    }

    /// The offset of the last record.
    pub(super) fn last(&self) -> Option<Offset> {
        self.records.last().map(|(offset, _)| *offset)
    }

    /// Adds a record, whose bytes `write` appends.
    pub(super) fn push(&mut self, offset: Offset, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.records.push((offset, from..self.bytes.len()));
    }

    /// Takes the next record alone.
    pub(super) fn take_first(&mut self) -> Option<(Offset, &[u8])> {
        let (offset, range) = self.records.get(self.taken)?.clone();
        self.taken += 1;
        Some((offset, self.bytes.get(range).unwrap_or_default()))
    }

    /// Moves records into `to`: those below `until`, as long as `to` has fewer than `limit` bytes.
    pub(super) fn move_to(&mut self, to: &mut Parts, limit: usize, until: Offset) {
        let is_whole = self.taken == 0 && to.1.is_empty();
        let ends_in_time = |(offset, range): &(Offset, Range<usize>)| *offset < until && range.start < limit;
        if is_whole && self.records.last().is_some_and(ends_in_time) {
            std::mem::swap(&mut self.bytes, &mut to.0);
            std::mem::swap(&mut self.records, &mut to.1);
            self.clear();
            return;
        }
        let left = self.records.get(self.taken..).unwrap_or_default();
        let Some(start) = left.first().map(|(_, range)| range.start) else {
            return;
        };
        let base = to.0.len();
        let is_moved = |(offset, range): &&(Offset, Range<usize>)| {
            *offset < until && (to.1.is_empty() && range.start == start || base + range.start - start < limit)
        };
        let moved = left.iter().take_while(is_moved).count();
        let left = left.get(..moved).unwrap_or_default();
        let end = left.last().map_or(start, |(_, range)| range.end);
        to.0.extend_from_slice(self.bytes.get(start..end).unwrap_or_default());
        let shifted = |range: &Range<usize>| base + range.start - start..base + range.end - start;
        to.1.extend(left.iter().map(|(offset, range)| (*offset, shifted(range))));
        self.taken += moved;
    }

    /// Removes all records, and keeps some memory for the next ones.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.records.clear();
        self.records.shrink_to(KEPT_BYTES / 64);
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offsets: Range<u64>) -> Chunk {
        let mut chunk = Chunk::default();
        for offset in offsets {
            chunk.push(Offset::new(offset), |bytes| {
                bytes.extend_from_slice(format!("{offset:03}").as_bytes());
            });
        }
        chunk
    }

    fn texts((bytes, records): &Parts) -> Vec<(u64, String)> {
        let text = |range: &Range<usize>| String::from_utf8(bytes[range.clone()].to_vec()).unwrap();
        records
            .iter()
            .map(|(offset, range)| (offset.get(), text(range)))
            .collect()
    }

    fn expected(offsets: Range<u64>) -> Vec<(u64, String)> {
        offsets.map(|offset| (offset, format!("{offset:03}"))).collect()
    }

    #[test]
    fn records_are_moved_up_to_a_limit_and_a_bound() {
        let mut chunk = chunk(0..10);
        let mut parts = Parts::default();
        // The limit is passed by the record that reaches it.
        chunk.move_to(&mut parts, 7, Offset::NO_LIMIT);
        assert_eq!(texts(&parts), expected(0..3));
        chunk.move_to(&mut parts, 7, Offset::NO_LIMIT);
        assert_eq!(texts(&parts), expected(0..3));
        chunk.move_to(&mut parts, 100, Offset::new(5));
        assert_eq!(texts(&parts), expected(0..5));
        assert_eq!(chunk.first(), Some(Offset::new(5)));
        assert_eq!(chunk.take_first(), Some((Offset::new(5), &b"005"[..])));
        let mut rest = Parts::default();
        // One record at least.
        chunk.move_to(&mut rest, 0, Offset::NO_LIMIT);
        assert_eq!(texts(&rest), expected(6..7));
        chunk.move_to(&mut rest, 100, Offset::NO_LIMIT);
        assert_eq!(texts(&rest), expected(6..10));
        assert!(chunk.is_empty());
    }

    #[test]
    fn a_whole_chunk_is_moved_without_a_copy() {
        let mut chunk = chunk(3..9);
        let memory = chunk.bytes.as_ptr();
        let mut parts = Parts::default();
        chunk.move_to(&mut parts, 100, Offset::new(9));
        assert_eq!(texts(&parts), expected(3..9));
        assert_eq!(parts.0.as_ptr(), memory);
        assert!(chunk.is_empty() && chunk.bytes() == 0);
    }
}
