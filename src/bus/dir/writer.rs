//! The writer, used by one thread at a time: it recovers after a crash, writes commits, and replaces the journal when it is long.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::bus::dir::committed::Committed;
use crate::bus::dir::disk::{Disk, at_most, to_u64};
use crate::bus::dir::file_end::{Checkpoints, FileEnd};
use crate::bus::dir::frames;
use crate::bus::dir::journal::{CommittedState, Journal, JournalAppend, JournalCommit, JournalReader, JournalSnapshot};
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::verify::{CHUNK, compare, extended, len_of, lengths, missing_from, surplus, too_short};
use crate::bus::error::{CommitError, FileError};
use crate::bus::outputs;
use crate::bus::position::Position;
use crate::bus::running_digest::RecordDigest;
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{TopicKind, TopicPartition};

/// Files kept open for writing. There may be thousands of partitions, but a process has a limit of open files.
const MAX_FILES: usize = 256;

/// Options of the writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterOptions {
    /// As in [`Options`](crate::bus::dir::Options).
    pub(super) sync: bool,
    /// Bytes of commits after which a new journal replaces the old one.
    pub(super) journal_bytes: u64,
}

/// A commit, with the bytes to append to each file.
pub(super) struct PreparedCommit {
    task: String,
    position: Position,
    appends: BTreeMap<TopicPartition, FileAppend>,
}

#[derive(Default)]
struct FileAppend {
    records: Vec<RecordDigest>,
    bytes: Vec<u8>,
}

/// The appends of each file, still empty, with room for all of its records: a buffer that grows is copied again and again.
fn with_room(outputs: &Outputs) -> BTreeMap<TopicPartition, FileAppend> {
    /// The most that a record has around its value in a file.
    const AROUND: usize = 8;
    let mut sizes: BTreeMap<TopicPartition, (usize, usize)> = BTreeMap::new();
    for (to, _key, value) in outputs.iter() {
        let (records, bytes) = sizes.entry(to).or_default();
        *records += 1;
        *bytes += value.len() + AROUND;
    }
    let room = |(records, bytes)| FileAppend {
        records: Vec::with_capacity(records),
        bytes: Vec::with_capacity(bytes),
    };
    sizes.into_iter().map(|(to, size)| (to, room(size))).collect()
}

impl PreparedCommit {
    /// Rejects records that a file cannot hold, before anything is written.
    pub(super) fn new(task: &str, outputs: &Outputs, position: &Position) -> Result<Self, CommitError> {
        outputs::check(outputs)?;
        let mut appends = with_room(outputs);
        for (to, _key, value) in outputs.iter() {
            let append = appends.entry(to).or_default();
            let start = append.bytes.len();
            if to.topic.kind() == TopicKind::Inner {
                frames::encode(to, value, &mut append.bytes)?;
            } else {
                append.bytes.extend_from_slice(value);
                append.bytes.push(b'\n');
            }
            // Here, on the thread of the task: the one thread that writes has more to do.
            append.records.push(RecordDigest::of(&append.bytes[start..]));
        }
        Ok(Self {
            task: task.to_owned(),
            position: position.clone(),
            appends,
        })
    }
}

pub(super) struct Writer {
    disk: Box<dyn Disk>,
    layout: DirLayout,
    options: WriterOptions,
    committed: Arc<Committed>,
    checkpoints: BTreeMap<TopicPartition, Checkpoints>,
    journal: Journal,
    files: HashMap<TopicPartition, Arc<File>>,
    /// Files written since the current journal began. They may not be durable yet.
    touched: BTreeSet<TopicPartition>,
}

