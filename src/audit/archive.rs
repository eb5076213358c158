//! Copies a deployment's topics into an archive, or adds new records to one.
//!
//! The deployment keeps running, so the order of the reads matters, as for [`PointInTime`](crate::audit::point_in_time::PointInTime): first the
//! positions of the tasks, then the ends of their outputs, then the ends of their inputs. So the archive holds every output before the positions,
//! every decision that an output is based on, and every input of these decisions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::audit::error::AuditError;
use crate::audit::point_in_time::read_decisions;
use crate::bus::archive::manifest;
use crate::bus::archive::manifest::{ArchivedScope, Manifest, Partition};
use crate::bus::archive::segment::SegmentBuilder;
use crate::bus::scan::{CHUNK, next_batch};
use crate::bus::{FileError, Log, Mark, Position, ReadError, TaskId, Topic, TopicPartition};
use crate::core::contract::skipped::SkippedRanges;
use crate::core::values::offset::Offset;

/// The topics, in the order in which their ends are read.
const ORDER: [Topic; 13] = [
    Topic::Inbox,
    Topic::Redrives,
    Topic::Epochs,
    Topic::Distributions,
    Topic::LatePostings,
    Topic::Decisions,
    Topic::DeadLetters,
    Topic::Control,
    Topic::Deposits,
    Topic::Withdrawals,
    Topic::Trades,
    Topic::Transfers,
    Topic::Accounts,
];

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// New records.
    pub records: u64,
    /// Their compressed size.
    pub bytes: u64,
}

/// Why an archive cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The decisions of the deployment cannot be read.
    #[error(transparent)]
    Decisions(#[from] AuditError),
    /// A failure of the archive's files.
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} has files already, and is no archive: name a new folder", path.display())]
    NotEmpty { path: PathBuf },
    #[error("the archive is of bus {archived}, but this bus is {given}; name another folder")]
    OtherBus { archived: String, given: String },
    /// A topic was asked for that the bus does not have.
    #[error("there is no {topic} on the bus")]
    NoTopic { topic: Topic },
    /// A bound was given for a partition that is not archived.
    #[error("there is no {partition} among the topics to archive: correct the partition of --to")]
    NoPartition { partition: TopicPartition },
    #[error("{partition} ends at offset {end} on the bus: it has no records up to offset {to}")]
    Short {
        partition: TopicPartition,
        end: Offset,
        /// The bound that was given.
        to: Offset,
    },
    #[error("there is no record on the bus")]
    NoRecords,
    /// The bus has fewer records than the archive.
    #[error(
        "{partition} ends at offset {end} on the bus, but at {archived} in the archive: records were deleted from the bus, or the bus is new; \
         the archive is unchanged"
    )]
    Shrank {
        partition: TopicPartition,
        end: Offset,
        archived: Offset,
    },
    /// Retention deleted records that were not archived yet.
    #[error(
        "{partition} starts at offset {start} on the bus, but the archive ends at {archived}: the records between were deleted before they \
         were archived; start a new archive, and archive more often than records are deleted"
    )]
    Gap {
        partition: TopicPartition,
        start: Offset,
        archived: Offset,
    },
}

/// The file with the manifest of an unfinished copy. Only the archive's own manifest says what the archive holds.
const PROGRESS: &str = "progress.json";

/// Copies the new records of `bus` into the archive in the folder `path`, or makes the archive. `done` is told of each segment's records.
///
/// # Errors
/// A failure of the bus or of a file, or an archive of another bus. The next call copies only what is missing.
pub fn archive(
    bus: &dyn Log,
    path: &Path,
    scope: &ArchivedScope,
    mut done: impl FnMut(u64),
) -> Result<Copied, ArchiveError> {
    check_scope(bus, scope)?;
    std::fs::create_dir_all(path).map_err(FileError::io("make", path))?;
    let (finished, progress) = (path.join(manifest::NAME), path.join(PROGRESS));
    let mut manifest = open_manifest(bus, &finished, &progress)?;
    check_folder(path, &finished, &progress)?;
    let positions = positions(bus)?;
    let mut copied = Copied::default();
    manifest.scope = scope.clone();
    for (partition, end) in ends(bus, &mut manifest)? {
        check_range(bus, partition, end, &mut manifest)?;
        let to = scope.to.get(&partition).copied().unwrap_or(Offset::NO_LIMIT);
        copy(bus, path, partition, end.min(to), &mut manifest, &mut copied, &mut done)?;
    }
    manifest.positions = positions;
    manifest.write(&finished)?;
    match std::fs::remove_file(&progress) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove", &progress)(error).into())
        }
        _ => Ok(copied),
    }
}

/// Checks that the bus has what is to be archived.
fn check_scope(bus: &dyn Log, scope: &ArchivedScope) -> Result<(), ArchiveError> {
    for topic in &scope.topics {
        if bus.partitions(*topic)?.is_empty() {
            return Err(ArchiveError::NoTopic { topic: *topic });
        }
    }
    for (partition, to) in &scope.to {
        let partition = *partition;
        if !scope.has(partition.topic) || !bus.partitions(partition.topic)?.contains(&partition.partition) {
            return Err(ArchiveError::NoPartition { partition });
        }
        let end = bus.readable_end(partition)?;
        if *to > end {
            let to = *to;
            return Err(ArchiveError::Short { partition, end, to });
        }
    }
    for topic in Topic::ALL.into_iter().filter(|topic| scope.has(*topic)) {
        for number in bus.partitions(topic)? {
            if bus.readable_end(topic.partition(number))? > Offset::START {
                return Ok(());
            }
        }
    }
    Err(ArchiveError::NoRecords)
}

