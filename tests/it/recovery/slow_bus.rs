//! Recovery on a slow bus that brings the records of its partitions in any order: after all stores are lost, each
//! record must be replayed under the decisions that were in force when it was first processed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use softstake::bus::memory::MemoryBus;
use softstake::bus::{
    Access, Batch, Bus, CommitError, Log, Mark, Outputs, Position, ReadError, Reader, TaskId, Topic, TopicPartition,
};
use softstake::core::values::offset::Offset;
use softstake::deployment::state_directory::MemoryStores;
use softstake::deployment::{Deployment, RunEnd, RunMode, run};
use softstake::generate::Synthetic;
use softstake::task::stats::Stats;

use crate::common::{OUTPUTS, Place};
use crate::judge::{DEDUP_DAYS, judge};

/// A bus whose readers report no records for a while before each batch. Readers of decisions do so for longest.
struct Slow {
    bus: MemoryBus,
    /// How often a reader reported no records although there may be some.
    silences: Arc<AtomicU64>,
}

struct SlowReader {
    reader: Box<dyn Reader>,
    silences: Arc<AtomicU64>,
    patience: u64,
    left: u64,
}

impl Reader for SlowReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let batch = self.reader.read(limit, until)?;
        if !batch.is_empty() {
            self.left = self.patience;
        }
        Ok(batch)
    }

    fn has_news(&mut self) -> Result<bool, ReadError> {
        if self.left == 0 {
            return self.reader.has_news();
        }
        self.left -= 1;
        self.silences.fetch_add(1, Ordering::Relaxed);
        Ok(false)
    }

    fn mark(&self) -> &Mark {
        self.reader.mark()
    }
}

impl Log for Slow {
    fn identity(&self) -> &str {
        self.bus.identity()
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        self.bus.partitions(topic)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.bus.readable_end(partition)
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        let patience = match partition.topic {
            Topic::Decisions => 7,
            _ => u64::from(partition.partition % 3),
        };
        Ok(Box::new(SlowReader {
            reader: self.bus.open(partition, from)?,
            silences: Arc::clone(&self.silences),
            patience,
            left: patience,
        }))
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.bus.committed(task)
    }

    fn version(&self) -> u64 {
        self.bus.version() + self.silences.load(Ordering::Relaxed)
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        let silences = self.silences.load(Ordering::Relaxed);
        Ok(self.bus.wait(seen.saturating_sub(silences), at_most)? + silences)
    }
}

impl Bus for Slow {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        self.bus.commit(task, outputs, position)
    }
}

/// Copies new records of the source and control topics from the directory to the bus.
fn feed(bus: &MemoryBus, place: &Place, fed: &mut BTreeMap<PathBuf, usize>) {
    for topic in Topic::SOURCES.into_iter().chain([Topic::Control]) {
        for number in 0..8 {
            let path = place.bus().join(topic.name()).join(format!("{number}.jsonl"));
            let Ok(bytes) = fs::read(&path) else { continue };
            let from = fed.entry(path).or_default();
            if let Some(lines) = bytes.get(*from..).and_then(|new| new.strip_suffix(b"\n")) {
                bus.append(topic.partition(number), lines);
            }
            *from = bytes.len();
        }
    }
}

/// Writes the output into the directory, for the model.
fn save(bus: &MemoryBus, root: &Path) {
    for topic in OUTPUTS.into_iter().chain(["softstake.decisions"]) {
        let topic = Topic::from_name(topic).expect("a topic");
        for number in bus.partitions(topic).expect("partitions") {
            let mut reader = bus.open(topic.partition(number), &Mark::default()).expect("a reader");
            let batch = reader.read(usize::MAX, Offset::NO_LIMIT).expect("records");
            let lines: Vec<u8> = batch.iter().flat_map(|record| [record.value, b"\n"].concat()).collect();
            fs::create_dir_all(root.join(topic.name())).expect("a folder");
            fs::write(root.join(topic.name()).join(format!("{number}.jsonl")), lines).expect("a file");
        }
    }
}

#[test]
fn recovery_applies_the_decisions_in_force_at_each_record() {
    for seed in 1..=5 {
        let place = Place::new();
        let bus = MemoryBus::new();
        let mut fed = BTreeMap::new();
        let spec = Synthetic {
            events: 1_500,
            accounts: 100,
            assets: 3,
            partitions: 2,
            epochs: 3,
            seed,
            duplicates: 0.1,
            late: 0.1,
            bad: 0.05,
            ..Synthetic::default()
        };
        let mut deployment = Deployment {
            bus: Access::ReadWrite(Arc::new(Slow {
                bus: bus.clone(),
                silences: Arc::default(),
            })),
            stores: Arc::new(MemoryStores::default()),
            partitions: Some(4),
            dedup_days: DEDUP_DAYS,
            threads: 2,
            step_bytes: 4_096,
            mode: RunMode::Work,
            sequence: None,
        };
        for stage in 0..spec.epochs {
            place.bring(&spec, stage);
            feed(&bus, &place, &mut fed);
            // All stores are lost, so all records are replayed.
            deployment.stores = Arc::new(MemoryStores::default());
            let end = run(&deployment, true, &AtomicBool::new(false), &Arc::new(Stats::default()));
            assert_eq!(end.expect("a run without an error"), RunEnd::Idle);
        }
        save(&bus, &place.bus());
        let published = judge(&place);
        assert_eq!(published.seals.len(), 9);
    }
}
