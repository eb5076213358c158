//! The records of an output or inner file, as its bytes show them.

use std::fs::File;
use std::path::Path;

use memchr::memchr;
use xxhash_rust::xxh3::Xxh3;

use crate::bus::dir::disk::{at_most, read_at, to_u64};
use crate::bus::dir::frames;
use crate::bus::error::FileError;
use crate::bus::running_digest::RecordDigest;
use crate::core::contract::topic::TopicKind;

/// Bytes kept in memory. A longer record is read in pieces: a damaged file may be one long record.
const CHUNK: usize = 1 << 18;

/// The length of the record at the start of `bytes`, if it is whole there: a line with its line feed, or a frame with its header.
pub(super) fn stored_len(kind: TopicKind, bytes: &[u8]) -> Option<usize> {
    match kind {
        TopicKind::Inner => frames::stored_len(bytes).filter(|len| *len <= bytes.len()),
        TopicKind::Input | TopicKind::Output => memchr(b'\n', bytes).map(|end| end + 1),
    }
}

/// Reads a file record by record. The records may be damaged, so nothing but their ends is interpreted.
pub(super) struct StoredRecords<'a> {
    /// A missing file is an empty one.
    file: Option<&'a File>,
    path: &'a Path,
    kind: TopicKind,
    /// The byte at which the next record begins.
    at: u64,
    /// What is kept of the file from there on.
    buffer: Vec<u8>,
    /// This much of it was returned.
    used: usize,
}

impl<'a> StoredRecords<'a> {
    pub(super) fn new(file: Option<&'a File>, path: &'a Path, kind: TopicKind, at: u64) -> Self {
        Self {
            file,
            path,
            kind,
            at,
            buffer: Vec::new(),
            used: 0,
        }
    }

    /// The next record; `None` if none ends at or before byte `end`. `see` gets its bytes, in one piece if they fit into memory at once.
    pub(super) fn next(&mut self, end: u64, see: &mut dyn FnMut(&[u8])) -> Result<Option<RecordDigest>, FileError> {
        loop {
            let bytes = &self.buffer[self.used..];
            let bytes = &bytes[..at_most(end.saturating_sub(self.at), bytes.len())];
            if let Some(len) = stored_len(self.kind, bytes) {
                let record = &bytes[..len];
                see(record);
                let digest = RecordDigest::of(record);
                self.pass(len);
                return Ok(Some(digest));
            }
            if bytes.len() >= CHUNK {
                return self.long(end, see);
            }
            if self.fill(end)? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next record, which is longer than the buffer.
    fn long(&mut self, end: u64, see: &mut dyn FnMut(&[u8])) -> Result<Option<RecordDigest>, FileError> {
        let mut left = match self.kind {
            TopicKind::Inner => frames::stored_len(&self.buffer[self.used..]),
            TopicKind::Input | TopicKind::Output => None,
        };
        let mut hasher = Xxh3::new();
        let mut len = 0;
        loop {
            let bytes = &self.buffer[self.used..];
            let bytes = &bytes[..at_most(end.saturating_sub(self.at), bytes.len())];
            let ends = match left {
                Some(left) => Some(left).filter(|left| *left <= bytes.len()),
                None => stored_len(self.kind, bytes),
            };
            let piece = &bytes[..ends.unwrap_or(bytes.len())];
            see(piece);
            hasher.update(piece);
            let size = piece.len();
            len += to_u64(size);
            left = left.map(|left| left - size);
            self.pass(size);
            if ends.is_some() {
                return Ok(Some(RecordDigest::of_pieces(len, &hasher)));
            }
            if self.fill(end)? == 0 {
                return Ok(None);
            }
        }
    }

    fn pass(&mut self, len: usize) {
        self.used += len;
        self.at += to_u64(len);
    }

    /// Reads on, but not past byte `end`. Returns how much.
    fn fill(&mut self, end: u64) -> Result<usize, FileError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let at = self.at + to_u64(self.buffer.len());
        let want = at_most(end.saturating_sub(at), CHUNK - self.buffer.len());
        match self.file {
            Some(file) if want > 0 => read_at(file, self.path, &mut self.buffer, at, want),
            _ => Ok(0),
        }
    }
}
