use sha2::{Digest, Sha256};

use crate::bus::DeploymentIdentity;

/// The snapshots of one task of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSeries {
    pub(super) deployment: DeploymentIdentity,
    /// The folder of all its objects.
    pub(super) folder: String,
    /// The owner of the store, in words: the same as in the store itself.
    pub(super) owner: String,
}

impl SnapshotSeries {
    /// The snapshots of the store of `owner`. `task` consists of letters, digits, points, hyphens and slashes.
    #[must_use]
    pub fn new(deployment: &DeploymentIdentity, task: &str, owner: &str) -> Self {
        let name = hex::encode(&Sha256::digest(deployment.to_string())[..8]);
        Self {
            deployment: deployment.clone(),
            folder: format!("{name}/{task}"),
            owner: owner.to_owned(),
        }
    }

    pub(super) fn files(&self) -> String {
        format!("{}/files", self.folder)
    }

    pub(super) fn snapshots(&self) -> String {
        format!("{}/snapshots", self.folder)
    }

    pub(super) fn damaged(&self) -> String {
        format!("{}/damaged", self.folder)
    }

    /// The name of a local folder for this series.
    pub(super) fn local_name(&self) -> String {
        self.folder.replace('/', "-")
    }
}
