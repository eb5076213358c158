//! Records as a reader returns them.

use std::ops::Range;

use crate::bus::position::Mark;
use crate::core::values::offset::Offset;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// Empty for an offset without content: a blank line.
    pub value: &'a [u8],
}

/// Records of one partition, in offset order, with the mark that follows the last of them.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<(Offset, Range<usize>)>,
    /// The reader's mark after this batch. It may be past the last record: offsets are not dense.
    pub next: Mark,
}

impl Batch {
    /// A batch of `records`, each an offset and the range of its bytes in `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>, records: Vec<(Offset, Range<usize>)>, next: Mark) -> Self {
        Self { bytes, records, next }
    }

    /// Its memory, emptied, for the next batch.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<(Offset, Range<usize>)>) {
        self.bytes.clear();
        self.records.clear();
        (self.bytes, self.records)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records.iter().map(|(offset, range)| Record {
            offset: *offset,
            value: &self.bytes[range.clone()],
        })
    }

    /// The offset of the `index`-th record.
    #[must_use]
    pub fn offset(&self, index: usize) -> Option<Offset> {
        self.records.get(index).map(|(offset, _)| *offset)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of its records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no record. Its mark may have moved anyway.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
