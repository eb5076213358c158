//! Copies a deployment's topics into an archive, and later what has come since.
//!
//! The deployment goes on meanwhile, so the order in which its places are looked up matters, as it does for [`PointInTime`](crate::audit::replay::Frozen): first how far the
//! tasks had come, then the ends of what they publish, then those of what it rests on. So the archive holds everything that was published at the
//! positions it has, every decision behind it, and every record behind those.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bus::archive::manifest;
use crate::bus::archive::manifest::{Manifest, Partition};
use crate::bus::archive::segment::Building;
use crate::bus::scan::{CHUNK, some};
use crate::bus::{BusError, Log, Mark, Position, TaskId, Topic, TopicPartition};

/// Topics in the order in which their ends are looked up.
const ORDER: [Topic; 12] = [
    Topic::Inbox,
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

/// What to copy.
#[derive(Debug, Clone, Default)]
pub struct Extent {
    /// Only these topics; all but the ledger if empty.
    pub topics: Vec<Topic>,
    /// The ledger as well.
    pub with_ledger: bool,
    /// Partitions that are not copied past an offset.
    pub to: BTreeMap<TopicPartition, u64>,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records that were not in the archive before.
    pub records: u64,
    /// Bytes they take up, compressed.
    pub bytes: u64,
}

/// Why an archive cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bus, or the archive.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The archive is of another bus.
    #[error("the archive is of bus {archived}, this one is {given}: name another folder")]
    OtherBus {
        /// Which it is of.
        archived: String,
        /// Which was named.
        given: String,
    },
    /// The bus has less than the archive.
    #[error(
        "{partition} ends at offset {end} on the bus, and at {archived} in the archive: records are gone from the bus, or it was made anew; nothing was overwritten"
    )]
    Shrank {
        /// The partition.
        partition: TopicPartition,
        /// Where it ends now.
        end: u64,
        /// How much of it is in the archive.
        archived: u64,
    },
    /// What lies between the archive and the bus is gone.
    #[error(
        "{partition} starts at offset {start} on the bus, and the archive ends at {archived}: what lies between was deleted before it was archived; \
         begin a new archive, and archive more often than records are kept"
    )]
    Gap {
        /// The partition.
        partition: TopicPartition,
        /// Where it starts now.
        start: u64,
        /// How much of it is in the archive.
        archived: u64,
    },
}

/// A manifest of what is copied already, while a copy is under way. The archive is what its own manifest says.
const PROGRESS: &str = "progress.json";

/// Copies what is on `bus` and not in the archive at `path`, which is made if it is not there. `done` is told how many records there are more.
///
/// # Errors
/// What the bus or the system says; if the archive is of something else. What was copied by then is not copied again.
pub fn archive(bus: &dyn Log, path: &Path, extent: &Extent, mut done: impl FnMut(u64)) -> Result<Copied, ArchiveError> {
    std::fs::create_dir_all(path).map_err(BusError::io("make", path))?;
    let (finished, progress) = (path.join(manifest::NAME), path.join(PROGRESS));
    let known = match Manifest::read(&progress) {
        Ok(Some(known)) => Some(known),
        // It may have been cut off as it was written; the archive itself never is.
        _ => Manifest::read(&finished)?,
    };
    let mut manifest = known.unwrap_or_else(|| Manifest::new(bus.identity()));
    // A bus has no name until softstake works on it.
    if manifest.bus.is_empty() {
        manifest.bus = bus.identity().to_owned();
    }
    if manifest.bus != bus.identity() {
        return Err(ArchiveError::OtherBus {
            archived: manifest.bus,
            given: bus.identity().to_owned(),
        });
    }
    let positions = positions(bus)?;
    let mut ends = Vec::new();
    let ledger = [Topic::Ledger];
    let ledger = ledger.iter().filter(|_| extent.with_ledger);
    let wanted = |topic: &&Topic| extent.topics.is_empty() || extent.topics.contains(topic);
    for topic in ledger.chain(&ORDER).filter(wanted) {
        for partition in bus.partitions(*topic)? {
            let partition = topic.partition(partition);
            let end = bus.readable_end(partition)?;
            ends.push((
                partition,
                end.min(extent.to.get(&partition).copied().unwrap_or(u64::MAX)),
                end,
            ));
        }
    }
    let mut copied = Copied::default();
    for (partition, end, there) in ends {
        let start = bus.start(partition)?;
        let archived = manifest.partitions.entry(partition).or_insert_with(|| Partition {
            start,
            end: start,
            segments: Vec::new(),
        });
        if there < archived.end {
            return Err(ArchiveError::Shrank {
                partition,
                end: there,
                archived: archived.end,
            });
        }
        if start > archived.end {
            return Err(ArchiveError::Gap {
                partition,
                start,
                archived: archived.end,
            });
        }
        copy(bus, path, partition, end, &mut manifest, &mut copied, &mut done)?;
    }
    manifest.positions = positions;
    manifest.write(&finished)?;
    match std::fs::remove_file(&progress) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(BusError::io("remove", &progress)(error).into())
        }
        _ => Ok(copied),
    }
}

/// Copies one partition from where the archive has it to `end`.
fn copy(
    bus: &dyn Log,
    path: &Path,
    partition: TopicPartition,
    end: u64,
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
    let mark = Mark {
        offset: from,
        evidence: Vec::new(),
    };
    let mut reader = bus.open(partition, &mark)?;
    let mut building = Building::default();
    let below = format!("{}/{}", partition.topic, partition.partition);
    loop {
        let at = reader.mark().offset;
        if building.is_full() || at >= end {
            let segment = building.finish(path, &below, at)?;
            if let Some(archived) = manifest.partitions.get_mut(&partition) {
                if let Some(segment) = segment {
                    copied.records += segment.records;
                    copied.bytes += segment.bytes;
                    done(segment.records);
                    archived.segments.push(segment);
                }
                archived.end = at;
            }
            manifest.write(&path.join(PROGRESS))?;
            if at >= end {
                return Ok(());
            }
        }
        let batch = some(bus, partition, reader.as_mut(), CHUNK, end)?;
        for record in batch.iter() {
            building.push(record.offset, record.value)?;
        }
        reader.recycle(batch);
    }
}

/// How far the tasks have come: the coordinator first, as what it decided rests on how far the others were.
fn positions(bus: &dyn Log) -> Result<BTreeMap<TopicPartition, Position>, BusError> {
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
