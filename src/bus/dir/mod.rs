//! The bus in a directory: files that need no broker, a lock, and a journal that makes a commit all or nothing.
//! `docs/bus-directory.md` tells the layout and the protocol.

mod commits;
mod committed;
mod disk;
mod frames;
mod journal;
mod layout;
mod line_count;
mod line_reader;
mod lock;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::bus::dir::commits::Commits;
use crate::bus::dir::committed::Committed;
use crate::bus::dir::disk::{Disk, RealDisk};
use crate::bus::dir::frames::FrameReader;
use crate::bus::dir::journal::JournalReader;
use crate::bus::dir::layout::Layout;
use crate::bus::dir::line_count::LineCounts;
use crate::bus::dir::line_reader::{Bound, LineReader};
use crate::bus::dir::watch::Watch;
use crate::bus::dir::writer::{Pending, Writer};
use crate::bus::error::BusError;
use crate::bus::position::{Mark, Position, TaskId};
use crate::bus::{Bus, Reader};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// How often the files are looked at while a task waits for something to read.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long whoever only reads waits for what was committed to stand in its file.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);

/// How a bus is worked on.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether a commit is made durable before it counts. Without it, a commit survives the end of the process however it ends, but after a
    /// power failure the bus may have to be restored from a copy.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: true }
    }
}

/// What the tests set as well.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    sync: bool,
    /// Bytes of commits after which the journal is started anew.
    journal_bytes: u64,
}

/// How long a journal is, and when it was written last.
type JournalAt = (u64, SystemTime);

/// A bus directory, worked on by this process alone or only read.
pub struct DirBus {
    layout: Layout,
    identity: String,
    committed: Arc<Committed>,
    line_counts: LineCounts,
    watch: Watch,
    /// None if the bus is only read.
    commits: Option<Commits>,
    /// If the bus is only read: the positions of all tasks, and the journal they were looked up in.
    looked_up: Mutex<Option<(JournalAt, BTreeMap<String, Position>)>>,
}

impl DirBus {
    /// Opens the bus at `path` for this process alone, and brings it to its last commit.
    ///
    /// # Errors
    /// `Missing` if `path` is no folder, `Locked` if another process has the bus (nothing is written then), `Version` and `Damaged` if the files
    /// are not what a softstake of this version left there.
    pub fn open(path: &Path, options: Options) -> Result<Self, BusError> {
        let tuning = Tuning {
            sync: options.sync,
            journal_bytes: 64 << 20,
        };
        Self::open_on(Box::new(RealDisk), path, tuning)
    }

    fn open_on(disk: Box<dyn Disk>, path: &Path, tuning: Tuning) -> Result<Self, BusError> {
        let layout = Layout::of(path)?;
        let lock = lock::take(&layout)?;
        let committed = Arc::new(Committed::default());
        let writer = Writer::recover(disk, layout.clone(), tuning, Arc::clone(&committed))?;
        Ok(Self {
            identity: writer.identity().to_owned(),
            commits: Some(Commits::new(path.to_path_buf(), writer, lock)),
            line_counts: LineCounts::default(),
            watch: Watch::new(false),
            layout,
            committed,
            looked_up: Mutex::default(),
        })
    }

    /// Opens the bus at `path` to look at it, beside a running process or without one. Takes no lock, writes and repairs nothing.
    ///
    /// A record can be read once it stands in its file, which after a crash may be later than its commit: at the next `open`.
    /// The identity is empty if no softstake ever worked on this bus.
    ///
    /// # Errors
    /// `Missing`, `Version` and `Damaged` as in `open`.
    pub fn open_for_reading(path: &Path) -> Result<Self, BusError> {
        let layout = Layout::of(path)?;
        let journal = JournalReader::open(&layout)?;
        Ok(Self {
            identity: journal.map_or_else(String::new, |(journal, _)| journal.identity().to_owned()),
            commits: None,
            committed: Arc::default(),
            line_counts: LineCounts::default(),
            watch: Watch::new(true),
            layout,
            looked_up: Mutex::default(),
        })
    }

    /// Ends the work on the bus in good order; dropping it does the same, but cannot tell of an error.
    ///
    /// # Errors
    /// When the output files cannot be made durable, or an earlier commit failed. Nothing committed is lost: the next `open` recovers it.
    pub fn close(self) -> Result<(), BusError> {
        self.commits.as_ref().map_or(Ok(()), Commits::close)
    }

