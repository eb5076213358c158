use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// The action that opens a store.
pub(super) const OPEN: &str = "open";

/// Why a store cannot be used. Each message says what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "there is no store at {path}: correct --state, or run softstake there first; on Kafka, an instance has only the stores of its own tasks"
    )]
    Missing { path: PathBuf },
    /// Another process, or another task of this process, has opened this store.
    #[error(
        "the store at {path} is in use by another softstake process: stop that process first, or give this one its own --state"
    )]
    InUse { path: PathBuf },
    #[error(
        "the store at {path} has format version {found}, this softstake knows {known}: use the softstake that wrote it, \
         or move the store away to have it rebuilt from the bus"
    )]
    Version { path: PathBuf, found: u32, known: u32 },
    /// The store belongs to another task, bus or layout.
    #[error(
        "the store at {path} belongs to {found:?}, not to {wanted:?}: correct --state or --bus, \
         or move the store away to have it rebuilt from the bus"
    )]
    Owner {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    /// The store holds bytes that Softstake did not write.
    #[error("the store at {path} is damaged: {what}; the next start moves it away and rebuilds it")]
    Damaged { path: PathBuf, what: String },
    /// The store was derived from other records than those of this log.
    #[error("{store} is not of this log: {what}; the next start moves it away and rebuilds it")]
    OtherLog {
        /// `the store of accrue 3`, or where it is.
        store: String,
        what: String,
    },
    /// A sum of rows overflows, or a row was added to a value that is no row.
    #[error(
        "cannot add to key {key} of the store at {path}: the value there is no row, or the sum overflows; nothing was committed"
    )]
    Sum {
        path: PathBuf,
        /// The key, in hex.
        key: String,
    },
    /// A change of one of the store's own keys.
    #[error(
        "key {key} is reserved for the store at {path} itself: keys begin with a byte other than zero; nothing was committed"
    )]
    ReservedKey {
        path: PathBuf,
        /// The key, in hex.
        key: String,
    },
    #[error("the store at {path} was opened for reading only: nothing was committed")]
    ReadOnly { path: PathBuf },
    /// Another process changed the store during every attempt to open it for reading.
    #[error("the store at {path} changed during every attempt to open it for reading: try again")]
    Busy { path: PathBuf },
    /// The disk is nearly full. The task publishes and commits nothing until there is room again.
    #[error(
        "the disk of the store at {path} has {free_mb} MB free and needs {needed_mb} MB: make room there; nothing is lost, and the task continues by itself"
    )]
    Full {
        path: PathBuf,
        /// In mebibytes.
        free_mb: u64,
        /// In mebibytes.
        needed_mb: u64,
    },
    #[error("cannot {action} the store at {path}: {source}")]
    Rocks {
        /// The operation: `open`, `read from`, `commit to`.
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
}

impl StoreError {
    /// Whether the store cannot be used, and has to be rebuilt: its bytes are not those that were written, or it is of another log.
    #[must_use]
    pub fn needs_rebuild(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::OtherLog { .. } => true,
            Self::Rocks { action, source, .. } => {
                source.kind() == rocksdb::ErrorKind::Corruption
                    // RocksDB's manifest names a file that is missing.
                    || *action == OPEN && source.as_ref().contains("No such file or directory")
            }
            _ => false,
        }
    }

    /// Whether the disk is full. RocksDB says so in its message, the operating system by a code.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Rocks { source, .. } => source.as_ref().contains("No space left on device"),
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
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

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn sum(path: &Path, key: &[u8]) -> Self {
        Self::Sum {
            path: path.to_owned(),
            key: hex(key),
        }
    }

    pub(super) fn reserved(path: &Path, key: &[u8]) -> Self {
        Self::ReservedKey {
            path: path.to_owned(),
            key: hex(key),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
