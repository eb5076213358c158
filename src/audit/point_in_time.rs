//! A consistent cut through a running deployment: what it had read, decided and published at one point in time.
//!
//! The order of the reads makes the cut consistent: first the positions of the tasks, then the ends of the topics. So everything that a task
//! published up to its position is below the ends, and so is everything that it is based on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::audit::error::AuditError;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, ReadError, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::{Decision, Offsets, first_offsets};
use crate::core::contract::skipped::SkippedRanges;
use crate::core::dedup::DEFAULT_DEDUP_DAYS;
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::values::ids::AssetEpoch;
use crate::core::values::offset::Offset;
use crate::deployment::DeploymentError;
use crate::deployment::record::DeploymentRecord;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);

/// The output topics that a replay is compared with.
pub const OUTPUT_TOPICS: [Topic; 4] = [
    Topic::Epochs,
    Topic::Distributions,
    Topic::LatePostings,
    Topic::DeadLetters,
];

/// A deployment at one point in time.
#[derive(Debug, Clone)]
pub struct PointInTime {
    /// For how many epochs duplicates are recognised.
    pub dedup_days: u64,
    /// The first offset of each source partition, and of control, that began late: earlier records were deleted before the deployment saw them.
    pub starts: BTreeMap<TopicPartition, Offset>,
    /// The position of each source partition: all records below this offset were ingested.
    pub ingested: BTreeMap<TopicPartition, Offset>,
    /// The ends of the source partitions and of control.
    pub input_ends: BTreeMap<TopicPartition, Offset>,
    pub output_ends: BTreeMap<TopicPartition, Offset>,
    pub decisions: Vec<Decision>,
    /// The epochs whose seal was published; `None` on a copy of the topics without a deployment record.
    pub sealed: Option<SealedEpochs>,
}

/// The newest sealed epoch of each asset. Epochs are sealed in order, so all epochs before it are sealed too.
#[derive(Debug, Clone, Default)]
pub struct SealedEpochs(BTreeMap<u16, AssetEpoch>);

impl SealedEpochs {
    #[must_use]
    pub fn contains(&self, at: AssetEpoch) -> bool {
        self.0.get(&at.number()).is_some_and(|newest| at <= *newest)
    }
}

impl PointInTime {
    /// Reads the state of the deployment on `bus`.
    ///
    /// # Errors
    /// A failure of the bus, a record that cannot be decoded, or a partition without its first records.
    pub fn read(bus: &dyn Log) -> Result<Self, AuditError> {
        let deployment = DeploymentRecord::read(bus).map_err(DeploymentError::from)?;
        let coordinator = bus.committed(TaskId::COORDINATE)?.map(|at| at.offset(INBOX));
        let mut ingested = source_positions(bus, deployment.is_some())?;
        let (with_position, dead_letters) = OUTPUT_TOPICS.split_at(3);
        let mut output_ends = self::output_ends(bus, with_position)?;
        for partition in output_ends.keys().copied().chain([DECISIONS]) {
            check_start(bus, partition, Offset::START)?;
        }
        let decisions = read_decisions(bus)?;
        let starts = first_offsets(&decisions);
        check_start(bus, CONTROL, starts.get(&CONTROL).copied().unwrap_or(Offset::START))?;
        for (source, at) in &mut ingested {
            *at = starts.get(source).copied().unwrap_or(Offset::START).max(*at);
        }
        // The dead letter of a control record is published with its decision. So the end of the dead letters is read after the decisions.
        output_ends.extend(self::output_ends(bus, dead_letters)?);
        let mut input_ends = BTreeMap::from([(CONTROL, bus.readable_end(CONTROL)?)]);
        // In parallel, because a directory bus counts lines for this.
        let sources: Vec<TopicPartition> = ingested.keys().copied().collect();
        input_ends.extend(in_parallel(&sources, |source| {
            bus.readable_end(*source).map(|end| (*source, end))
        })?);
        let (sealed, dedup_days) = match deployment {
            Some(deployment) => {
                let sealed = sealed(bus, coordinator.unwrap_or(Offset::START), &deployment)?;
                (Some(sealed), deployment.dedup_days)
            }
            None => (None, DEFAULT_DEDUP_DAYS),
        };
        Ok(Self {
            dedup_days,
            starts,
            ingested,
            input_ends,
            output_ends,
            decisions,
            sealed,
        })
    }

    /// The offset from which the deployment has read a partition.
    #[must_use]
    pub fn start(&self, partition: TopicPartition) -> Offset {
        self.starts.get(&partition).copied().unwrap_or(Offset::START)
    }

