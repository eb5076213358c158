//! A deployment in this process: the tasks on a bus and stores in memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use softstake::bus::memory::MemoryBus;
use softstake::bus::{Access, Log, Mark, Topic, TopicPartition};
use softstake::core::values::offset::Offset;
use softstake::deployment::{Deployment, DeploymentError, RunEnd, RunMode, run, state_directory};
use softstake::task::stats::Stats;

/// Settings that must not change any result.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub partitions: u32,
    pub threads: usize,
    pub step_bytes: usize,
}

/// A deployment in memory.
pub struct InMemory {
    bus: MemoryBus,
    deployment: Deployment,
    stats: Arc<Stats>,
}

impl InMemory {
    pub fn new(shape: Shape, dedup_days: u64) -> Self {
        let bus = MemoryBus::new();
        let deployment = Deployment {
            bus: Access::ReadWrite(Arc::new(bus.clone())),
            stores: Arc::new(state_directory::MemoryStores::default()),
            partitions: Some(shape.partitions),
            dedup_days,
            threads: shape.threads,
            step_bytes: shape.step_bytes,
            mode: RunMode::Work,
            sequence: None,
        };
        Self {
            bus,
            deployment,
            stats: Arc::default(),
        }
    }

    pub fn append(&self, to: TopicPartition, line: &str) {
        self.bus.append(to, line.as_bytes());
    }

    /// The deployment's bus.
    pub const fn bus(&self) -> &MemoryBus {
        &self.bus
    }

    /// The counters of all runs.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Loses all stores.
    pub fn lose_stores(&mut self) {
        self.deployment.stores = Arc::new(state_directory::MemoryStores::default());
    }

    /// Runs until idle, or until the first error.
    pub fn try_run(&self) -> Result<RunEnd, DeploymentError> {
        run(&self.deployment, true, &AtomicBool::new(false), &self.stats)
    }

    /// Runs until idle.
    pub fn run(&self) {
        assert_eq!(self.try_run().expect("a run without an error"), RunEnd::Idle);
    }

    pub fn records(&self, topic: Topic) -> Vec<Value> {
        self.lines(topic)
            .into_iter()
            .flat_map(|(_, lines)| lines)
            .map(|line| serde_json::from_slice(&line).expect("an output record is JSON"))
            .collect()
    }

    /// The records of each partition of a topic.
    pub fn lines(&self, topic: Topic) -> Vec<(u32, Vec<Vec<u8>>)> {
        let numbers = self.bus.partitions(topic).expect("partitions");
        let read = |number| {
            let partition = topic.partition(number);
            let start = Mark::at(self.bus.start(partition).expect("its start"));
            let mut reader = self.bus.open(partition, &start).expect("a reader");
            let batch = reader.read(usize::MAX, Offset::NO_LIMIT).expect("records");
            (number, batch.iter().map(|record| record.value.to_vec()).collect())
        };
        numbers.into_iter().map(read).collect()
    }
}
