//! The event bus as the tasks see it: topics of ordered records, and a transaction that appends records
//! and moves a task's position in one atomic step. Everything above this trait is the same code on every bus.

mod error;
pub mod stretch;

pub mod archive;
pub mod dir;
pub mod kafka;
pub mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::core::outputs::Outputs;
pub use crate::core::topic::{Kind, Topic, TopicPartition};
pub use error::{BusError, Reaction};

/// A task, as the bus knows it: by the partition it follows, with which it moves from one process to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(TopicPartition);

impl TaskId {
    /// The sequencer, which follows the control topic.
    pub const SEQUENCE: Self = Self(Topic::Control.partition(0));
    /// The coordinator, which follows the inbox.
    pub const COORDINATE: Self = Self(Topic::Inbox.partition(0));
    /// No task: under this name the bus keeps what a deployment was begun with, beside its decisions.
    pub const DEPLOYMENT: Self = Self(Topic::Decisions.partition(0));

    /// The accrue task of ledger partition `partition`.
    #[must_use]
    pub const fn accrue(partition: u16) -> Self {
        Self(Topic::Ledger.partition(partition as u32))
    }

    /// The ingest task of source partition `source`.
    #[must_use]
    pub const fn ingest(source: TopicPartition) -> Self {
        Self(source)
    }

    /// The task that follows `home`.
    #[must_use]
    pub const fn following(home: TopicPartition) -> Self {
        Self(home)
    }

    /// The partition it follows.
    #[must_use]
    pub const fn home(self) -> TopicPartition {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.topic {
            Topic::Control => f.write_str("sequence"),
            Topic::Inbox => f.write_str("coordinate"),
            Topic::Decisions => f.write_str("deployment"),
            Topic::Ledger => write!(f, "accrue {}", self.0.partition),
            _ => write!(f, "ingest {}", self.0),
        }
    }
}

/// Where a reader stands in one partition: the next offset to read, and the bus's own evidence of what came before it.
///
/// The evidence lets the bus tell, when a task comes back to this mark, that what it read then is still what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The offset of the next record to read.
    pub offset: u64,
    /// Opaque to all but the bus that made it; empty at the start of a partition.
    pub evidence: Vec<u8>,
}

/// How far a task has come: a mark for each partition it reads, and a cursor inside a long emission.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// A mark for each partition the task reads; a partition without one is at its start.
    pub inputs: BTreeMap<TopicPartition, Mark>,
    /// Where the task stands in work that one record set off and that takes several transactions.
    pub cursor: Cursor,
}

/// A place inside the work that follows one record: the how-manieth job, and how far that job has come.
///
/// Cursors of one input position are ordered by `(job, place)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Jobs finished since the last record was read.
    pub job: u32,
    /// The last key the job under way has dealt with; empty before the first.
    pub place: Vec<u8>,
}

impl Position {
    /// The next offset to read of `partition`.
    #[must_use]
    pub fn offset(&self, partition: TopicPartition) -> u64 {
        self.inputs.get(&partition).map_or(0, |mark| mark.offset)
    }
}

/// A record as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in its partition.
    pub offset: u64,
    /// Its bytes; empty for an offset that holds nothing (a blank line).
    pub value: &'a [u8],
}

/// Records of one partition, in offset order, with the mark that follows the last of them.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<(u64, Range<usize>)>,
    /// Where the reader stands after this batch. It may be past the last record: offsets are not dense.
    pub next: Mark,
}

