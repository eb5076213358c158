//! A reader of one partition, with the evidence that what was read before is still what is there.
//!
//! **Ends.** A partition can end in transaction markers, so the offset after the last record that came need not be its end, and a cut may lie between.
//! That nothing more comes before an end is only believed of a consumer that was started *after* that end was looked up, from behind the last record,
//! and that then says it stands at the end. Should a record come all the same before an offset that was passed, the task stops: nothing is skipped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};

use crate::bus::batch::Batch;
use crate::bus::error::BusError;
use crate::bus::interface::Reader;
use crate::bus::kafka::Brokers;
use crate::bus::kafka::cloud_events::append_structured;
use crate::bus::kafka::consumer::Reading;
use crate::bus::position::Mark;
use crate::core::contract::topic::{TopicKind, TopicPartition};

/// How long nothing has to come at an end before it is probed: what is on its way comes sooner.
const SURE_AFTER: Duration = Duration::from_millis(150);

/// What a mark keeps of the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Evidence {
    /// Its offset.
    offset: u64,
    /// A hash of what it said.
    hash: u64,
}

impl Evidence {
    fn of(offset: u64, value: &[u8]) -> Self {
        Self {
            offset,
            hash: xxhash_rust::xxh3::xxh3_64(value),
        }
    }

    fn write(self) -> Vec<u8> {
        // Two numbers can always be encoded.
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
    reading: Reading,
    mark: Mark,
    /// The record before the mark, to be held against what comes first.
    check: Option<Evidence>,
    /// A record that came and lay past what was asked for.
    held: Option<(u64, Vec<u8>)>,
    /// Everything before this offset has come.
    reached: u64,
    /// One past the last record that came.
    delivered: u64,
    /// Since when the fetcher has stood at the end without it being certain where that is.
    at_end: Option<Instant>,
    /// The end that was looked up before this consumer was started from behind the last record.
    probing: Option<u64>,
    spare: Option<Batch>,
}

impl KafkaReader {
    /// A reader that stands at `from`.
    pub(super) fn open(brokers: Arc<Brokers>, partition: TopicPartition, from: &Mark) -> Result<Self, BusError> {
        let start = brokers.check_place(partition, from.offset)?;
        // One record earlier, if it is there: it must be the one that was read.
        let check = Evidence::read(from).filter(|evidence| evidence.offset >= start && evidence.offset < from.offset);
        let first = check.map_or(from.offset.max(start), |evidence| evidence.offset);
        let find_end = brokers.finds_ends(partition.topic);
        let reading = Reading::start(&brokers.settings, &brokers.signal, partition, first, find_end)?;
        Ok(Self {
            brokers,
            partition,
            reading,
            mark: from.clone(),
            check,
            held: None,
            reached: from.offset,
            delivered: from.offset.max(start),
            at_end: None,
            probing: None,
            spare: None,
        })
    }

    /// The next record, structured, appended to `bytes`; its offset.
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u64>, BusError> {
        if let Some((offset, value)) = self.held.take() {
            bytes.extend_from_slice(&value);
            return Ok(Some(offset));
        }
        loop {
            match self.reading.poll() {
                None => {
                    self.probe()?;
                    return Ok(None);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => match self.probing.take() {
                    Some(end) => self.reached = self.reached.max(end),
                    None => self.at_end = Some(Instant::now()),
                },
                Some(Err(error)) => return Err(self.brokers.reading_failed(self.partition, &self.mark, &error)),
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    let from = bytes.len();
                    append(self.partition, &message, bytes);
                    drop(message);
                    if let Some(evidence) = self.check.take() {
                        let found = Evidence::of(offset, bytes.get(from..).unwrap_or_default());
                        if found != evidence {
                            return Err(self.changed());
                        }
                        bytes.truncate(from);
                        continue;
                    }
                    // What was passed as a gap and is none: nothing may be read past it.
                    if offset < self.mark.offset {
                        return Err(self.brokers.attempt(self.partition).refused(format!(
                            "offset {offset} came after everything before {} had been passed",
                            self.mark.offset
                        )));
                    }
                    (self.at_end, self.probing) = (None, None);
                    self.delivered = offset.saturating_add(1);
                    self.reached = self.reached.max(offset);
                    return Ok(Some(offset));
                }
            }
        }
    }

    /// Once the fetcher has stood at the end for a while: if that is not where the last record ends, finds out whether anything lies between.
    fn probe(&mut self) -> Result<(), BusError> {
        if self.at_end.is_none_or(|since| since.elapsed() < SURE_AFTER) {
            return Ok(());
        }
        let end = match self.brokers.range(self.partition) {
            Ok((_, end)) => end,
            Err(BusError::Unavailable { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.at_end = None;
        if end > self.delivered.max(self.reached) {
            self.reading = Reading::start(
                &self.brokers.settings,
                &self.brokers.signal,
                self.partition,
                self.delivered,
                true,
            )?;
            self.probing = Some(end);
        }
        Ok(())
    }

    fn changed(&self) -> BusError {
        BusError::SourceChanged {
            partition: self.partition,
            file: format!("topic {}", self.partition.topic).into(),
            offset: self.mark.offset,
            what: "was deleted and made anew, or lost records, as another record stands".into(),
        }
    }
}

/// A record's value as the tasks read it.
fn append(partition: TopicPartition, message: &BorrowedMessage<'_>, bytes: &mut Vec<u8>) {
    let value = message.payload().unwrap_or_default();
    match partition.topic.kind() {
        TopicKind::Input => append_structured(message.headers(), value, bytes),
        TopicKind::Output | TopicKind::Inner => bytes.extend_from_slice(value),
    }
}

/// A line of nothing but white space is blank, as on every bus.
fn is_blank(kind: TopicKind, value: &[u8]) -> bool {
    kind != TopicKind::Inner && value.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

impl Reader for KafkaReader {
    fn read(&mut self, limit: usize, until: u64) -> Result<Batch, BusError> {
        let (mut bytes, mut records) = self.spare.take().unwrap_or_default().into_parts();
        let kind = self.partition.topic.kind();
        let mut last = None;
        while records.is_empty() || bytes.len() < limit {
            let from = bytes.len();
            let Some(offset) = self.next(&mut bytes)? else { break };
            let value = bytes.get(from..).unwrap_or_default();
            if offset >= until {
                self.held = Some((offset, value.to_vec()));
                bytes.truncate(from);
                break;
            }
            last = Some(Evidence::of(offset, value));
            if is_blank(kind, value) {
                bytes.truncate(from);
            }
            records.push((offset, from..bytes.len()));
            self.mark.offset = offset.saturating_add(1);
        }
        if let Some(evidence) = last {
            self.mark.evidence = evidence.write();
        }
        // Offsets that hold no record are passed, too.
        self.mark.offset = self.mark.offset.max(self.reached.min(until));
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn has_news(&mut self) -> Result<bool, BusError> {
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
    /// What it means that a partition cannot be read from a place.
    fn reading_failed(&self, partition: TopicPartition, at: &Mark, error: &KafkaError) -> BusError {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => match self.check_place(partition, at.offset) {
                Err(error) => error,
                // It was so for a moment, as when a leader moves.
                Ok(_) => self.attempt(partition).unavailable(error.to_string()),
            },
            _ => self.attempt(partition).failed(error),
        }
    }
}
