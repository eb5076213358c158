//! The tasks: thin shells around the folds of the core, and the one harness that reads, folds, publishes, persists and recovers.

pub mod accounts;
pub mod accrue_task;
pub mod coordinator_task;
pub mod error;
pub mod harness;
pub mod ingest_task;
pub mod pool;
pub mod seen_events;
pub mod sequencer_task;
pub mod stats;

pub use error::TaskError;

use crate::bus::TaskId;

/// What came of one step of a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// There was nothing to do.
    Idle,
    /// Something was done; there may be more.
    Worked,
    /// Source partitions were found for which tasks have to be started.
    Found,
}

/// A task as the pool of threads sees it.
pub trait Task: Send {
    /// Which task it is.
    fn id(&self) -> TaskId;

    /// Does a bounded piece of work.
    ///
    /// # Errors
    /// Whatever stops the task; it must not be stepped again.
    fn step(&mut self) -> Result<Progress, TaskError>;

    /// Makes durable what is in memory, before a clean end.
    ///
    /// # Errors
    /// If that fails; nothing is lost, as the bus has it.
    fn close(&mut self) -> Result<(), TaskError>;
}