impl Batch {
    /// A batch of `records`, each an offset and the range of its bytes in `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>, records: Vec<(u64, Range<usize>)>, next: Mark) -> Self {
        Self { bytes, records, next }
    }

    /// Its memory, emptied: for the next batch.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<(u64, Range<usize>)>) {
        self.bytes.clear();
        self.records.clear();
        (self.bytes, self.records)
    }

    /// The records, in offset order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records.iter().map(|(offset, range)| Record {
            offset: *offset,
            value: &self.bytes[range.clone()],
        })
    }

    /// The offset of the `index`-th record.
    #[must_use]
    pub fn offset(&self, index: usize) -> Option<u64> {
        self.records.get(index).map(|(offset, _)| *offset)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record. The mark may have moved all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Refuses records that no bus of files can hold: on an input topic, or with a line feed on a topic of lines.
pub(crate) fn check(outputs: &Outputs) -> Result<(), BusError> {
    for (partition, _key, value) in outputs.iter() {
        let what = match partition.topic.kind() {
            Kind::Input => "others write this topic, softstake only reads it",
            Kind::Output if memchr::memchr(b'\n', value).is_some() => "it holds a line feed",
            Kind::Output | Kind::Inner => continue,
        };
        return Err(BusError::Refused {
            partition,
            what: what.to_owned(),
        });
    }
    Ok(())
}

/// An event bus.
///
/// Whoever implements it promises: a committed transaction is there as a whole, after a crash too; what is not committed is seen by
/// nobody; offsets grow with every record of a partition; what has been read at an offset is what everybody reads there for ever.
pub trait Bus: Send + Sync {
    /// A name that stays with this bus and that no other bus has. A store remembers which bus it belongs to.
    fn identity(&self) -> &str;

    /// The partitions of `topic` that exist now, ascending; none if the topic is missing.
    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BusError>;

    /// From now on, what is asked about partitions is looked up anew: what exists now is seen.
    fn refresh(&self) {}

    /// The first offset of `partition` that is there: what lay before it was deleted, as a log of limited retention does.
    fn start(&self, _partition: TopicPartition) -> Result<u64, BusError> {
        Ok(0)
    }

    /// One past the offset of the last record of `partition` that can be read now; 0 if it is missing.
    fn end(&self, partition: TopicPartition) -> Result<u64, BusError>;

    /// One past the offset of the last record of `partition` that anybody has written by now, whether it can be read yet or not: a cut is
    /// never behind it.
    fn written(&self, partition: TopicPartition) -> Result<u64, BusError> {
        self.end(partition)
    }

    /// A reader that stands at `from`.
    ///
    /// # Errors
    /// When what lies before `from` is no longer what it was (`BusError::SourceChanged`), or is gone.
    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, BusError>;

    /// Holds a mark against what is there, as far as that can be told without reading on from it.
    ///
    /// # Errors
    /// As [`Bus::open`].
    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), BusError> {
        self.open(partition, mark).map(drop)
    }

    /// The position `task` committed last, or `None` if it never did.
    fn committed(&self, task: TaskId) -> Result<Option<Position>, BusError>;

    /// Appends `outputs` and moves `task` to `position`, both or neither. When this returns, both are durable and can be read.
    ///
    /// # Errors
    /// `NotOurs` if the task has gone to another process, `Unsettled` if nothing is known but that the task must be taken up again.
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), BusError>;

    /// The tasks this process is to run, where a deployment spreads over several; `None` where one process runs them all.
    ///
    /// # Errors
    /// If this process has no part in the deployment any more.
    fn assigned(&self) -> Result<Option<BTreeSet<TaskId>>, BusError> {
        Ok(None)
    }

    /// A number that grows whenever [`Bus::assigned`] changes.
    fn assignment(&self) -> u64 {
        0
    }

    /// Takes a task for this process; `false` if it is not assigned to it. Until [`Bus::let_go`] no other process is given it.
    fn take_up(&self, _task: TaskId) -> bool {
        true
    }

    /// Gives back a task that was taken; nothing of it runs any more.
    fn let_go(&self, _task: TaskId) {}

    /// A number that grows whenever there may be something new to read.
    fn version(&self) -> u64;

    /// Looks for what others appended since, then waits until `version()` is past `seen` or `at_most` has gone by.
    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, BusError>;
}

/// A reader of one partition.
pub trait Reader: Send {
    /// The next records: about `limit` bytes of them (always at least one record if there is one), none at or past the offset `until`.
    /// An empty batch whose mark has not moved means that nothing is there now.
    fn read(&mut self, limit: usize, until: u64) -> Result<Batch, BusError>;

    /// Whether a read may find anything: `false` only if there is nothing to read now, whatever the limits.
    fn has_news(&mut self) -> Result<bool, BusError> {
        Ok(true)
    }

    /// Where the reader stands.
    fn mark(&self) -> &Mark;

    /// Takes a batch back that is done with, to use its memory again.
    fn recycle(&mut self, _batch: Batch) {}
}
