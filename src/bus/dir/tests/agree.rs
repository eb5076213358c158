//! After any steps, the bus in files has the same contents as the bus in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::bus::dir::tests::faulty::Faulty;
use crate::bus::dir::tests::*;
use crate::bus::dir::writer::WriterOptions;
use crate::bus::memory::MemoryBus;

const PARTITIONS: [TopicPartition; 6] = [
    Topic::Trades.partition(0),
    Topic::Trades.partition(3),
    Topic::Epochs.partition(0),
    Topic::Decisions.partition(0),
    Topic::Ledger.partition(0),
    Topic::Ledger.partition(1),
];
const TASKS: [TaskId; 3] = [TaskId::COORDINATE, TaskId::SEQUENCE, TaskId::accrue(0)];

#[derive(Debug, Clone)]
enum Step {
    /// Appends text to an input, in two pieces, and compares the buses between them.
    Append(usize, Vec<u8>, usize),
    Commit(usize, Vec<(usize, Vec<u8>)>),
    Read(usize, usize, u64),
    Close,
    Kill,
}

fn value(blank: bool) -> BoxedStrategy<Vec<u8>> {
    let line = prop_oneof![
        "[a-z {}]{0,12}".prop_map(String::into_bytes),
        (0usize..9000).prop_map(|len| vec![b'x'; len]),
    ];
    if blank {
        prop_oneof![3 => line, 1 => "[ \t\r]{0,3}".prop_map(String::into_bytes)].boxed()
    } else {
        line.boxed()
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let output = (2..PARTITIONS.len(), value(true));
    let step = prop_oneof![
        4 => (0..2usize, value(true), any::<usize>()).prop_map(|(to, text, cut)| Step::Append(to, text, cut)),
        4 => (0..TASKS.len(), prop::collection::vec(output, 0..5)).prop_map(|(task, outputs)| Step::Commit(task, outputs)),
        6 => (0..PARTITIONS.len(), 0..10_000usize, 0..60u64).prop_map(|(from, limit, ahead)| Step::Read(from, limit, ahead)),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..60)
}

struct Pair {
    /// First, so that it is closed before its folder is removed.
    dir: Option<DirBus>,
    place: Place,
    disk: Faulty,
    memory: MemoryBus,
    marks: BTreeMap<TopicPartition, Mark>,
    commits: u32,
}

impl Pair {
    fn open(&mut self) {
        let options = WriterOptions {
            sync: true,
            journal_bytes: 5000,
        };
        self.dir = Some(DirBus::open_on(Box::new(self.disk.clone()), self.place.path(), options).unwrap());
    }

    fn dir(&self) -> &DirBus {
        self.dir.as_ref().unwrap()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(to, mut text, cut) => {
                let to = PARTITIONS[to];
                let name = format!("{}/{}.jsonl", to.topic, to.partition);
                self.memory.create(to);
                text.push(b'\n');
                let (one, two) = text.split_at(cut % text.len());
                self.place.append(&name, one);
                self.compare();
                self.place.append(&name, two);
                self.memory.append(to, &text[..text.len() - 1]);
            }
            Step::Commit(task, values) => {
                let mut outputs = Outputs::default();
                for (to, value) in &values {
                    outputs.push(PARTITIONS[*to], b"key", value);
                }
                self.commits += 1;
                let mut position = Position::default();
                position.cursor.job = self.commits;
                self.dir().commit(TASKS[task], &outputs, &position).unwrap();
                self.memory.commit(TASKS[task], &outputs, &position).unwrap();
            }
            Step::Read(from, limit, ahead) => {
                let from = PARTITIONS[from];
                let mark = self.marks.entry(from).or_default();
                let until = mark.offset.saturating_add(ahead);
                let mut reader = self.dir.as_ref().unwrap().open(from, mark).unwrap();
                let batch = reader.read(limit, until).unwrap();
                let twin = Mark {
                    evidence: Vec::new(),
                    ..mark.clone()
                };
                let expected = self.memory.open(from, &twin).unwrap().read(usize::MAX, until).unwrap();
                let mut twin = twin;
                expected
                    .iter()
                    .take(batch.len())
                    .for_each(|record| twin.add(record.value));
                assert_eq!(batch.next.digest, twin.digest);
                let expected: Vec<_> = expected.iter().take(batch.len()).collect();
                assert_eq!(batch.iter().collect::<Vec<_>>(), expected);
                assert_eq!(
                    batch.is_empty(),
                    mark.offset >= until.min(self.memory.readable_end(from).unwrap())
                );
                assert_eq!(batch.next, *reader.mark());
                *mark = batch.next;
            }
            Step::Close => {
                self.dir.take().unwrap().close().unwrap();
                self.open();
            }
            Step::Kill => {
                self.disk.stop_after(0, 0);
                self.dir = None;
                self.disk.stop_after(usize::MAX, 0);
                self.open();
            }
        }
    }

    fn compare(&self) {
        for task in TASKS {
            assert_eq!(
                self.dir().committed(task).unwrap(),
                self.memory.committed(task).unwrap()
            );
        }
        for topic in Topic::ALL {
            assert_eq!(
                self.dir().partitions(topic).unwrap(),
                self.memory.partitions(topic).unwrap()
            );
        }
        for partition in PARTITIONS {
            assert_eq!(
                self.dir().readable_end(partition).unwrap(),
                self.memory.readable_end(partition).unwrap()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_and_memory_agree(steps in steps()) {
        let place = Place::quick();
        let mut pair = Pair {
            disk: Faulty::new(place.path()),
            place,
            dir: None,
            memory: MemoryBus::new(),
            marks: BTreeMap::new(),
            commits: 0,
        };
        pair.open();
        for step in steps {
            pair.step(step);
            pair.compare();
        }
        let reading = ReadOnlyDir::open(pair.place.path()).unwrap();
        for partition in PARTITIONS {
            let expected = read_all(&pair.memory, partition);
            assert_eq!(read_all(pair.dir(), partition), expected);
            assert_eq!(read_all(&reading, partition), expected);
        }
    }
}
