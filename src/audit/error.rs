//! Why an audit cannot be done.

use std::path::Path;

use crate::bus::{OpenError, ReadError, TopicPartition};
use crate::core::fault::Fault;
use crate::core::values::offset::Offset;
use crate::deployment::DeploymentError;
use crate::store::StoreError;

/// Why a replay, or an audit that reads the whole log, cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The deployment's bus, or the replay's own.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The temporary bus of the replay cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A task of the replay.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The temporary store that sorts records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that Softstake wrote cannot be decoded.
    #[error(transparent)]
    Record(#[from] Fault),
    /// The recorded decisions contradict one another.
    #[error("softstake.decisions holds a sequence that no coordinator writes: {0}")]
    Decisions(String),
    /// Retention deleted records that the audit needs.
    #[error(
        "{partition} starts at offset {start} now, but a replay needs offset {needed}: the records between were deleted; \
         use an archive that has them"
    )]
    Gone {
        partition: TopicPartition,
        /// Its first offset now.
        start: Offset,
        needed: Offset,
    },
    /// The working folder holds the replay of another bus.
    #[error(
        "the folder holds a replay of another bus, or of a bus that changed since: there, decision {number} is {replayed}; \
         name another folder, or remove this one"
    )]
    OtherReplay {
        /// Counts from 0 and leaves out `control_read`.
        number: usize,
        /// The decision in the folder, as JSON.
        replayed: String,
    },
    #[error("cannot {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },
}

impl AuditError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}
