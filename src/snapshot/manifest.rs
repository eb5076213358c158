//! The manifest of a snapshot: its JSON names the files of the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bus::Position;
use crate::core::values::offset::Offset;
use crate::snapshot::error::SnapshotError;

/// The version of the format.
const FORMAT: u32 = 1;

/// A snapshot of one task's store. Files are named by their SHA-256, so that snapshots share equal files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotManifest {
    format: u32,
    /// Task, layout and bus of the store, in words.
    pub owner: String,
    /// When it was taken, in UTC.
    pub taken: String,
    /// The offsets up to which the task had read, by input partition.
    pub position: BTreeMap<String, Offset>,
    /// A hash of the whole position, with cursor and evidence. Snapshots with the same hash have the same state.
    pub state: String,
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
    pub fn new(owner: String, taken: String, position: &Position, files: Vec<SnapshotFile>) -> Self {
        let offsets = position
            .inputs
            .iter()
            .map(|(input, mark)| (input.to_string(), mark.offset));
        Self {
            format: FORMAT,
            owner,
            taken,
            position: offsets.collect(),
            state: state_hash(position),
            files,
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
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

/// A hash of a position.
pub(super) fn state_hash(position: &Position) -> String {
    // The store has encoded this position before, so encoding cannot fail.
    short_hash(&postcard::to_stdvec(position).unwrap_or_default())
}

/// The first 8 bytes of the SHA-256, in hexadecimal.
fn short_hash(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[(&str, &str)]) -> SnapshotManifest {
        let files = files.iter().map(|(name, sum)| SnapshotFile {
            name: (*name).to_owned(),
            bytes: 1,
            sha256: (*sum).to_owned(),
        });
        SnapshotManifest::new(
            "somebody".into(),
            "2026-11-01T00:00:00.000Z".into(),
            &Position::default(),
            files.collect(),
        )
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
