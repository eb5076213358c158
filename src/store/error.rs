use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// What is tried when a store is opened.
pub(super) const OPEN: &str = "open";

/// What can go wrong with a store. Each message says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store at this place.
    #[error("there is no store at {path}: correct --state, or run softstake there first")]
    Missing {
        /// The place named.
        path: PathBuf,
    },
    /// Another process, or another task of this one, works on this store.
    #[error(
        "the store at {path} is in use by another softstake process: stop that one first, or give this one its own --state"
    )]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A store of a format this program does not know.
    #[error(
        "the store at {path} has format version {found}, this softstake knows {known}: use the softstake that wrote it, \
         or move the store away to have it rebuilt from the bus"
    )]
    Version {
        /// The store.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version we know.
        known: u32,
    },
    /// A store that belongs to another task, bus or layout.
    #[error(
        "the store at {path} belongs to {found:?}, not to {wanted:?}: correct --state or --bus, \
         or move the store away to have it rebuilt from the bus"
    )]
    Owner {
        /// The store.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants to open it.
        wanted: String,
    },
    /// The store holds what we never wrote.
    #[error("the store at {path} is damaged: {what}; at the next start it is set aside and made anew")]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A sum of rows does not fit, or an addition to what is no row. Nothing was committed.
    #[error(
        "cannot add to key {key} of the store at {path}: what is there is no row, or the sum does not fit; nothing was committed"
    )]
    Sum {
        /// The store.
        path: PathBuf,
        /// The key, in hex.
        key: String,
    },
    /// A change to a key that is the store's own. Nothing was committed.
    #[error(
        "key {key} is reserved for the store at {path} itself: keys begin with a byte other than zero; nothing was committed"
    )]
    ReservedKey {
        /// The store.
        path: PathBuf,
        /// The key, in hex.
        key: String,
    },
    /// A commit to a store that was opened for reading.
    #[error("the store at {path} was opened for reading only: nothing was committed")]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A running process rewrote the store again and again while it was being opened for reading.
    #[error("the store at {path} changed too fast to be opened for reading: try again")]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// The disk is nearly full. Nothing was published or committed since.
    #[error(
        "only {free_mb} MB are free where the store at {path} is, and {needed_mb} MB have to be: make room there; nothing is lost, and it goes on by itself"
    )]
    Full {
        /// The store.
        path: PathBuf,
        /// What is free, in mebibytes.
        free_mb: u64,
        /// What has to be, in mebibytes.
        needed_mb: u64,
    },
    /// RocksDB refused.
    #[error("cannot {action} the store at {path}: {source}")]
    Rocks {
        /// What was tried: `open`, `read from`, `commit to`.
        action: &'static str,
        /// The store.
        path: PathBuf,
        /// Why not.
        source: rocksdb::Error,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `create`, `remove`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether what is on the disk is not what was written there.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Rocks { action, source, .. } => {
                source.kind() == rocksdb::ErrorKind::Corruption
                    // A file that RocksDB's own list names.
                    || *action == OPEN && source.as_ref().contains("No such file or directory")
            }
            _ => false,
        }
    }

    /// Whether the disk is full: RocksDB says so in words, the operating system by its code.
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
