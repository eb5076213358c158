//! A reader of one partition, with evidence that the records read before are unchanged.
//!
//! **Ends.** A partition can end in transaction markers, so its end may be past the last record, and a cut may lie between the two. To confirm that
//! no record is left before an end: look the end up, then start to fetch afresh after the last record, and wait for a record or the end of the
//! partition. If a record arrives below an offset that was passed, the task stops: no record is skipped.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::bus::batch::Batch;
use crate::bus::error::{LogName, ReadError};
use crate::bus::interface::Reader;
use crate::bus::kafka::brokers::Brokers;
use crate::bus::kafka::chunk::Chunk;
use crate::bus::kafka::evidence::{Evidence, Finding};
use crate::bus::kafka::failure::is_authentication;
use crate::bus::kafka::fetcher::{CONFIRM_AFTER, Feed, Taken};
use crate::bus::kafka::watch::{Verdict, Watched};
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// A reader of one partition.
pub(super) struct KafkaReader {
    brokers: Arc<Brokers>,
    partition: TopicPartition,
    feed: Feed,
    watched: Arc<Watched>,
    /// Whether the records that the first mark keeps are still there, until that is known.
    comparing: Option<Receiver<Verdict>>,
    mark: Mark,
    /// The record before the mark. The first record that arrives must be this one.
    expected: Option<Evidence>,
    /// Records that arrived, and are not read.
    arrived: Chunk,
    /// One past the last record that arrived.
    delivered: Offset,
    /// All records below this offset have arrived.
    confirmed: Offset,
    /// When the consumer may have been at the end of the partition, while it is not confirmed where that end is.
    at_end: Option<Instant>,
    /// The search that confirms the end.
    confirming: Option<Receiver<Finding>>,
    /// The search that tells whether an error of the consumer concerns this partition.
    examining: Option<Receiver<Finding>>,
    spare: Option<Batch>,
}

impl KafkaReader {
    pub(super) fn open(brokers: Arc<Brokers>, partition: TopicPartition, from: &Mark) -> Result<Self, ReadError> {
        let start = brokers.check_offset(partition, from.offset)?;
        // Reading starts one record earlier, if that record still exists: it must be the record that was read.
        let expected =
            Evidence::read(from).filter(|evidence| evidence.offset >= start && evidence.offset < from.offset);
        let first = expected.map_or(from.offset, |evidence| evidence.offset);
        let feed = brokers
            .fetcher
            .start(partition, first, brokers.finds_ends(partition.topic))?;
        let watched = Arc::new(Watched::at(partition, from));
        brokers.probes.watch.add(&watched);
        // The last record is read again. The checked one before it has to be looked at.
        let is_older = watched.to_compare().len() > 1;
        Ok(Self {
            comparing: is_older.then(|| brokers.probes.compare(&watched)),
            watched,
            brokers,
            partition,
            feed,
            mark: from.clone(),
            expected,
            arrived: Chunk::default(),
            delivered: from.offset,
            confirmed: from.offset,
            at_end: None,
            confirming: None,
            examining: None,
            spare: None,
        })
    }

