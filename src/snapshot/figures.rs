//! Figures about the snapshots of a process, for those who watch it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Figures about the snapshots of a process.
#[derive(Debug, Default)]
pub struct SnapshotFigures {
    /// The time from one snapshot of a store to its next.
    every: Duration,
    uploaded: AtomicU64,
    failed: AtomicU64,
    refused: AtomicBool,
    entered: AtomicU64,
    /// By store: since when its newest snapshot, or one that equals it, is at its place. Before the first one: when the store was opened.
    newest: Mutex<BTreeMap<u64, Instant>>,
}

/// The place of an open store among the figures. It leaves them with its last copy.
#[derive(Debug, Clone)]
pub(super) struct SnapshotEntry(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    figures: Arc<SnapshotFigures>,
    number: u64,
}

impl SnapshotFigures {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            ..Self::default()
        }
    }

    /// The time from one snapshot of a store to its next (`snapshots.every_seconds`).
    #[must_use]
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// Snapshots that are at their place.
    #[must_use]
    pub fn uploaded(&self) -> u64 {
        self.uploaded.load(Relaxed)
    }

    /// Snapshots that were due and are not at their place.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Whether this process takes no more snapshots, because the place has some of another deployment or log.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// The age of the newest snapshot of the store for which it is the oldest; `None` without stores.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        self.newest().values().map(Instant::elapsed).max()
    }

    pub(super) fn count(&self, is_uploaded: bool) {
        let counter = if is_uploaded { &self.uploaded } else { &self.failed };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn note_refused(&self, is_refused: bool) {
        self.refused.store(is_refused, Relaxed);
    }

    pub(super) fn enter(self: &Arc<Self>) -> SnapshotEntry {
        let number = self.entered.fetch_add(1, Relaxed);
        self.newest().insert(number, Instant::now());
        SnapshotEntry(Arc::new(Entry {
            figures: Arc::clone(self),
            number,
        }))
    }

    fn newest(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotEntry {
    /// A snapshot of the state at this time is at its place.
    pub fn note(&self, taken: Instant) {
        self.0.figures.newest().insert(self.0.number, taken);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.figures.newest().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_with_the_oldest_snapshot_counts_while_it_is_open() {
        let figures = Arc::<SnapshotFigures>::default();
        assert_eq!(figures.oldest(), None);
        let (first, second) = (figures.enter(), figures.enter());
        let hour_ago = Instant::now() - Duration::from_secs(3600);
        first.note(hour_ago);
        assert!(figures.oldest().unwrap() >= Duration::from_secs(3600));
        let job = first.clone();
        drop(first);
        assert!(
            figures.oldest().unwrap() >= Duration::from_secs(3600),
            "its upload is under way"
        );
        drop(job);
        assert!(figures.oldest().unwrap() < Duration::from_secs(60));
        drop(second);
        assert_eq!(figures.oldest(), None);
    }
}
