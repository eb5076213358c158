use std::path::PathBuf;

use crate::bus::error::broker::BrokerError;
use crate::bus::error::file::FileError;
use crate::bus::error::reaction::Reaction;
use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("a record for {partition} was rejected: {what}; nothing of its transaction was written")]
    Rejected { partition: TopicPartition, what: String },
    #[error(
        "a record for {topic} is larger than the brokers accept: raise max.message.bytes of that topic to {bytes} or more (`softstake topics` shows it)"
    )]
    TooLarge {
        topic: Topic,
        /// The size of the record.
        bytes: usize,
    },
    #[error("cannot commit the position of {task}: {why}")]
    Position { task: TaskId, why: String },
    /// The task has moved to another process, or is about to.
    #[error("this process no longer runs {task}")]
    NotOurs { task: TaskId },
    /// The caller cannot tell whether the commit took place. The task restarts from its store, and reads the committed position.
    #[error(
        "the last commit of {task} is not confirmed, its store and its committed position tell where it continues: {why}"
    )]
    Unconfirmed { task: TaskId, why: String },
    /// An earlier commit failed. It is not known what that one left on disk, so nothing may follow it.
    #[error(
        "the bus at {path} accepts no more commits because one failed ({why}): start softstake again, which recovers to the last commit"
    )]
    Stopped {
        path: PathBuf,
        /// The error of the commit that failed.
        why: String,
    },
    #[error("topic {topic} is missing: run `softstake topics --create`")]
    NoTopic { topic: Topic },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl CommitError {
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::NotOurs { .. } => Reaction::LeaveOff,
            Self::Unconfirmed { .. } | Self::NoTopic { .. } => Reaction::TryAgain,
            Self::Rejected { .. } | Self::TooLarge { .. } | Self::Position { .. } | Self::Stopped { .. } => {
                Reaction::StopTask
            }
            Self::File(error) => error.reaction(),
            Self::Broker(error) => error.reaction(),
        }
    }
}
