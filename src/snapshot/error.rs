use std::io;
use std::path::{Path, PathBuf};

use crate::bus::DeploymentIdentity;

/// Why a snapshot could not be taken or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The configured place cannot hold snapshots.
    #[error("cannot use {place} for snapshots: {why}; correct {correct}")]
    Place {
        place: String,
        why: String,
        /// The settings that may be wrong.
        correct: &'static str,
    },
    /// A request to the object store failed.
    #[error("cannot {action} {name} of the snapshots at {place}: {why}")]
    Remote {
        /// The operation: `read`, `write`, `list`.
        action: &'static str,
        /// The object.
        name: String,
        place: String,
        /// What the object store, or its client, says; without secrets.
        why: String,
    },
    /// The object that says whose snapshots are at the place cannot be used.
    #[error(
        "{name} at {place}, which says whose snapshots are there, cannot be used: {what}; if only this deployment has its snapshots there, remove \
         that object"
    )]
    Claim {
        name: &'static str,
        place: String,
        what: String,
    },
    /// The place belongs to another deployment.
    #[error(
        "the snapshots at {place} are of another deployment ({found}), not of this one ({wanted}): give each deployment a place of its own \
         (`snapshots.place`); if the other one is gone for good, remove its snapshots and deployment.json there"
    )]
    OtherDeployment {
        place: String,
        found: DeploymentIdentity,
        wanted: DeploymentIdentity,
    },
    /// A snapshot was taken on another log than the one that this process reads: on a copy of the bus, for example.
    #[error(
        "the snapshot {name} at {place} is not of this deployment's log: {what}; another copy of this bus takes its snapshots there: give each \
         deployment a place of its own (`snapshots.place`)"
    )]
    OtherLog { name: String, place: String, what: String },
    /// A snapshot has read further than the bus has committed for its task.
    #[error(
        "the snapshot {name} at {place} is past the committed position of its task: {what}; another copy of this bus takes its snapshots there (give each \
         deployment a place of its own), or the bus has lost commits (bring it back with its positions); to build the store from the log instead, \
         name another place in `snapshots.place`; nothing was published"
    )]
    Ahead { name: String, place: String, what: String },
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
    /// Whether the place, or a snapshot there, is of another deployment or log. Trying again does not help.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Claim { .. } | Self::OtherDeployment { .. } | Self::OtherLog { .. } | Self::Ahead { .. }
        )
    }

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
