//! What a snapshot consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bus::Position;
use crate::snapshot::SnapshotError;

/// The format of manifests.
const FORMAT: u32 = 1;

/// A snapshot of one task's store: its files, by their sums. Files are kept under their sums, so that snapshots share what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// Whose store it is: task, layout and bus, in words.
    pub owner: String,
    /// When it was taken, in UTC.
    pub taken: String,
    /// The offsets up to which the task had read, by input partition.
    pub position: BTreeMap<String, u64>,
    /// The sum of the store's whole position, cursor and evidence included: two of the same are of the same state.
    pub state: String,
    /// Its files.
    pub files: Vec<File>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Its name in the store's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its contents, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub fn new(owner: String, taken: String, position: &Position, files: Vec<File>) -> Self {
        let offsets = position
            .inputs
            .iter()
            .map(|(input, mark)| (input.to_string(), mark.offset));
        Self {
            format: FORMAT,
            owner,
            taken,
            position: offsets.collect(),
            state: state(position),
            files,
        }
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Its text, and the name it goes under: the time in milliseconds, by which names sort, and the sum of the text.
    pub fn write(&self, taken_ms: u128) -> Result<(String, Vec<u8>), SnapshotError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| SnapshotError::damaged("a manifest", format!("it cannot be written: {error}")))?;
        Ok((format!("{taken_ms:015}-{}.json", sum(&text)), text))
    }

    /// Reads a manifest that goes under `name`.
    pub fn read(name: &str, text: &[u8]) -> Result<Self, SnapshotError> {
        let damaged = |what: String| SnapshotError::damaged(name, what);
        if !name.ends_with(&format!("-{}.json", sum(text))) {
            return Err(damaged("its sum is not the one in its name".into()));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!(
                "its format is {}, this softstake knows {FORMAT}",
                manifest.format
            )));
        }
        for file in &manifest.files {
            let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
            let sum = file.sha256.len() == 64 && file.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !plain(&file.name) || !sum {
                return Err(damaged(format!("it names a file {:?} that no store has", file.name)));
            }
        }
        Ok(manifest)
    }
}

/// The sum of a position.
pub(super) fn state(position: &Position) -> String {
    // A position has been encoded by its store before.
    sum(&postcard::to_stdvec(position).unwrap_or_default())
}

fn sum(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let files = files.iter().map(|(name, sum)| File {
            name: (*name).to_owned(),
            bytes: 1,
            sha256: (*sum).to_owned(),
        });
        Manifest::new(
            "somebody".into(),
            "2026-11-01T00:00:00.000Z".into(),
            &Position::default(),
            files.collect(),
        )
    }

    #[test]
    fn comes_back_under_its_name_alone() {
        let written = manifest(&[("CURRENT", &"a".repeat(64))]);
        let (name, text) = written.write(1_793_491_200_000).unwrap();
        assert!(name.starts_with("001793491200000-"), "{name}");
        assert_eq!(Manifest::read(&name, &text).unwrap(), written);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(Manifest::read(&name, &changed).is_err(), "byte {at}");
        }
        assert!(Manifest::read(&name, &text[..text.len() - 1]).is_err());
    }

    #[test]
    fn leads_to_no_file_outside_its_folder() {
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
            assert!(Manifest::read(&under, &text).is_err(), "{name:?} {sum:?}");
        }
    }
}
