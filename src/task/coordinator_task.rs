//! The shell of the coordinator's fold: the inbox.

use std::sync::{Arc, Mutex, PoisonError};

use crate::bus::{Batch, Log, Topic, TopicPartition};
use crate::core::coordinate::Coordinator;
use crate::core::protocol::codec;
use crate::store::{Changes, Store, tables};
use crate::task::harness::{Context, Fold, Stop};
use crate::task::seen_events::SeenEvents;
use crate::task::stats::Stats;
use crate::task::{TaskError, seen_events};

const INPUTS: [TopicPartition; 1] = [Topic::Inbox.partition(0)];

/// What is not finished, for those who wait for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// Closed epochs without a seal, in words.
    pub unsealed: Vec<String>,
    /// Whether a control event is undecided.
    pub undecided: bool,
    /// Epochs stopped by a failed check.
    pub alarms: Vec<String>,
}

/// The coordinator's task.
pub struct CoordinatorTask {
    coordinator: Coordinator,
    memory: SeenEvents,
    open: Arc<Mutex<Open>>,
    stats: Arc<Stats>,
}

impl CoordinatorTask {
    /// Takes the task up from its store.
    pub fn new(
        partitions: u32,
        store: &dyn Store,
        open: Arc<Mutex<Open>>,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let coordinator =
            seen_events::state(store, "the state of the coordinator")?.unwrap_or_else(|| Coordinator::new(partitions));
        let memory = SeenEvents::all(store).map_err(|stop| stop.of("coordinate"))?;
        let task = Self {
            coordinator,
            memory,
            open,
            stats,
        };
        task.tell();
        Ok(task)
    }

    fn tell(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = Open::default();
        open.undecided = self.coordinator.is_undecided();
        for (asset, epoch, alarm) in self.coordinator.unsealed() {
            match alarm {
                Some(alarm) => open.alarms.push(alarm.to_owned()),
                None => open.unsealed.push(format!("{asset} epoch {epoch}")),
            }
        }
    }
}

impl Fold for CoordinatorTask {
    fn inputs(&self) -> &[TopicPartition] {
        &INPUTS
    }

    fn limit(&mut self, _: usize, _: u64, _: &dyn Log) -> Result<u64, Stop> {
        Ok(u64::MAX)
    }

    fn apply(&mut self, _: usize, batch: &Batch, first: usize, context: &mut Context<'_>) -> Result<usize, Stop> {
        for record in batch.iter().skip(first) {
            self.coordinator
                .apply(record.value, &mut self.memory, context.outputs)?;
        }
        for alarm in self.coordinator.take_alarms() {
            tracing::error!("{alarm}");
        }
        self.tell();
        let seals = context
            .outputs
            .iter()
            .filter(|(to, ..)| to.topic == Topic::Epochs)
            .count();
        if !context.recovering {
            Stats::add(&self.stats.seals, seals as u64);
        }
        Ok(batch.len())
    }

    fn unwritten(&self) -> usize {
        self.memory.bytes()
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), Stop> {
        self.memory.write(changes);
        changes.put(&tables::STATE, &codec::encode(&self.coordinator)?);
        Ok(())
    }
}
