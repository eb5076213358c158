use std::io;
use std::path::{Path, PathBuf};

/// Why a snapshot could not be taken or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The configured place cannot hold snapshots.
    #[error("cannot use {place} for snapshots: {why}; correct `snapshots.place`")]
    Place { place: String, why: String },
    /// A request to the object store failed.
    #[error("cannot {action} {name} of the snapshots at {place}: {source}")]
    Remote {
        /// The operation: `read`, `write`, `list`.
        action: &'static str,
        /// The object.
        name: String,
        place: String,
        source: Box<object_store::Error>,
    },
    /// An object is missing, or its bytes are not those that were written.
    #[error("{name} is damaged: {what}")]
    Damaged { name: String, what: String },
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The operation: `read`, `create`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl SnapshotError {
    pub(super) fn damaged(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            name: name.into(),
            what: what.into(),
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