    /// How many source records were on the bus, but not ingested yet.
    #[must_use]
    pub fn not_ingested(&self) -> u64 {
        let waiting = self.ingested.iter().map(|(source, at)| {
            let end = self.input_ends.get(source).copied().unwrap_or(Offset::START);
            end.since(*at)
        });
        waiting.fold(0, u64::saturating_add)
    }

    /// The recorded cuts, with the names of their assets.
    pub fn cuts(&self) -> impl Iterator<Item = (AssetEpoch, &str, &Offsets)> {
        self.decisions.iter().filter_map(|decision| match decision {
            Decision::Cut {
                asset,
                number,
                epoch,
                cut,
            } => {
                // A cut past what a key can count is none: the coordinator never takes it.
                let at = AssetEpoch::new(*number, *epoch).ok()?;
                Some((at, asset.as_str(), cut))
            }
            _ => None,
        })
    }
}

/// The positions of the ingest tasks, by source partition.
fn source_positions(bus: &dyn Log, is_deployed: bool) -> Result<BTreeMap<TopicPartition, Offset>, ReadError> {
    let mut positions = BTreeMap::new();
    for topic in Topic::SOURCES {
        for partition in bus.partitions(topic)? {
            let source = topic.partition(partition);
            let offset = match bus.committed(TaskId::ingest(source))? {
                Some(position) => position.offset(source),
                None if is_deployed => Offset::START,
                // A copy of the topics without positions counts as complete.
                None => bus.readable_end(source)?,
            };
            positions.insert(source, offset);
        }
    }
    Ok(positions)
}

pub(crate) fn read_decisions(bus: &dyn Log) -> Result<Vec<Decision>, AuditError> {
    let mut decisions = Vec::new();
    let end = bus.readable_end(DECISIONS)?;
    scan_range(bus, DECISIONS, &Mark::default(), end, |record| {
        if !record.value.is_empty() {
            decisions.push(Decision::read(record.value)?);
        }
        Ok::<_, AuditError>(())
    })?;
    Ok(decisions)
}

/// Calls `work` with each of `items`, on all cores. The results are in no order.
fn in_parallel<T: Sync, R: Send, E: Send>(items: &[T], work: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(work(item)?);
        }
        Ok(done)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut all = take()?;
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// Where the records of a source partition begin: at its recorded start; or, if they are gone, behind those there whose loss was accepted.
pub(crate) fn first_mark(bus: &dyn Log, decisions: &[Decision], source: TopicPartition) -> Result<Mark, ReadError> {
    let first = first_offsets(decisions).get(&source).copied().unwrap_or_default();
    if bus.start(source)? > first {
        return Ok(Mark::at(SkippedRanges::of(decisions).after(source, first)));
    }
    Ok(Mark::at(first))
}

/// Checks that retention has not deleted records of a partition since the deployment began to read it at `needed`.
fn check_start(bus: &dyn Log, partition: TopicPartition, needed: Offset) -> Result<(), AuditError> {
    let start = bus.start(partition)?;
    if start > needed {
        return Err(AuditError::Gone {
            partition,
            start,
            needed,
        });
    }
    Ok(())
}

/// The readable ends of all partitions of some topics.
pub(crate) fn output_ends(bus: &dyn Log, topics: &[Topic]) -> Result<BTreeMap<TopicPartition, Offset>, ReadError> {
    let mut ends = BTreeMap::new();
    for topic in topics {
        for partition in bus.partitions(*topic)? {
            let partition = topic.partition(partition);
            ends.insert(partition, bus.readable_end(partition)?);
        }
    }
    Ok(ends)
}

/// The epochs that the coordinator had sealed at the offset `read_to` of its inbox: those with a receipt of every ledger partition.
fn sealed(bus: &dyn Log, read_to: Offset, deployment: &DeploymentRecord) -> Result<SealedEpochs, AuditError> {
    let mut receipts: BTreeMap<AssetEpoch, (u32, u32)> = BTreeMap::new();
    // The retention of the inbox may be shorter than that of the other topics.
    let mark = Mark::at(bus.start(INBOX)?);
    scan_range(bus, INBOX, &mark, read_to, |record| {
        if let Inbox::Receipt { at, .. } = codec::decode(record.value, "a record of the inbox")? {
            let (count, partitions) = receipts.entry(at).or_default();
            *count += 1;
            *partitions = deployment.partitions_at(record.offset);
        }
        Ok::<_, AuditError>(())
    })?;
    let complete = receipts
        .into_iter()
        .filter(|(_, (count, partitions))| count == partitions);
    // In the order of epochs: the newest one stays.
    Ok(SealedEpochs(complete.map(|(at, _)| (at.number(), at)).collect()))
}
