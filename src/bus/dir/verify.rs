//! Compares output and inner files with what was committed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use crate::bus::dir::disk::{open_regular, read_at, to_u64};
use crate::bus::dir::file_end::{Checkpoints, FileEnd};
use crate::bus::dir::frames::FrameCheck;
use crate::bus::dir::journal::{JournalAppend, JournalReader};
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::stored_records::{StoredRecords, stored_len};
use crate::bus::error::FileError;
use crate::bus::running_digest::RecordDigest;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// Bytes compared at a time.
pub(super) const CHUNK: usize = 1 << 20;

/// How long to wait until the files hold the records of the commits in the journal.
pub(super) const WRITTEN_WITHIN: Duration = Duration::from_millis(500);

/// The outcome of reading all output and inner files.
#[derive(Debug, Default)]
pub struct WrittenFiles {
    pub files: u64,
    /// Committed bytes in all of them.
    pub bytes: u64,
    /// The first difference of each file that has one.
    pub damaged: Vec<FileError>,
    /// Partitions whose files do not hold their last commits yet. The next start writes them from the journal.
    pub incomplete: Vec<TopicPartition>,
}

/// The length of a partition's file; 0 if it is missing.
pub(super) fn len_of(layout: &DirLayout, partition: TopicPartition) -> Result<u64, FileError> {
    let path = layout.file(partition);
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(FileError::io("look at", path)(error)),
    }
}

/// The length of every output and inner file.
pub(super) fn lengths(layout: &DirLayout) -> Result<BTreeMap<TopicPartition, u64>, FileError> {
    let mut lengths = BTreeMap::new();
    for topic in Topic::ALL {
        if topic.kind() == TopicKind::Input {
            continue;
        }
        for partition in layout.partitions(topic)? {
            let partition = topic.partition(partition);
            lengths.insert(partition, len_of(layout, partition)?);
        }
    }
    Ok(lengths)
}

/// An error for each file that holds more than was committed. Each commit is in the journal first, so softstake did not write any other bytes.
pub(super) fn surplus(
    layout: &DirLayout,
    lengths: &BTreeMap<TopicPartition, u64>,
    ends: &BTreeMap<TopicPartition, FileEnd>,
) -> Vec<(TopicPartition, FileError)> {
    let mut found = Vec::new();
    for (partition, len) in lengths {
        let end = ends.get(partition).map_or(0, |end| end.bytes);
        if *len > end {
            let error = FileError::Damaged {
                file: layout.file(*partition),
                at: end,
                what: format!("it holds {} bytes that softstake did not write", len - end),
            };
            found.push((*partition, error));
        }
    }
    found
}

/// An error for a file of `len` bytes of which more were committed.
pub(super) fn too_short(path: &Path, len: u64, committed: u64) -> FileError {
    FileError::Damaged {
        file: path.to_path_buf(),
        at: len,
        what: format!("it ends here, but {committed} bytes were committed"),
    }
}

/// The end of a file after `append`.
///
/// # Errors
/// What is wrong with the journal.
pub(super) fn extended(
    end: FileEnd,
    append: &JournalAppend<'_>,
    checkpoints: &mut Checkpoints,
) -> Result<FileEnd, String> {
    let JournalAppend { to, at, .. } = append;
    if *at != end.bytes {
        return Err(format!("it commits to byte {at} of {to}, whose end is {}", end.bytes));
    }
    let mut next = end;
    let mut rest = append.bytes;
    while let Some((record, after)) = stored_len(to.topic.kind(), rest).and_then(|len| rest.split_at_checked(len)) {
        next.add(RecordDigest::of(record));
        checkpoints.note(&next);
        rest = after;
    }
    if !rest.is_empty() || next.records - end.records != append.records {
        return Err(format!("its records for {to} are not whole"));
    }
    Ok(next)
}

