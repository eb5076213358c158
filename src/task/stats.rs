//! What a run has done so far, for progress bars, logs and closing lines.

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
    /// Source records there are to read, as far as is known.
    pub known: AtomicU64,
    /// Postings added up.
    pub accrued: AtomicU64,
    /// Distributions emitted.
    pub distributions: AtomicU64,
    /// Epochs sealed.
    pub seals: AtomicU64,
    counts: Mutex<BTreeMap<TopicPartition, IngestCounts>>,
}

impl Stats {
    /// Notes what a source partition's records have come to, since the deployment began.
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

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }
}
