//! The harness on a bus whose commits take as long as the test says.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::{Bus, CommitError, CommitOutcome, Log, Outputs, PendingCommit};
use crate::store::memory::{MemoryContents, MemoryStore};

const SOURCE: TopicPartition = Topic::Deposits.partition(0);
const LEDGER: TopicPartition = Topic::Ledger.partition(0);

/// Passes every record on.
struct Passing([TopicPartition; 1]);

impl Fold for Passing {
    fn inputs(&self) -> &[TopicPartition] {
        &self.0
    }

    fn read_limit(&mut self, _: usize, _: Offset, _: Option<Offset>, _: &dyn Log) -> Result<Offset, FoldError> {
        Ok(Offset::NO_LIMIT)
    }

    fn apply(&mut self, _: usize, batch: &Batch, _: usize, context: &mut StepContext<'_>) -> Result<usize, FoldError> {
        for record in batch.iter() {
            context.outputs.push(LEDGER, &[], record.value);
        }
        Ok(batch.len())
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        changes.put(b"state", b"written");
        Ok(())
    }
}

/// A commit on its way: its position, and where to tell that it has arrived.
type OnItsWay = (Position, SyncSender<CommitOutcome>);

struct SlowCommits {
    bus: MemoryBus,
    on_their_way: Mutex<VecDeque<OnItsWay>>,
}

impl SlowCommits {
    /// Ends the oldest commit, and returns its position.
    fn end_one(&self) -> Position {
        let mut commits = self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner);
        let (position, reply) = commits.pop_front().unwrap();
        reply.send(Ok(Instant::now())).unwrap();
        position
    }

    fn count(&self) -> usize {
        self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Log for SlowCommits {
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
        self.bus.open(partition, from)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.bus.committed(task)
    }

    fn version(&self) -> u64 {
        self.bus.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        self.bus.wait(seen, at_most)
    }
}

impl Bus for SlowCommits {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        self.bus.commit(task, outputs, position)
    }

    fn begin_commit(&self, task: TaskId, _: Arc<Outputs>, position: &Position) -> Result<PendingCommit, CommitError> {
        let (reply, outcome) = sync_channel(1);
        let mut commits = self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push_back((position.clone(), reply));
        Ok(PendingCommit::new(task, outcome))
    }
}

/// A task on a bus with these records, and its store.
fn task_on(records: &[&[u8]], limits: StepLimits) -> (Harness<Passing>, Arc<SlowCommits>, MemoryContents) {
    let bus = Arc::new(SlowCommits {
        bus: MemoryBus::new(),
        on_their_way: Mutex::default(),
    });
    for record in records {
        bus.bus.append(SOURCE, record);
    }
    let contents = MemoryContents::default();
    let task = Harness::new(
        TaskId::ingest(SOURCE),
        Passing([SOURCE]),
        Access::ReadWrite(Arc::clone(&bus) as Arc<dyn Bus>),
        Box::new(MemoryStore::open(&contents)),
        limits,
        None,
        Arc::default(),
    );
    (task.unwrap(), bus, contents)
}

#[test]
fn in_a_backlog_the_outputs_of_several_steps_are_one_commit() {
    let record = vec![b'x'; publication::ENOUGH_GATHERED / 4];
    let limits = StepLimits {
        step_bytes: record.len(),
        changes_bytes: usize::MAX,
    };
    let (mut task, bus, _) = task_on(&[&record[..]; 6], limits);
    for _ in 0..3 {
        assert!(matches!(task.step(), Ok(Progress::Worked)));
        assert_eq!(bus.count(), 0);
    }
    assert!(matches!(task.step(), Ok(Progress::Worked)));
    assert_eq!(bus.count(), 1);
    assert_eq!(bus.end_one().offset(SOURCE), Offset::new(4));
    for _ in 0..2 {
        assert!(matches!(task.step(), Ok(Progress::Worked)));
        assert_eq!(bus.count(), 0);
    }
    // Nothing more is there, so the rest does not wait.
    assert!(matches!(task.step(), Ok(Progress::Idle)));
    assert_eq!(bus.end_one().offset(SOURCE), Offset::new(6));
    // Nor does a small record.
    bus.bus.append(SOURCE, b"small");
    assert!(matches!(task.step(), Ok(Progress::Worked)));
    assert_eq!(bus.end_one().offset(SOURCE), Offset::new(7));
}

#[test]
fn a_task_that_has_to_persist_waits_for_its_commit_without_a_thread() {
    let limits = StepLimits {
        step_bytes: 64,
        // Every step has so much that it has to be persisted.
        changes_bytes: 0,
    };
    let (mut task, bus, contents) = task_on(&[b"one"], limits);
    let persisted = || MemoryStore::open(&contents).position().offset(SOURCE);
    // Without changes, the first step only publishes.
    task.changes.put(b"row", b"changed");
    assert!(matches!(task.step(), Ok(Progress::Worked)));
    assert_eq!((bus.count(), persisted()), (1, Offset::START));
    // More arrives. It must not be applied: the store has to be persisted at the committed position.
    bus.bus.append(SOURCE, b"two");
    for _ in 0..3 {
        assert!(matches!(task.step(), Ok(Progress::Idle)));
    }
    assert_eq!((bus.count(), persisted()), (1, Offset::START));
    assert_eq!(bus.end_one().offset(SOURCE), Offset::new(1));
    assert!(matches!(task.step(), Ok(Progress::Worked)));
    assert_eq!(persisted(), Offset::new(1));
    assert_eq!(bus.count(), 1, "the next record is applied and on its way");
    assert_eq!(bus.end_one().offset(SOURCE), Offset::new(2));
}
