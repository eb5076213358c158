//! What every bus offers, as three traits: [`Log`] reads, [`Bus`] also commits, [`Membership`] tells which tasks this process runs.
//! A function that takes a `&dyn Log` cannot write to the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::bus::batch::Batch;
use crate::bus::error::{CommitError, MembershipError, ReadError};
use crate::bus::pending::{PendingCommit, PendingEnd};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// The records and positions of a bus, to read.
///
/// Every bus keeps these promises. A committed transaction can be read as a whole, also after a crash. An uncommitted record cannot be read.
/// Offsets grow with every record of a partition. The record at an offset never changes.
pub trait Log: Send + Sync {
    /// A name that this bus keeps and that no other bus has. A store remembers the bus it belongs to.
    fn identity(&self) -> &str;

    /// The partitions of `topic` that exist now, in ascending order; none if the topic is missing.
    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError>;

    /// Forgets cached metadata: later calls see the partitions that exist then.
    fn refresh(&self) {}

    /// Whether a read itself tells of a wait, and gives up. Then nothing else has to bound the wait for a record.
    fn gives_up(&self) -> bool {
        false
    }

    /// The first offset of `partition` that still exists. Retention may have deleted the records before it.
    fn start(&self, _partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(Offset::START)
    }

    /// The readable end of `partition` (Kafka: the last stable offset): one past the last record that can be read now; 0 if it is missing.
    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError>;

    /// Begins to look up the readable end of `partition`, and does not wait for the answer if the bus is elsewhere. The bus's version grows when it is
    /// there.
    fn look_up_end(&self, partition: TopicPartition) -> Result<PendingEnd, ReadError> {
        self.readable_end(partition).map(PendingEnd::Known)
    }

    /// The written end of `partition` (Kafka: the high watermark): one past the last record that any producer has written, readable or not.
    /// A cut is never below it.
    fn written_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.readable_end(partition)
    }

    /// Those of these partitions in which no record that can be read now is at or after the given offset. Where that cannot be found out now, the
    /// partition is left out.
    fn drained(&self, places: &BTreeMap<TopicPartition, Offset>) -> Result<BTreeSet<TopicPartition>, ReadError> {
        let mut drained = BTreeSet::new();
        for (partition, offset) in places {
            if self.readable_end(*partition)? <= *offset {
                drained.insert(*partition);
            }
        }
        Ok(drained)
    }

    /// A reader positioned at `from`.
    ///
    /// # Errors
    /// If the records before `from` have changed (`ReadError::SourceChanged`), or if records from there on were deleted (`ReadError::Retained`): a reader
    /// never begins later than asked.
    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError>;

    /// Checks a mark against the log, as far as that is possible without reading on from it.
    ///
    /// # Errors
    /// As [`Log::open`].
    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), ReadError> {
        self.open(partition, mark).map(drop)
    }

    /// Checks that the records which readers of this process have read of `partition` are still there, unchanged. A task calls this before it
    /// publishes what depends on all of them.
    ///
    /// # Errors
    /// If they have changed, or if that cannot be found out now.
    fn verify(&self, _partition: TopicPartition) -> Result<(), ReadError> {
        Ok(())
    }

    /// The position that `task` committed last; `None` if it has committed nothing.
    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError>;

    /// A number that grows whenever there may be something new to read.
    fn version(&self) -> u64;

    /// Looks for new records of other writers. Then waits until `version()` is past `seen`, or until `at_most` is over.
    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError>;
}

/// A log that tasks publish to: a transaction appends records and moves a task's position in one atomic step.
pub trait Bus: Log {
    /// Appends `outputs` and moves `task` to `position`: both or neither. When this returns, both are durable and can be read. No two commits
    /// of a task may have the same position: a bus may learn from it whether a commit took place.
    ///
    /// # Errors
    /// `NotOurs` if another process runs the task now; `Unconfirmed` if only the bus knows whether the commit took place.
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError>;

    /// Begins to commit, and does not wait for the outcome if the bus is elsewhere. A task has one commit on its way at most. The bus's version
    /// grows when the outcome is known.
    ///
    /// # Errors
    /// As [`Bus::commit`].
    fn begin_commit(
        &self,
        task: TaskId,
        outputs: Arc<Outputs>,
        position: &Position,
    ) -> Result<PendingCommit, CommitError> {
        self.commit(task, &outputs, position)?;
        Ok(PendingCommit::done(task))
    }

    /// This process's part of a deployment that several processes share; `None` where one process runs all tasks.
    fn membership(&self) -> Option<&dyn Membership> {
        None
    }
}

/// One process's part of a deployment that several processes share.
pub trait Membership: Send + Sync {
    /// The tasks that this process has to run now.
    ///
    /// # Errors
    /// If this process is no longer part of the deployment.
    fn assigned(&self) -> Result<BTreeSet<TaskId>, MembershipError>;

    /// A number that grows whenever [`Membership::assigned`] changes.
    fn assignment(&self) -> u64;

    /// Acquires a task for this process; `false` if it is not assigned to it. No other process gets the task before [`Membership::release`].
    fn acquire(&self, task: TaskId) -> bool;

    /// Releases an acquired task. Nothing of it may run any more.
    fn release(&self, task: TaskId);

    /// The process that has each task of the deployment now, by a name that an operator knows. A task that no process has is missing.
    ///
    /// # Errors
    /// If that cannot be looked up now.
    fn owners(&self) -> Result<BTreeMap<TaskId, String>, MembershipError>;
}

/// A reader of one partition.
pub trait Reader: Send {
    /// The next records: about `limit` bytes of them, and at least one record if there is one. All are below the offset `until`.
    /// An empty batch whose mark has not moved means that there is nothing to read now.
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError>;

    /// Whether a read may find anything; `false` only if there is nothing to read now, whatever the limits.
    fn has_news(&mut self) -> Result<bool, ReadError> {
        Ok(true)
    }

    /// The mark after the last record that was read.
    fn mark(&self) -> &Mark;

    /// An offset below which all records have arrived here, read or not, and can be read; `None` if the reader does not know one.
    fn arrived(&self) -> Option<Offset> {
        None
    }

    /// Takes back a batch that is no longer needed, to use its memory again.
    fn recycle(&mut self, _batch: Batch) {}
}

/// A bus, and whether its holder may commit to it.
#[derive(Clone)]
pub enum Access {
    /// It may.
    ReadWrite(Arc<dyn Bus>),
    /// It only reads.
    ReadOnly(Arc<dyn Log>),
}

impl Access {
    /// The log, to read.
    #[must_use]
    pub fn log(&self) -> &dyn Log {
        match self {
            Self::ReadWrite(bus) => bus.as_ref(),
            Self::ReadOnly(log) => log.as_ref(),
        }
    }

    /// The bus, to commit to.
    #[must_use]
    pub fn bus(&self) -> Option<&Arc<dyn Bus>> {
        match self {
            Self::ReadWrite(bus) => Some(bus),
            Self::ReadOnly(_) => None,
        }
    }

    /// The same bus, to read only.
    #[must_use]
    pub fn read_only(&self) -> Self {
        match self {
            Self::ReadWrite(bus) => Self::ReadOnly(Arc::clone(bus) as Arc<dyn Log>),
            Self::ReadOnly(log) => Self::ReadOnly(Arc::clone(log)),
        }
    }

    /// As [`Bus::membership`].
    #[must_use]
    pub fn membership(&self) -> Option<&dyn Membership> {
        self.bus().and_then(|bus| bus.membership())
    }
}
