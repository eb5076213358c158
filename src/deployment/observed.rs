//! What can be seen of a deployment while it runs: counters, tasks, waits, stores and snapshots. Its readers never wait for a task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::core::coordinate::waiting::UnfinishedEvent;
use crate::deployment::holdings::LiveLedger;
use crate::snapshot::SnapshotFigures;
use crate::store::rocks::StoreFigures;
use crate::task::coordinator_task::UnfinishedWork;
use crate::task::stats::Stats;

/// A deployment, as those see it who watch this process. It outlives the runs of the process: a run begins anew after a repartition.
#[derive(Debug, Default)]
pub struct Observed {
    pub stats: Arc<Stats>,
    run: Mutex<Option<ObservedRun>>,
    /// Since when each control event that is not finished waits.
    waits: Mutex<BTreeMap<UnfinishedEvent, Instant>>,
}

/// What only a run has.
#[derive(Debug, Clone, Default)]
pub struct ObservedRun {
    /// What the coordinator has not finished.
    pub work: Arc<Mutex<UnfinishedWork>>,
    /// `None` if the stores are in memory.
    pub stores: Option<Arc<StoreFigures>>,
    /// `None` if no snapshots are taken.
    pub snapshots: Option<Arc<SnapshotFigures>>,
    /// `None` if the stores are in memory.
    pub ledger: Option<LiveLedger>,
}

impl ObservedRun {
    /// What the coordinator has not finished; `None` if it does not work in this process.
    #[must_use]
    pub fn unfinished(&self) -> Option<UnfinishedWork> {
        let unfinished = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        unfinished.is_current.then(|| unfinished.clone())
    }
}

impl Observed {
    /// A deployment with these counters, of which no run has begun.
    #[must_use]
    pub fn new(stats: Arc<Stats>) -> Self {
        Self {
            stats,
            ..Self::default()
        }
    }

    /// The run under way; `None` while the bus or the state directory is not open.
    #[must_use]
    pub fn run(&self) -> Option<ObservedRun> {
        lock(&self.run).clone()
    }

    /// Since when each control event that is not finished waits.
    #[must_use]
    pub fn waits(&self) -> BTreeMap<UnfinishedEvent, Instant> {
        lock(&self.waits).clone()
    }

    /// A run begins.
    pub fn begin(&self, run: ObservedRun) {
        *lock(&self.run) = Some(run);
    }

    pub(super) fn end(&self) {
        *lock(&self.run) = None;
        lock(&self.waits).clear();
        self.stats.task_states.clear();
    }

    pub(super) fn note_waits(&self, waits: BTreeMap<UnfinishedEvent, Instant>) {
        *lock(&self.waits) = waits;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