    /// Takes the records that have arrived, if all earlier ones are read.
    fn refill(&mut self) -> Result<(), ReadError> {
        self.watched.check()?;
        if !self.is_compared() {
            return Ok(());
        }
        while self.arrived.is_empty() {
            match self.feed.take(std::mem::take(&mut self.arrived)) {
                Taken::Records(chunk) => self.arrived = chunk,
                Taken::Disorder { offset, passed } => return Err(self.out_of_order(offset, passed)),
                Taken::Nothing { at_end, trouble } => {
                    self.at_end = at_end.or(self.at_end);
                    self.examine(trouble)?;
                    self.confirm_end();
                    return Ok(());
                }
            }
            if let Some(evidence) = self.expected.take() {
                let found = self.arrived.take_first();
                if found.map(|(offset, record)| Evidence::of(offset, record)) != Some(evidence) {
                    return Err(self.changed());
                }
            }
            // This offset was passed as a gap, but it is none.
            if let Some(offset) = self.arrived.first().filter(|offset| *offset < self.mark.offset) {
                return Err(self.out_of_order(offset, self.mark.offset));
            }
            (self.at_end, self.confirming, self.examining) = (None, None, None);
            if let Some(last) = self.arrived.last() {
                self.delivered = self.delivered.max(last.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Whether the records that the first mark keeps were compared, so that records after them may be read.
    fn is_compared(&mut self) -> bool {
        let Some(look) = &self.comparing else { return true };
        match look.try_recv() {
            Ok(Verdict::Same) => {
                self.comparing = None;
                return true;
            }
            Err(TryRecvError::Empty) => {}
            Ok(_) | Err(TryRecvError::Disconnected) => {
                self.comparing = Some(self.brokers.probes.compare(&self.watched));
            }
        }
        false
    }

    /// If the consumer has been at the end for a while, and that end is past the last record: confirms that no record lies between.
    fn confirm_end(&mut self) {
        let Some(search) = &self.confirming else {
            if self.at_end.is_some_and(|since| since.elapsed() >= CONFIRM_AFTER) {
                self.at_end = None;
                self.confirming = Some(self.brokers.probes.ask(self.partition, self.delivered, true));
            }
            return;
        };
        match search.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(Finding::End(end)) => self.confirmed = self.confirmed.max(end),
            // A record is on its way, or nothing is known: it is asked again if no record arrives.
            Ok(_) | Err(TryRecvError::Disconnected) => {
                self.at_end = Some(Instant::now());
                self.brokers.probes.ring_after(CONFIRM_AFTER);
            }
        }
        self.confirming = None;
    }

    /// After an error of the consumer, which names no partition: finds out whether this partition can be read. If so, fetches it afresh, because
    /// the consumer gives up a partition after some errors.
    fn examine(&mut self, trouble: Option<Code>) -> Result<(), ReadError> {
        if let Some(code) = trouble {
            if is_authentication(code) {
                return Err(self.failed(&KafkaError::MessageConsumption(code)));
            }
            self.examining = Some(self.brokers.probes.ask(self.partition, self.feed.next(), false));
        }
        let Some(search) = &self.examining else {
            return Ok(());
        };
        match search.try_recv() {
            Err(TryRecvError::Empty) => return Ok(()),
            Ok(Finding::Failed(error)) => return Err(self.failed(&error)),
            Ok(Finding::End(_) | Finding::Record(_)) => {
                self.feed.restart().map_err(|error| self.failed(&error))?;
            }
            Ok(Finding::Unknown) | Err(TryRecvError::Disconnected) => {
                self.examining = Some(self.brokers.probes.ask(self.partition, self.feed.next(), false));
                return Ok(());
            }
        }
        self.examining = None;
        Ok(())
    }

    fn failed(&self, error: &KafkaError) -> ReadError {
        self.brokers.reading_failed(self.partition, &self.mark, error)
    }

    fn out_of_order(&self, offset: Offset, passed: Offset) -> ReadError {
        ReadError::OutOfOrder {
            partition: self.partition,
            offset,
            passed,
        }
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

impl Reader for KafkaReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let mut parts = self.spare.take().unwrap_or_default().into_parts();
        while parts.1.is_empty() || parts.0.len() < limit {
            self.refill()?;
            if self.arrived.first().is_none_or(|offset| offset >= until) {
                break;
            }
            self.arrived.move_to(&mut parts, limit, until);
        }
        let (bytes, records) = parts;
        for (offset, range) in &records {
            self.mark.add(bytes.get(range.clone()).unwrap_or_default());
            self.mark.offset = offset.saturating_add(1);
        }
        if let Some((offset, range)) = records.last() {
            let record = bytes.get(range.clone()).unwrap_or_default();
            self.mark.evidence = self.watched.note_read(Evidence::of(*offset, record));
        }
        // Offsets without a record are passed, too.
        let reached = self.arrived.first().unwrap_or(self.confirmed);
        self.mark.offset = self.mark.offset.max(reached.min(until));
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn has_news(&mut self) -> Result<bool, ReadError> {
        self.refill()?;
        Ok(!self.arrived.is_empty() || self.confirmed > self.mark.offset)
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn arrived(&self) -> Option<Offset> {
        Some(self.delivered.max(self.confirmed))
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
