//! The manifest of a snapshot: its JSON names the files of the store.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bus::{DeploymentIdentity, Position};
use crate::snapshot::error::SnapshotError;
use crate::snapshot::series::SnapshotSeries;

/// The version of the format.
const FORMAT: u32 = 2;

/// A snapshot of one task's store. Files are named by their SHA-256, so that snapshots share equal files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotManifest {
    format: u32,
    pub deployment: DeploymentIdentity,
    /// Task, layout and bus of the store, in words.
    pub owner: String,
    /// When it was taken, in UTC.
    pub taken: String,
    /// The position of the task, with the digests of what it had read.
    pub position: Position,
    pub files: Vec<SnapshotFile>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotFile {
    /// The name in the folder of the store.
    pub name: String,
    pub bytes: u64,
    /// The SHA-256 of the contents, in hexadecimal.
    pub sha256: String,
}

impl SnapshotManifest {
    pub fn new(series: &SnapshotSeries, taken: String, position: Position, files: Vec<SnapshotFile>) -> Self {
        Self {
            format: FORMAT,
            deployment: series.deployment.clone(),
            owner: series.owner.clone(),
            taken,
            position,
            files,
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Why a snapshot cannot be one of `series`, on a log where a task of the series has been at `position`; `None` if nothing speaks against it.
    pub fn is_foreign(&self, series: &SnapshotSeries, position: &Position) -> Option<String> {
        if self.deployment != series.deployment || self.owner != series.owner {
            return Some(format!("it is of {:?}", self.owner));
        }
        if self.position.inputs.values().any(|mark| mark.digest.is_none()) {
            return Some("it has no digest of what it has read".into());
        }
        self.position.contradicts(position).map(|partition| {
            format!(
                "it has read other records of {partition} before offset {}",
                position.offset(partition)
            )
        })
    }

    /// The name of the object and its text. The name is the time in milliseconds, by which names sort, and a hash of the text.
    pub fn write(&self, taken_ms: u128) -> Result<(String, Vec<u8>), SnapshotError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| SnapshotError::damaged("a manifest", format!("it cannot be written: {error}")))?;
        Ok((format!("{taken_ms:015}-{}.json", short_hash(&text)), text))
    }

    /// Decodes the manifest that is stored as `name`.
    pub fn read(name: &str, text: &[u8]) -> Result<Self, SnapshotError> {
        let damaged = |what: String| SnapshotError::damaged(name, what);
        if !name.ends_with(&format!("-{}.json", short_hash(text))) {
            return Err(damaged("its hash is not the one in its name".into()));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!(
                "its format is {}, this softstake knows {FORMAT}",
                manifest.format
            )));
        }
        for file in &manifest.files {
            let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
            let is_sha256 = file.sha256.len() == 64 && file.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_plain(&file.name) || !is_sha256 {
                return Err(damaged(format!(
                    "it names the file {:?}, which no store has",
                    file.name
                )));
            }
        }
        Ok(manifest)
    }
}

/// The first 8 bytes of the SHA-256, in hexadecimal.
fn short_hash(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{DeploymentId, Mark, Topic};
    use crate::core::values::offset::Offset;

    fn manifest(files: &[(&str, &str)]) -> SnapshotManifest {
        let files = files.iter().map(|(name, sum)| SnapshotFile {
            name: (*name).to_owned(),
            bytes: 1,
            sha256: (*sum).to_owned(),
        });
        SnapshotManifest::new(
            &series("task"),
            "2026-11-01T00:00:00.000Z".into(),
            position(&["a", "b"]),
            files.collect(),
        )
    }

    fn series(task: &str) -> SnapshotSeries {
        let deployment = DeploymentIdentity {
            bus: "a bus".into(),
            id: serde_json::from_str("\"00000000-0000-0000-0000-000000000007\"").unwrap(),
        };
        SnapshotSeries::new(&deployment, task, task)
    }

    /// A position that has read these records of the ledger.
    fn position(records: &[&str]) -> Position {
        let mut mark = Mark::default();
        for record in records {
            mark.add(record.as_bytes());
            mark.offset = mark.offset.saturating_add(1);
        }
        let mut position = Position::default();
        position.inputs.insert(Topic::Ledger.partition(0), mark);
        position
    }

    #[test]
    fn a_manifest_is_read_only_unchanged_and_under_its_name() {
        let written = manifest(&[("CURRENT", &"a".repeat(64))]);
        let (name, text) = written.write(1_793_491_200_000).unwrap();
        assert!(name.starts_with("001793491200000-"), "{name}");
        assert_eq!(SnapshotManifest::read(&name, &text).unwrap(), written);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(SnapshotManifest::read(&name, &changed).is_err(), "byte {at}");
        }
        assert!(SnapshotManifest::read(&name, &text[..text.len() - 1]).is_err());
    }

    #[test]
    fn a_snapshot_of_another_log_is_told() {
        let manifest = manifest(&[]);
        for same_log in [&["a", "b"][..], &["a"], &["a", "b", "c"]] {
            assert_eq!(manifest.is_foreign(&series("task"), &position(same_log)), None);
        }
        let why = manifest.is_foreign(&series("task"), &position(&["x", "b"])).unwrap();
        assert!(
            why.contains("other records of softstake.ledger:0 before offset 2"),
            "{why}"
        );
        assert!(manifest.is_foreign(&series("another"), &position(&[])).is_some());
        let mut other_deployment = series("task");
        other_deployment.deployment.id = DeploymentId::random();
        assert!(manifest.is_foreign(&other_deployment, &position(&[])).is_some());
        let mut unknown = manifest;
        unknown
            .position
            .inputs
            .insert(Topic::Ledger.partition(0), Mark::at(Offset::new(2)));
        assert!(unknown.is_foreign(&series("task"), &position(&["a", "b"])).is_some());
    }

    #[test]
    fn a_manifest_names_no_file_outside_its_folder() {
        let sum = "a".repeat(64);
        for (name, sum) in [
            ("../CURRENT", sum.as_str()),
            ("a/b", &sum),
            ("", &sum),
            ("..", &sum),
            ("CURRENT", "../../elsewhere"),
            ("CURRENT", "abc"),
        ] {
            let (under, text) = manifest(&[(name, sum)]).write(1).unwrap();
            assert!(SnapshotManifest::read(&under, &text).is_err(), "{name:?} {sum:?}");
        }
    }
}
