//! The paths in a bus directory.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::bus::dir::disk::expect_file;
use crate::bus::error::{FileError, OpenError};
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// The name of the folder of softstake's own files.
pub(super) const OWN: &str = ".softstake";

#[derive(Debug, Clone)]
pub(super) struct DirLayout {
    root: PathBuf,
}

impl DirLayout {
    pub(super) fn of(root: &Path) -> Result<Self, OpenError> {
        if !root.is_dir() {
            return Err(OpenError::Missing {
                path: root.to_path_buf(),
            });
        }
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of softstake's own files.
    pub(super) fn own(&self) -> PathBuf {
        self.root.join(OWN)
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.own().join("lock")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.own().join("journal")
    }

    /// A new journal. It counts once it is renamed.
    pub(super) fn next_journal(&self) -> PathBuf {
        self.own().join("journal.new")
    }

    pub(super) fn folder(&self, topic: Topic) -> PathBuf {
        self.root.join(topic.name())
    }

    pub(super) fn file(&self, partition: TopicPartition) -> PathBuf {
        let suffix = suffix(partition.topic);
        self.folder(partition.topic)
            .join(format!("{}{suffix}", partition.partition))
    }

    /// The partitions of `topic` that have a file, in ascending order.
    ///
    /// # Errors
    /// `NotAFile` if something else has the name of a partition.
    pub(super) fn partitions(&self, topic: Topic) -> Result<Vec<u32>, FileError> {
        let folder = self.folder(topic);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::io("list", folder)(error)),
        };
        let mut partitions = Vec::new();
        for entry in entries {
            let entry = entry.map_err(FileError::io("list", &folder))?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|name| number(name, suffix(topic))) else {
                continue;
            };
            let kind = entry.file_type().map_err(FileError::io("look at", entry.path()))?;
            // It may be a link to a file.
            if !kind.is_file() {
                expect_file(&entry.path())?;
            }
            partitions.push(number);
        }
        partitions.sort_unstable();
        Ok(partitions)
    }
}

pub(super) const fn suffix(topic: Topic) -> &'static str {
    match topic.kind() {
        TopicKind::Input | TopicKind::Output => ".jsonl",
        TopicKind::Inner => ".log",
    }
}

/// The partition of a file name. `01.jsonl` has none: two names for one partition would be two logs.
pub(super) fn number(name: &str, suffix: &str) -> Option<u32> {
    let digits = name.strip_suffix(suffix)?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (name, expected) in [
            ("0.jsonl", Some(0)),
            ("17.jsonl", Some(17)),
            ("4294967295.jsonl", Some(u32::MAX)),
            ("4294967296.jsonl", None),
            ("01.jsonl", None),
            ("+1.jsonl", None),
            ("-1.jsonl", None),
            (".jsonl", None),
            ("1.json", None),
            ("1.jsonl.gz", None),
            ("1.log", None),
            ("a.jsonl", None),
        ] {
            assert_eq!(number(name, ".jsonl"), expected, "{name}");
        }
    }
}