/// From which byte on a file misses the bytes `expected` at byte `at`; `None` if it has them all.
///
/// After a power failure, a file system may show zeros in place of lost data. Other bytes were written by another program, and are an error.
pub(super) fn missing_from(
    file: Option<&File>,
    path: &Path,
    at: u64,
    expected: &[u8],
) -> Result<Option<u64>, FileError> {
    let mut found = Vec::new();
    for (index, expected) in expected.chunks(CHUNK).enumerate() {
        let at = at + to_u64(index * CHUNK);
        found.clear();
        if let Some(file) = file {
            read_at(file, path, &mut found, at, expected.len())?;
        }
        if found == expected {
            continue;
        }
        let pairs = || found.iter().zip(expected);
        let same = pairs().take_while(|(found, expected)| found == expected).count();
        if let Some(index) = pairs().position(|(found, expected)| found != expected && *found != 0) {
            return Err(FileError::Damaged {
                file: path.to_path_buf(),
                at: at + to_u64(index),
                what: "its bytes are not the committed ones".to_owned(),
            });
        }
        return Ok(Some(at + to_u64(same)));
    }
    Ok(None)
}

/// Reads a partition's file again from `from` on, and compares it with each of `points`, which are in order. `read` learns how many bytes are done.
///
/// # Errors
/// `Damaged`, which tells the first difference as exactly as that is possible.
pub(super) fn compare(
    layout: &DirLayout,
    partition: TopicPartition,
    from: FileEnd,
    points: impl IntoIterator<Item = FileEnd>,
    read: &mut dyn FnMut(u64),
) -> Result<(), FileError> {
    let path = layout.file(partition);
    let file = open_regular(&path)?;
    let file = StoredFile {
        file: file.as_ref(),
        path: &path,
        kind: partition.topic.kind(),
    };
    let mut records = file.records(from.bytes);
    let mut reached = from;
    for point in points {
        let before = reached;
        while reached.bytes < point.bytes {
            match records.next(point.bytes, &mut |_| {})? {
                Some(record) => reached.add(record),
                None => break,
            }
        }
        if reached != point {
            return Err(file.difference(before, point)?);
        }
        read(point.bytes - before.bytes);
    }
    Ok(())
}

struct StoredFile<'a> {
    file: Option<&'a File>,
    path: &'a Path,
    kind: TopicKind,
}

impl<'a> StoredFile<'a> {
    fn records(&self, at: u64) -> StoredRecords<'a> {
        StoredRecords::new(self.file, self.path, self.kind, at)
    }

    /// The error about a difference between two ends. It names the first record that cannot be right; otherwise only the ends.
    fn difference(&self, before: FileEnd, after: FileEnd) -> Result<FileError, FileError> {
        let damaged = |at: u64, what: String| FileError::Damaged {
            file: self.path.to_path_buf(),
            at,
            what,
        };
        let metadata = self.file.map(File::metadata).transpose();
        let len = metadata
            .map_err(FileError::io("look at", self.path))?
            .map_or(0, |file| file.len());
        if len < after.bytes {
            return Ok(too_short(self.path, len, after.bytes));
        }
        let mut records = self.records(before.bytes);
        let mut reached = before;
        while reached.bytes < after.bytes {
            let mut check = RecordCheck::of(self.kind);
            match records.next(after.bytes, &mut |piece| check.add(piece))? {
                Some(record) if check.is_right() => reached.add(record),
                _ if self.kind == TopicKind::Inner => {
                    return Ok(damaged(reached.bytes, "the checksum of a record is wrong".to_owned()));
                }
                _ => {
                    let what = format!("line {} is not JSON, as softstake wrote it", reached.records + 1);
                    return Ok(damaged(reached.bytes, what));
                }
            }
        }
        let what = format!(
            "one of the records {} to {} is not the committed one; they end at byte {}",
            before.records + 1,
            after.records,
            after.bytes
        );
        Ok(damaged(before.bytes, what))
    }
}

/// Whether a record can be right by itself.
enum RecordCheck {
    Frame(FrameCheck),
    /// `None` before its first piece. A record in several pieces is taken as right.
    Line(Option<bool>),
}

