//! A log that counts what is read from it, to show how far an audit is.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::{Batch, Log, Mark, Position, ReadError, Reader, TaskId, Topic, TopicPartition};
use crate::core::values::offset::Offset;
use crate::task::stats::Stats;

/// Reads from another log. Each read adds to the records of the counters, and the range of each reader to the known records.
pub struct CountedLog {
    log: Arc<dyn Log>,
    stats: Arc<Stats>,
}

impl CountedLog {
    #[must_use]
    pub const fn new(log: Arc<dyn Log>, stats: Arc<Stats>) -> Self {
        Self { log, stats }
    }
}

impl Log for CountedLog {
    fn identity(&self) -> &str {
        self.log.identity()
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        self.log.partitions(topic)
    }

    fn refresh(&self) {
        self.log.refresh();
    }

    fn gives_up(&self) -> bool {
        self.log.gives_up()
    }

    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.log.start(partition)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.log.readable_end(partition)
    }

    fn written_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.log.written_end(partition)
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        Ok(Box::new(CountedReader {
            reader: self.log.open(partition, from)?,
            stats: Arc::clone(&self.stats),
            known_to: from.offset,
        }))
    }

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), ReadError> {
        self.log.check(partition, mark)
    }

    fn verify(&self, partition: TopicPartition) -> Result<(), ReadError> {
        self.log.verify(partition)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.log.committed(task)
    }

    fn version(&self) -> u64 {
        self.log.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        self.log.wait(seen, at_most)
    }
}

struct CountedReader {
    reader: Box<dyn Reader>,
    stats: Arc<Stats>,
    /// Up to here, the records are counted as known.
    known_to: Offset,
}

impl Reader for CountedReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let from = self.reader.mark().offset;
        if until != Offset::NO_LIMIT && until > self.known_to {
            Stats::add(&self.stats.known, until.since(self.known_to));
            self.known_to = until;
        }
        let batch = self.reader.read(limit, until)?;
        Stats::add(&self.stats.records, self.reader.mark().offset.since(from));
        Ok(batch)
    }

    fn has_news(&mut self) -> Result<bool, ReadError> {
        self.reader.has_news()
    }

    fn mark(&self) -> &Mark {
        self.reader.mark()
    }

    fn recycle(&mut self, batch: Batch) {
        self.reader.recycle(batch);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::bus::Bus;
    use crate::bus::memory::MemoryBus;
    use crate::bus::scan::scan_range;
    use crate::core::contract::appends::Outputs;

    #[test]
    fn what_is_read_is_counted() {
        let bus = Arc::new(MemoryBus::default());
        let seals = Topic::Epochs.partition(0);
        let mut outputs = Outputs::default();
        for _ in 0..5 {
            outputs.push_with(seals, b"key", |record| record.extend(b"{}"));
        }
        bus.commit(TaskId::COORDINATE, &outputs, &Position::default()).unwrap();
        let stats = Arc::new(Stats::default());
        let counted = CountedLog::new(bus, Arc::clone(&stats));
        for end in [3, 5] {
            let none = |_: crate::bus::Record<'_>| Ok::<_, ReadError>(());
            scan_range(&counted, seals, &Mark::default(), Offset::new(end), none).unwrap();
        }
        assert_eq!((stats.records.load(Relaxed), stats.known.load(Relaxed)), (8, 8));
    }
}
