use std::sync::Arc;

use crate::bus::{Access, Bus};
use crate::deployment::error::DeploymentError;
use crate::deployment::state_directory::Stores;
use crate::task::{Task, TaskError};

pub use crate::task::harness::STEP_BYTES;

/// The number of ledger partitions of a new deployment, unless the configuration gives another.
pub const DEFAULT_PARTITIONS: u32 = 8;

/// A deployment as one process runs it.
pub struct Deployment {
    /// The bus. A rebuild only reads it; other modes commit to it.
    pub bus: Access,
    pub stores: Arc<dyn Stores>,
    /// The number of ledger partitions; `None` for the number on record.
    pub partitions: Option<u32>,
    /// The number of days for which duplicates are recognised.
    pub dedup_days: u64,
    /// The number of threads that step tasks; at least 1.
    pub threads: usize,
    /// Bytes of input per step of a task, about: [`STEP_BYTES`], but for tests. It does not affect results.
    pub step_bytes: usize,
    pub mode: RunMode,
    /// Replaces the sequencer, which puts control records and source partitions into the inbox. A replay brings them in their recorded order.
    pub sequence: Option<Box<StartSequence>>,
}

impl Deployment {
    /// The bus, to commit to.
    pub(super) fn writable_bus(&self) -> Result<&Arc<dyn Bus>, DeploymentError> {
        self.bus.bus().ok_or(DeploymentError::ReadOnlyBus)
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunMode {
    /// Processes everything.
    Work,
    /// Processes the ledger and the inbox to their ends. Nothing new enters them meanwhile.
    Drain,
    /// Only rebuilds the stores, up to the positions that the bus has committed. It only reads the bus.
    Rebuild {
        /// Stop where the tasks stopped for the layout change of this number.
        before: Option<usize>,
    },
}

/// Starts a sequencer.
pub type StartSequence = dyn Fn() -> Result<Box<dyn Task>, TaskError> + Send + Sync;
