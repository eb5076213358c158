//! A reader of one partition, with evidence that the records read before are unchanged.
//!
//! **Ends.** A partition can end in transaction markers, so its end may be past the last record, and a cut may lie between the two. To confirm that
//! no record is left before an end: look the end up, then start a new consumer after the last record, and wait until it reports the end of the
//! partition. If a record arrives below an offset that was passed, the task stops: no record is skipped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};

use crate::bus::batch::Batch;
use crate::bus::error::{BrokerError, LogName, ReadError};
use crate::bus::interface::Reader;
use crate::bus::kafka::brokers::Brokers;
use crate::bus::kafka::cloud_events::append_structured;
use crate::bus::kafka::consumer::{PartitionConsumer, from_kafka};
use crate::bus::position::Mark;
use crate::core::contract::topic::{TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

/// How long no record may arrive at the end of a partition before that end is confirmed by a new consumer. Records on their way arrive sooner.
const CONFIRM_AFTER: Duration = Duration::from_millis(150);

/// What a mark keeps about the last record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Evidence {
    offset: Offset,
    /// The xxh3 hash of the record, as the tasks read it.
    hash: u64,
}

impl Evidence {
    fn of(offset: Offset, record: &[u8]) -> Self {
        Self {
            offset,
            hash: xxhash_rust::xxh3::xxh3_64(record),
        }
    }

    fn write(self) -> Vec<u8> {
        // Encoding two numbers cannot fail.
        postcard::to_stdvec(&self).unwrap_or_default()
    }

    fn read(mark: &Mark) -> Option<Self> {
        postcard::from_bytes(&mark.evidence).ok()
    }
}

/// A reader of one partition.
pub(super) struct KafkaReader {
    brokers: Arc<Brokers>,
    partition: TopicPartition,
    consumer: PartitionConsumer,
    mark: Mark,
    /// The record before the mark. The first record that arrives must be this one.
    expected: Option<Evidence>,
    /// A record that arrived, but is at or past the limit of the read.
    held: Option<(Offset, Vec<u8>)>,
    /// All records below this offset have arrived.
    reached: Offset,
    /// One past the last record that arrived.
    delivered: Offset,
    /// When the consumer reported the end of the partition, while it is not confirmed where that end is.
    at_end: Option<Instant>,
    /// The end that was looked up before this consumer was started after the last record.
    confirming: Option<Offset>,
    spare: Option<Batch>,
}

impl KafkaReader {
    pub(super) fn open(brokers: Arc<Brokers>, partition: TopicPartition, from: &Mark) -> Result<Self, ReadError> {
        let start = brokers.check_offset(partition, from.offset)?;
        // Reading starts one record earlier, if that record still exists: it must be the record that was read.
        let expected =
            Evidence::read(from).filter(|evidence| evidence.offset >= start && evidence.offset < from.offset);
        let first = expected.map_or(from.offset, |evidence| evidence.offset);
        let find_end = brokers.finds_ends(partition.topic);
        let consumer = PartitionConsumer::start(&brokers.settings, &brokers.signal, partition, first, find_end)?;
        Ok(Self {
            brokers,
            partition,
            consumer,
            mark: from.clone(),
            expected,
            held: None,
            reached: from.offset,
            delivered: from.offset,
            at_end: None,
            confirming: None,
            spare: None,
        })
    }

