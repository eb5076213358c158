//! The part of a file of lines that was read: its length, and the evidence that reveals a later change to it.

use std::fs::File;
use std::path::Path;

use crc32fast::Hasher;
use memchr::memchr_iter;

use crate::bus::dir::disk::{at_most, read_at, to_u64};
use crate::bus::error::{FileError, LogName, ReadError};
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Bytes read at a time where they are not kept.
pub(super) const CHUNK: usize = 1 << 18;

/// This many bytes before a reader's position are kept. They are compared before it reads on.
const TAIL: usize = 4096;

/// An unfinished line up to this size is searched again from its start whenever it has grown: its writer may have stopped, cut it off and written
/// another. Of a longer line only the new bytes are searched.
pub(super) const SEARCHED_AGAIN: u64 = 1 << 16;

pub(super) fn changed(partition: TopicPartition, file: &Path, offset: Offset, what: impl Into<String>) -> ReadError {
    ReadError::SourceChanged {
        partition,
        log: LogName::File(file.to_path_buf()),
        offset,
        what: what.into(),
    }
}

/// The bytes of a file up to the end of a line.
#[derive(Clone, Default)]
pub(super) struct Prefix {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    hasher: Hasher,
    /// Its last bytes, at most `TAIL`.
    pub(super) tail: Vec<u8>,
}

impl Prefix {
    pub(super) fn extend(&mut self, bytes: &[u8], lines: usize) {
        self.bytes += to_u64(bytes.len());
        self.lines += to_u64(lines);
        self.hasher.update(bytes);
        let last = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(last);
    }

    /// The offset of the line after it.
    pub(super) const fn next_offset(&self) -> Offset {
        Offset::new(self.lines)
    }

    pub(super) fn checksum(&self) -> u32 {
        self.hasher.clone().finalize()
    }

    pub(super) fn mark(&self) -> Mark {
        let mut evidence = Vec::new();
        if self.lines > 0 {
            evidence.extend_from_slice(&self.bytes.to_le_bytes());
            evidence.extend_from_slice(&self.checksum().to_le_bytes());
        }
        Mark {
            offset: self.next_offset(),
            evidence,
        }
    }

    /// Reads a file up to byte `end`, or up to the end of line `lines`, whichever comes first.
    pub(super) fn of(file: &File, path: &Path, end: u64, lines: u64) -> Result<Self, FileError> {
        let mut prefix = Self::default();
        let mut chunk = Vec::new();
        while prefix.bytes < end && prefix.lines < lines {
            chunk.clear();
            let want = at_most(end - prefix.bytes, CHUNK);
            if read_at(file, path, &mut chunk, prefix.bytes, want)? == 0 {
                break;
            }
            let left = at_most(lines - prefix.lines, usize::MAX);
            let last = memchr_iter(b'\n', &chunk).nth(left - 1);
            match last {
                Some(last) => prefix.extend(&chunk[..=last], left),
                None => prefix.extend(&chunk, memchr_iter(b'\n', &chunk).count()),
            }
        }
        Ok(prefix)
    }
}

/// The evidence of a mark: the number of bytes before it, and their checksum.
pub(super) fn evidence(mark: &Mark) -> Option<(u64, u32)> {
    let (bytes, sum) = mark.evidence.split_first_chunk()?;
    let sum: &[u8; 4] = sum.try_into().ok()?;
    Some((u64::from_le_bytes(*bytes), u32::from_le_bytes(*sum)))
}
