//! The manifest of an archive: its bus, its offset ranges, and the checksums of its files.
//!
//! An archive may come from anybody. So nothing in a manifest is believed before it is checked: a file's name follows from its partition and offset,
//! sizes have bounds, and the offset ranges of the files leave no gap.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bus::archive::regular_file;
use crate::bus::error::FileError;
use crate::bus::position::Position;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// The file name of the manifest.
pub const NAME: &str = "archive.json";
/// The version of the format.
const FORMAT: u32 = 3;
/// The largest manifest that is read, in bytes. An archive of 4 TB has a manifest of some 60 MB.
const MAX_BYTES: u64 = 256 << 20;
/// The longest record that fits into an archive, in bytes.
pub const MAX_RECORD_BYTES: usize = 256 << 20;
/// The most bytes of a file's records before compression: a full segment, a batch, and one long record.
const MAX_DECODED_BYTES: u64 = (64 << 20) + MAX_RECORD_BYTES as u64;
/// The most records of a file. A full segment of blank lines has some 2.5 million.
const MAX_RECORDS: u64 = 4 << 20;

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its path below the archive, as [`file_name`] gives it.
    pub file: String,
    /// The start of its offset range: the end of the file before it. The first record may have a higher offset.
    pub first: Offset,
    /// The end of its offset range. No records lie between its last record and this offset.
    pub next: Offset,
    pub records: u64,
    /// Its size in bytes, compressed.
    pub bytes: u64,
    /// The size of its records in bytes, before compression.
    pub decoded_bytes: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The archived offset range of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    pub start: Offset,
    /// One past the last offset.
    pub end: Offset,
    /// Its files, in the order of their offsets. Each begins where the one before it ends, the first at `start`, and the last ends at `end`.
    pub segments: Vec<Segment>,
}

/// What the last copy was asked for. All else that the deployment has is in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedScope {
    /// The topics that were copied; if empty, all but the ledger.
    pub topics: BTreeSet<Topic>,
    /// Whether `softstake.ledger` was copied, too.
    pub with_ledger: bool,
    /// The partitions that were copied up to an offset only.
    pub to: BTreeMap<TopicPartition, Offset>,
}

impl ArchivedScope {
    /// Whether the scope has this topic.
    #[must_use]
    pub fn has(&self, topic: Topic) -> bool {
        match topic {
            Topic::Ledger => self.with_ledger,
            _ => self.topics.is_empty() || self.topics.contains(&topic),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The identity of the bus.
    pub bus: String,
    pub scope: ArchivedScope,
    /// The partitions of each topic of the scope that the bus had at the last copy.
    pub topics: BTreeMap<Topic, BTreeSet<u32>>,
    /// The positions of the tasks, by the partition that each follows.
    pub positions: BTreeMap<TopicPartition, Position>,
    pub partitions: BTreeMap<TopicPartition, Partition>,
    /// The SHA-256 of the manifest with this field empty, as compact JSON. It shows damage. Who changes the manifest can change it, too.
    sha256: String,
}

impl Manifest {
    /// The manifest of an empty archive.
    #[must_use]
    pub fn new(bus: &str) -> Self {
        Self {
            format: FORMAT,
            bus: bus.to_owned(),
            scope: ArchivedScope::default(),
            topics: BTreeMap::new(),
            positions: BTreeMap::new(),
            partitions: BTreeMap::new(),
            sha256: String::new(),
        }
    }

    fn checksum(&self) -> String {
        let mut bare = self.clone();
        bare.sha256.clear();
        sha256(&serde_json::to_vec(&bare).unwrap_or_default())
    }

    /// Reads the manifest at `path`; `None` if there is no such file.
    ///
    /// # Errors
    /// `Version` or `Damaged` if it is not a manifest of this version, or contradicts itself.
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let bytes = match regular_file::read(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
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
            archived
                .check(*partition)
                .map_err(|what| damaged(format!("{partition}: {what}")))?;
        }
        if manifest.sha256 != manifest.checksum() {
            return Err(damaged("its own SHA-256 is wrong".into()));
        }
        Ok(Some(manifest))
    }

    /// Checks that the archive holds all that its scope promises: every topic, every partition of it, and all records that the tasks have read.
    ///
    /// # Errors
    /// What is missing, as a sentence.
    pub fn check_whole(&self) -> Result<(), String> {
        let promised = Topic::ALL.into_iter().filter(|topic| self.scope.has(*topic));
        for topic in promised {
            let Some(numbers) = self.topics.get(&topic) else {
                // The archive may be older than this topic, on which no result depends.
                if topic == Topic::Redrives {
                    continue;
                }
                return Err(format!("topic {topic} is missing"));
            };
            let missing = numbers
                .iter()
                .map(|number| topic.partition(*number))
                .find(|partition| !self.partitions.contains_key(partition));
            if let Some(missing) = missing {
                return Err(format!("partition {missing} is missing"));
            }
        }
        for (home, position) in &self.positions {
            for (input, mark) in &position.inputs {
                if !self.scope.has(input.topic) || self.scope.to.contains_key(input) {
                    continue;
                }
                let end = self
                    .partitions
                    .get(input)
                    .map_or(Offset::START, |archived| archived.end);
                if end < mark.offset {
                    return Err(format!(
                        "{input} ends at offset {end}, but the task of {home} has read up to offset {}",
                        mark.offset
                    ));
                }
            }
        }
        Ok(())
    }

    /// Writes the manifest to `path`, in one atomic and durable step.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let new = path.with_extension("new");
        let mut summed = self.clone();
        summed.sha256 = self.checksum();
        let mut bytes = serde_json::to_vec_pretty(&summed).unwrap_or_default();
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

impl Partition {
    /// Checks the partition's files as far as the manifest tells.
    fn check(&self, partition: TopicPartition) -> Result<(), String> {
        let mut at = self.start;
        for segment in &self.segments {
            let file = &segment.file;
            if *file != file_name(partition, segment.first) {
                return Err(format!(
                    "the name of a file does not follow from its partition and offset {}",
                    segment.first
                ));
            }
            if segment.first != at || segment.next <= segment.first {
                return Err(format!(
                    "{file} does not begin at offset {at}, where the file before it ends"
                ));
            }
            let is_sha256 = segment.sha256.len() == 64 && segment.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_possible = segment.records <= MAX_RECORDS
                && segment.decoded_bytes <= MAX_DECODED_BYTES
                && segment.bytes <= MAX_DECODED_BYTES;
            if !is_sha256 || !is_possible {
                return Err(format!(
                    "{file} has a size, a number of records or a SHA-256 that no file of an archive has"
                ));
            }
            at = segment.next;
        }
        if at != self.end {
            return Err(format!(
                "its files end at offset {at}, but the partition at offset {}",
                self.end
            ));
        }
        Ok(())
    }
}

/// The path of the file that begins at `first`, below the archive.
#[must_use]
pub fn file_name(partition: TopicPartition, first: Offset) -> String {
    format!("{}/{}/{:020}.zst", partition.topic, partition.partition, first.get())
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
