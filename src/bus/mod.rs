//! The event bus as the tasks see it: topics of ordered records, and a transaction that appends records
//! and moves a task's position in one atomic step. Everything above this trait is the same code on every bus.

mod batch;
mod error;
mod position;

pub mod archive;
pub mod dir;
pub mod kafka;
pub mod memory;
pub mod scan;

use std::collections::BTreeSet;
use std::time::Duration;

pub use crate::core::contract::appends::Outputs;
pub use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};
pub use batch::{Batch, Record};
pub use error::{BusError, Reaction};
pub use position::{Cursor, Mark, Position, TaskId};

/// Refuses records that no bus of files can hold: on an input topic, or with a line feed on a topic of lines.
pub(crate) fn check(outputs: &Outputs) -> Result<(), BusError> {
    for (partition, _key, value) in outputs.iter() {
        let what = match partition.topic.kind() {
            TopicKind::Input => "others write this topic, softstake only reads it",
            TopicKind::Output if memchr::memchr(b'\n', value).is_some() => "it holds a line feed",
            TopicKind::Output | TopicKind::Inner => continue,
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
    fn readable_end(&self, partition: TopicPartition) -> Result<u64, BusError>;

    /// One past the offset of the last record of `partition` that anybody has written by now, whether it can be read yet or not: a cut is
    /// never behind it.
    fn written_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        self.readable_end(partition)
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

    /// Takes a task for this process; `false` if it is not assigned to it. Until [`Bus::release`] no other process is given it.
    fn acquire(&self, _task: TaskId) -> bool {
        true
    }

    /// Gives back a task that was taken; nothing of it runs any more.
    fn release(&self, _task: TaskId) {}

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
