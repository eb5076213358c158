use crate::bus::{BusError, Reaction, TaskId};
use crate::core::fault::Fault;
use crate::store::StoreError;

/// What stops a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its snapshots.
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::SnapshotError),
    /// The fold.
    #[error("{at}: {fault}")]
    Fault {
        /// Which task, and where it stood.
        at: String,
        /// What happened.
        fault: Fault,
    },
    /// The store belongs to a bus that is ahead of this one.
    #[error(
        "{task}: its store has read {partition} to offset {stored}, but the bus ends at {end}: one of the two was restored from an older \
         copy; bring back the matching one, or delete the state directory, which is then built anew from the bus"
    )]
    Ahead {
        /// The task.
        task: String,
        /// Which input.
        partition: crate::bus::TopicPartition,
        /// How far the store is.
        stored: u64,
        /// Where the bus ends.
        end: u64,
    },
    /// The store of a task knows more than the bus has committed.
    #[error(
        "{task}: its store is at {stored}, but the bus has {committed} as its position: the topic was made anew, the committed offsets have expired, or \
         the bus was restored from an older copy; bring back the matching state, or a bus with its positions; nothing was published"
    )]
    Lost {
        /// The task.
        task: TaskId,
        /// Where the store is.
        stored: String,
        /// What the bus has.
        committed: String,
    },
    /// A setting that cannot change was changed.
    #[error("{name} is {given}, but this deployment was begun with {recorded}, which cannot change; {hint}")]
    Fixed {
        /// Which setting.
        name: &'static str,
        /// What was asked for.
        given: String,
        /// What is in force.
        recorded: String,
        /// What to do.
        hint: &'static str,
    },
    /// The ledger was laid out anew since this process began to work.
    #[error("the ledger has been repartitioned: this process goes on under the new layout")]
    LayoutChanged,
    /// There is no store to go on from after the ledger was laid out anew.
    #[error(
        "{task}: there is neither a store nor a snapshot of it since the ledger was repartitioned, and the log from its start is of the layout before: bring back the \
         state directory in which that was done, name the place of its snapshots, or run `softstake rebuild`"
    )]
    NoStore {
        /// The task.
        task: TaskId,
    },
    /// The ledger cannot be repartitioned now.
    #[error("the ledger cannot be repartitioned: {why}; nothing was changed")]
    NotNow {
        /// Why not.
        why: String,
    },
    /// Another process works on this state.
    #[error(
        "the state directory {path} is in use by another softstake process: stop that one first, or name another directory"
    )]
    Locked {
        /// The directory.
        path: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// All is idle, but something is not finished.
    #[error("nothing is left to do, but {what}")]
    Unfinished {
        /// What is not.
        what: String,
    },
}

impl TaskError {
    /// What is to be done about it, where a deployment spreads over several processes.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Bus(error) => error.reaction(),
            // A damaged store is set aside when it is opened again.
            Self::Store(error) if error.is_full() || error.is_damage() => Reaction::TryAgain,
            Self::Snapshot(_) => Reaction::TryAgain,
            // The end that can be read lags behind for a moment after a leader has changed.
            Self::Ahead { .. } => Reaction::TryAgain,
            Self::LayoutChanged => Reaction::EndProcess,
            _ => Reaction::StopTask,
        }
    }
}