    /// Appends the next record, in structured mode, to `bytes`. Returns its offset; `None` if there is no record now.
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Offset>, ReadError> {
        if let Some((offset, value)) = self.held.take() {
            bytes.extend_from_slice(&value);
            return Ok(Some(offset));
        }
        loop {
            match self.consumer.poll() {
                None => {
                    self.confirm_end()?;
                    return Ok(None);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => match self.confirming.take() {
                    Some(end) => self.reached = self.reached.max(end),
                    None => self.at_end = Some(Instant::now()),
                },
                Some(Err(error)) => return Err(self.brokers.reading_failed(self.partition, &self.mark, &error)),
                Some(Ok(message)) => {
                    let offset = from_kafka(message.offset());
                    let from = bytes.len();
                    append(self.partition, &message, bytes);
                    drop(message);
                    if let Some(evidence) = self.expected.take() {
                        let value = bytes.get(from..).unwrap_or_default();
                        let found = Evidence::of(offset, record(self.partition.topic.kind(), value));
                        if found != evidence {
                            return Err(self.changed());
                        }
                        bytes.truncate(from);
                        continue;
                    }
                    // This offset was passed as a gap, but it is none.
                    if offset < self.mark.offset {
                        return Err(ReadError::OutOfOrder {
                            partition: self.partition,
                            offset,
                            passed: self.mark.offset,
                        });
                    }
                    (self.at_end, self.confirming) = (None, None);
                    self.delivered = offset.saturating_add(1);
                    self.reached = self.reached.max(offset);
                    return Ok(Some(offset));
                }
            }
        }
    }

    /// If the consumer has been at the end for a while, and that end is past the last record: starts to confirm that no record lies between.
    fn confirm_end(&mut self) -> Result<(), ReadError> {
        if self.at_end.is_none_or(|since| since.elapsed() < CONFIRM_AFTER) {
            return Ok(());
        }
        let end = match self.brokers.range(self.partition) {
            Ok((_, end)) => end,
            Err(BrokerError::Unavailable { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.at_end = None;
        if end > self.delivered.max(self.reached) {
            self.consumer = PartitionConsumer::start(
                &self.brokers.settings,
                &self.brokers.signal,
                self.partition,
                self.delivered,
                true,
            )?;
            self.confirming = Some(end);
        }
        Ok(())
    }

    fn changed(&self) -> ReadError {
        ReadError::SourceChanged {
            partition: self.partition,
            log: LogName::Topic(self.partition.topic),
            offset: self.mark.offset,
            what: "was deleted and created again, or lost records: there is another record".into(),
        }
    }
}

/// Appends a record's value as the tasks read it.
fn append(partition: TopicPartition, message: &BorrowedMessage<'_>, bytes: &mut Vec<u8>) {
    let value = message.payload().unwrap_or_default();
    match partition.topic.kind() {
        TopicKind::Input => append_structured(message.headers(), value, bytes),
        TopicKind::Output | TopicKind::Inner => bytes.extend_from_slice(value),
    }
}

/// The record with this value. A line of white space alone has no content, as on every bus.
fn record(kind: TopicKind, value: &[u8]) -> &[u8] {
    let is_blank = kind != TopicKind::Inner && value.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    if is_blank { &[] } else { value }
}

impl Reader for KafkaReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let (mut bytes, mut records) = self.spare.take().unwrap_or_default().into_parts();
        let kind = self.partition.topic.kind();
        while records.is_empty() || bytes.len() < limit {
            let from = bytes.len();
            let Some(offset) = self.next(&mut bytes)? else { break };
            let value = bytes.get(from..).unwrap_or_default();
            if offset >= until {
                self.held = Some((offset, value.to_vec()));
                bytes.truncate(from);
                break;
            }
            let record = record(kind, value);
            self.mark.add(record);
            let end = from + record.len();
            bytes.truncate(end);
            records.push((offset, from..end));
            self.mark.offset = offset.saturating_add(1);
        }
        if let Some((offset, range)) = records.last() {
            let record = bytes.get(range.clone()).unwrap_or_default();
            self.mark.evidence = Evidence::of(*offset, record).write();
        }
        // Offsets without a record are passed, too.
        self.mark.offset = self.mark.offset.max(self.reached.min(until));
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn has_news(&mut self) -> Result<bool, ReadError> {
        if self.held.is_none() {
            let mut value = Vec::new();
            if let Some(offset) = self.next(&mut value)? {
                self.held = Some((offset, value));
            }
        }
        Ok(self.held.is_some() || self.reached > self.mark.offset)
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn recycle(&mut self, batch: Batch) {
        self.spare = Some(batch);
    }
}

impl Brokers {
    /// The error of a read that failed at a mark.
    fn reading_failed(&self, partition: TopicPartition, at: &Mark, error: &KafkaError) -> ReadError {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => match self.check_offset(partition, at.offset) {
                Err(error) => error,
                // It failed only for a moment, for example while a leader moved.
                Ok(_) => self.attempt(partition).unavailable(error.to_string()).into(),
            },
            _ => self.failed(&self.attempt(partition), error).into(),
        }
    }
}
