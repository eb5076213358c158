use sha2::{Digest, Sha256};

/// The snapshots of one task on one bus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotSeries {
    /// The folder of all its objects.
    pub(super) folder: String,
    /// The owner of the store, in words: the same as in the store itself.
    pub(super) owner: String,
}

impl SnapshotSeries {
    /// The snapshots of the store of `owner`. `task` consists of letters, digits, points, hyphens and slashes.
    #[must_use]
    pub fn new(bus: &str, task: &str, owner: &str) -> Self {
        let bus = hex::encode(&Sha256::digest(bus.as_bytes())[..8]);
        Self {
            folder: format!("{bus}/{task}"),
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
