//! The number of lines in a growing file. Each byte is searched once.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use memchr::{memchr_iter, memrchr};

use crate::bus::dir::committed::lock;
use crate::bus::dir::disk::{at_most, open_regular, read_at, to_u64};
use crate::bus::dir::prefix::{CHUNK, SEARCHED_AGAIN, changed};
use crate::bus::error::{FileError, ReadError};
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// The line count of one file.
#[derive(Default)]
pub(super) struct LineCount {
    /// The end of the last whole line.
    bytes: u64,
    lines: u64,
    /// No line feed lies from `bytes` up to here.
    searched: u64,
}

impl LineCount {
    /// A reader found `lines` lines in the first `bytes` bytes, so they need not be counted. Returns `false` if that contradicts the count: then the
    /// file is not the one that was counted.
    pub(super) fn reached(&mut self, bytes: u64, lines: u64) -> bool {
        let is_possible = match bytes.cmp(&self.bytes) {
            Ordering::Less => lines <= self.lines,
            Ordering::Equal => lines == self.lines,
            Ordering::Greater => lines >= self.lines,
        };
        // Each line has a byte at least.
        if !is_possible || lines > bytes {
            return false;
        }
        if bytes > self.bytes {
            *self = Self {
                bytes,
                lines,
                searched: bytes,
            };
        }
        true
    }

    /// The number of whole lines in the file now.
    pub(super) fn lines(&mut self, partition: TopicPartition, path: &Path) -> Result<u64, ReadError> {
        let file = open_regular(path)?;
        let size = match &file {
            Some(file) => file.metadata().map_err(FileError::io("look at", path))?.len(),
            None => 0,
        };
        if size < self.bytes {
            let what = format!("shrank to {size} bytes ({} were counted)", self.bytes);
            return Err(changed(partition, path, Offset::new(self.lines), what));
        }
        if size < self.searched || self.searched - self.bytes <= SEARCHED_AGAIN {
            self.searched = self.bytes;
        }
        let mut chunk = Vec::new();
        while let Some(file) = file.as_ref().filter(|_| self.searched < size) {
            chunk.clear();
            let want = at_most(size - self.searched, CHUNK);
            let read = read_at(file, path, &mut chunk, self.searched, want)?;
            if read == 0 {
                break;
            }
            if let Some(last) = memrchr(b'\n', &chunk) {
                self.lines += to_u64(memchr_iter(b'\n', &chunk).count());
                self.bytes = self.searched + to_u64(last + 1);
            }
            self.searched += to_u64(read);
        }
        Ok(self.lines)
    }
}

/// The line counts of all files.
#[derive(Default)]
pub(super) struct LineCounts(Mutex<HashMap<TopicPartition, Arc<Mutex<LineCount>>>>);

impl LineCounts {
    pub(super) fn of(&self, partition: TopicPartition) -> Arc<Mutex<LineCount>> {
        Arc::clone(lock(&self.0).entry(partition).or_default())
    }
}
