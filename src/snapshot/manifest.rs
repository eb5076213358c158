//! The manifest of a snapshot: its JSON names the files of the store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bus::{DeploymentIdentity, Position};
use crate::snapshot::error::SnapshotError;
use crate::snapshot::series::SnapshotSeries;

/// The version of the format.
const FORMAT: u32 = 2;
/// The largest manifest, in bytes. A store of a thousand files has some 150 KB.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// The most files of a store.
const MAX_FILES: usize = 100_000;
/// The most bytes of a store.
const MAX_STORE_BYTES: u64 = 16 << 40;
/// Files in the folder of a store that are not part of a snapshot.
pub(super) const EXCLUDED: [&str; 3] = ["LOG", "LOCK", "DAMAGED"];

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

impl SnapshotFile {
    /// The error for the object `name` of this file, if the object store has it with so many bytes.
    pub fn has_other_size(&self, name: &str, found: u64) -> SnapshotError {
        SnapshotError::damaged(
            name,
            format!(
                "it should be {}, but has {found} bytes instead of {}",
                self.name, self.bytes
            ),
        )
    }

    /// Whether a store may have this file: its name is one within the folder of the store.
    fn is_possible(&self) -> bool {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_name = (1..=255).contains(&self.name.len())
            && self.name.bytes().all(is_letter)
            && !self.name.starts_with('.')
            && !EXCLUDED.contains(&self.name.as_str());
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        is_name && self.sha256.len() == 64 && self.sha256.bytes().all(is_digit)
    }
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
        let failed = |why: String| SnapshotError::damaged("a manifest", format!("it cannot be written: {why}"));
        self.check().map_err(failed)?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(failed(format!("it has more than {MAX_BYTES} bytes")));
        }
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
        manifest.check().map_err(damaged)?;
        Ok(manifest)
    }

    /// Checks what a store may have: so nothing of a manifest is believed that another program wrote.
    fn check(&self) -> Result<(), String> {
        if self.files.len() > MAX_FILES {
            return Err(format!("it names more than {MAX_FILES} files"));
        }
        let mut names = BTreeSet::new();
        let mut left = MAX_STORE_BYTES;
        for file in &self.files {
            if !file.is_possible() || !names.insert(&file.name) {
                return Err(format!(
                    "it names the file {:?}, which no store has, or names it twice",
                    file.name
                ));
            }
            left = left
                .checked_sub(file.bytes)
                .ok_or_else(|| format!("its files have more than {MAX_STORE_BYTES} bytes"))?;
        }
        Ok(())
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

    /// Why a manifest that somebody else wrote is refused.
    fn refused(manifest: &SnapshotManifest) -> String {
        let text = serde_json::to_vec(manifest).unwrap();
        let name = format!("000000000000001-{}.json", short_hash(&text));
        SnapshotManifest::read(&name, &text).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_names_only_files_that_a_store_may_have() {
        let sum = "a".repeat(64);
        let long = "x".repeat(256);
        for (name, sum) in [
            ("../CURRENT", sum.as_str()),
            ("/etc/passwd", &sum),
            ("a/b", &sum),
            ("a\\b", &sum),
            ("", &sum),
            (".", &sum),
            ("..", &sum),
            (".CURRENT", &sum),
            ("CURRENT\0", &sum),
            ("CURRENT\n", &sum),
            ("CÜRRENT", &sum),
            ("DAMAGED", &sum),
            ("LOCK", &sum),
            (&long, &sum),
            ("CURRENT", "../../elsewhere"),
            ("CURRENT", "abc"),
            ("CURRENT", &"A".repeat(64)),
        ] {
            let manifest = manifest(&[(name, sum)]);
            let why = refused(&manifest);
            assert!(why.contains("which no store has"), "{name:?} {sum:?}: {why}");
            assert!(manifest.write(1).is_err(), "{name:?} {sum:?}");
        }
        let twice = manifest(&[("CURRENT", &sum), ("CURRENT", &sum)]);
        assert!(refused(&twice).contains("names it twice"));
    }

    #[test]
    fn numbers_of_files_and_bytes_have_bounds() {
        let sum = "a".repeat(64);
        for bytes in [
            &[u64::MAX][..],
            &[u64::MAX, u64::MAX],
            &[u64::MAX, 1],
            &[MAX_STORE_BYTES, 1],
            &[1 << 63, 1 << 63],
        ] {
            let mut manifest = manifest(&[("000001.sst", sum.as_str()), ("000002.sst", &sum)][..bytes.len()]);
            for (file, bytes) in manifest.files.iter_mut().zip(bytes) {
                file.bytes = *bytes;
            }
            let why = refused(&manifest);
            assert!(why.contains("more than 17592186044416 bytes"), "{bytes:?}: {why}");
        }
        let names: Vec<String> = (0..=MAX_FILES).map(|number| format!("{number}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), sum.as_str())).collect();
        assert!(refused(&manifest(&files)).contains("more than 100000 files"));
    }

    #[test]
    fn the_last_offset_of_64_bits_is_compared_like_any_other() {
        let mut last = manifest(&[]);
        let mut mark = Mark::default();
        mark.add(b"a");
        mark.offset = Offset::NO_LIMIT;
        last.position.inputs.insert(Topic::Ledger.partition(u32::MAX), mark);
        last.position.cursor.job = u32::MAX;
        let (name, text) = last.write(1).unwrap();
        let read = SnapshotManifest::read(&name, &text).unwrap();
        assert_eq!(read, last);
        let ours = position(&["a", "b"]);
        assert_eq!(read.is_foreign(&series("task"), &ours), None);
        let why = read.position.difference_past(&ours).unwrap();
        assert!(why.contains("offset 18446744073709551615"), "{why}");
        assert!(!read.position.is_same_state(&ours) && read.position.is_same_state(&last.position));
    }
}
