//! A bus directory, only read: beside a running process or without one. It takes no lock, writes nothing and repairs nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use crate::bus::dir::committed::{Bound, Committed, lock};
use crate::bus::dir::files::Files;
use crate::bus::dir::journal::JournalReader;
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::names::{self, UnreadNames};
use crate::bus::dir::prefix;
use crate::bus::dir::verify::{self, WRITTEN_WITHIN, WrittenFiles};
use crate::bus::dir::watch::Watch;
use crate::bus::error::{FileError, OpenError, ReadError};
use crate::bus::interface::{Log, Reader};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// The length and the modification time of a journal.
type JournalState = (u64, SystemTime);

/// A bus directory, only read.
///
/// A record can be read once its file holds it. After a crash, that may be later than its commit: when a process next opens the bus to work on it.
pub struct ReadOnlyDir {
    files: Files,
    identity: String,
    /// Only its version counts here.
    committed: Committed,
    watch: Watch,
    /// The positions of all tasks, and the state of the journal that they were read from.
    positions: Mutex<Option<(JournalState, BTreeMap<String, Position>)>>,
}

impl ReadOnlyDir {
    /// Opens the bus at `path`. The identity is empty if no softstake has ever worked on this bus.
    ///
    /// # Errors
    /// `Missing` if `path` is no folder; `Version` or `Damaged` if a softstake of this version did not leave the journal.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let layout = DirLayout::of(path)?;
        let journal = JournalReader::open(&layout)?;
        Ok(Self {
            identity: journal.map_or_else(String::new, |(journal, _)| journal.identity().to_owned()),
            committed: Committed::default(),
            watch: Watch::new(Topic::ALL),
            files: Files::new(layout),
            positions: Mutex::default(),
        })
    }

    /// The names in the directory that are not read.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn unread_names(&self) -> Result<UnreadNames, FileError> {
        names::unread_names(self.files.layout())
    }

    /// Reads all output and inner files, and compares them with what was committed. `read` learns how many bytes are done, and of how many.
    ///
    /// # Errors
    /// If the journal is damaged, or a file cannot be read. A damaged file is no error, but a part of the result.
    pub fn compare_written(&self, read: &mut dyn FnMut(u64, u64)) -> Result<WrittenFiles, FileError> {
        verify::compare_all(self.files.layout(), read)
    }

    /// The positions of all tasks, from the journal. The records committed with them can be read when this returns.
    fn read_positions(&self) -> Result<BTreeMap<String, Position>, FileError> {
        let Some((mut journal, snapshot)) = JournalReader::open(self.files.layout())? else {
            return Ok(BTreeMap::new());
        };
        let mut positions = snapshot.committed.positions;
        let ends = snapshot.committed.ends.iter();
        let mut ends: BTreeMap<TopicPartition, u64> = ends.map(|(partition, end)| (*partition, end.bytes)).collect();
        while let Some(commit) = journal.next()? {
            for append in &commit.appends {
                ends.insert(append.to, append.at + append.bytes.len() as u64);
            }
            for (task, position) in commit.positions {
                match positions.get_mut(task) {
                    Some(known) => *known = position,
                    None => _ = positions.insert(task.to_owned(), position),
                }
            }
        }
        self.wait_until_written(&ends);
        Ok(positions)
    }

    /// Waits until the files have these lengths: a commit is in the journal a moment before its records are in their files. After a crash that
    /// takes until the next `open`, so the wait is short.
    fn wait_until_written(&self, ends: &BTreeMap<TopicPartition, u64>) {
        let began = Instant::now();
        let is_written = |(partition, bytes): (&TopicPartition, &u64)| {
            let length = std::fs::metadata(self.files.layout().file(*partition)).map_or(0, |file| file.len());
            length >= *bytes
        };
        while !ends.iter().all(is_written) && began.elapsed() < WRITTEN_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Log for ReadOnlyDir {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        Ok(self.files.layout().partitions(topic)?)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.files.readable_end(partition)
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        self.files.open(partition, Bound::File, from)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        // The positions of all tasks are read at once, and again when the journal has changed.
        let journal =
            std::fs::metadata(self.files.layout().journal()).and_then(|file| Ok((file.len(), file.modified()?)));
        let journal = journal.ok();
        let mut known = lock(&self.positions);
        let positions = match known.take() {
            Some((state, positions)) if Some(state) == journal => positions,
            _ => self.read_positions()?,
        };
        let position = positions.get(&task.to_string()).cloned();
        // The task had read this many lines there, so they need not be counted again.
        for (partition, mark) in position.iter().flat_map(|position| &position.inputs) {
            if let Some(bytes) = prefix::evidence(mark) {
                self.files.reached(*partition, bytes, mark.offset.get())?;
            }
        }
        *known = journal.map(|state| (state, positions));
        Ok(position)
    }

    fn version(&self) -> u64 {
        self.committed.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        Ok(self.watch.wait(self.files.layout(), &self.committed, seen, at_most)?)
    }
}
