//! Decides which records are compared, and sorts them into groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::point_in_time::PointInTime;
use crate::audit::replay::schedule::{EpochFilter, Schedule};
use crate::bus::{Topic, TopicPartition};
use crate::core::contract::records::{LatePosting, read_id, read_with_id};
use crate::core::values::offset::Offset;

const CONTROL: TopicPartition = Topic::Control.partition(0);

/// The two sides of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComparedSide {
    Published,
    Replayed,
}

/// What to do with a record.
pub(crate) enum RecordClass {
    /// Compare it.
    Compared,
    /// Count it only: it follows from an input record after the end of the replay.
    Later,
    /// Skip it: its epoch is not asked for.
    FilteredOut,
    /// Report it: no record of Softstake looks like this. Says why.
    Foreign(String),
}

/// Decides which records are compared, and in which groups.
pub struct RecordClassifier {
    filter: EpochFilter,
    schedule: Arc<Schedule>,
    /// The ends of the source partitions and of control.
    input_ends: BTreeMap<TopicPartition, Offset>,
}

impl RecordClassifier {
    /// A classifier for the replay of `schedule`.
    #[must_use]
    pub fn new(point: &PointInTime, schedule: &Arc<Schedule>, filter: EpochFilter) -> Self {
        Self {
            filter,
            schedule: Arc::clone(schedule),
            input_ends: point.input_ends.clone(),
        }
    }

    pub(crate) const fn filter(&self) -> EpochFilter {
        self.filter
    }

    /// Classifies a record. Writes the name of its group to `group`.
    pub(crate) fn classify(&self, side: ComparedSide, topic: Topic, record: &[u8], group: &mut String) -> RecordClass {
        group.clear();
        match topic {
            Topic::LatePostings => self.classify_late_posting(side, record, group),
            _ => match read_id(record) {
                Ok(id) if topic == Topic::DeadLetters => self.classify_dead_letter(side, &id, group),
                Ok(id) => self.classify_by_epoch(&id, group),
                Err(error) => RecordClass::Foreign(error.to_string()),
            },
        }
    }

    fn classify_late_posting(&self, side: ComparedSide, record: &[u8], group: &mut String) -> RecordClass {
        let (id, late) = match read_with_id::<LatePosting<'_>>(record) {
            Ok(late) => late,
            Err(error) => return RecordClass::Foreign(error.to_string()),
        };
        if !self.filter.includes(late.asset.as_str(), late.applied_epoch) {
            return RecordClass::FilteredOut;
        }
        group.push_str(late.asset.as_str());
        group.push(':');
        group.push_str(&late.applied_epoch.to_string());
        let input = id.rsplit_once(':').map_or("", |(input, _)| input);
        self.classify_by_input(side, input)
    }

    fn classify_dead_letter(&self, side: ComparedSide, id: &str, group: &mut String) -> RecordClass {
        if self.filter != EpochFilter::default() {
            return RecordClass::FilteredOut;
        }
        let Some((from, _)) = input_of(id) else {
            return RecordClass::Foreign("its `id` names no record".into());
        };
        group.push_str(from.topic.name());
        self.classify_by_input(side, id)
    }

    /// Classifies a distribution or a seal. Its id begins with `asset:epoch`.
    fn classify_by_epoch(&self, id: &str, group: &mut String) -> RecordClass {
        let mut parts = id.splitn(3, ':');
        let (Some(asset), Some(epoch)) = (parts.next(), parts.next()) else {
            return RecordClass::Foreign("its `id` names no epoch".into());
        };
        let Ok(number) = epoch.parse() else {
            return RecordClass::Foreign("its `id` names no epoch".into());
        };
        if !self.filter.includes(asset, number) {
            return RecordClass::FilteredOut;
        }
        group.push_str(asset);
        group.push(':');
        group.push_str(epoch);
        RecordClass::Compared
    }

    /// Classifies a record that follows from the input record `topic:partition:offset`.
    fn classify_by_input(&self, side: ComparedSide, input: &str) -> RecordClass {
        let Some((from, offset)) = input_of(input) else {
            return RecordClass::Foreign("its `id` names no record".into());
        };
        let is_replayed = if from == CONTROL {
            self.schedule.is_decided(offset)
        } else {
            offset < self.schedule.read_limit(from, usize::MAX)
        };
        let end = self.input_ends.get(&from).copied().unwrap_or(Offset::START);
        if side == ComparedSide::Published && !is_replayed && offset < end {
            return RecordClass::Later;
        }
        RecordClass::Compared
    }
}

/// The input record that an id `topic:partition:offset` names.
fn input_of(id: &str) -> Option<(TopicPartition, Offset)> {
    let (partition, offset) = id.rsplit_once(':')?;
    Some((TopicPartition::parse(partition)?, offset.parse().ok()?))
}
