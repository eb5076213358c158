//! What the pool knows of the tasks of this process, for those who look from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bus::TaskId;

/// The tasks that this process has to run, and what keeps some of them from working.
#[derive(Debug, Default)]
pub struct TaskStates(Mutex<States>);

#[derive(Debug, Default)]
struct States {
    assigned: BTreeSet<TaskId>,
    troubles: BTreeMap<TaskId, Trouble>,
    /// The number of restarts since the process started, by the reason of the error.
    restarts: BTreeMap<&'static str, u64>,
}

/// Why a task does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: TroubleKind,
    /// The error.
    pub why: String,
}

/// What becomes of a task that does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// It restarts until the error passes.
    Restarts,
    /// It is stopped until the process restarts.
    Stopped,
    /// It goes on by itself once a decision or the bus allows it.
    Waits,
}

/// A predicate: `is stopped: …`.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            TroubleKind::Restarts => "restarts again and again",
            TroubleKind::Stopped => "is stopped",
            TroubleKind::Waits => "waits for a decision",
        };
        write!(f, "{what}: {}", self.why)
    }
}

impl TaskStates {
    /// The reason why `task` does not work; `None` if nothing is known against it.
    #[must_use]
    pub fn trouble_of(&self, task: TaskId) -> Option<Trouble> {
        self.lock().troubles.get(&task).cloned()
    }

    /// Every task that does not work, with the reason.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<TaskId, Trouble> {
        self.lock().troubles.clone()
    }

    /// Notes why `task` does not work.
    pub fn note(&self, task: TaskId, kind: TroubleKind, why: String) {
        self.lock().troubles.insert(task, Trouble { kind, why });
    }

    /// The task works, or is none of this process any more.
    pub fn forget(&self, task: TaskId) {
        self.lock().troubles.remove(&task);
    }

    /// Counts a restart of a task, by the reason of its error.
    pub fn count_restart(&self, reason: &'static str) {
        let mut states = self.lock();
        let count = states.restarts.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    /// The number of restarts since the process started, by reason.
    #[must_use]
    pub fn restarts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().restarts.clone()
    }

    /// The tasks that this process has to run now.
    pub fn assign(&self, tasks: &BTreeSet<TaskId>) {
        self.lock().assigned.clone_from(tasks);
    }

    /// The tasks that this process has to run.
    #[must_use]
    pub fn assigned(&self) -> BTreeSet<TaskId> {
        self.lock().assigned.clone()
    }

    /// No task runs any more. The counts stay.
    pub fn clear(&self) {
        let mut states = self.lock();
        states.assigned.clear();
        states.troubles.clear();
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
