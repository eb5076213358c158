//! Counters of a run, for progress bars, logs and closing lines.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::bus::TopicPartition;
use crate::core::ingest::IngestCounts;

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
    counts: Mutex<BTreeMap<TopicPartition, IngestCounts>>,
}

impl Stats {
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
