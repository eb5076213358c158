use std::io;
use std::path::{Path, PathBuf};

use crate::bus::{BrokerError, FileError, ReadError};
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
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The payout service's acknowledgements cannot be read.
    #[error("cannot read what the payout service acknowledged: {0}")]
    Credits(String),
    /// A published figure that no arithmetic can use.
    #[error("{0}")]
    Figure(String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl ViewError {
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
