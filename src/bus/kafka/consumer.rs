//! What our consumers share: their log lines, their polls, and partitions and offsets as librdkafka has them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset as BrokerOffset;
use rdkafka::{ClientContext, Message, TopicPartitionList};

use crate::bus::kafka::client::ClientLog;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// The queue counts as empty after this many empty polls: a poll may take a client event, of which there are few, in place of a record.
const EMPTY_POLLS: u32 = 4;

/// Time-out of a question about a topic.
const ABOUT_TOPIC: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct ConsumerLog(ClientLog);

/// The context of a consumer that is polled by [`poll`].
pub(super) trait PolledContext: ConsumerContext {
    fn client_log(&self) -> &ClientLog;
}

impl PolledContext for ConsumerLog {
    fn client_log(&self) -> &ClientLog {
        &self.0
    }
}

impl ClientContext for ConsumerLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error: it arrives in order with the records.
        if error.rdkafka_error_code() != Some(Code::PartitionEOF) && !matches!(error, KafkaError::PartitionEOF(_)) {
            self.0.error(&error, reason);
        }
    }
}

impl ConsumerContext for ConsumerLog {}

/// The next record, end or error of a consumer; `None` if there is none now.
///
/// Lines of librdkafka's log are in the same queue. A poll that takes one looks like one of an empty queue, and after an outage there may be hundreds
/// of them in front of the records. They do not count: the queue tells of records only once, so a caller that leaves some there is not told of more.
pub(super) fn poll<C: PolledContext>(consumer: &BaseConsumer<C>) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
    let mut empty = 0;
    while empty < EMPTY_POLLS {
        let lines = consumer.context().client_log().lines();
        let found = consumer.poll(Duration::ZERO);
        if found.is_some() {
            return found;
        }
        if consumer.context().client_log().lines() == lines {
            empty += 1;
        }
    }
    None
}

/// The topics that a client knows.
///
/// librdkafka looks up the leaders of a topic that is new to a client only once a second, and fetches nothing of it before. A question about the topic
/// makes it known at once.
#[derive(Default)]
pub(super) struct KnownTopics(Mutex<BTreeSet<Topic>>);

impl KnownTopics {
    /// Makes topics known, before partitions of them are assigned. If the brokers do not answer, librdkafka asks again later.
    pub(super) fn learn<C: ConsumerContext>(&self, client: &BaseConsumer<C>, topics: impl IntoIterator<Item = Topic>) {
        for topic in topics {
            if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&topic) {
                continue;
            }
            match client.fetch_metadata(Some(topic.name()), ABOUT_TOPIC) {
                Ok(found) if found.topics().iter().all(|found| found.error().is_none()) => {
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic);
                }
                // It does not exist yet.
                Ok(_) => {}
                Err(error) => return tracing::debug!("cannot look up topic {topic}: {error}"),
            }
        }
    }
}

/// The partition of a record; `None` if it is of no topic of ours.
pub(super) fn partition_of(message: &BorrowedMessage<'_>) -> Option<TopicPartition> {
    let number = u32::try_from(message.partition()).ok()?;
    Some(Topic::from_name(message.topic())?.partition(number))
}

/// A list of one partition, at an offset or at none.
pub(super) fn list_of(partition: TopicPartition, from: Option<Offset>) -> Result<TopicPartitionList, KafkaError> {
    let (topic, number) = kafka_partition(partition);
    let mut list = TopicPartitionList::new();
    match from {
        Some(from) => list.add_partition_offset(topic, number, BrokerOffset::Offset(to_kafka(from)))?,
        None => {
            list.add_partition(topic, number);
        }
    }
    Ok(list)
}

/// A partition as librdkafka names it.
pub(super) fn kafka_partition(partition: TopicPartition) -> (&'static str, i32) {
    // Kafka's partition numbers have 31 bits, and ours come from Kafka.
    (
        partition.topic.name(),
        i32::try_from(partition.partition).unwrap_or(i32::MAX),
    )
}

/// An offset that librdkafka gives. It is negative only where Kafka has no offset: never for a record or an end.
pub(super) fn from_kafka(offset: i64) -> Offset {
    Offset::new(u64::try_from(offset).unwrap_or(0))
}

/// An offset as librdkafka takes it.
pub(super) fn to_kafka(offset: Offset) -> i64 {
    i64::try_from(offset.get()).unwrap_or(i64::MAX)
}
