//! The part of a file of lines that was read: its length, and the evidence that reveals a later change to it.

use std::fs::File;
use std::path::Path;

use memchr::memchr_iter;

use crate::bus::dir::disk::{at_most, read_at, to_u64};
use crate::bus::error::{FileError, LogName, ReadError};
use crate::bus::position::Mark;
use crate::bus::running_digest::RunningDigest;
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

/// The record of a line. A blank line has an offset and no content: white space alone is not JSON.
pub(super) fn record(line: &[u8]) -> &[u8] {
    let is_blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    if is_blank { &[] } else { line }
}

/// The bytes of a file up to the end of a line.
#[derive(Clone, Default)]
pub(super) struct Prefix {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Of its records.
    pub(super) digest: RunningDigest,
    /// Its last bytes, at most `TAIL`.
    pub(super) tail: Vec<u8>,
}

impl Prefix {
    /// Adds a whole line, of which `record` is the record.
    pub(super) fn add(&mut self, record: &[u8]) {
        self.lines += 1;
        self.digest.add(record);
    }

    /// Adds the bytes of lines. Their records are added alone.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        self.bytes += to_u64(bytes.len());
        let last = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(last);
    }

    /// The offset of the line after it.
    pub(super) const fn next_offset(&self) -> Offset {
        Offset::new(self.lines)
    }

    pub(super) fn mark(&self) -> Mark {
        let mut evidence = Vec::new();
        if self.lines > 0 {
            evidence.extend_from_slice(&self.bytes.to_le_bytes());
        }
        Mark {
            offset: self.next_offset(),
            digest: Some(self.digest),
            evidence,
        }
    }

    /// Reads a file up to byte `end`, or up to the end of line `lines`, whichever comes first. Bytes after the last line feed before that are not part
    /// of it.
    pub(super) fn of(file: &File, path: &Path, end: u64, lines: u64) -> Result<Self, FileError> {
        let mut prefix = Self::default();
        let mut chunk = Vec::new();
        while prefix.lines < lines {
            // What is left in `chunk` is the start of a line.
            let left = end - prefix.bytes - to_u64(chunk.len());
            let at = prefix.bytes + to_u64(chunk.len());
            let searched = chunk.len();
            if read_at(file, path, &mut chunk, at, at_most(left, CHUNK.max(searched)))? == 0 {
                break;
            }
            let mut start = 0;
            for line_end in memchr_iter(b'\n', &chunk[searched..]).take(at_most(lines - prefix.lines, usize::MAX)) {
                let line_end = searched + line_end;
                prefix.add(record(&chunk[start..line_end]));
                start = line_end + 1;
            }
            prefix.add_bytes(&chunk[..start]);
            chunk.drain(..start);
        }
        Ok(prefix)
    }
}

/// The evidence of a mark: the number of bytes before it.
pub(super) fn evidence(mark: &Mark) -> Option<u64> {
    let bytes: &[u8; 8] = mark.evidence.as_slice().try_into().ok()?;
    Some(u64::from_le_bytes(*bytes))
}
