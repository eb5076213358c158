use std::io;
use std::path::PathBuf;

use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};

/// What can go wrong on a bus. Each message says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// There is no bus at this place.
    #[error("there is no bus directory at {path}: create it, or correct --bus")]
    Missing {
        /// The place named.
        path: PathBuf,
    },
    /// Another process works on this bus.
    #[error("the bus at {path} is in use by another softstake process: stop that one first, or wait for it")]
    Locked {
        /// The bus.
        path: PathBuf,
    },
    /// A log that was read before is no longer what it was.
    #[error(
        "{file} ({partition}) {what} before offset {offset}, up to which it was read already: payouts rest on what was read, so put the original file back; \
         nothing was written"
    )]
    SourceChanged {
        /// The partition.
        partition: TopicPartition,
        /// Its file.
        file: PathBuf,
        /// The offset up to which it was read.
        offset: u64,
        /// What happened to it: `shrank to 12 bytes, of which 40 were read,`, `was changed`.
        what: String,
    },
    /// A file of ours is not what we wrote.
    #[error("{file} is damaged at byte {at}: {what}; restore it from a copy of the bus")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file of a format this program does not know.
    #[error(
        "{file} has format version {found}, this softstake reads {known}: use the softstake that wrote it, or a newer one"
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// The version it has.
        found: u32,
        /// The version we read.
        known: u32,
    },
    /// A record that cannot be written.
    #[error("a record for {partition} was refused: {what}; nothing of its transaction was written")]
    Refused {
        /// Where it was to go.
        partition: TopicPartition,
        /// Why not.
        what: String,
    },
    /// A commit to a bus that was opened to be looked at.
    #[error("the bus at {path} was opened for reading only: nothing can be committed to it")]
    ReadOnly {
        /// The bus.
        path: PathBuf,
    },
    /// A commit after one that failed: what the failed one left on disk is not known, so nothing may follow it.
    #[error(
        "the bus at {path} takes no commits since one failed ({why}): start softstake again, which recovers what was committed"
    )]
    Stopped {
        /// The bus.
        path: PathBuf,
        /// How the first one failed.
        why: String,
    },
    /// The bus cannot be reached now. It goes on by itself once it can.
    #[error("cannot {action} now: {why}; trying again")]
    Unavailable {
        /// What was tried.
        action: String,
        /// Why it did not work.
        why: String,
    },
    /// The brokers do not let us.
    #[error("not allowed to {action}: {why}; grant it with: {grant}")]
    Unauthorised {
        /// What was tried.
        action: String,
        /// What the broker said.
        why: String,
        /// The access control entry that is missing, as `kafka-acls.sh` takes it.
        grant: String,
    },
    /// The brokers do not know us.
    #[error(
        "the brokers at {brokers} refused this client: {why}; correct the sasl.* and ssl.* properties of [kafka.properties]"
    )]
    Unauthenticated {
        /// Who refused.
        brokers: String,
        /// What they said.
        why: String,
    },
    /// A topic that has to be there is not.
    #[error("topic {topic} is not there: {hint}")]
    NoTopic {
        /// The topic.
        topic: Topic,
        /// What to do.
        hint: &'static str,
    },
    /// What a task still has to read is gone from the log.
    #[error(
        "{partition} starts at offset {start} now, but has to be read from {wanted} on: what lies between was deleted by the topic's retention; \
         restore it under the same offsets, or a state directory that has read it; nothing was skipped"
    )]
    Retained {
        /// The partition.
        partition: TopicPartition,
        /// The offset of the first record that is there.
        start: u64,
        /// The offset the task needs.
        wanted: u64,
    },
    /// The position of a task is not on the bus any more.
    #[error(
        "the bus has lost the position of {task}: {why}; restore the committed offsets of group {group}, or begin a new deployment on new topics; \
         nothing was published"
    )]
    PositionLost {
        /// Which task.
        task: TaskId,
        /// The consumer group that should have it.
        group: String,
        /// How that is known.
        why: String,
    },
    /// A record larger than the brokers take.
    #[error(
        "a record for {topic} is larger than the brokers take: raise max.message.bytes of that topic to {bytes} or more (`softstake topics` shows it)"
    )]
    TooLarge {
        /// Its topic.
        topic: Topic,
        /// How much it needs.
        bytes: usize,
    },
    /// The task has gone to another process, or is about to.
    #[error("{task} is not run by this process any more")]
    NotOurs {
        /// Which task.
        task: TaskId,
    },
    /// A commit of which only the bus knows whether it took place.
    #[error("whether the last commit of {task} took place has to be looked up: {why}")]
    Unsettled {
        /// Which task.
        task: TaskId,
        /// What happened.
        why: String,
    },
    /// Another process has taken this one's place.
    #[error(
        "another process works as instance {instance} of deployment {deployment} and has taken the place of this one: give each instance its own \
         `kafka.instance`, and each deployment its own `kafka.deployment`"
    )]
    Replaced {
        /// The instance.
        instance: String,
        /// The deployment.
        deployment: String,
    },
    /// Kafka refused, for a reason that waiting does not mend.
    #[error("cannot {action}: {why}")]
    Kafka {
        /// What was tried.
        action: String,
        /// What it said.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `read`, `append to`, `make durable`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Leave off: the task is somebody else's now.
    LeaveOff,
    /// Take the task up again from its store after a while: what was in the way passes.
    TryAgain,
    /// Stop the task: somebody has to mend something first. Other tasks go on.
    StopTask,
    /// End the process: it has no part in the deployment any more.
    EndProcess,
}

impl BusError {
    /// What is to be done about it.
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::NotOurs { .. } => Reaction::LeaveOff,
            Self::Unavailable { .. } | Self::Unsettled { .. } | Self::Unauthorised { .. } | Self::NoTopic { .. } => {
                Reaction::TryAgain
            }
            Self::Replaced { .. } | Self::Unauthenticated { .. } => Reaction::EndProcess,
            _ => Reaction::StopTask,
        }
    }

    /// For `map_err`: an input/output error on `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
