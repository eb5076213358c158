//! The committed state, as the readers and tasks of this process see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bus::dir::file_end::FileEnd;
use crate::bus::dir::journal::CommittedState;
use crate::bus::position::Position;
use crate::core::contract::topic::TopicPartition;

/// Locks, also after a panic of another thread with the lock: no code here leaves its data half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct State {
    committed: CommittedState,
    version: u64,
}

/// Committed ends and positions, and a version that threads wait for.
#[derive(Default)]
pub(super) struct Committed {
    state: Mutex<State>,
    changed: Condvar,
}

impl Committed {
    pub(super) fn restore(&self, committed: CommittedState) {
        lock(&self.state).committed = committed;
    }

    pub(super) fn snapshot(&self) -> CommittedState {
        lock(&self.state).committed.clone()
    }

    pub(super) fn readable_end(&self, partition: TopicPartition) -> FileEnd {
        let state = lock(&self.state);
        let end = state.committed.ends.get(&partition);
        end.copied().unwrap_or_default()
    }

    pub(super) fn position(&self, task: &str) -> Option<Position> {
        lock(&self.state).committed.positions.get(task).cloned()
    }

    /// Makes a commit visible, all at once. Its records must be in their files.
    pub(super) fn advance<'a>(
        &self,
        ends: BTreeMap<TopicPartition, FileEnd>,
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

    /// Advances the version: there may be something new to read.
    pub(super) fn bump(&self) {
        lock(&self.state).version += 1;
        self.changed.notify_all();
    }

    pub(super) fn version(&self) -> u64 {
        lock(&self.state).version
    }

    /// Waits until the version is past `seen`, or `at_most` is over.
    pub(super) fn wait(&self, seen: u64, at_most: Duration) -> u64 {
        let state = lock(&self.state);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, at_most, |state| state.version <= seen)
            .unwrap_or_else(PoisonError::into_inner);
        state.version
    }
}

/// How far a reader may read a file.
pub(super) enum Bound {
    /// Up to its last whole record.
    File,
    /// Up to the last commit of this process.
    Committed(Arc<Committed>),
}
