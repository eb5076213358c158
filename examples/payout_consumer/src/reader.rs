//! Reads both topics from the offsets in the database. Only committed transactions are read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, info, warn};

use super::client::{Access, Log, cannot_start};
use super::failure::Failure;
use super::record::{Place, Record, TOPICS};

/// An offset for each topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// How long the broker may take to list the partitions, or to return the end of one.
const ANSWER: Duration = Duration::from_secs(10);

/// How often to look for new partitions.
const REFRESH: Duration = Duration::from_secs(10);

/// A reader of all partitions of both topics.
///
/// It is in no consumer group. Every partition is assigned by hand, at the offset in the database, and no offset is
/// committed to the broker.
pub struct Reader {
    consumer: BaseConsumer<Log>,
    /// A client that only looks up the ends of partitions, open transactions included.
    ends: BaseConsumer<Log>,
    /// The next offset of each partition.
    positions: Offsets,
    refreshed: Option<Instant>,
}

impl Reader {
    /// A reader that continues at `positions`.
    ///
    /// # Errors
    /// If a property is unknown or has a wrong value.
    pub fn start(access: &Access<'_>, positions: Offsets) -> Result<Reader, Failure> {
        let client = |isolation| {
            access
                .consumer(isolation)
                .create_with_context(Log)
                .map_err(cannot_start)
        };
        let mut reader = Reader {
            consumer: client("read_committed")?,
            ends: client("read_uncommitted")?,
            positions: Offsets::new(),
            refreshed: None,
        };
        reader.assign(positions)?;
        Ok(reader)
    }

    /// The next offset of each partition. All records before it were returned by [`poll`](Self::poll).
    pub const fn positions(&self) -> &Offsets {
        &self.positions
    }

