//! Tasks as the bus knows them, and how far each has come.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::contract::topic::{Topic, TopicPartition};

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
/// Cursors of one input position are ordered by `(job, reached)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Jobs finished since the last record was read.
    pub job: u32,
    /// The last key the job under way has dealt with; empty before the first.
    pub reached: Vec<u8>,
}

impl Position {
    /// The next offset to read of `partition`.
    #[must_use]
    pub fn offset(&self, partition: TopicPartition) -> u64 {
        self.inputs.get(&partition).map_or(0, |mark| mark.offset)
    }
}
