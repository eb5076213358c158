//! The directory bus of the one process that works on it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::dir::commits::CommitQueue;
use crate::bus::dir::committed::{Bound, Committed};
use crate::bus::dir::disk::{Disk, RealDisk};
use crate::bus::dir::files::Files;
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::lock;
use crate::bus::dir::names::{NameWatch, unread_names};
use crate::bus::dir::watch::Watch;
use crate::bus::dir::writer::{PreparedCommit, Writer, WriterOptions};
use crate::bus::error::{CommitError, OpenError, ReadError};
use crate::bus::interface::{Bus, Log, Reader};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

/// Options of a directory bus.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether each commit is made durable before it counts. Without this, a commit survives every end of the process, but after a power
    /// failure the bus may have to be restored from a copy.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: true }
    }
}

/// A bus directory that this process alone works on.
pub struct DirBus {
    files: Files,
    identity: String,
    committed: Arc<Committed>,
    watch: Watch,
    names: NameWatch,
    commits: CommitQueue,
}

impl DirBus {
    /// Locks the bus at `path` for this process, and recovers it to its last commit.
    ///
    /// # Errors
    /// `Missing` if `path` is no folder. `WrongNames` if it has topics or partitions under wrong names. `Locked` if another process has the bus
    /// (nothing is written then). `Version` or `Damaged` if a softstake of this version did not leave these files.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let options = WriterOptions {
            sync: options.sync,
            journal_bytes: 64 << 20,
        };
        Self::open_on(Box::new(RealDisk), path, options)
    }

    pub(super) fn open_on(disk: Box<dyn Disk>, path: &Path, options: WriterOptions) -> Result<Self, OpenError> {
        let layout = DirLayout::of(path)?;
        let names = unread_names(&layout)?;
        if !names.wrong.is_empty() {
            return Err(OpenError::WrongNames {
                path: path.to_path_buf(),
                names: names.wrong,
            });
        }
        let lock = lock::acquire(&layout)?;
        let committed = Arc::new(Committed::default());
        let writer = Writer::recover(disk, layout.clone(), options, Arc::clone(&committed))?;
        Ok(Self {
            identity: writer.identity().to_owned(),
            commits: CommitQueue::new(path.to_path_buf(), writer, lock),
            watch: Watch::new(Topic::ALL.into_iter().filter(|topic| topic.kind() == TopicKind::Input)),
            names: NameWatch::default(),
            files: Files::new(layout),
            committed,
        })
    }

    /// Closes the bus. Dropping it does the same, but cannot report an error.
    ///
    /// # Errors
    /// If the output files cannot be made durable, or an earlier commit failed. No commit is lost: the next `open` recovers it.
    pub fn close(self) -> Result<(), CommitError> {
        self.commits.close()
    }

    fn bound(&self, topic: Topic) -> Bound {
        match topic.kind() {
            TopicKind::Input => Bound::File,
            TopicKind::Output | TopicKind::Inner => Bound::Committed(Arc::clone(&self.committed)),
        }
    }
}

impl Log for DirBus {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        Ok(self.files.layout().partitions(topic)?)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        match partition.topic.kind() {
            TopicKind::Input => self.files.readable_end(partition),
            TopicKind::Inner => Ok(Offset::new(self.committed.readable_end(partition).bytes)),
            TopicKind::Output => Ok(Offset::new(self.committed.readable_end(partition).records)),
        }
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        self.files.open(partition, self.bound(partition.topic), from)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        Ok(self.committed.position(&task.to_string()))
    }

    fn version(&self) -> u64 {
        self.committed.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        self.names.look(self.files.layout())?;
        Ok(self.watch.wait(self.files.layout(), &self.committed, seen, at_most)?)
    }
}

impl Bus for DirBus {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        self.commits
            .commit(PreparedCommit::new(&task.to_string(), outputs, position)?)
    }
}
