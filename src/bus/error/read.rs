use std::fmt;
use std::path::PathBuf;

use crate::bus::error::broker::BrokerError;
use crate::bus::error::file::FileError;
use crate::bus::error::reaction::Reaction;
use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// Why a bus cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The records before an offset are not the ones that were read there.
    #[error(
        "{log} ({partition}) {what} before offset {offset}, up to which it was already read: payouts depend on the records read, so restore the original; \
         nothing was written"
    )]
    SourceChanged {
        partition: TopicPartition,
        log: LogName,
        /// The offset up to which the partition was read.
        offset: Offset,
        /// A predicate: `shrank to 12 bytes (40 were read)`, `was changed`.
        what: String,
    },
    /// While a task read a log, another one took its place.
    #[error(
        "{log} ({partition}) was deleted and created again, or lost records, while it was read: the record at offset {offset} is not there any more; \
         up to offset {read_to}, records of the new log may have been read, so nothing more of it is used, also not after a restart; \
         restore the original topic and the state directories from before, or begin a new deployment on new topics"
    )]
    Replaced {
        partition: TopicPartition,
        log: LogName,
        /// The offset of the record that was there before.
        offset: Offset,
        /// The offset up to which the partition was read.
        read_to: Offset,
    },
    /// Records that a task still has to read were deleted.
    #[error(
        "{partition} starts at offset {start} now, but has to be read from offset {wanted}: the topic's retention deleted the records between them; \
         restore them under the same offsets, or restore a state directory that has read them; nothing was skipped"
    )]
    Retained {
        partition: TopicPartition,
        /// The offset of the first record that still exists.
        start: Offset,
        /// The offset that the task needs.
        wanted: Offset,
    },
    /// Records that no process of the deployment has read were deleted.
    #[error(
        "{partition} starts at offset {start} now, but has to be read from offset {wanted}: the topic's retention deleted the records between them \
         before this deployment read them; restore them under the same offsets, or begin a new deployment on new topics; nothing was skipped"
    )]
    Unread {
        partition: TopicPartition,
        /// The offset of the first record that still exists.
        start: Offset,
        /// The offset that the deployment needs.
        wanted: Offset,
    },
    /// As `Unread`, of a source partition: a control event can accept the loss.
    #[error(
        "{partition} starts at offset {start} now, but has to be read from offset {wanted}: the topic's retention deleted the records between them \
         before this deployment read them, and nothing was skipped; restore them under the same offsets; or, if they are gone for good, accept their \
         loss with a softstake.loss_accepted.v1 event (topic {topic}, partition {number}, from_offset {wanted}, to_offset {start}); or begin a new \
         deployment on new topics",
        topic = partition.topic,
        number = partition.partition
    )]
    Lost {
        partition: TopicPartition,
        /// The offset of the first record that still exists.
        start: Offset,
        /// The offset that the deployment needs.
        wanted: Offset,
    },
    /// The metadata of a committed offset is not a position.
    #[error(
        "cannot read the committed position of {task}: {why}; another program, or another version of softstake, commits offsets under this group's name: \
         give this deployment a name of its own"
    )]
    Position { task: TaskId, why: String },
    /// Records that exist did not arrive in time.
    #[error("cannot read {partition} from offset {from} to {end} now: no record arrived for {seconds} s; trying again")]
    Silent {
        partition: TopicPartition,
        from: Offset,
        end: Offset,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
    /// A record arrived below an offset that the reader had passed as a gap.
    #[error(
        "offset {offset} of {partition} arrived after the reader had passed offset {passed}: the task stops, so that no record is skipped; \
         keep the state directory and the topic, and report this"
    )]
    OutOfOrder {
        partition: TopicPartition,
        offset: Offset,
        passed: Offset,
    },
    /// The archive was made without the topic.
    #[error("the archive at {path} was made without {topic}, which is needed here: make one with it")]
    NotArchived { path: PathBuf, topic: Topic },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Where the log of a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogName {
    File(PathBuf),
    Topic(Topic),
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Topic(topic) => write!(f, "topic {topic}"),
        }
    }
}

impl ReadError {
    /// This error, where no process of the deployment has read the deleted records: then no state directory helps.
    #[must_use]
    pub fn of_unread_records(self) -> Self {
        match self {
            Self::Retained {
                partition,
                start,
                wanted,
            } => Self::Unread {
                partition,
                start,
                wanted,
            },
            error => error,
        }
    }

    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::SourceChanged { .. }
            | Self::Replaced { .. }
            | Self::Retained { .. }
            | Self::Unread { .. }
            | Self::Lost { .. }
            | Self::Position { .. }
            | Self::OutOfOrder { .. }
            | Self::NotArchived { .. } => Reaction::StopTask,
            Self::Silent { .. } => Reaction::TryAgain,
            Self::File(error) => error.reaction(),
            Self::Broker(error) => error.reaction(),
        }
    }

    /// Whether the brokers cannot be reached now.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Broker(BrokerError::Unavailable { .. }))
    }
}
