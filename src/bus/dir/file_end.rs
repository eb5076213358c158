//! Ends of output and inner files, with the digest of the records before them. The journal keeps them, so that a later change to a file is found.

use serde::{Deserialize, Serialize};

use crate::bus::running_digest::{RecordDigest, RunningDigest};

/// The least distance in bytes between two checkpoints.
const SPACING: u64 = 64 << 10;
/// The number of checkpoints that are spread over the whole file.
const SPREAD: usize = 16;
/// The number of checkpoints close to the end. From the older of the two, the end is read again at each start.
const LAST: usize = 2;

/// The end of a file after some record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEnd {
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Of all records as the file holds them: lines with their line feeds, or frames with their headers.
    pub(super) digest: RunningDigest,
}

/// The most bytes of a file. Sums of some thousand of them fit into 64 bits.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 50;

impl FileEnd {
    /// Whether a file can have this end: each record has a byte at least.
    pub(super) const fn is_possible(&self) -> bool {
        self.records <= self.bytes && self.bytes <= MAX_FILE_BYTES
    }

    /// Moves past the next record.
    pub(super) fn add(&mut self, record: RecordDigest) {
        self.bytes += record.bytes();
        self.records += 1;
        self.digest.link(record);
    }
}

/// Earlier ends of a file. The latest ones limit how much is read again at each start; the others tell in which part of the file a difference is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoints {
    /// The least distance of the spread ones. It doubles whenever there are too many.
    spacing: u64,
    spread: Vec<FileEnd>,
    last: Vec<FileEnd>,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            spacing: SPACING,
            spread: Vec::new(),
            last: Vec::new(),
        }
    }
}

impl Checkpoints {
    /// Learns of each end that the file has, in order. Keeps few of them.
    pub(super) fn note(&mut self, end: &FileEnd) {
        let is_due =
            |of: &[FileEnd], distance| end.bytes.saturating_sub(of.last().map_or(0, |last| last.bytes)) >= distance;
        if is_due(&self.last, SPACING) {
            if self.last.len() == LAST {
                self.last.remove(0);
            }
            self.last.push(*end);
        }
        if is_due(&self.spread, self.spacing) {
            self.spread.push(*end);
            if self.spread.len() > SPREAD {
                let mut index = 0;
                self.spread.retain(|_| {
                    index += 1;
                    index % 2 == 0
                });
                self.spacing = self.spacing.saturating_mul(2);
            }
        }
    }

    /// The last 64 KiB of the file are behind this end, and not much more than the last 128 KiB. A shorter file is behind it from its start.
    pub(super) fn before_the_last_part(&self) -> FileEnd {
        match &self.last[..] {
            [before, _] => *before,
            _ => FileEnd::default(),
        }
    }

    /// Whether files can have these ends.
    pub(super) fn are_possible(&self) -> bool {
        self.spread.iter().chain(&self.last).all(FileEnd::is_possible)
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<FileEnd> {
        let mut all = [&self.spread[..], &self.last].concat();
        all.sort_unstable_by_key(|end| end.bytes);
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(records: usize, len: usize) -> (Checkpoints, FileEnd) {
        let (mut checkpoints, mut end) = (Checkpoints::default(), FileEnd::default());
        for _ in 0..records {
            end.add(RecordDigest::of(&vec![b'x'; len]));
            checkpoints.note(&end);
        }
        (checkpoints, end)
    }

    #[test]
    fn the_part_that_is_read_again_at_each_start_has_bounds() {
        for records in 0..3000 {
            let (checkpoints, end) = file_of(records, 300);
            let part = end.bytes - checkpoints.before_the_last_part().bytes;
            assert!(part >= end.bytes.min(SPACING), "{part} of {}", end.bytes);
            assert!(part < 3 * SPACING, "{part} of {}", end.bytes);
        }
    }

    #[test]
    fn few_checkpoints_are_spread_over_a_large_file() {
        let (checkpoints, end) = file_of(20_000, 10_000);
        let all = checkpoints.all();
        assert!((SPREAD / 2..=SPREAD + LAST).contains(&all.len()), "{}", all.len());
        let mut before = 0;
        for checkpoint in &all {
            let part = checkpoint.bytes - before;
            assert!(part > 0 && part <= end.bytes / 6, "{part} of {}", end.bytes);
            before = checkpoint.bytes;
        }
    }
}