impl Writer {
    /// Recovers the bus to its last commit, and `committed` with it.
    pub(super) fn recover(
        disk: Box<dyn Disk>,
        layout: DirLayout,
        options: WriterOptions,
        committed: Arc<Committed>,
    ) -> Result<Self, FileError> {
        let Some((mut reader, snapshot)) = JournalReader::open(&layout)? else {
            expect_no_surplus(&layout, &CommittedState::default())?;
            let identity = uuid::Uuid::new_v4().to_string();
            disk.sync_folder(layout.root())?;
            let journal = Journal::start(&*disk, &layout, &identity, 0, &JournalSnapshot::default())?;
            return Ok(Self::new(disk, layout, options, committed, journal));
        };
        expect_whole(&layout, &snapshot)?;
        let JournalSnapshot {
            committed: state,
            checkpoints,
        } = snapshot;
        committed.restore(state);
        let clean = reader.at_end();
        // The process that wrote the journal may have stopped before its name and its last frames were durable.
        disk.sync_folder(layout.root())?;
        disk.sync_folder(&layout.own())?;
        let journal = Journal::resume(&*disk, &reader)?;
        let mut writer = Self::new(disk, layout, options, committed, journal);
        writer.checkpoints = checkpoints;
        if !clean {
            reader.sync(&*writer.disk)?;
            writer.redo(&mut reader)?;
        }
        expect_no_surplus(&writer.layout, &writer.committed.snapshot())?;
        if !clean {
            writer.start_journal(reader.sequence())?;
        }
        Ok(writer)
    }

    fn new(
        disk: Box<dyn Disk>,
        layout: DirLayout,
        options: WriterOptions,
        committed: Arc<Committed>,
        journal: Journal,
    ) -> Self {
        Self {
            disk,
            layout,
            options,
            committed,
            checkpoints: BTreeMap::new(),
            journal,
            files: HashMap::new(),
            touched: BTreeSet::new(),
        }
    }

    pub(super) fn identity(&self) -> &str {
        self.journal.identity()
    }