    /// The positions of all tasks, from the journal. What was committed with them can be read when this returns.
    fn look_up(&self) -> Result<BTreeMap<String, Position>, BusError> {
        let Some((mut journal, snapshot)) = JournalReader::open(&self.layout)? else {
            return Ok(BTreeMap::new());
        };
        let mut positions = snapshot.positions;
        let ends = snapshot.ends.iter();
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
        self.until_written(&ends);
        Ok(positions)
    }

    /// Waits until files are so long: what a commit appends stands in its file a moment later. After a crash that is at the next `open`, so it
    /// is not waited for long.
    fn until_written(&self, ends: &BTreeMap<TopicPartition, u64>) {
        let began = Instant::now();
        let is_written = |(partition, bytes): (&TopicPartition, &u64)| {
            let length = std::fs::metadata(self.layout.file(*partition)).map_or(0, |file| file.len());
            length >= *bytes
        };
        while !ends.iter().all(is_written) && began.elapsed() < WRITTEN_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn bound(&self, topic: Topic) -> Bound {
        if self.commits.is_some() && topic.kind() != TopicKind::Input {
            Bound::Committed(Arc::clone(&self.committed))
        } else {
            Bound::File
        }
    }
}

impl Bus for DirBus {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BusError> {
        self.layout.partitions(topic)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        let kind = partition.topic.kind();
        match self.bound(partition.topic) {
            Bound::Committed(committed) if kind == TopicKind::Inner => Ok(committed.readable_end(partition).bytes),
            Bound::Committed(committed) => Ok(committed.readable_end(partition).records),
            Bound::File if kind == TopicKind::Inner => {
                let mut reader = self.open(partition, &Mark::default())?;
                while !reader.read(line_reader::CHUNK, u64::MAX)?.is_empty() {}
                Ok(reader.mark().offset)
            }
            Bound::File => {
                let line_count = self.line_counts.of(partition);
                let path = self.layout.file(partition);
                committed::lock(&line_count).lines(partition, &path)
            }
        }
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, BusError> {
        let path = self.layout.file(partition);
        let bound = self.bound(partition.topic);
        if partition.topic.kind() == TopicKind::Inner {
            let reader = FrameReader::open(partition, path, bound, from)?;
            return Ok(Box::new(reader));
        }
        let line_count = self.line_counts.of(partition);
        let reader = LineReader::open(partition, path, bound, line_count, from)?;
        Ok(Box::new(reader))
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, BusError> {
        let task = task.to_string();
        if self.commits.is_some() {
            return Ok(self.committed.position(&task));
        }
        // All tasks' positions are looked up at once, and again when the journal has changed.
        let journal = std::fs::metadata(self.layout.journal()).and_then(|file| Ok((file.len(), file.modified()?)));
        let journal = journal.ok();
        let mut looked_up = committed::lock(&self.looked_up);
        let positions = match looked_up.take() {
            Some((at, positions)) if Some(at) == journal => positions,
            _ => self.look_up()?,
        };
        let position = positions.get(&task).cloned();
        // So many lines were read there by then: they need not be counted again.
        for (partition, mark) in position.iter().flat_map(|position| &position.inputs) {
            if let Some((bytes, _)) = line_reader::evidence(mark) {
                committed::lock(&self.line_counts.of(*partition)).reached(bytes, mark.offset);
            }
        }
        *looked_up = journal.map(|at| (at, positions));
        Ok(position)
    }

    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), BusError> {
        let Some(commits) = &self.commits else {
            return Err(BusError::ReadOnly {
                path: self.layout.root().to_path_buf(),
            });
        };
        commits.commit(Pending::new(&task.to_string(), outputs, position)?)
    }

    fn version(&self) -> u64 {
        self.committed.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, BusError> {
        let start = Instant::now();
        let mut age = Duration::ZERO;
        loop {
            if self.watch.look(&self.layout, age)? {
                self.committed.bump();
            }
            // The first look is ours; from then on one thread's look serves all who wait.
            age = LOOK_EVERY;
            let left = at_most.saturating_sub(start.elapsed());
            let version = self.committed.wait(seen, left.min(LOOK_EVERY));
            if version > seen || start.elapsed() >= at_most {
                return Ok(version);
            }
        }
    }
}
