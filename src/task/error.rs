use std::io;
use std::path::{Path, PathBuf};

use crate::bus::{CommitError, MembershipError, Reaction, ReadError, TaskId, TopicPartition};
use crate::core::fault::Fault;
use crate::core::values::offset::Offset;
use crate::store::StoreError;

/// Why a task cannot start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store of the task is missing and cannot be restored from a snapshot now.
    #[error("{why}")]
    Restore { why: String },
    /// The store of the task is missing, and its snapshots are of another deployment or log.
    #[error("{why}")]
    SnapshotRefused { why: String },
    #[error("{at}: {fault}")]
    Fault {
        /// Which task, and its position.
        at: String,
        fault: Fault,
    },
    /// The store has read further than the bus reaches.
    #[error(
        "{task}: its store has read {partition} to offset {stored}, but the bus ends at {end}: one of the two was restored from an older copy; \
         bring back the matching one, or delete the state directory, which is then rebuilt from the bus"
    )]
    StoreAhead {
        task: TaskId,
        partition: TopicPartition,
        /// The offset up to which the store has read.
        stored: Offset,
        /// The readable end of the partition.
        end: Offset,
    },
    /// The store is past the committed position: the bus has lost commits.
    #[error(
        "{task}: its store is at {stored}, but the position on the bus is {committed}: the topic was created anew, the committed offsets have expired, or \
         the bus was restored from an older copy; bring back the matching state, or a bus with its positions; nothing was published"
    )]
    CommitsLost {
        task: TaskId,
        stored: String,
        committed: String,
    },
    /// The ledger was repartitioned while this process ran.
    #[error("the ledger was repartitioned: this process restarts its tasks with the new layout")]
    LayoutChanged,
    /// The store of a task is missing, and the log cannot replace it, because the ledger was repartitioned.
    #[error(
        "{task}: there is neither a store nor a snapshot of it since the ledger was repartitioned, and the older log belongs to another layout: \
         bring back the state directory of the repartitioning, configure the place of its snapshots, or run `softstake rebuild`"
    )]
    NoStore { task: TaskId },
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The operation: `create`, `read`, `move`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl TaskError {
    /// What the process does about it.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Read(error) => error.reaction(),
            Self::Commit(error) => error.reaction(),
            Self::Membership(error) => error.reaction(),
            // The next start moves an unusable store away.
            Self::Store(error) if error.is_full() || error.needs_rebuild() => Reaction::TryAgain,
            Self::Restore { .. } => Reaction::TryAgain,
            // For a moment after a change of leader, the readable end is behind.
            Self::StoreAhead { .. } => Reaction::TryAgain,
            Self::LayoutChanged => Reaction::EndProcess,
            // No task of this program may go on.
            Self::Fault {
                fault: Fault::UnknownRules { .. },
                ..
            } => Reaction::EndProcess,
            _ => Reaction::StopTask,
        }
    }

    /// The kind of the error, in a word, for counts. [`Self::REASONS`] has all of them.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Commit(_) => "commit",
            Self::Membership(_) => "membership",
            Self::Store(error) if error.is_full() => "disk_full",
            Self::Store(_) | Self::NoStore { .. } => "store",
            Self::Restore { .. } | Self::SnapshotRefused { .. } => "snapshot",
            Self::StoreAhead { .. } | Self::CommitsLost { .. } => "position",
            Self::LayoutChanged => "layout",
            Self::Fault { .. } => "fault",
            Self::Io { .. } => "file",
        }
    }

    /// Every [`Self::reason`].
    pub const REASONS: [&'static str; 10] = [
        "read",
        "commit",
        "membership",
        "disk_full",
        "store",
        "snapshot",
        "position",
        "layout",
        "fault",
        "file",
    ];

    /// For `map_err`: the operating system refused `action` on `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
