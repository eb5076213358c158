//! The interface between a fold of the core and the harness that drives it.

use serde::de::DeserializeOwned;

use crate::bus::{Batch, Log, Outputs, Position, ReadError, TopicPartition};
use crate::core::fault::Fault;
use crate::core::protocol::codec;
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store, StoreError, tables};
use crate::task::error::TaskError;

/// A fold of the core, as the harness drives it.
pub trait Fold: Send {
    /// The partitions that it reads. A step reads the first input before the second.
    fn inputs(&self) -> &[TopicPartition];

    /// The offset before which input `input` may be read now, while the task is at `offset`. The records below `arrived` are there already, if the
    /// reader knows that.
    fn read_limit(
        &mut self,
        input: usize,
        offset: Offset,
        arrived: Option<Offset>,
        log: &dyn Log,
    ) -> Result<Offset, FoldError>;

    /// Applies the records of `batch` from index `first` on. Returns the number of records of the batch that are applied now.
    /// It stops after a record that starts a job; otherwise it applies the whole batch.
    fn apply(
        &mut self,
        input: usize,
        batch: &Batch,
        first: usize,
        context: &mut StepContext<'_>,
    ) -> Result<usize, FoldError>;

    /// Whether it is known at which offset an input begins. Until then it is not read.
    fn knows_start(&self, _input: usize) -> bool {
        true
    }

    /// An input and its first offset, if the last step has brought it and it is not 0: earlier records were deleted before the deployment saw them. It is
    /// returned once.
    fn take_beginning(&mut self) -> Option<(usize, Offset)> {
        None
    }

    /// The next offsets of an input that a decision skips: the first, and the one after the last. The input is read up to the first.
    fn next_skip(&self, _input: usize) -> Option<(Offset, Offset)> {
        None
    }

    /// Skips the offsets of [`Fold::next_skip`], the first of which the task has reached.
    fn skip(&mut self, _input: usize, _context: &mut StepContext<'_>) -> Result<(), FoldError> {
        Ok(())
    }

    /// Whether a job must be done before the next record.
    fn has_job(&self) -> bool {
        false
    }

    /// Continues the job after the key `reached`, for the length of one transaction, and at most up to the key `until`.
    fn continue_job(
        &mut self,
        _reached: &[u8],
        _until: Option<&[u8]>,
        _context: &mut StepContext<'_>,
    ) -> Result<JobProgress, FoldError> {
        Ok(JobProgress::Finished)
    }

    /// Recovery is over, or was not needed: from here on, the outputs are new.
    fn begin_work(&mut self) {}

    /// Bytes of outputs that the fold holds back, to make fewer and larger records of them.
    fn held_back_bytes(&self) -> usize {
        0
    }

    /// The outputs up to here are published now, or dropped in recovery: adds those that were held back.
    fn complete_outputs(&mut self, _outputs: &mut Outputs) {}

    /// These outputs are on the bus now: all up to the last call of [`Fold::complete_outputs`]. They are new: in recovery this is not called.
    fn published(&mut self, _outputs: &Outputs) {}

    /// Bytes in memory that [`Fold::write_state`] would add to the changes.
    fn unwritten_bytes(&self) -> usize {
        0
    }

    /// Writes all state that is only in memory to `changes`. The harness persists it with the position of the task.
    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError>;
}

/// What a fold works with in one step.
pub struct StepContext<'a> {
    pub log: &'a dyn Log,
    /// The store as of the last persist: it does not see `changes`.
    pub store: &'a dyn Store,
    /// The position of the task before the step.
    pub position: &'a Position,
    /// Whether the task is in recovery: its outputs are on the bus already and are dropped.
    pub recovering: bool,
    pub changes: &'a mut Changes,
    pub outputs: &'a mut Outputs,
}

/// How far one transaction brought a job.
pub enum JobProgress {
    /// Up to this key; more follows.
    Reached(Vec<u8>),
    Finished,
}

/// Why a fold failed.
#[derive(Debug)]
pub enum FoldError {
    Fault(Fault),
    Task(TaskError),
}

impl FoldError {
    /// The error of the task that failed at `at`: its name, and its position if known.
    pub fn at(self, at: &str) -> TaskError {
        match self {
            Self::Task(error) => error,
            Self::Fault(fault) => TaskError::Fault {
                at: at.to_owned(),
                fault,
            },
        }
    }
}

impl From<Fault> for FoldError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for FoldError {
    fn from(error: StoreError) -> Self {
        Self::Task(error.into())
    }
}

impl From<ReadError> for FoldError {
    fn from(error: ReadError) -> Self {
        Self::Task(error.into())
    }
}

/// Loads the state of a fold from its store; `None` if the store is new. `what` names the state in errors.
pub fn load_state<T: DeserializeOwned>(store: &dyn Store, what: &'static str) -> Result<Option<T>, TaskError> {
    let Some(value) = store.get(&tables::STATE)? else {
        return Ok(None);
    };
    codec::decode(&value, what)
        .map(Some)
        .map_err(|fault| TaskError::Fault { at: what.into(), fault })
}
