//! How far the bus is read.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::{Topic, TopicPartition};
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
    /// How many records of each topic this process has brought into the view.
    pub records: BTreeMap<Topic, u64>,
    /// How long ago the payout service's acknowledgements were read, or were to be read first; `None` if they are not read.
    pub credits_ago: Option<Duration>,
    /// The disk with the view, as it was last looked at.
    pub disk: Option<ViewDisk>,
}

/// The disk with the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewDisk {
    pub free_bytes: u64,
    /// Of the files of the view.
    pub used_bytes: u64,
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
    records: BTreeMap<Topic, u64>,
    credits: Option<Instant>,
    disk: Option<ViewDisk>,
}

impl Followed {
    pub(super) fn note(&self, partition: TopicPartition, offset: Offset, end: Offset) {
        self.noted().partitions.insert(partition, (offset, end));
    }

    /// Counts records that were committed.
    pub(super) fn count(&self, topic: Topic, records: usize) {
        let mut noted = self.noted();
        let count = noted.records.entry(topic).or_default();
        *count = count.saturating_add(records as u64);
    }

    pub(super) fn note_looked(&self) {
        self.noted().looked = Some(Instant::now());
    }

    pub(super) fn note_credits(&self) {
        self.noted().credits = Some(Instant::now());
    }

    pub(super) fn note_disk(&self, disk: ViewDisk) {
        self.noted().disk = Some(disk);
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> ViewProgress {
        let noted = self.noted();
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
            records: noted.records.clone(),
            credits_ago: noted.credits.map(|read| read.elapsed()),
            disk: noted.disk,
        }
    }
}
