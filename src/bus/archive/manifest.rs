//! The manifest of an archive: its bus, its offset ranges, and the checksums of its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bus::error::FileError;
use crate::bus::position::Position;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// The file name of the manifest.
pub const NAME: &str = "archive.json";
/// The version of the format.
const FORMAT: u32 = 1;

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its path below the archive.
    pub file: String,
    /// The offset of its first record.
    pub first: Offset,
    /// The end of its offset range. No records lie between its last record and this offset.
    pub next: Offset,
    pub records: u64,
    /// Its size in bytes, compressed.
    pub bytes: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The archived offset range of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    pub start: Offset,
    /// One past the last offset.
    pub end: Offset,
    /// Its files, in the order of their offsets, without overlap.
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The identity of the bus.
    pub bus: String,
    /// The positions of the tasks, by the partition that each follows.
    pub positions: BTreeMap<TopicPartition, Position>,
    pub partitions: BTreeMap<TopicPartition, Partition>,
}

impl Manifest {
    /// The manifest of an empty archive.
    #[must_use]
    pub fn new(bus: &str) -> Self {
        Self {
            format: FORMAT,
            bus: bus.to_owned(),
            positions: BTreeMap::new(),
            partitions: BTreeMap::new(),
        }
    }

    /// Reads the manifest at `path`; `None` if there is no such file.
    ///
    /// # Errors
    /// `Version` or `Damaged` if it is not a manifest of this version, or contradicts itself.
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io("read", path)(error)),
        };
        let damaged = |what: String| FileError::Damaged {
            file: path.to_owned(),
            at: 0,
            what,
        };
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if format != FORMAT {
            return Err(FileError::Version {
                file: path.to_owned(),
                found: format,
                known: FORMAT,
            });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        for (partition, archived) in &manifest.partitions {
            let mut at = archived.start;
            for segment in &archived.segments {
                if segment.first < at || segment.next <= segment.first {
                    return Err(damaged(format!(
                        "{partition}: {} does not follow the file before it",
                        segment.file
                    )));
                }
                at = segment.next;
            }
            if archived.end < at {
                return Err(damaged(format!("{partition} ends before its last file does")));
            }
        }
        Ok(Some(manifest))
    }

    /// Writes the manifest to `path`, in one atomic and durable step.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let new = path.with_extension("new");
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(FileError::io("write", &new))?;
        fs::rename(&new, path).map_err(FileError::io("rename", &new))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(FileError::io("sync", folder))
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
