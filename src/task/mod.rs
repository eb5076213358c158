//! The tasks: thin shells around the folds of the core, and the one harness that reads, folds, publishes, persists and recovers.

mod accounts;
mod accrue;
mod coordinate;
mod error;
pub mod fixed;
mod harness;
mod ingest;
pub mod keys;
mod pool;
mod remembered;
pub mod repartition;
pub mod run;
mod sequence;
pub mod stats;
pub mod stores;
pub mod view;

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
