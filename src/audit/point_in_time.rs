//! What a deployment had read, decided and published at one moment, while it goes on.
//!
//! The order in which things are looked up makes the moment: first how far the tasks had come, then what stands on the topics. So everything that
//! those tasks had published by then is in what is looked up later, and so is everything it rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::audit::published::scan_range;
use crate::audit::replay::ReplayError;
use crate::bus::{BusError, Log, Mark, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::fault::Fault;
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::values::ids::AssetEpoch;
use crate::deployment::record::DeploymentRecord;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);

/// The output topics that a replay is held against.
pub const OUTPUTS: [Topic; 4] = [
    Topic::Epochs,
    Topic::Distributions,
    Topic::LatePostings,
    Topic::DeadLetters,
];

/// A deployment at one moment.
#[derive(Debug, Clone)]
pub struct PointInTime {
    /// For how many epochs duplicates are recognised.
    pub dedup_epochs: u64,
    /// Up to which offset each source partition had been taken in.
    pub taken_in: BTreeMap<TopicPartition, u64>,
    /// Where the source partitions and control end: what lies between was not taken in yet.
    pub input_ends: BTreeMap<TopicPartition, u64>,
    /// Where the output partitions end.
    pub output_ends: BTreeMap<TopicPartition, u64>,
    /// All decisions.
    pub decisions: Vec<Decision>,
    /// Epochs whose seal had been published; `None` if nobody can tell, as of a copy of the topics alone.
    pub sealed: Option<BTreeSet<AssetEpoch>>,
}

impl PointInTime {
    /// Looks at a deployment.
    ///
    /// # Errors
    /// What the bus says; records of ours that cannot be read.
    pub fn look(bus: &dyn Log) -> Result<Self, ReplayError> {
        let begun = DeploymentRecord::of(bus)?;
        let coordinator = bus.committed(TaskId::COORDINATE)?.map(|at| at.offset(INBOX));
        let mut taken_in = BTreeMap::new();
        for topic in Topic::SOURCES {
            for partition in bus.partitions(topic)? {
                let source = topic.partition(partition);
                let at = match (&begun, bus.committed(TaskId::ingest(source))?) {
                    (_, Some(at)) => at.offset(source),
                    (Some(_), None) => 0,
                    // A copy of the topics without positions is taken for complete.
                    (None, None) => bus.readable_end(source)?,
                };
                taken_in.insert(source, at);
            }
        }
        let mut output_ends = BTreeMap::new();
        look_up(bus, &OUTPUTS[..3], &mut output_ends)?;
        for partition in output_ends.keys().copied().chain([DECISIONS, CONTROL]) {
            is_whole(bus, partition)?;
        }
        let mut decisions = Vec::new();
        scan_range(
            bus,
            DECISIONS,
            &Mark::default(),
            bus.readable_end(DECISIONS)?,
            |record| {
                if !record.value.is_empty() {
                    decisions.push(Decision::read(record.value)?);
                }
                Ok::<_, ReplayError>(())
            },
        )?;
        // A refused control record's dead letter comes with its decision, so those of all decisions are there by now; those of source records
        // rest on where the tasks were.
        look_up(bus, &OUTPUTS[3..], &mut output_ends)?;
        let mut input_ends = BTreeMap::from([(CONTROL, bus.readable_end(CONTROL)?)]);
        // A directory bus counts lines for it.
        let sources: Vec<TopicPartition> = taken_in.keys().copied().collect();
        input_ends.extend(in_parallel(&sources, |source| {
            bus.readable_end(*source).map(|end| (*source, end))
        })?);
        let (sealed, dedup_epochs) = match begun {
            Some(begun) => {
                let sealed = sealed(bus, coordinator.unwrap_or(0), &begun)?;
                (Some(sealed), begun.dedup_epochs)
            }
            None => (None, crate::config::Config::default().dedup_epochs),
        };
        Ok(Self {
            dedup_epochs,
            taken_in,
            input_ends,
            output_ends,
            decisions,
            sealed,
        })
    }

    /// How many source records were on the bus and not taken in yet.
    #[must_use]
    pub fn not_taken_in(&self) -> u64 {
        let waiting = self.taken_in.iter().map(|(source, at)| {
            let end = self.input_ends.get(source).copied().unwrap_or(0);
            end.saturating_sub(*at)
        });
        waiting.sum()
    }

    /// The cuts on record, by asset number and epoch.
    pub fn cuts(&self) -> impl Iterator<Item = (AssetEpoch, &str, &Offsets)> {
        self.decisions.iter().filter_map(|decision| match decision {
            Decision::Cut {
                asset,
                number,
                epoch,
                cut,
            } => {
                let at = AssetEpoch {
                    number: *number,
                    epoch: *epoch,
                };
                Some((at, asset.as_str(), cut))
            }
            _ => None,
        })
    }
}

/// Does the same with all of `items`, on all cores; what came of them, in any order.
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

/// Refuses a partition whose beginning was deleted, as a topic of limited retention does.
fn is_whole(bus: &dyn Log, partition: TopicPartition) -> Result<(), ReplayError> {
    match bus.start(partition)? {
        0 => Ok(()),
        start => Err(ReplayError::Gone {
            partition,
            start,
            needed: 0,
        }),
    }
}

/// Looks up where the partitions of topics end.
fn look_up(bus: &dyn Log, topics: &[Topic], ends: &mut BTreeMap<TopicPartition, u64>) -> Result<(), BusError> {
    for topic in topics {
        for partition in bus.partitions(*topic)? {
            let partition = topic.partition(partition);
            ends.insert(partition, bus.readable_end(partition)?);
        }
    }
    Ok(())
}

/// The epochs whose seal the coordinator had published when it stood at `read_to` of its inbox: those of which it had all receipts.
fn sealed(bus: &dyn Log, read_to: u64, begun: &DeploymentRecord) -> Result<BTreeSet<AssetEpoch>, ReplayError> {
    let mut receipts: BTreeMap<AssetEpoch, (u32, u32)> = BTreeMap::new();
    // The inbox may be kept for less long than the rest.
    let mark = Mark {
        offset: bus.start(INBOX)?,
        evidence: Vec::new(),
    };
    scan_range(bus, INBOX, &mark, read_to, |record| {
        if let Inbox::Receipt { at, .. } = codec::decode(record.value, "a record of the inbox")? {
            let (count, wanted) = receipts.entry(at).or_default();
            *count += 1;
            *wanted = begun.partitions_at(record.offset);
        }
        Ok::<_, ReplayError>(())
    })?;
    // Epochs are sealed one after the other, so those before one that is sealed are, too.
    let mut newest: BTreeMap<u16, u32> = BTreeMap::new();
    for (at, (count, wanted)) in receipts {
        if count == wanted {
            newest.insert(at.number, at.epoch);
        }
    }
    Ok(newest
        .into_iter()
        .flat_map(|(number, newest)| (0..=newest).map(move |epoch| AssetEpoch { number, epoch }))
        .collect())
}

impl From<Fault> for ReplayError {
    fn from(fault: Fault) -> Self {
        Self::Record(fault)
    }
}

impl From<BusError> for ReplayError {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}
