//! The layout of the ledger: its number of partitions, and the changes of that number.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bus::{Cursor, Mark, Position, RunningDigest, TaskId};
use crate::core::values::bucket::Partitions;
use crate::core::values::offset::Offset;

/// A number of ledger partitions, and how often it was changed before.
///
/// A store belongs to one layout. It does not fit another layout, even one with the same number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerLayout {
    /// The number of layout changes before this layout; 0 for the first layout of a deployment.
    pub generation: u32,
    pub partitions: Partitions,
}

/// `8` for the first layout, `16-1` after the first change: a folder of the state directory has this name.
impl fmt::Display for LedgerLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "{}", self.partitions.count()),
            generation => write!(f, "{}-{generation}", self.partitions.count()),
        }
    }
}

/// A change of the number of ledger partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutChange {
    /// The number of partitions before the change.
    pub from: u32,
    /// Where the accrue tasks stopped, by partition: each at the end of its partition.
    pub ledger: Vec<StoppedAt>,
    /// Where the coordinator stopped.
    pub inbox: StoppedAt,
    /// The digest of everything that these tasks had read: see [`LayoutChange::digest_of`].
    pub digest: RunningDigest,
}

impl LayoutChange {
    /// A digest over the digests of the positions where tasks stopped for a change of layout: the accrue tasks by partition, then the coordinator.
    ///
    /// Each store of the new layout is made from all stores of the old one. So the digests of their positions continue from this one, and not from
    /// what was read of their own partition alone.
    #[must_use]
    pub fn digest_of<'a>(stopped_at: impl IntoIterator<Item = (TaskId, &'a Position)>) -> RunningDigest {
        let mut all = RunningDigest::EMPTY;
        for (task, position) in stopped_at {
            let read = position.inputs.get(&task.home()).and_then(|mark| mark.digest);
            all.add(&read.unwrap_or_default().bytes());
        }
        all
    }
}

/// Where a task stopped, between two records of its only input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedAt {
    /// The offset of the next record.
    pub offset: Offset,
    /// The number of jobs finished since the last record.
    pub job: u32,
}

impl StoppedAt {
    /// The same place as `position`; `None` in the middle of a job.
    #[must_use]
    pub fn at(task: TaskId, position: &Position) -> Option<Self> {
        position.cursor.reached.is_empty().then(|| Self {
            offset: position.offset(task.home()),
            job: position.cursor.job,
        })
    }

    /// The position of the task when it stopped there, after records with this digest, if that is known. Marks of Softstake's own topics need no
    /// evidence of the bus.
    #[must_use]
    pub fn position(self, task: TaskId, digest: Option<RunningDigest>) -> Position {
        let mark = Mark {
            digest,
            ..Mark::at(self.offset)
        };
        Position {
            inputs: BTreeMap::from([(task.home(), mark)]),
            cursor: Cursor {
                job: self.job,
                reached: Vec::new(),
            },
        }
    }
}
