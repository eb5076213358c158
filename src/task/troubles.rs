//! What keeps the tasks of this process from working, for a look at what others wait for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bus::TaskId;

/// Each task that is stopped or restarts, with the reason in words.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<TaskId, String>>);

impl Troubles {
    /// The reason why `task` does not work: `is stopped: …`; `None` if nothing is known against it.
    #[must_use]
    pub fn of(&self, task: TaskId) -> Option<String> {
        self.lock().get(&task).cloned()
    }

    /// Notes why `task` does not work.
    pub fn note(&self, task: TaskId, why: String) {
        self.lock().insert(task, why);
    }

    /// The task works, or is none of this process any more.
    pub fn forget(&self, task: TaskId) {
        self.lock().remove(&task);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
