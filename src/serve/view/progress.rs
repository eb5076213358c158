//! How far the bus is read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::TopicPartition;
use crate::core::values::offset::Offset;

/// How far one partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewedPartition {
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: Offset,
    /// Its readable end at the last look.
    pub end: Offset,
}

/// How far the bus is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewProgress {
    /// How long ago this process looked at all ends; `None` if it has not yet.
    pub looked_ago: Option<Duration>,
    pub partitions: Vec<ViewedPartition>,
}

impl ViewProgress {
    /// How many records there were to read at the last look.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let records = self
            .partitions
            .iter()
            .map(|one| one.end.get().saturating_sub(one.offset.get()));
        records.fold(0, u64::saturating_add)
    }

    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.looked_ago.is_some() && self.behind() == 0
    }
}

/// What the follower notes, for others to read.
#[derive(Debug, Default)]
pub(super) struct Followed(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// When all ends were looked at.
    looked: Option<Instant>,
    /// The next offset and the end of each partition.
    partitions: BTreeMap<TopicPartition, (Offset, Offset)>,
}

impl Followed {
    pub(super) fn note(&self, partition: TopicPartition, offset: Offset, end: Offset) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.partitions.insert(partition, (offset, end));
    }

    pub(super) fn note_looked(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).looked = Some(Instant::now());
    }

    pub(super) fn progress(&self) -> ViewProgress {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions = noted
            .partitions
            .iter()
            .map(|(partition, (offset, end))| ViewedPartition {
                partition: *partition,
                offset: *offset,
                end: *end,
            });
        ViewProgress {
            looked_ago: noted.looked.map(|looked| looked.elapsed()),
            partitions: partitions.collect(),
        }
    }
}
