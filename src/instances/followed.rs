//! Each task with the partition that it follows.

use std::collections::BTreeMap;

use crate::instances::document::{PartitionDocument, SafeText, StatusDocument, TaskDocument};
use crate::instances::figures::UNKNOWN;

/// Records wait, and the newest applied one was of so many seconds ago.
const BEHIND_SECONDS: f64 = 60.0;

/// So many records may wait without being read: on Kafka, markers of transactions count too.
const FEW_RECORDS: u64 = 1_000;

/// A task, and the partition that it follows. An instance may tell only one of them.
#[derive(Debug, Clone, Copy)]
pub struct FollowedPartition<'a> {
    pub task: Option<&'a TaskDocument>,
    pub partition: Option<&'a PartitionDocument>,
}

/// All tasks of an instance, and all partitions.
#[must_use]
pub fn followed(status: &StatusDocument) -> Vec<FollowedPartition<'_>> {
    let partitions = status.partitions.iter();
    let mut left: BTreeMap<_, _> = partitions
        .map(|one| ((one.topic.as_ref(), one.partition), one))
        .collect();
    let mut all = Vec::new();
    for task in &status.tasks {
        let mut inputs = task.inputs.iter();
        all.push(FollowedPartition {
            task: Some(task),
            partition: inputs.find_map(|input| left.remove(&(input.topic.as_ref(), input.partition))),
        });
    }
    all.extend(left.into_values().map(|partition| FollowedPartition {
        task: None,
        partition: Some(partition),
    }));
    all
}

impl<'a> FollowedPartition<'a> {
    #[must_use]
    pub fn state(&self) -> Option<&'a SafeText> {
        self.task?.state.as_ref()
    }

    #[must_use]
    pub fn lag(&self) -> u64 {
        self.partition.and_then(|one| one.lag_records).unwrap_or_default()
    }

    /// Offsets of the ledger or the inbox that are not applied.
    #[must_use]
    pub fn inner_lag(&self) -> u64 {
        self.partition.and_then(|one| one.lag_offsets).unwrap_or_default()
    }

    /// Offsets that the task has still to read again, if it recovers.
    #[must_use]
    pub fn to_recover(&self) -> Option<u64> {
        let inputs = self.task.iter().flat_map(|task| &task.inputs);
        let remaining = inputs.filter_map(|input| input.recovery_remaining_offsets);
        remaining.reduce(u64::saturating_add)
    }

    #[must_use]
    pub fn delay(&self) -> Option<f64> {
        self.partition?.event_time_delay_seconds
    }

    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.task?.records_per_second
    }

    /// Whether an input topic is read so late that closes wait for it, or not at all.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let is_late = self.delay().is_some_and(|delay| delay >= BEHIND_SECONDS);
        let is_unread = self.rate() == Some(0.0) && self.lag() > FEW_RECORDS;
        self.lag() > 0 && (is_late || is_unread)
    }

    /// The name of the task, or of the partition.
    #[must_use]
    pub fn name(&self) -> String {
        match self.task.and_then(|task| task.task.as_ref()) {
            Some(name) => name.to_string(),
            None => self.partition.map_or_else(|| UNKNOWN.into(), partition_name),
        }
    }
}

/// `topic:partition`.
#[must_use]
pub fn partition_name(partition: &PartitionDocument) -> String {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.into());
    let topic = or_unknown(partition.topic.as_ref().map(ToString::to_string));
    format!(
        "{topic}:{}",
        or_unknown(partition.partition.map(|number| number.to_string()))
    )
}