/// The manifest of an unfinished copy, of the archive, or a new one.
fn open_manifest(bus: &dyn Log, finished: &Path, progress: &Path) -> Result<Manifest, ArchiveError> {
    let known = match Manifest::read(progress) {
        Ok(Some(known)) => Some(known),
        // A crash can leave half a progress file, but never half a manifest of the archive.
        _ => Manifest::read(finished)?,
    };
    let mut manifest = known.unwrap_or_else(|| Manifest::new(bus.identity()));
    // A bus has no identity until Softstake has worked on it.
    if manifest.bus.is_empty() {
        manifest.bus = bus.identity().to_owned();
    }
    if manifest.bus != bus.identity() {
        return Err(ArchiveError::OtherBus {
            archived: manifest.bus,
            given: bus.identity().to_owned(),
        });
    }
    Ok(manifest)
}

/// A new archive needs a folder of its own: in a bus, its files would be taken for topics.
fn check_folder(path: &Path, finished: &Path, progress: &Path) -> Result<(), ArchiveError> {
    let is_new = !finished.exists() && !progress.exists();
    let mut files = std::fs::read_dir(path).map_err(FileError::io("read", path))?;
    if is_new && files.next().is_some() {
        return Err(ArchiveError::NotEmpty { path: path.to_owned() });
    }
    Ok(())
}

/// The partitions to copy, with their readable ends. Notes in the manifest which partitions each topic has.
fn ends(bus: &dyn Log, manifest: &mut Manifest) -> Result<Vec<(TopicPartition, Offset)>, ReadError> {
    let mut ends = Vec::new();
    let wanted = [Topic::Ledger].into_iter().chain(ORDER);
    for topic in wanted.filter(|topic| manifest.scope.has(*topic)).collect::<Vec<_>>() {
        let numbers = bus.partitions(topic)?;
        for number in &numbers {
            let partition = topic.partition(*number);
            ends.push((partition, bus.readable_end(partition)?));
        }
        manifest.topics.insert(topic, numbers.into_iter().collect());
    }
    Ok(ends)
}

/// Checks that the bus still has all records of a partition that follow the archived ones, but for those whose loss was accepted. Adds a new
/// partition to the manifest.
fn check_range(
    bus: &dyn Log,
    partition: TopicPartition,
    end: Offset,
    manifest: &mut Manifest,
) -> Result<(), ArchiveError> {
    let start = bus.start(partition)?;
    let archived = manifest.partitions.entry(partition).or_insert_with(|| Partition {
        start,
        end: start,
        segments: Vec::new(),
    });
    if end < archived.end {
        return Err(ArchiveError::Shrank {
            partition,
            end,
            archived: archived.end,
        });
    }
    if start > archived.end {
        let skipped = SkippedRanges::of(&read_decisions(bus)?);
        if start > skipped.after(partition, archived.end) {
            return Err(ArchiveError::Gap {
                partition,
                start,
                archived: archived.end,
            });
        }
        // Offsets without records need no file of their own.
        archived.end = start;
        match archived.segments.last_mut() {
            Some(last) => last.next = start,
            None => archived.start = start,
        }
    }
    Ok(())
}

/// Copies the records of a partition from the end of the archive to `end`.
fn copy(
    bus: &dyn Log,
    path: &Path,
    partition: TopicPartition,
    end: Offset,
    manifest: &mut Manifest,
    copied: &mut Copied,
    done: &mut impl FnMut(u64),
) -> Result<(), ArchiveError> {
    let Some(from) = manifest.partitions.get(&partition).map(|archived| archived.end) else {
        return Ok(());
    };
    if from >= end {
        return Ok(());
    }
    let mark = Mark::at(from);
    let mut reader = bus.open(partition, &mark)?;
    let mut building = SegmentBuilder::default();
    loop {
        let at = reader.mark().offset;
        if building.is_full() || at >= end {
            if let Some(archived) = manifest.partitions.get_mut(&partition) {
                match archived.segments.last_mut() {
                    // Offsets without records need no file of their own.
                    Some(last) if building.is_empty() => last.next = at,
                    _ => {
                        let segment = building.finish(path, partition, archived.end, at)?;
                        copied.records += segment.records;
                        copied.bytes += segment.bytes;
                        done(segment.records);
                        archived.segments.push(segment);
                    }
                }
                archived.end = at;
            }
            manifest.write(&path.join(PROGRESS))?;
            if at >= end {
                return Ok(());
            }
        }
        let batch = next_batch(bus, partition, reader.as_mut(), CHUNK, end)?;
        for record in batch.iter() {
            building.push(record.offset, record.value)?;
        }
        reader.recycle(batch);
    }
}

/// The positions of all tasks. The coordinator's comes first, because its decisions are based on answers of the other tasks.
fn positions(bus: &dyn Log) -> Result<BTreeMap<TopicPartition, Position>, ReadError> {
    let mut tasks = vec![TaskId::DEPLOYMENT, TaskId::COORDINATE, TaskId::SEQUENCE];
    for topic in [Topic::Ledger].iter().chain(&Topic::SOURCES) {
        let found = bus.partitions(*topic)?.into_iter();
        tasks.extend(found.map(|partition| TaskId::following(topic.partition(partition))));
    }
    let mut positions = BTreeMap::new();
    for task in tasks {
        if let Some(position) = bus.committed(task)? {
            positions.insert(task.home(), position);
        }
    }
    Ok(positions)
}
