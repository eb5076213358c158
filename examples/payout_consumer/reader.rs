//! Both topics, read from the offsets that the database says, whole transactions only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, error, info, warn};

use super::failure::Failure;
use super::record::{Place, Record, TOPICS};

/// An offset for each topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// How long the broker may take to say which partitions there are, or how long one is.
const ANSWER: Duration = Duration::from_secs(10);

/// How often to look whether there are more partitions.
const REFRESH: Duration = Duration::from_secs(10);

/// A reader of all partitions of both topics.
///
/// It is in no consumer group: every partition is assigned by hand, at the offset that the database holds, and no
/// offset is ever committed to the broker.
pub struct Reader {
    consumer: BaseConsumer<Log>,
    /// A client that reads nothing. It sees where partitions end, transactions still open included.
    ends: BaseConsumer<Log>,
    /// Up to where each partition has been read: the offset of the record to come.
    positions: Offsets,
    refreshed: Option<Instant>,
}

impl Reader {
    /// A reader that goes on at `positions`. `properties` are librdkafka's.
    ///
    /// # Errors
    /// If a property is unknown or has a wrong value.
    pub fn start(brokers: &str, properties: &[(String, String)], positions: Offsets) -> Result<Reader, Failure> {
        let mut config = ClientConfig::new();
        // The client demands the name of a group. Nobody joins it.
        config.set("group.id", "softstake-payout");
        config.set("check.crcs", "true");
        for (key, value) in properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", brokers);
        // What exactly once rests on is not for `properties` to change.
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set_log_level(RDKafkaLogLevel::Warning);
        let client = |isolation: &str| -> KafkaResult<BaseConsumer<Log>> {
            config
                .clone()
                .set("isolation.level", isolation)
                .create_with_context(Log)
        };
        let cannot = |error| Failure::Stop(format!("the Kafka client cannot start: {error}"));
        let mut reader = Reader {
            consumer: client("read_committed").map_err(cannot)?,
            ends: client("read_uncommitted").map_err(cannot)?,
            positions: Offsets::new(),
            refreshed: None,
        };
        reader.assign(positions)?;
        Ok(reader)
    }

    /// Up to where each partition has been read. What lies before is in the batches that [`poll`](Self::poll) gave.
    pub const fn positions(&self) -> &Offsets {
        &self.positions
    }

    /// At most `limit` records, none if none comes within `patience`.
    ///
    /// # Errors
    /// If something lies there that is not Softstake's, or the records to come are no longer there. Nothing is ever
    /// passed over.
    pub fn poll(&mut self, limit: usize, patience: Duration) -> Result<Vec<(Place, Record)>, Failure> {
        if self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH) && self.refresh()? {
            self.refreshed = Some(Instant::now());
        }
        // This client's own messages wait to be taken as well.
        while self.ends.poll(Duration::ZERO).is_some() {}
        let mut batch = Vec::new();
        while batch.len() < limit {
            // Once there is something, only what has already arrived is added to it.
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
                return Err(refuse("it comes out of turn".to_owned()));
            };
            let record = Record::decode(&place.topic, message.payload().unwrap_or_default()).map_err(refuse)?;
            *next = offset + 1;
            batch.push((place, record));
        }
        self.pass_markers()?;
        Ok(batch)
    }

    /// Where all partitions of both topics end now, transactions that are still open included, or nothing if the
    /// brokers do not say.
    ///
    /// # Errors
    /// If they refuse to.
    pub fn ends(&self) -> Result<Option<Offsets>, Failure> {
        self.calmly(self.look().and_then(|partitions| {
            let end = |(topic, partition): (String, i32)| {
                let (_, end) = self.ends.fetch_watermarks(&topic, partition, ANSWER)?;
                Ok(((topic, partition), end))
            };
            partitions.into_iter().map(end).collect()
        }))
    }

    /// A partition of which not everything before `ends` has been read, if there is one.
    pub fn behind<'e>(&self, ends: &'e Offsets) -> Option<&'e (String, i32)> {
        let read = |(partition, end): &(&_, &i64)| self.positions.get(*partition).is_some_and(|next| next >= *end);
        ends.iter().find(|end| !read(end)).map(|(partition, _)| partition)
    }

    /// Moves on past the markers with which transactions end, and past aborted transactions: no record comes for them.
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

    /// Starts on partitions that are new, each at the first record it still has. Gives back whether the brokers said
    /// which there are.
    fn refresh(&mut self) -> Result<bool, Failure> {
        let Some(partitions) = self.calmly(self.look())? else {
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
            let Some((start, _)) = self.calmly(watermarks)? else {
                return Ok(false);
            };
            if start > 0 {
                warn!("{topic}, partition {partition}: what came before offset {start} is deleted and cannot be paid");
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

    /// Which partitions there are.
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

    /// An answer of the brokers, or nothing if they are out of reach for now.
    fn calmly<T>(&self, answer: KafkaResult<T>) -> Result<Option<T>, Failure> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                warn!("waiting for the brokers: {error}");
                self.endure(error).map(|()| None)
            }
        }
    }

    /// The offset to go on with is not there. The client does not say of which partition.
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
            "the record to go on with is gone: {}. It was deleted before it was read, or the topic was made anew. \
             Nothing is passed over: find out what was lost, then set next_offset in the table of offsets",
            lost.join("; ")
        ))
    }

    /// Lets pass what the client gets over by itself, however long it takes. All else ends the process: whatever is
    /// not known to be harmless might cost records.
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
                // The group is but a name.
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

/// Puts the client's messages into our log.
struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => error!("Kafka: {message}"),
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!("Kafka: {message}"),
            _ => debug!("Kafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        warn!("Kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Log {}
