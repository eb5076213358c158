//! How far each task of this process is. A task notes it after each step, in atomic numbers, so those who look never wait for a task.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::bus::{Position, TaskId, TopicPartition};
use crate::core::values::offset::Offset;

/// No offset is known.
const UNKNOWN: u64 = u64::MAX;

/// The tasks at work in this process.
#[derive(Debug, Default)]
pub struct TaskBoard {
    tasks: Mutex<BTreeMap<TaskId, Arc<TaskProgress>>>,
    /// When the ends of the inputs were last looked up.
    looked_up: Mutex<Option<Instant>>,
}

/// How far a task is.
#[derive(Debug)]
pub struct TaskProgress {
    inputs: Vec<InputProgress>,
    recovering: AtomicBool,
    /// Records applied since the task started, also in recovery.
    records: AtomicU64,
    /// Records per second, lately: the bits of a float.
    rate: AtomicU64,
}

/// How far a task has read an input.
#[derive(Debug)]
pub struct InputProgress {
    pub partition: TopicPartition,
    offset: AtomicU64,
    recover_to: AtomicU64,
    end: AtomicU64,
}

/// A task's place on the board. It leaves the board with this value.
#[derive(Debug)]
pub struct TaskEntry {
    board: Arc<TaskBoard>,
    task: TaskId,
    progress: Arc<TaskProgress>,
}

impl TaskBoard {
    /// Adds a task with its inputs.
    #[must_use]
    pub fn enter(self: &Arc<Self>, task: TaskId, inputs: &[TopicPartition]) -> TaskEntry {
        let input = |partition: &TopicPartition| InputProgress {
            partition: *partition,
            offset: AtomicU64::new(0),
            recover_to: AtomicU64::new(UNKNOWN),
            end: AtomicU64::new(UNKNOWN),
        };
        let progress = Arc::new(TaskProgress {
            inputs: inputs.iter().map(input).collect(),
            recovering: AtomicBool::new(false),
            records: AtomicU64::new(0),
            rate: AtomicU64::new(0),
        });
        self.lock().insert(task, Arc::clone(&progress));
        TaskEntry {
            board: Arc::clone(self),
            task,
            progress,
        }
    }

    /// Every task at work, in the order of their names.
    #[must_use]
    pub fn tasks(&self) -> BTreeMap<TaskId, Arc<TaskProgress>> {
        self.lock().clone()
    }

    /// The ends of all inputs were looked up now.
    pub fn note_look_up(&self) {
        *self.looked_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When the ends of all inputs were last looked up.
    #[must_use]
    pub fn looked_up(&self) -> Option<Instant> {
        *self.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<TaskProgress>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskEntry {
    /// The task is at `position`. In recovery, that ends at `recover_to`.
    pub fn note(&self, position: &Position, recover_to: Option<&Position>) {
        for input in &self.progress.inputs {
            let to = recover_to.map_or(UNKNOWN, |to| to.offset(input.partition).get());
            input.offset.store(position.offset(input.partition).get(), Relaxed);
            input.recover_to.store(to, Relaxed);
        }
        self.progress.recovering.store(recover_to.is_some(), Relaxed);
    }

    /// The task has applied so many records more.
    pub fn count(&self, records: usize) {
        self.progress.records.fetch_add(records as u64, Relaxed);
    }
}

impl Drop for TaskEntry {
    fn drop(&mut self) {
        let mut tasks = self.board.lock();
        // The task may have started again meanwhile.
        if tasks
            .get(&self.task)
            .is_some_and(|progress| Arc::ptr_eq(progress, &self.progress))
        {
            tasks.remove(&self.task);
        }
    }
}

impl TaskProgress {
    #[must_use]
    pub fn inputs(&self) -> &[InputProgress] {
        &self.inputs
    }

    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recovering.load(Relaxed)
    }

    /// Records applied since the task started, also in recovery.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Notes the number of records per second, lately.
    pub fn note_rate(&self, rate: f64) {
        self.rate.store(rate.to_bits(), Relaxed);
    }

    /// Records per second, lately.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Relaxed))
    }
}

impl InputProgress {
    /// The next offset to read.
    #[must_use]
    pub fn offset(&self) -> Offset {
        Offset::new(self.offset.load(Relaxed))
    }

    /// The offset at which recovery ends; `None` outside recovery.
    #[must_use]
    pub fn recover_to(&self) -> Option<Offset> {
        known(&self.recover_to)
    }

    /// The readable end, as it was last looked up.
    #[must_use]
    pub fn end(&self) -> Option<Offset> {
        known(&self.end)
    }

    pub fn note_end(&self, end: Offset) {
        self.end.store(end.get(), Relaxed);
    }

    /// How many offsets wait to be read.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        // The task may have read on since the end was looked up.
        self.end().map(|end| end.get().saturating_sub(self.offset().get()))
    }
}

fn known(offset: &AtomicU64) -> Option<Offset> {
    Some(offset.load(Relaxed))
        .filter(|offset| *offset != UNKNOWN)
        .map(Offset::new)
}

#[cfg(test)]
mod tests {
    use crate::bus::{Mark, Topic};

    use super::*;

    const LEDGER: TopicPartition = Topic::Ledger.partition(0);

    fn at(offset: u64) -> Position {
        let mut position = Position::default();
        position.inputs.insert(LEDGER, Mark::at(Offset::new(offset)));
        position
    }

    #[test]
    fn a_task_is_on_the_board_while_it_works() {
        let board = Arc::<TaskBoard>::default();
        let task = TaskId::accrue(0);
        let entry = board.enter(task, &[LEDGER]);
        entry.note(&at(5), Some(&at(9)));
        entry.count(3);
        let progress = Arc::clone(&board.tasks()[&task]);
        let input = &progress.inputs()[0];
        assert!(progress.is_recovering());
        assert_eq!(
            (input.offset(), input.recover_to()),
            (Offset::new(5), Some(Offset::new(9)))
        );
        assert_eq!((input.lag(), progress.records()), (None, 3));
        input.note_end(Offset::new(12));
        assert_eq!(input.lag(), Some(7));
        entry.note(&at(13), None);
        assert!(!progress.is_recovering());
        assert_eq!((input.lag(), input.recover_to()), (Some(0), None));
        // A task that starts again takes the place before the earlier one has left.
        let again = board.enter(task, &[LEDGER]);
        drop(entry);
        assert_eq!(board.tasks().len(), 1);
        drop(again);
        assert!(board.tasks().is_empty());
    }
}
