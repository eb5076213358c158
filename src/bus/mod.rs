//! The event bus as the tasks see it: topics of ordered records, and a transaction that appends records
//! and moves a task's position in one atomic step. Everything above this trait is the same code on every bus.

mod error;

pub mod dir;
pub mod memory;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::core::outputs::Outputs;
pub use crate::core::topic::{Kind, Topic, TopicPartition};
pub use error::BusError;

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

    /// One past the offset of the last record of `partition` that can be read now; 0 if it is missing.
    fn end(&self, partition: TopicPartition) -> Result<u64, BusError>;

    /// A reader that stands at `from`.
    ///
    /// # Errors
    /// When what lies before `from` is no longer what it was (`BusError::SourceChanged`), or is gone.
    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, BusError>;

    /// The position `task` committed last, or `None` if it never did.
    fn committed(&self, task: &str) -> Result<Option<Position>, BusError>;

    /// Appends `outputs` and moves `task` to `position`, both or neither. When this returns, both are durable and can be read.
    fn commit(&self, task: &str, outputs: &Outputs, position: &Position) -> Result<(), BusError>;

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

    /// Where the reader stands.
    fn mark(&self) -> &Mark;

    /// Takes a batch back that is done with, to use its memory again.
    fn recycle(&mut self, _batch: Batch) {}
}
