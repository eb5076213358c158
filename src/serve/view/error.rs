use std::io;
use std::path::{Path, PathBuf};

use crate::bus::{BrokerError, FileError, Reaction, ReadError};
use crate::core::fault::Fault;

/// Why the view cannot be used. Each message says what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The view was made from the records of another bus.
    #[error(
        "the view at {path} was made from the bus {found}, and this is the bus {wanted}: correct --view or --bus, \
         or delete {path}; it is rebuilt from the bus"
    )]
    OtherLog {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    /// The records that the view was made from are not there any more.
    #[error("the view at {path} is not of this bus: {why}; if the bus is the right one, delete {path}: it is rebuilt")]
    Changed { path: PathBuf, why: ReadError },
    #[error(
        "the view at {path} has format version {found}, this softstake knows {known}: delete {path}, it is rebuilt"
    )]
    Version { path: PathBuf, found: String, known: u32 },
    #[error(
        "the view at {path} is in use by another softstake process: stop that process first, or give this one its own --view"
    )]
    InUse { path: PathBuf },
    #[error("the view at {path} is damaged: {what}; delete {path}, it is rebuilt from the bus")]
    Damaged { path: PathBuf, what: String },
    #[error("cannot {action} the view at {path}: {source}")]
    Rocks {
        /// The operation: `open`, `read from`, `write to`.
        action: &'static str,
        path: PathBuf,
        source: rocksdb::Error,
    },
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The operation: `create`, `remove`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Nothing more is written, so that RocksDB, and an audit log on the same disk, have room.
    #[error(
        "the disk of the view at {path} has {free_mb} MB free, and needs {needed_mb} MB: make room, and the view goes on by itself"
    )]
    NoRoom {
        path: PathBuf,
        free_mb: u64,
        needed_mb: u64,
    },
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The payout service's acknowledgements are not what was read. Those that cannot be reached now are no error of the view.
    #[error("cannot read what the payout service acknowledged: {0}")]
    Credits(String),
    /// A published figure that no arithmetic can use.
    #[error("{0}")]
    Figure(String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl ViewError {
    /// Whether it passes by itself, or when somebody mends what is outside of this process: brokers, folders, rights, a full disk. Then the view waits.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            // RocksDB goes on by itself when there is room.
            Self::Rocks { source, .. } => source.as_ref().contains("No space left on device"),
            Self::Read(error) => Self::read_may_pass(error),
            Self::OtherLog { .. }
            | Self::Changed { .. }
            | Self::Version { .. }
            | Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::Io { .. }
            | Self::Credits(_)
            | Self::Figure(_)
            | Self::Fault(_) => false,
        }
    }

    /// The same of an error of the bus. A task that writes stops for an error of a file; a view loses nothing if it waits.
    pub(super) fn read_may_pass(error: &ReadError) -> bool {
        match error {
            ReadError::File(FileError::Io { .. } | FileError::NotAFile { .. }) => true,
            error => error.reaction() == Reaction::TryAgain,
        }
    }

    /// For `map_err`: an error of RocksDB at `path`.
    pub(super) fn rocks(action: &'static str, path: &Path) -> impl FnOnce(rocksdb::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Rocks { action, path, source }
    }

    /// For `map_err`: an input/output error on `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<BrokerError> for ViewError {
    fn from(error: BrokerError) -> Self {
        Self::Read(error.into())
    }
}

impl From<FileError> for ViewError {
    fn from(error: FileError) -> Self {
        Self::Read(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{LogName, Topic};
    use crate::core::values::offset::Offset;

    #[test]
    fn a_fault_of_the_outside_may_pass_and_a_bus_that_is_another_does_not() {
        let partition = Topic::Epochs.partition(0);
        let away = BrokerError::Unavailable {
            action: "read it".into(),
            why: "a broker is away".into(),
        };
        let unreadable = FileError::io("list", "bus/softstake.epochs")(io::Error::from(io::ErrorKind::NotADirectory));
        for passes in [ViewError::from(away), unreadable.into()] {
            assert!(passes.may_pass(), "{passes}");
        }
        let shrank = ReadError::SourceChanged {
            partition,
            log: LogName::Topic(Topic::Epochs),
            offset: Offset::new(3),
            what: "shrank".into(),
        };
        let damaged = FileError::Damaged {
            file: "bus/softstake.epochs/0.jsonl".into(),
            at: 0,
            what: "it is torn".into(),
        };
        for stays in [
            ViewError::from(shrank),
            damaged.into(),
            ViewError::Credits("shorter".into()),
        ] {
            assert!(!stays.may_pass(), "{stays}");
        }
    }
}
