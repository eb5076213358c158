//! Inner topics: binary records in frames `[length][checksum][value]`. A record's offset is the byte at which its frame begins.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use crc32fast::Hasher;

use crate::bus::batch::Batch;
use crate::bus::dir::committed::Bound;
use crate::bus::dir::disk::{at_most, open_regular, read_at, to_u64};
use crate::bus::dir::prefix::changed;
use crate::bus::error::{CommitError, FileError, ReadError};
use crate::bus::interface::Reader;
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

const HEADER: usize = 8;

/// Appends `value` to `buffer` as a frame.
pub(super) fn encode(to: TopicPartition, value: &[u8], buffer: &mut Vec<u8>) -> Result<(), CommitError> {
    let len = u32::try_from(value.len()).map_err(|_| CommitError::Rejected {
        partition: to,
        what: format!("it has {} bytes, but at most 4294967295 are possible", value.len()),
    })?;
    let len = len.to_le_bytes();
    buffer.extend_from_slice(&len);
    buffer.extend_from_slice(&checksum(len, value).to_le_bytes());
    buffer.extend_from_slice(value);
    Ok(())
}

/// It covers the length: otherwise eight zero bytes, which a file system may leave after a crash, would be a frame.
fn checksum(len: [u8; 4], value: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&len);
    hasher.update(value);
    hasher.finalize()
}

/// The length of the frame at the start of `bytes`, as its header says; `None` without a whole header.
pub(super) fn stored_len(bytes: &[u8]) -> Option<usize> {
    let (len, _) = bytes.split_first_chunk()?;
    (bytes.len() >= HEADER).then(|| at_most(u64::from(u32::from_le_bytes(*len)), usize::MAX - HEADER) + HEADER)
}

/// The checksum of a frame in pieces; the first one has at least its header.
#[derive(Default)]
pub(super) struct FrameCheck {
    expected: Option<u32>,
    hasher: Hasher,
}

impl FrameCheck {
    pub(super) fn add(&mut self, piece: &[u8]) {
        match (self.expected, piece.split_first_chunk::<4>()) {
            (None, Some((len, rest))) => {
                self.hasher.update(len);
                if let Some((sum, value)) = rest.split_first_chunk() {
                    self.expected = Some(u32::from_le_bytes(*sum));
                    self.hasher.update(value);
                }
            }
            _ => self.hasher.update(piece),
        }
    }

    pub(super) fn is_right(&self) -> bool {
        self.expected == Some(self.hasher.clone().finalize())
    }
}

/// The frame at the start of some bytes, with its length in bytes.
enum Frame {
    /// The bytes end within the frame.
    Partial(usize),
    Whole(usize),
    /// The checksum is wrong.
    Damaged,
}

fn parse(bytes: &[u8]) -> Frame {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else {
        return Frame::Partial(HEADER);
    };
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else {
        return Frame::Partial(HEADER);
    };
    // A length of 32 bits fits.
    let value = at_most(u64::from(u32::from_le_bytes(*len)), usize::MAX - HEADER);
    match rest.get(..value) {
        None => Frame::Partial(HEADER + value),
        Some(value) if checksum(*len, value) == u32::from_le_bytes(*sum) => Frame::Whole(HEADER + value.len()),
        Some(_) => Frame::Damaged,
    }
}

/// Reads the frames of one file.
pub(super) struct FrameReader {
    partition: TopicPartition,
    path: PathBuf,
    bound: Bound,
    file: Option<File>,
    mark: Mark,
    /// The memory of a recycled batch.
    spare: (Vec<u8>, Vec<(Offset, Range<usize>)>),
}

impl FrameReader {
    pub(super) fn open(partition: TopicPartition, path: PathBuf, bound: Bound, from: &Mark) -> Result<Self, ReadError> {
        let mut reader = Self {
            partition,
            path,
            bound,
            file: None,
            mark: from.clone(),
            spare: Default::default(),
        };
        let end = reader.readable_bytes()?;
        if from.offset.get() > end {
            return Err(changed(
                partition,
                &reader.path,
                from.offset,
                format!("ends at byte {end},"),
            ));
        }
        Ok(reader)
    }

    /// The end of the bytes that may be read now.
    fn readable_bytes(&mut self) -> Result<u64, FileError> {
        // Before the file is opened: then the file holds everything committed so far.
        let committed = match &self.bound {
            Bound::Committed(committed) => Some(committed.readable_end(self.partition).bytes),
            Bound::File => None,
        };
        if self.file.is_none() {
            self.file = open_regular(&self.path)?;
        }
        match (committed, &self.file) {
            (Some(committed), _) => Ok(committed),
            (None, None) => Ok(0),
            (None, Some(file)) => {
                let metadata = file.metadata();
                Ok(metadata.map_err(FileError::io("look at", &self.path))?.len())
            }
        }
    }

    fn damaged(&self, at: u64, what: &str) -> FileError {
        FileError::Damaged {
            file: self.path.clone(),
            at,
            what: what.to_owned(),
        }
    }

    /// Reads `len` committed bytes at byte `at`.
    fn fill(&self, bytes: &mut Vec<u8>, at: u64, len: usize) -> Result<(), FileError> {
        let read = match &self.file {
            Some(file) => read_at(file, &self.path, bytes, at, len)?,
            None => 0,
        };
        if read < len {
            return Err(self.damaged(at + to_u64(read), "the file ends here, but more bytes were committed"));
        }
        Ok(())
    }
}

impl Reader for FrameReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let (start, until) = (self.mark.offset.get(), until.get());
        let end = self.readable_bytes()?;
        if start >= until || start >= end {
            return Ok(Batch::new(Vec::new(), Vec::new(), self.mark.clone()));
        }
        let (mut bytes, mut records) = std::mem::take(&mut self.spare);
        let available = at_most(end - start, usize::MAX);
        let want = available.min(limit.max(HEADER));
        self.fill(&mut bytes, start, want)?;
        let mut done = 0;
        while done < available && start + to_u64(done) < until {
            let at = start + to_u64(done);
            match parse(&bytes[done..]) {
                Frame::Whole(len) => {
                    let value = done + HEADER..done + len;
                    self.mark.add(&bytes[value.clone()]);
                    records.push((Offset::new(at), value));
                    done += len;
                }
                Frame::Damaged => return Err(self.damaged(at, "the checksum of a record is wrong").into()),
                Frame::Partial(len) if len > available - done => {
                    // A running writer may have written only a part of this frame.
                    if matches!(self.bound, Bound::File) {
                        break;
                    }
                    return Err(self.damaged(at, "a record is longer than the file").into());
                }
                Frame::Partial(len) if records.is_empty() => {
                    let more = len - bytes.len();
                    let from = start + to_u64(bytes.len());
                    self.fill(&mut bytes, from, more)?;
                }
                Frame::Partial(_) => break,
            }
        }
        self.mark.offset = Offset::new(start + to_u64(done));
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn recycle(&mut self, batch: Batch) {
        self.spare = batch.into_parts();
    }
}
