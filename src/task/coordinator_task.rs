//! The coordinator task: it feeds the inbox to the coordinator's fold.

use std::sync::{Arc, Mutex, PoisonError};

use crate::bus::{Batch, Log, Outputs, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::coordinate::Coordinator;
use crate::core::protocol::codec;
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store, tables};
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, StepContext, load_state};
use crate::task::seen_events::StoredDedupIndex;
use crate::task::stats::Stats;

const INPUTS: [TopicPartition; 1] = [Topic::Inbox.partition(0)];

/// What the coordinator has not finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnfinishedWork {
    /// Closed epochs without a seal, in words.
    pub unsealed: Vec<String>,
    /// Whether a control event is undecided.
    pub undecided: bool,
    /// Epochs that a failed check stopped, in words.
    pub alarms: Vec<String>,
}

/// The coordinator's task.
pub struct CoordinatorTask {
    coordinator: Coordinator,
    dedup: StoredDedupIndex,
    unfinished: Arc<Mutex<UnfinishedWork>>,
    stats: Arc<Stats>,
}

impl CoordinatorTask {
    /// Restores the fold from its store. `partitions` is the number of ledger partitions, for a new store.
    pub fn new(
        partitions: u32,
        store: &dyn Store,
        unfinished: Arc<Mutex<UnfinishedWork>>,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let coordinator =
            load_state(store, "the state of the coordinator")?.unwrap_or_else(|| Coordinator::new(partitions));
        let dedup = StoredDedupIndex::in_memory(store).map_err(|error| error.at("coordinate"))?;
        let task = Self {
            coordinator,
            dedup,
            unfinished,
            stats,
        };
        task.update_unfinished();
        Ok(task)
    }

    fn update_unfinished(&self) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        *unfinished = UnfinishedWork::default();
        unfinished.undecided = self.coordinator.is_undecided();
        for (asset, epoch, alarm) in self.coordinator.unsealed() {
            match alarm {
                Some(alarm) => unfinished.alarms.push(alarm.to_owned()),
                None => unfinished.unsealed.push(format!("{asset} epoch {epoch}")),
            }
        }
    }
}

/// Warns of each epoch that was closed before any source record was written. That is legal, but mostly a producer writes to a wrong name.
fn warn_of_empty_cuts(outputs: &Outputs) -> Result<(), FoldError> {
    for (_, _, value) in outputs.iter().filter(|(to, ..)| to.topic == Topic::Decisions) {
        if let Decision::Cut { asset, epoch, cut, .. } = Decision::read(value)?
            && cut.0.values().all(|offset| *offset == Offset::START)
        {
            tracing::warn!(
                %asset,
                %epoch,
                "epoch {epoch} of {asset} is closed, but no source topic has ever had a record, so nobody holds anything; \
                 check where the exchange publishes: the source topics are {}",
                Topic::SOURCES.map(Topic::name).join(", ")
            );
        }
    }
    Ok(())
}

impl Fold for CoordinatorTask {
    fn inputs(&self) -> &[TopicPartition] {
        &INPUTS
    }

    fn read_limit(&mut self, _: usize, _: Offset, _: &dyn Log) -> Result<Offset, FoldError> {
        Ok(Offset::NO_LIMIT)
    }

    fn apply(
        &mut self,
        _: usize,
        batch: &Batch,
        first: usize,
        context: &mut StepContext<'_>,
    ) -> Result<usize, FoldError> {
        for record in batch.iter().skip(first) {
            self.coordinator.apply(record.value, &mut self.dedup, context.outputs)?;
        }
        for alarm in self.coordinator.take_alarms() {
            tracing::error!("{alarm}");
        }
        self.update_unfinished();
        let seals = context
            .outputs
            .iter()
            .filter(|(to, ..)| to.topic == Topic::Epochs)
            .count();
        if !context.recovering {
            Stats::add(&self.stats.seals, seals as u64);
            warn_of_empty_cuts(context.outputs)?;
        }
        Ok(batch.len())
    }

    fn unwritten_bytes(&self) -> usize {
        self.dedup.unwritten_bytes()
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        self.dedup.write(changes);
        changes.put(&tables::STATE, &codec::encode(&self.coordinator)?);
        Ok(())
    }
}
