//! A bus in memory, for tests. It behaves as the other buses do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bus::batch::Batch;
use crate::bus::error::{CommitError, LogName, ReadError};
use crate::bus::interface::{Bus, Log, Reader};
use crate::bus::outputs;
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// The offset of each record, and the range of its bytes in `bytes`.
    records: Vec<(Offset, Range<usize>)>,
    /// The records before it were deleted.
    start: Offset,
    end: Offset,
}

impl Records {
    fn push(&mut self, kind: TopicKind, value: &[u8]) {
        let blank = value.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let start = self.bytes.len();
        if kind == TopicKind::Inner || !blank {
            self.bytes.extend_from_slice(value);
        }
        self.records.push((self.end, start..self.bytes.len()));
        // Offsets of inner topics are not dense, as on every real bus.
        let size = match kind {
            TopicKind::Inner => 8 + value.len() as u64,
            TopicKind::Input | TopicKind::Output => 1,
        };
        self.end = self.end.saturating_add(size);
    }
}

#[derive(Default)]
struct State {
    logs: BTreeMap<TopicPartition, Records>,
    positions: BTreeMap<TaskId, Position>,
    version: u64,
}

#[derive(Default)]
struct Inner {
    identity: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// A clone is another handle on the same bus.
#[derive(Clone)]
pub struct MemoryBus {
    inner: Arc<Inner>,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBus {
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                identity: uuid::Uuid::new_v4().to_string(),
                ..Inner::default()
            }),
        }
    }

    /// Appends a record of another program. On a topic of lines, each line of `bytes` is a record, and empty `bytes` are a blank line.
    /// Returns the new end.
    pub fn append(&self, to: TopicPartition, bytes: &[u8]) -> Offset {
        let kind = to.topic.kind();
        self.change(|state| {
            let log = state.logs.entry(to).or_default();
            if kind == TopicKind::Inner {
                log.push(kind, bytes);
            } else {
                for line in bytes.split(|byte| *byte == b'\n') {
                    log.push(kind, line);
                }
            }
            log.end
        })
    }

    /// Creates an empty partition.
    pub fn create(&self, partition: TopicPartition) {
        self.change(|state| {
            state.logs.entry(partition).or_default();
        });
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    pub fn delete_before(&self, partition: TopicPartition, offset: Offset) {
        self.change(|state| {
            let log = state.logs.entry(partition).or_default();
            log.records.retain(|(at, _)| *at >= offset);
            log.start = log.start.max(offset);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic here would hide the first panic of a test.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        state.version += 1;
        self.inner.changed.notify_all();
        result
    }
}

impl Log for MemoryBus {
    fn identity(&self) -> &str {
        &self.inner.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        let state = self.lock();
        let range = topic.partition(0)..=topic.partition(u32::MAX);
        Ok(state.logs.range(range).map(|(key, _)| key.partition).collect())
    }

    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.lock().logs.get(&partition).map_or(Offset::START, |log| log.start))
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.lock().logs.get(&partition).map_or(Offset::START, |log| log.end))
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        let end = self.readable_end(partition)?;
        if from.offset > end {
            return Err(ReadError::SourceChanged {
                partition,
                log: LogName::Topic(partition.topic),
                offset: from.offset,
                what: format!("ends at offset {end},"),
            });
        }
        let start = self.start(partition)?;
        if from.offset < start {
            return Err(ReadError::Retained {
                partition,
                start,
                wanted: from.offset,
            });
        }
        Ok(Box::new(MemoryReader {
            bus: self.clone(),
            partition,
            mark: from.clone(),
        }))
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        Ok(self.lock().positions.get(&task).cloned())
    }

    fn version(&self) -> u64 {
        self.lock().version
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        let not_yet = |state: &mut State| state.version <= seen;
        let (state, _) = self
            .inner
            .changed
            .wait_timeout_while(self.lock(), at_most, not_yet)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(state.version)
    }
}

impl Bus for MemoryBus {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        outputs::check(outputs)?;
        self.change(|state| {
            for (to, _key, value) in outputs.iter() {
                state.logs.entry(to).or_default().push(to.topic.kind(), value);
            }
            state.positions.insert(task, position.clone());
        });
        Ok(())
    }
}

struct MemoryReader {
    bus: MemoryBus,
    partition: TopicPartition,
    mark: Mark,
}

impl Reader for MemoryReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let state = self.bus.lock();
        let mut bytes = Vec::new();
        let mut records = Vec::new();
        if let Some(log) = state.logs.get(&self.partition) {
            if self.mark.offset < log.start {
                return Err(ReadError::Retained {
                    partition: self.partition,
                    start: log.start,
                    wanted: self.mark.offset,
                });
            }
            let first = log.records.partition_point(|(offset, _)| *offset < self.mark.offset);
            let left = log.records[first..].iter().enumerate();
            for (index, (offset, range)) in left {
                if *offset >= until || (!records.is_empty() && bytes.len() + range.len() > limit) {
                    break;
                }
                let start = bytes.len();
                bytes.extend_from_slice(&log.bytes[range.clone()]);
                self.mark.add(&log.bytes[range.clone()]);
                records.push((*offset, start..bytes.len()));
                let next = log.records.get(first + index + 1);
                self.mark.offset = next.map_or(log.end, |(offset, _)| *offset);
            }
        }
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(batch: &Batch) -> Vec<(u64, &[u8])> {
        batch.iter().map(|record| (record.offset.get(), record.value)).collect()
    }

    #[test]
    fn offsets_count_lines_or_bytes() {
        let bus = MemoryBus::new();
        let (trades, ledger) = (Topic::Trades.partition(0), Topic::Ledger.partition(0));
        assert_eq!(bus.append(trades, b"one\n \ntwo"), Offset::new(3));
        assert_eq!(bus.append(ledger, b"a\nb"), Offset::new(11));
        assert_eq!(bus.append(ledger, b""), Offset::new(19));
        let mut reader = bus.open(trades, &Mark::default()).unwrap();
        assert_eq!(
            values(&reader.read(4, Offset::new(9)).unwrap()),
            [(0, &b"one"[..]), (1, b"")]
        );
        assert!(reader.read(4, Offset::new(2)).unwrap().is_empty());
        assert_eq!(values(&reader.read(0, Offset::new(9)).unwrap()), [(2, &b"two"[..])]);
        let mut reader = bus.open(ledger, &Mark::default()).unwrap();
        assert_eq!(
            values(&reader.read(9, Offset::new(99)).unwrap()),
            [(0, &b"a\nb"[..]), (11, b"")]
        );
        assert_eq!(reader.mark().offset, bus.readable_end(ledger).unwrap());
    }

    #[test]
    fn every_handle_sees_a_commit() {
        let bus = MemoryBus::new();
        let other = bus.clone();
        let seen = other.version();
        let mut outputs = Outputs::default();
        outputs.push(Topic::Epochs.partition(0), b"key", b"value");
        bus.commit(TaskId::COORDINATE, &outputs, &Position::default()).unwrap();
        assert_eq!(other.readable_end(Topic::Epochs.partition(0)).unwrap(), Offset::new(1));
        assert_eq!(other.committed(TaskId::COORDINATE).unwrap(), Some(Position::default()));
        assert!(other.wait(seen, Duration::ZERO).unwrap() > seen);
        outputs.push(Topic::Epochs.partition(0), b"key", b"two\nlines");
        assert!(bus.commit(TaskId::COORDINATE, &outputs, &Position::default()).is_err());
        assert_eq!(other.readable_end(Topic::Epochs.partition(0)).unwrap(), Offset::new(1));
    }
}