    /// Commits all of `group` as one frame. When this returns, the group is durable and can be read. After an error, only recovery can tell
    /// whether the group was committed.
    pub(super) fn write(&mut self, group: &[PreparedCommit]) -> Result<(), FileError> {
        let mut ends = BTreeMap::new();
        let mut commit = JournalCommit {
            positions: Vec::with_capacity(group.len()),
            appends: Vec::new(),
        };
        for prepared in group {
            commit.positions.push((&prepared.task, &prepared.position));
            for (to, append) in &prepared.appends {
                let end: &mut FileEnd = ends.entry(*to).or_insert_with(|| self.committed.readable_end(*to));
                commit.appends.push(JournalAppend {
                    to: *to,
                    at: end.bytes,
                    records: to_u64(append.records.len()),
                    bytes: &append.bytes,
                });
                let checkpoints = self.checkpoints.entry(*to).or_default();
                for record in &append.records {
                    end.add(*record);
                    checkpoints.note(end);
                }
            }
        }
        self.journal.append(&*self.disk, &commit, self.options.sync)?;
        for append in &commit.appends {
            self.append(append.to, append.at, append.bytes)?;
        }
        let positions = group
            .iter()
            .map(|prepared| (prepared.task.as_str(), prepared.position.clone()));
        self.committed.advance(ends, positions);
        if self.journal.pending_bytes() >= self.options.journal_bytes {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Makes the output files durable, and replaces the journal with a new one without commits.
    pub(super) fn checkpoint(&mut self) -> Result<(), FileError> {
        if self.journal.pending_bytes() == 0 {
            return Ok(());
        }
        self.start_journal(self.journal.sequence())
    }

    fn start_journal(&mut self, sequence: u64) -> Result<(), FileError> {
        let mut folders = BTreeSet::new();
        for to in &self.touched {
            let path = self.layout.file(*to);
            // Any handle will do: a sync makes the file durable, whichever handle wrote it.
            match self.files.get(to) {
                Some(file) => self.disk.sync(file, &path)?,
                None => self.disk.sync(&self.disk.open(&path)?, &path)?,
            }
            folders.insert(self.layout.folder(to.topic));
        }
        if !folders.is_empty() {
            folders.insert(self.layout.root().to_path_buf());
        }
        for folder in folders {
            self.disk.sync_folder(&folder)?;
        }
        let snapshot = JournalSnapshot {
            committed: self.committed.snapshot(),
            checkpoints: self.checkpoints.clone(),
        };
        let identity = self.journal.identity().to_owned();
        self.journal = Journal::start(&*self.disk, &self.layout, &identity, sequence, &snapshot)?;
        self.touched.clear();
        Ok(())
    }

    /// Repeats the writes of the journal's commits to the output files, where they are missing.
    fn redo(&mut self, reader: &mut JournalReader) -> Result<(), FileError> {
        while let Some(commit) = reader.next()? {
            let mut ends = BTreeMap::new();
            for append in &commit.appends {
                let end: &mut FileEnd = ends
                    .entry(append.to)
                    .or_insert_with(|| self.committed.readable_end(append.to));
                let checkpoints = self.checkpoints.entry(append.to).or_default();
                *end = match extended(*end, append, checkpoints) {
                    Ok(end) => end,
                    Err(what) => return Err(reader.damaged(&what)),
                };
                self.redo_append(append)?;
            }
            self.committed.advance(ends, commit.positions.into_iter());
        }
        Ok(())
    }

    fn redo_append(&mut self, append: &JournalAppend<'_>) -> Result<(), FileError> {
        let path = self.layout.file(append.to);
        for (index, expected) in append.bytes.chunks(CHUNK).enumerate() {
            let at = append.at + to_u64(index * CHUNK);
            let file = self.existing(append.to)?;
            match missing_from(file.as_deref(), &path, at, expected)? {
                Some(from) => self.append(append.to, from, &expected[at_most(from - at, expected.len())..])?,
                // The bytes may not be durable, though.
                None => _ = self.touched.insert(append.to),
            }
        }
        Ok(())
    }

    fn append(&mut self, to: TopicPartition, at: u64, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.layout.file(to);
        let file = match self.existing(to)? {
            Some(file) => file,
            None => {
                self.disk.create_folder(&self.layout.folder(to.topic))?;
                self.opened(to, &path)?
            }
        };
        self.touched.insert(to);
        self.disk.write(&file, &path, bytes, at)
    }

    /// The file of a partition; `None` if it does not exist.
    fn existing(&mut self, to: TopicPartition) -> Result<Option<Arc<File>>, FileError> {
        if let Some(file) = self.files.get(&to) {
            return Ok(Some(Arc::clone(file)));
        }
        let path = self.layout.file(to);
        match fs::symlink_metadata(&path) {
            Ok(_) => self.opened(to, &path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::io("look at", path)(error)),
        }
    }

    fn opened(&mut self, to: TopicPartition, path: &Path) -> Result<Arc<File>, FileError> {
        if self.files.len() >= MAX_FILES {
            self.files.clear();
        }
        let file = Arc::new(self.disk.open(path)?);
        self.files.insert(to, Arc::clone(&file));
        Ok(file)
    }
}

/// Checks that each file holds everything that was committed before the journal began. Its end is read again.
fn expect_whole(layout: &DirLayout, snapshot: &JournalSnapshot) -> Result<(), FileError> {
    for (partition, end) in &snapshot.committed.ends {
        let len = len_of(layout, *partition)?;
        if len < end.bytes {
            return Err(too_short(&layout.file(*partition), len, end.bytes));
        }
        let checkpoints = snapshot.checkpoints.get(partition);
        let from = checkpoints.map_or_else(FileEnd::default, Checkpoints::before_the_last_part);
        let points = checkpoints.map_or_else(Vec::new, Checkpoints::all).into_iter();
        let points = points.filter(|point| point.bytes > from.bytes).chain([*end]);
        compare(layout, *partition, from, points, &mut |_| {})?;
    }
    Ok(())
}

fn expect_no_surplus(layout: &DirLayout, committed: &CommittedState) -> Result<(), FileError> {
    let surplus = surplus(layout, &lengths(layout)?, &committed.ends);
    surplus.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}
