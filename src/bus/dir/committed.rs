//! What was committed, as readers and tasks of this process see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bus::dir::journal::{End, Snapshot};
use crate::bus::position::Position;
use crate::core::contract::topic::TopicPartition;

/// Locks, whatever became of another thread that held the lock: no code here leaves what it guards half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct State {
    committed: Snapshot,
    version: u64,
}

/// Ends, positions and the version, with a bell for those who wait.
#[derive(Default)]
pub(super) struct Committed {
    state: Mutex<State>,
    changed: Condvar,
}

impl Committed {
    pub(super) fn restore(&self, committed: Snapshot) {
        lock(&self.state).committed = committed;
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        lock(&self.state).committed.clone()
    }

    pub(super) fn readable_end(&self, partition: TopicPartition) -> End {
        let state = lock(&self.state);
        let end = state.committed.ends.get(&partition);
        end.copied().unwrap_or_default()
    }

    pub(super) fn position(&self, task: &str) -> Option<Position> {
        lock(&self.state).committed.positions.get(task).cloned()
    }

    /// Takes over what is now in the files, all at once.
    pub(super) fn committed<'a>(
        &self,
        ends: BTreeMap<TopicPartition, End>,
        positions: impl Iterator<Item = (&'a str, Position)>,
    ) {
        let mut state = lock(&self.state);
        state.committed.ends.extend(ends);
        for (task, position) in positions {
            match state.committed.positions.get_mut(task) {
                Some(known) => *known = position,
                None => {
                    state.committed.positions.insert(task.to_owned(), position);
                }
            }
        }
        state.version += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Says that there may be something new.
    pub(super) fn bump(&self) {
        lock(&self.state).version += 1;
        self.changed.notify_all();
    }

    pub(super) fn version(&self) -> u64 {
        lock(&self.state).version
    }

    /// Waits until the version is past `seen`, `at_most` so long.
    pub(super) fn wait(&self, seen: u64, at_most: Duration) -> u64 {
        let state = lock(&self.state);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, at_most, |state| state.version <= seen)
            .unwrap_or_else(PoisonError::into_inner);
        state.version
    }
}

/// How far a file may be read.
pub(super) enum Bound {
    /// As far as it goes.
    File,
    /// As far as this process has committed.
    Committed(Arc<Committed>),
}