    /// Returns at most `limit` records, and none if none arrives within `patience`.
    ///
    /// # Errors
    /// If a record is not one of Softstake's, or the next records were deleted. No record is skipped.
    pub fn poll(&mut self, limit: usize, patience: Duration) -> Result<Vec<(Place, Record)>, Failure> {
        if self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH) && self.refresh()? {
            self.refreshed = Some(Instant::now());
        }
        // The messages of this client must be polled as well.
        while self.ends.poll(Duration::ZERO).is_some() {}
        let mut batch = Vec::new();
        while batch.len() < limit {
            // After the first record, only records that have already arrived are added.
            let timeout = if batch.is_empty() { patience } else { Duration::ZERO };
            let message = match self.consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    self.endure(error)?;
                    break;
                }
            };
            let (topic, partition, offset) = (message.topic().to_owned(), message.partition(), message.offset());
            let place = Place {
                topic,
                partition,
                offset,
            };
            let refuse = |why| Failure::Stop(format!("{place} cannot be read: {why}"));
            let next = self.positions.get_mut(&(place.topic.clone(), partition));
            let Some(next) = next.filter(|next| **next <= offset) else {
                return Err(refuse("its offset is out of order".to_owned()));
            };
            let record = Record::decode(&place.topic, message.payload().unwrap_or_default()).map_err(refuse)?;
            *next = offset + 1;
            batch.push((place, record));
        }
        self.pass_markers()?;
        Ok(batch)
    }

    /// The current ends of all partitions of both topics, open transactions included. `None` if the brokers do not answer.
    ///
    /// # Errors
    /// If the brokers reject the request.
    pub fn ends(&self) -> Result<Option<Offsets>, Failure> {
        self.unless_unreachable(self.look().and_then(|partitions| {
            let end = |(topic, partition): (String, i32)| {
                let (_, end) = self.ends.fetch_watermarks(&topic, partition, ANSWER)?;
                Ok(((topic, partition), end))
            };
            partitions.into_iter().map(end).collect()
        }))
    }

    /// A partition that has not been read up to its end in `ends`, if there is one.
    pub fn behind<'e>(&self, ends: &'e Offsets) -> Option<&'e (String, i32)> {
        let read = |(partition, end): &(&_, &i64)| self.positions.get(*partition).is_some_and(|next| next >= *end);
        ends.iter().find(|end| !read(end)).map(|(partition, _)| partition)
    }

    /// Moves past the markers at the end of transactions, and past aborted transactions: they return no record.
    fn pass_markers(&mut self) -> Result<(), Failure> {
        let known = self.consumer.position().map_err(refused)?;
        for element in known.elements() {
            let partition = (element.topic().to_owned(), element.partition());
            if let (Offset::Offset(offset), Some(next)) = (element.offset(), self.positions.get_mut(&partition)) {
                *next = offset.max(*next);
            }
        }
        Ok(())
    }

    /// Assigns new partitions, each from its first existing record. Returns whether the brokers answered.
    fn refresh(&mut self) -> Result<bool, Failure> {
        let Some(partitions) = self.unless_unreachable(self.look())? else {
            return Ok(false);
        };
        for topic in TOPICS {
            if !partitions.iter().any(|(of, _)| of == topic) {
                info!("{topic} does not exist yet; waiting for it");
            }
        }
        let mut new = Offsets::new();
        for (topic, partition) in partitions {
            if self.positions.contains_key(&(topic.clone(), partition)) {
                continue;
            }
            let watermarks = self.ends.fetch_watermarks(&topic, partition, ANSWER);
            let Some((start, _)) = self.unless_unreachable(watermarks)? else {
                return Ok(false);
            };
            if start > 0 {
                warn!(
                    "{topic}, partition {partition}: the records before offset {start} are deleted and cannot be paid"
                );
            }
            new.insert((topic, partition), start);
        }
        self.assign(new)?;
        Ok(true)
    }

    fn assign(&mut self, positions: Offsets) -> Result<(), Failure> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in &positions {
            debug!("{topic}, partition {partition}: reading from offset {next}");
            list.add_partition_offset(topic, *partition, Offset::Offset(*next))
                .map_err(refused)?;
        }
        self.consumer.incremental_assign(&list).map_err(refused)?;
        self.positions.extend(positions);
        Ok(())
    }

    /// Lists the partitions of both topics.
    fn look(&self) -> KafkaResult<Vec<(String, i32)>> {
        let mut partitions = Vec::new();
        for topic in TOPICS {
            let metadata = self.ends.fetch_metadata(Some(topic), ANSWER)?;
            for found in metadata.topics() {
                match found.error().map(RDKafkaErrorCode::from) {
                    None => partitions.extend(found.partitions().iter().map(|p| (topic.to_owned(), p.id()))),
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                    Some(code) => return Err(KafkaError::MetadataFetch(code)),
                }
            }
        }
        Ok(partitions)
    }

    /// An answer of the brokers, or `None` if they are unreachable for now.
    fn unless_unreachable<T>(&self, answer: KafkaResult<T>) -> Result<Option<T>, Failure> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                warn!("waiting for the brokers: {error}");
                self.endure(error).map(|()| None)
            }
        }
    }

    /// The failure for a next offset that does not exist. The client does not name the partition.
    fn lost(&self) -> Failure {
        let mut lost = Vec::new();
        for ((topic, partition), next) in &self.positions {
            if let Ok((start, end)) = self.ends.fetch_watermarks(topic, *partition, ANSWER)
                && !(start..=end).contains(next)
            {
                lost.push(format!(
                    "{topic}, partition {partition} has no offset {next}, but {start} to {end}"
                ));
            }
        }
        Failure::Stop(format!(
            "the next record is gone: {}. It was deleted before it was read, or the topic was created again. \
             No record is skipped: find out what was lost, then set next_offset in the table of offsets",
            lost.join("; ")
        ))
    }

    /// Accepts errors from which the client recovers by itself, however long that takes. Every other error ends the process,
    /// because it might cost records.
    fn endure(&self, error: KafkaError) -> Result<(), Failure> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(
                Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::TimedOutQueue
                | Code::NetworkException
                | Code::BrokerNotAvailable
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::ReplicaNotAvailable
                | Code::KafkaStorageError
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::UnknownTopicOrPartition
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
                // The group is only a name here.
                | Code::GroupAuthorizationFailed,
            ) if !matches!(error, KafkaError::MessageConsumptionFatal(_)) => Ok(()),
            Some(Code::AutoOffsetReset) => Err(self.lost()),
            _ => Err(refused(error)),
        }
    }
}

fn refused(error: KafkaError) -> Failure {
    Failure::Stop(format!("Kafka: {error}"))
}