impl RecordCheck {
    fn of(kind: TopicKind) -> Self {
        match kind {
            TopicKind::Inner => Self::Frame(FrameCheck::default()),
            TopicKind::Input | TopicKind::Output => Self::Line(None),
        }
    }

    fn add(&mut self, piece: &[u8]) {
        match self {
            Self::Frame(check) => check.add(piece),
            Self::Line(right) => *right = Some(right.is_some() || serde_json::from_slice::<IgnoredAny>(piece).is_ok()),
        }
    }

    fn is_right(&self) -> bool {
        match self {
            Self::Frame(check) => check.is_right(),
            Self::Line(right) => *right == Some(true),
        }
    }
}

/// Whether the file has the bytes of a commit. Waits for them until `deadline`: they are in the journal a moment before.
fn is_written(layout: &DirLayout, append: &JournalAppend<'_>, deadline: Instant) -> Result<bool, FileError> {
    let path = layout.file(append.to);
    loop {
        let file = open_regular(&path)?;
        if missing_from(file.as_ref(), &path, append.at, append.bytes)?.is_none() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn total_bytes(ends: &BTreeMap<TopicPartition, FileEnd>) -> u64 {
    ends.values().map(|end| end.bytes).fold(0, u64::saturating_add)
}

/// Compares every output and inner file with the journal, also beside a running process. `read` learns how many bytes are done, and of how many.
pub(super) fn compare_all(layout: &DirLayout, read: &mut dyn FnMut(u64, u64)) -> Result<WrittenFiles, FileError> {
    // Before the journal is opened: bytes reach a file only after the journal holds them. So what a file holds now is in the journal then.
    let lengths = lengths(layout)?;
    let mut damaged = BTreeMap::new();
    let mut incomplete = Vec::new();
    let Some((mut journal, snapshot)) = JournalReader::open(layout)? else {
        damaged.extend(surplus(layout, &lengths, &BTreeMap::new()));
        return Ok(WrittenFiles {
            damaged: damaged.into_values().collect(),
            ..WrittenFiles::default()
        });
    };
    let mut ends = snapshot.committed.ends.clone();
    let deadline = Instant::now() + WRITTEN_WITHIN;
    while let Some(commit) = journal.next()? {
        for append in &commit.appends {
            let end = ends.entry(append.to).or_default();
            *end = match extended(*end, append, &mut Checkpoints::default()) {
                Ok(end) => end,
                Err(what) => return Err(journal.damaged(&what)),
            };
            match is_written(layout, append, deadline) {
                Ok(true) => {}
                Ok(false) => incomplete.push(append.to),
                Err(error @ FileError::Damaged { .. }) => _ = damaged.entry(append.to).or_insert(error),
                Err(error) => return Err(error),
            }
        }
    }
    for (partition, error) in surplus(layout, &lengths, &ends) {
        damaged.entry(partition).or_insert(error);
    }
    let total = total_bytes(&snapshot.committed.ends);
    let mut done = 0;
    for (partition, end) in snapshot.committed.ends {
        let checkpoints = snapshot.checkpoints.get(&partition).map(Checkpoints::all);
        let points = checkpoints.unwrap_or_default().into_iter().chain([end]);
        let outcome = compare(layout, partition, FileEnd::default(), points, &mut |bytes| {
            done += bytes;
            read(done, total);
        });
        match outcome {
            Ok(()) => {}
            // It is before any difference that was found so far.
            Err(error @ FileError::Damaged { .. }) => _ = damaged.insert(partition, error),
            Err(error) => return Err(error),
        }
    }
    incomplete.sort_unstable();
    incomplete.dedup();
    incomplete.retain(|partition| !damaged.contains_key(partition));
    Ok(WrittenFiles {
        files: to_u64(ends.len()),
        bytes: total_bytes(&ends),
        damaged: damaged.into_values().collect(),
        incomplete,
    })
}
