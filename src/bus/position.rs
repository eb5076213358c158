//! Tasks as the bus knows them, and their positions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// A task, named by the partition that it follows. It moves between processes together with that partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(TopicPartition);

impl TaskId {
    /// The sequencer, which follows the control topic.
    pub const SEQUENCE: Self = Self(Topic::Control.partition(0));
    /// The coordinator, which follows the inbox.
    pub const COORDINATE: Self = Self(Topic::Inbox.partition(0));
    /// No task: under this name the bus keeps the deployment record, beside the decisions.
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

/// A reader's position in one partition: the next offset to read, and evidence of the records before it.
///
/// When a task continues from a mark, the bus uses the evidence to check that the records read before are unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// Only the bus that made it can interpret it. Empty at the start of a partition.
    pub evidence: Vec<u8>,
}

/// A task's position: a mark for each partition it reads, and a cursor within work that takes many transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// A partition without a mark is at its start.
    pub inputs: BTreeMap<TopicPartition, Mark>,
    pub cursor: Cursor,
}

/// Progress within the work that follows one record: which job is next, and how far that job is.
///
/// Cursors with the same input marks are ordered by `(job, reached)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The number of jobs finished since the last record was read.
    pub job: u32,
    /// The last key that the current job has processed; empty before the first.
    // Archives and snapshots keep it under its first name.
    #[serde(rename = "place")]
    pub reached: Vec<u8>,
}

impl Position {
    /// The next offset to read of `partition`.
    #[must_use]
    pub fn offset(&self, partition: TopicPartition) -> Offset {
        self.inputs.get(&partition).map_or(Offset::START, |mark| mark.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_fields_in_manifests_do_not_change() {
        let mark = Mark {
            offset: Offset::new(7),
            evidence: vec![1],
        };
        let position = Position {
            inputs: [(Topic::Trades.partition(3), mark)].into(),
            cursor: Cursor {
                job: 2,
                reached: vec![9],
            },
        };
        let json = r#"{"inputs":{"exchange.trades:3":{"offset":7,"evidence":[1]}},"cursor":{"job":2,"place":[9]}}"#;
        assert_eq!(serde_json::to_string(&position).unwrap(), json);
    }
}
