//! Counters of a run, for progress bars, logs and closing lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::bus::{Topic, TopicPartition};
use crate::core::contract::rejection::RejectionCounts;
use crate::core::coordinate::ControlCounts;
use crate::core::ingest::IngestCounts;
use crate::core::values::time::TimeMs;
use crate::task::announcer::Announcer;
use crate::task::durations::Durations;
use crate::task::kept_accounts::KeptBytes;
use crate::task::settlements::Settlements;
use crate::task::task_board::TaskBoard;
use crate::task::task_states::TaskStates;

/// Counters that all tasks of a process add to.
#[derive(Debug, Default)]
pub struct Stats {
    /// Source records read since this process started.
    pub records: AtomicU64,
    /// Source records that are known to exist, since this process started.
    pub known: AtomicU64,
    /// Postings added to rows.
    pub accrued: AtomicU64,
    pub distributions: AtomicU64,
    pub seals: AtomicU64,
    /// The settlements that the accrue tasks work on.
    pub settlements: Settlements,
    /// What they keep of accounts between two scans.
    pub kept_bytes: Arc<KeptBytes>,
    counts: Mutex<BTreeMap<TopicPartition, IngestCounts>>,
    control: Mutex<ControlCounts>,
    /// Tells in the log what is published. A replay has none, because it publishes nothing.
    pub announcer: Option<Announcer>,
    /// How far each task is.
    pub board: Arc<TaskBoard>,
    /// What the pool knows of the tasks.
    pub task_states: TaskStates,
    pub durations: Durations,
    published: Mutex<CommittedCounts>,
    event_times: Mutex<BTreeMap<TopicPartition, EventTime>>,
}

/// What was published since this process started, by outcome. What a recovery repeats is not counted again.
#[derive(Debug, Clone, Default)]
pub struct CommittedCounts {
    /// By source topic.
    pub sources: BTreeMap<Topic, IngestCounts>,
    pub control: ControlCounts,
}

/// The time of the newest event that was applied of a source partition.
#[derive(Debug, Clone, Copy)]
pub struct EventTime {
    /// As the event has it.
    pub time: TimeMs,
    /// When it was applied.
    pub applied: SystemTime,
}

impl Stats {
    /// Counters of a run whose outputs are told in the log.
    #[must_use]
    pub fn announced() -> Self {
        Self {
            announcer: Some(Announcer::default()),
            ..Self::default()
        }
    }

    /// Notes the counts of the control topic since the deployment began.
    pub fn note_control(&self, counts: ControlCounts) {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// The counts of the control topic since the deployment began.
    #[must_use]
    pub fn control(&self) -> ControlCounts {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rejected records of each topic, since the deployment began.
    #[must_use]
    pub fn dead_letters(&self) -> BTreeMap<Topic, RejectionCounts> {
        let mut topics = BTreeMap::from([(Topic::Control, self.control().dead_letters)]);
        let all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, counts) in all.iter() {
            let topic = topics.entry(source.topic).or_default();
            *topic = topic.plus(counts.dead_letters);
        }
        topics.retain(|_, counts| counts.total() > 0);
        topics
    }

    /// Notes the counts of a source partition since the deployment began.
    pub fn note(&self, source: TopicPartition, counts: IngestCounts) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(source, counts);
    }

    /// The sum over all source partitions, since the deployment began.
    #[must_use]
    pub fn counts(&self) -> IngestCounts {
        let all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        all.values()
            .fold(IngestCounts::default(), |sum, counts| sum.plus(*counts))
    }

    /// Counts what a commit has published of a source topic.
    pub fn count_source(&self, topic: Topic, more: IngestCounts) {
        let mut published = self.published();
        let counts = published.sources.entry(topic).or_default();
        *counts = counts.plus(more);
    }

    /// Counts what a commit has published of the control topic: what was counted from `before` to `now`.
    pub fn count_control(&self, before: ControlCounts, now: ControlCounts) {
        let mut published = self.published();
        let control = &mut published.control;
        let accepted = now.accepted.saturating_sub(before.accepted);
        let duplicates = now.duplicates.saturating_sub(before.duplicates);
        control.accepted = control.accepted.saturating_add(accepted);
        control.duplicates = control.duplicates.saturating_add(duplicates);
        control.dead_letters = control.dead_letters.plus(now.dead_letters.since(before.dead_letters));
    }

    /// What was published since this process started.
    #[must_use]
    pub fn committed_counts(&self) -> CommittedCounts {
        self.published().clone()
    }

    fn published(&self) -> MutexGuard<'_, CommittedCounts> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the time of the newest event of a batch that was applied now.
    pub fn note_event_time(&self, source: TopicPartition, time: TimeMs) {
        let mut times = self.event_times.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = SystemTime::now();
        times.insert(source, EventTime { time, applied });
    }

    /// The time of the newest event that was applied, by source partition.
    #[must_use]
    pub fn event_times(&self) -> BTreeMap<TopicPartition, EventTime> {
        let times = self.event_times.lock().unwrap_or_else(PoisonError::into_inner);
        times.clone()
    }

    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::contract::rejection::Code;

    #[test]
    fn what_was_published_is_counted_from_the_first_commit_on() {
        let stats = Stats::default();
        let of = |applied, late| IngestCounts {
            applied,
            late,
            ..IngestCounts::default()
        };
        stats.count_source(Topic::Deposits, of(5, 1).since(of(2, 1)));
        stats.count_source(Topic::Deposits, of(9, 2).since(of(5, 1)));
        stats.count_source(Topic::Trades, of(1, 0));
        let mut rejected = RejectionCounts::NONE;
        rejected.add(Code::TooOld);
        let mut control = ControlCounts {
            accepted: 7,
            duplicates: 1,
            dead_letters: rejected,
        };
        let before = control;
        control.accepted += 2;
        control.dead_letters.add(Code::TooOld);
        stats.count_control(before, control);
        let counts = stats.committed_counts();
        assert_eq!(counts.sources[&Topic::Deposits], of(7, 1));
        assert_eq!(counts.sources[&Topic::Trades], of(1, 0));
        assert_eq!((counts.control.accepted, counts.control.duplicates), (2, 0));
        assert_eq!(counts.control.dead_letters, rejected);
    }
}
