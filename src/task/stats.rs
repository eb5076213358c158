//! Counters of a run, for progress bars, logs and closing lines.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::bus::{Topic, TopicPartition};
use crate::core::contract::rejection::RejectionCounts;
use crate::core::coordinate::ControlCounts;
use crate::core::ingest::IngestCounts;
use crate::task::announcer::Announcer;
use crate::task::settlements::Settlements;

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
    counts: Mutex<BTreeMap<TopicPartition, IngestCounts>>,
    control: Mutex<ControlCounts>,
    /// Tells in the log what is published. A replay has none, because it publishes nothing.
    pub announcer: Option<Announcer>,
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
        *self.control.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = counts;
    }

    /// The counts of the control topic since the deployment began.
    #[must_use]
    pub fn control(&self) -> ControlCounts {
        *self.control.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The rejected records of each topic, since the deployment began.
    #[must_use]
    pub fn dead_letters(&self) -> BTreeMap<Topic, RejectionCounts> {
        let mut topics = BTreeMap::from([(Topic::Control, self.control().dead_letters)]);
        let all = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (source, counts) in all.iter() {
            let topic = topics.entry(source.topic).or_default();
            *topic = topic.plus(counts.dead_letters);
        }
        topics.retain(|_, counts| counts.total() > 0);
        topics
    }

    /// Notes the counts of a source partition since the deployment began.
    pub fn note(&self, source: TopicPartition, counts: IngestCounts) {
        let mut all = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.insert(source, counts);
    }

    /// The sum over all source partitions, since the deployment began.
    #[must_use]
    pub fn counts(&self) -> IngestCounts {
        let all = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.values()
            .fold(IngestCounts::default(), |sum, counts| sum.plus(*counts))
    }

    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }
}
