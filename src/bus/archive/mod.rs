//! An archive: a copy of a deployment's topics in compressed files, with a manifest of their checksums. It is read like any bus.

pub mod manifest;
mod regular_file;
pub mod segment;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bus::archive::manifest::{Manifest, Partition};
use crate::bus::batch::Batch;
use crate::bus::error::{FileError, LogName, OpenError, ReadError};
use crate::bus::interface::{Log, Reader};
use crate::bus::position::{Mark, Position, TaskId};
use crate::bus::scan::scan_range;
use crate::core::contract::decision::{Decision, first_offsets};
use crate::core::contract::skipped::SkippedRanges;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

pub struct ArchiveBus {
    path: PathBuf,
    manifest: Arc<Manifest>,
}

impl ArchiveBus {
    /// Whether there is an archive at `path`.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join(manifest::NAME).exists()
    }

    /// # Errors
    /// `Missing` if there is no archive at `path`; `Version` or `Damaged` if its manifest cannot be used.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let manifest = Manifest::read(&path.join(manifest::NAME))?;
        let manifest = manifest.ok_or_else(|| OpenError::Missing { path: path.to_owned() })?;
        Ok(Self {
            path: path.to_owned(),
            manifest: Arc::new(manifest),
        })
    }

    /// What it holds, as its manifest says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks that nothing is missing, neither at the start of a partition nor later, reads every file, and checks its checksum. Returns the numbers of files and records.
    ///
    /// # Errors
    /// `Damaged` for the first file that has changed, or if the manifest lacks something that its scope promises.
    pub fn check(&self) -> Result<(u64, u64), ReadError> {
        self.manifest.check_whole().map_err(|what| self.damaged(what))?;
        self.check_starts()?;
        let (mut files, mut records) = (0, 0);
        for segment in self
            .manifest
            .partitions
            .values()
            .flat_map(|archived| &archived.segments)
        {
            records += segment::read(&self.path, segment)?.1.len() as u64;
            files += 1;
        }
        Ok((files, records))
    }

    /// Checks that no partition begins later than the deployment has read it, as far as the archive has the decisions.
    fn check_starts(&self) -> Result<(), ReadError> {
        let scope = &self.manifest.scope;
        if !scope.has(Topic::Decisions) || scope.to.contains_key(&Topic::Decisions.partition(0)) {
            return Ok(());
        }
        let decisions = self.decisions()?;
        let starts = first_offsets(&decisions);
        let skipped = SkippedRanges::of(&decisions);
        for (partition, archived) in &self.manifest.partitions {
            let first = starts.get(partition).copied().unwrap_or(Offset::START);
            let needed = skipped.after(*partition, first);
            // Inner topics and redrives may have a shorter retention, because no replay reads them.
            let is_read = partition.topic.kind() != TopicKind::Inner && partition.topic != Topic::Redrives;
            if archived.start > needed && is_read {
                let start = archived.start;
                return Err(self.damaged(format!(
                    "{partition} begins at offset {start}, but a replay needs offset {needed}: the records between were deleted before they were \
                     archived, or they were taken out of the archive"
                )));
            }
        }
        Ok(())
    }

    /// The archived decisions.
    fn decisions(&self) -> Result<Vec<Decision>, ReadError> {
        let partition = Topic::Decisions.partition(0);
        let from = Mark::at(self.start(partition)?);
        let mut decisions = Vec::new();
        scan_range(self, partition, &from, self.readable_end(partition)?, |record| {
            if !record.value.is_empty() {
                decisions.push(Decision::read(record.value).map_err(|fault| self.damaged(fault.to_string()))?);
            }
            Ok::<_, ReadError>(())
        })?;
        Ok(decisions)
    }

    /// The error of an archive whose manifest or records contradict themselves.
    fn damaged(&self, what: String) -> ReadError {
        let file = self.path.join(manifest::NAME);
        FileError::Damaged { file, at: 0, what }.into()
    }

    fn partition(&self, partition: TopicPartition) -> Option<&Partition> {
        self.manifest.partitions.get(&partition)
    }
}

impl Log for ArchiveBus {
    fn identity(&self) -> &str {
        &self.manifest.bus
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        let scope = &self.manifest.scope.topics;
        // The ledger is never needed to read the others.
        if topic != Topic::Ledger && !scope.is_empty() && !scope.contains(&topic) {
            return Err(ReadError::NotArchived {
                path: self.path.clone(),
                topic,
            });
        }
        let all = topic.partition(0)..=topic.partition(u32::MAX);
        let found = self.manifest.partitions.range(all);
        Ok(found.map(|(partition, _)| partition.partition).collect())
    }

    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self
            .partition(partition)
            .map_or(Offset::START, |archived| archived.start))
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.partition(partition).map_or(Offset::START, |archived| archived.end))
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        let archived = self.partition(partition).cloned().unwrap_or_default();
        if from.offset > archived.end {
            return Err(ReadError::SourceChanged {
                partition,
                log: LogName::File(self.path.clone()),
                offset: from.offset,
                what: format!("ends at offset {}", archived.end),
            });
        }
        if from.offset < archived.start {
            return Err(ReadError::Retained {
                partition,
                start: archived.start,
                wanted: from.offset,
            });
        }
        Ok(Box::new(ArchiveReader {
            path: self.path.clone(),
            next_segment: archived.segments.partition_point(|segment| segment.next <= from.offset),
            archived,
            bytes: Vec::new(),
            records: Vec::new(),
            at: 0,
            mark: Mark {
                evidence: Vec::new(),
                ..from.clone()
            },
        }))
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        Ok(self.manifest.positions.get(&task.home()).cloned())
    }

    fn version(&self) -> u64 {
        0
    }

    fn wait(&self, _: u64, _: Duration) -> Result<u64, ReadError> {
        Ok(0)
    }
}

/// A reader of one partition. It keeps one segment in memory.
struct ArchiveReader {
    path: PathBuf,
    archived: Partition,
    next_segment: usize,
    bytes: Vec<u8>,
    records: Vec<(Offset, Range<usize>)>,
    /// The index of the next record in `records`.
    at: usize,
    mark: Mark,
}

impl ArchiveReader {
    /// Loads the next segment. Returns whether there was one.
    fn load(&mut self) -> Result<bool, FileError> {
        let Some(segment) = self.archived.segments.get(self.next_segment) else {
            return Ok(false);
        };
        (self.bytes, self.records) = segment::read(&self.path, segment)?;
        self.next_segment += 1;
        self.at = self.records.partition_point(|(offset, _)| *offset < self.mark.offset);
        Ok(true)
    }
}

impl Reader for ArchiveReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let (mut bytes, mut records) = (Vec::new(), Vec::new());
        while records.is_empty() || bytes.len() < limit {
            let Some((offset, range)) = self.records.get(self.at).cloned() else {
                if self.load()? {
                    continue;
                }
                // There may be offsets without records at the end.
                self.mark.offset = self.mark.offset.max(self.archived.end.min(until));
                break;
            };
            if offset >= until {
                self.mark.offset = self.mark.offset.max(until);
                break;
            }
            let from = bytes.len();
            bytes.extend_from_slice(self.bytes.get(range).unwrap_or_default());
            self.mark.add(bytes.get(from..).unwrap_or_default());
            records.push((offset, from..bytes.len()));
            self.mark.offset = offset.saturating_add(1);
            self.at += 1;
        }
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }
}
