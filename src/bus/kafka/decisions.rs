//! The decisions, read once for all tasks of a process. Each task needs all of them, from an offset of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::batch::Batch;
use crate::bus::error::{LogName, ReadError};
use crate::bus::interface::Reader;
use crate::bus::kafka::brokers::Brokers;
use crate::bus::kafka::reader::KafkaReader;
use crate::bus::position::Mark;
use crate::bus::running_digest::RunningDigest;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// The decisions so far. They stay in memory: each has a few hundred bytes, and each asset has a few of them a day.
#[derive(Default)]
struct Decided {
    records: BTreeMap<Offset, Vec<u8>>,
    reader: Option<KafkaReader>,
    /// How often they were read from the start.
    times: u64,
}

pub(super) struct Decisions {
    brokers: Arc<Brokers>,
    log: Mutex<Decided>,
}

impl Decisions {
    pub(super) fn new(brokers: Arc<Brokers>) -> Self {
        Self {
            brokers,
            log: Mutex::default(),
        }
    }

    /// Reads the new decisions.
    fn follow(&self) -> Result<MutexGuard<'_, Decided>, ReadError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match log.reader.take() {
            Some(reader) => reader,
            None => {
                // From the start again, also after an error: no decision may be missing.
                log.records.clear();
                log.times += 1;
                KafkaReader::open(Arc::clone(&self.brokers), DECISIONS, &Mark::default())?
            }
        };
        loop {
            let batch = reader.read(CHUNK, Offset::NO_LIMIT)?;
            if batch.is_empty() {
                break;
            }
            for record in batch.iter() {
                log.records.insert(record.offset, record.value.to_vec());
            }
        }
        log.reader = Some(reader);
        Ok(log)
    }
}

pub(super) struct DecisionsReader {
    decisions: Arc<Decisions>,
    mark: Mark,
    /// The digest of the decisions before the mark, until these have arrived and are compared.
    expected: Option<RunningDigest>,
    /// How often the decisions had been read from the start when they were compared.
    times: u64,
}

impl DecisionsReader {
    pub(super) fn open(decisions: Arc<Decisions>, from: &Mark) -> Result<Self, ReadError> {
        decisions.brokers.check_offset(DECISIONS, from.offset)?;
        Ok(Self {
            decisions,
            mark: from.clone(),
            expected: from.digest,
            times: 0,
        })
    }

    /// Returns whether the decisions before the mark are those that were read there; `false` while they have not all arrived.
    fn check(&mut self, log: &Decided) -> Result<bool, ReadError> {
        // Read again after an error, they may be those of another log.
        if self.times != log.times {
            (self.times, self.expected) = (log.times, self.mark.digest);
        }
        let Some(expected) = self.expected else {
            return Ok(true);
        };
        let reached = log.reader.as_ref().map_or(Offset::START, |reader| reader.mark().offset);
        if reached < self.mark.offset {
            return Ok(false);
        }
        let mut found = RunningDigest::EMPTY;
        for record in log.records.range(..self.mark.offset).map(|(_, record)| record) {
            found.add(record);
        }
        if found != expected {
            return Err(ReadError::SourceChanged {
                partition: DECISIONS,
                log: LogName::Topic(DECISIONS.topic),
                offset: self.mark.offset,
                what: "was deleted and created again, or lost records: there are other records".into(),
            });
        }
        self.expected = None;
        Ok(true)
    }
}

impl Reader for DecisionsReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let decisions = Arc::clone(&self.decisions);
        let log = decisions.follow()?;
        let mut bytes = Vec::new();
        let mut records = Vec::new();
        if self.check(&log)? {
            for (offset, value) in log.records.range(self.mark.offset..until.max(self.mark.offset)) {
                if !records.is_empty() && bytes.len() >= limit {
                    break;
                }
                let from = bytes.len();
                bytes.extend_from_slice(value);
                records.push((*offset, from..bytes.len()));
                self.mark.add(value);
                self.mark.offset = offset.saturating_add(1);
            }
        }
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn has_news(&mut self) -> Result<bool, ReadError> {
        let decisions = Arc::clone(&self.decisions);
        let log = decisions.follow()?;
        Ok(self.check(&log)? && log.records.range(self.mark.offset..).next().is_some())
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }
}
