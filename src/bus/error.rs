use std::io;
use std::path::PathBuf;

use super::TopicPartition;

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

impl BusError {
    /// For `map_err`: an input/output error on `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
