//! Up to where a source partition may be read while the end of control is looked up.

use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::{Mark, Position, ReadError, Reader};
use crate::core::contract::decision::Offsets;
use crate::store::memory::MemoryStore;

const SOURCE: TopicPartition = Topic::Deposits.partition(0);

/// A bus whose ends of control are looked up elsewhere. It keeps each question with its place for the answer.
struct Asking {
    bus: MemoryBus,
    questions: Mutex<Vec<(TopicPartition, Sender<Offset>)>>,
}

impl Asking {
    fn questions(&self) -> usize {
        self.questions.lock().unwrap().len()
    }

    fn answer(&self, end: u64) {
        let (partition, answer) = self.questions.lock().unwrap().pop().unwrap();
        assert_eq!(partition, CONTROL);
        answer.send(Offset::new(end)).unwrap();
    }
}

impl Log for Asking {
    fn identity(&self) -> &str {
        self.bus.identity()
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        self.bus.partitions(topic)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.bus.readable_end(partition)
    }

    fn look_up_end(&self, partition: TopicPartition) -> Result<PendingEnd, ReadError> {
        let (pending, answer) = PendingEnd::asked();
        self.questions.lock().unwrap().push((partition, answer));
        Ok(pending)
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

#[test]
fn what_arrives_while_control_is_looked_up_waits_for_the_next_look() {
    let one = Partitions::new(1).unwrap();
    let mut task = IngestTask::new(SOURCE, 7, one, 0, &MemoryStore::default(), Arc::default()).unwrap();
    let decide = |task: &mut IngestTask, decision: &Decision| {
        let mut outputs = Outputs::default();
        let decided = task.ingest.apply_decision(decision, Offset::START, None, &mut outputs);
        decided.unwrap();
    };
    let announced = Decision::SourcesAdded {
        sources: vec![SOURCE],
        starts: Offsets::default(),
    };
    decide(&mut task, &announced);
    let bus = MemoryBus::new();
    bus.append(SOURCE, b"1\n2\n3");
    let asking = Asking {
        bus,
        questions: Mutex::default(),
    };
    let limit_of = |task: &mut IngestTask, at: u64, arrived: u64| {
        let arrived = Some(Offset::new(arrived));
        let limit = task.read_limit(SOURCE_INPUT, Offset::new(at), arrived, &asking);
        limit.unwrap().get()
    };
    let mut limit = |at, arrived| limit_of(&mut task, at, arrived);
    // At first the end of the source is looked up: 3 records, of which 2 have arrived.
    assert_eq!((limit(0, 2), asking.questions()), (0, 1));
    assert_eq!((limit(0, 2), asking.questions()), (0, 1), "it is asked once");
    asking.answer(0);
    assert_eq!((limit(0, 2), limit(2, 9), asking.questions()), (3, 3, 0));
    // Later, only what had arrived before the question counts.
    assert_eq!((limit(3, 7), limit(3, 9)), (3, 3));
    asking.answer(0);
    assert_eq!((limit(3, 9), limit(6, 9), asking.questions()), (7, 7, 0));
    // A control record that is not decided holds up the records that arrived before the question, and asks nothing more.
    assert_eq!(limit(7, 9), 7);
    asking.answer(1);
    assert_eq!((limit(7, 12), limit(7, 12), asking.questions()), (7, 7, 0));
    decide(&mut task, &Decision::ControlRead { to: Offset::new(1) });
    assert_eq!(limit_of(&mut task, 7, 12), 9);
    // If the answer is missing, the question is asked again, so that the task learns why.
    assert_eq!(limit_of(&mut task, 9, 12), 9);
    asking.questions.lock().unwrap().clear();
    assert_eq!(limit_of(&mut task, 9, 12), 12);
}
