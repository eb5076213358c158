//! The coordinator task: it feeds the inbox to the coordinator's fold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::{Batch, Log, Outputs, Topic, TopicPartition};
use crate::core::coordinate::Coordinator;
use crate::core::coordinate::waiting::WaitingEvent;
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
    /// Control events that are not finished.
    pub waiting: Vec<WaitingEvent>,
    /// Whether the coordinator is at work in this process. If not, all of this is of the past.
    pub is_current: bool,
}

/// The coordinator's task.
pub struct CoordinatorTask {
    coordinator: Coordinator,
    dedup: StoredDedupIndex,
    unfinished: Arc<Mutex<UnfinishedWork>>,
    stats: Arc<Stats>,
    /// Whether recovery is over.
    is_working: bool,
}

impl Drop for CoordinatorTask {
    fn drop(&mut self) {
        self.unfinished().is_current = false;
    }
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
            is_working: false,
        };
        task.update_unfinished();
        Ok(task)
    }

    fn unfinished(&self) -> MutexGuard<'_, UnfinishedWork> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_unfinished(&self) {
        self.stats.note_control(self.coordinator.counts());
        let mut unfinished = self.unfinished();
        *unfinished = UnfinishedWork::default();
        unfinished.undecided = self.coordinator.is_undecided();
        unfinished.waiting = self.coordinator.waiting();
        unfinished.is_current = self.is_working;
        for (asset, epoch, alarm) in self.coordinator.unsealed() {
            match alarm {
                Some(alarm) => unfinished.alarms.push(alarm.to_owned()),
                None => unfinished.unsealed.push(format!("{asset} epoch {epoch}")),
            }
        }
    }
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
        Ok(batch.len())
    }

    fn begin_work(&mut self) {
        self.is_working = true;
        self.update_unfinished();
    }

    fn published(&mut self, outputs: &Outputs) {
        let seals = outputs.iter().filter(|(to, ..)| to.topic == Topic::Epochs);
        Stats::add(&self.stats.seals, seals.count() as u64);
        if let Some(announcer) = &self.stats.announcer {
            announcer.tell_control(outputs);
        }
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
