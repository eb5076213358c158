use std::io;
use std::path::{Path, PathBuf};

use crate::bus::{CommitError, MembershipError, OpenError, ReadError, TaskId, Topic};
use crate::core::fault::Fault;
use crate::snapshot::SnapshotError;
use crate::store::StoreError;
use crate::task::TaskError;

/// Why a deployment cannot start, run on, or change.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A task, or the bus or store that it uses.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The place of the snapshots cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The bus has decisions, but no deployment record.
    #[error(
        "the bus has lost the position of {task}: {why}; restore the committed offsets of group {group}, or begin a new deployment on new topics; \
         nothing was published"
    )]
    PositionLost {
        task: TaskId,
        /// The consumer group that should have the position.
        group: String,
        why: String,
    },
    /// A setting that cannot change was changed.
    #[error("{name} is {given}, but this deployment was begun with {recorded}, which cannot change; {hint}")]
    SettingChanged {
        /// The name of the setting.
        name: &'static str,
        /// The value that was asked for.
        given: String,
        /// The value in force.
        recorded: String,
        /// What the operator can do.
        hint: &'static str,
    },
    /// The ledger cannot be repartitioned now.
    #[error("the ledger cannot be repartitioned: {why}; nothing was changed")]
    CannotRepartition { why: String },
    /// The stores from before a layout change have read other records than the deployment had then.
    #[error(
        "the stores of the layout with {partitions} partitions have read other records of {} or {} than this deployment had when it was repartitioned: \
         one of the two topics was changed, or the stores are of another copy of the bus; restore the original; nothing was published",
        Topic::Ledger,
        Topic::Inbox
    )]
    OtherLog { partitions: u32 },
    /// Another process uses this state directory.
    #[error(
        "the state directory {path} is in use by another softstake process: stop that process first, or name another directory"
    )]
    StateInUse { path: PathBuf },
    /// The operating system lets this process open too few files.
    #[error(
        "{stores} stores need {needed} open files, but this process may have {limit}: raise the hard limit (`ulimit -Hn {needed}`, `LimitNOFILE={needed}` of \
         systemd, `--ulimit nofile={needed}` of docker), or use fewer ledger partitions"
    )]
    OpenFiles {
        /// One for each ledger partition and source partition, and one for the coordinator.
        stores: u64,
        needed: u64,
        limit: u64,
    },
    /// The bus was opened for reading only, but the mode needs to commit.
    #[error("the bus was opened for reading only: nothing can be committed to it")]
    ReadOnlyBus,
    /// All input is processed, but something is not finished.
    #[error("all input is processed, but {what}")]
    Unfinished { what: String },
}

impl DeploymentError {
    pub(super) fn fault(at: &str, fault: Fault) -> Self {
        TaskError::Fault {
            at: at.to_owned(),
            fault,
        }
        .into()
    }

    /// For `map_err`: the operating system refused `action` on `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let error = TaskError::io(action, path);
        move |source| error(source).into()
    }
}

impl From<ReadError> for DeploymentError {
    fn from(error: ReadError) -> Self {
        Self::Task(error.into())
    }
}

impl From<CommitError> for DeploymentError {
    fn from(error: CommitError) -> Self {
        Self::Task(error.into())
    }
}

impl From<MembershipError> for DeploymentError {
    fn from(error: MembershipError) -> Self {
        Self::Task(error.into())
    }
}

impl From<StoreError> for DeploymentError {
    fn from(error: StoreError) -> Self {
        Self::Task(error.into())
    }
}
